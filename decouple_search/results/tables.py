"""The tables of an experiment folder, written from the study: leaderboard, best config, summary."""

from __future__ import annotations

import csv
import functools
import io
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import optuna

from decouple_search.results.verdict import Verdict
from decouple_search.space.space import Space
from decouple_search.study.finalist_results import FinalistResult, finalist_results
from decouple_search.study.ranking import best_training, best_trial, pareto_set, ranked_screened, ranked_trials
from decouple_search.study.record import RESULTS, TrialRecord, ended_trials, screened_trials
from decouplenet.atomic_files import replace_file
from decouplenet.config import Config
from decouplenet.dotted_keys import flatten, nest
from decouplenet.errors import InputError
from decouplenet.yaml_text import dump_yaml, parse_value

LEADERBOARD = "leaderboard.csv"
BEST_CONFIG = "best_config.yaml"
SUMMARY = "summary.json"
BEST_CHECKPOINT = "best_checkpoint"
"""The folder of the best trial's checkpoint, in a search's or training's folder."""
FIXED_COLUMNS = ("trial_id", "state", "epochs", "val_map", "seconds")
"""The first columns of every leaderboard. Columns of other objectives and of the parameters follow."""
FINALIST_COLUMNS = ("val_map_mean", "val_map_std", "seeds")
"""Further columns of a search with finalists; empty for the other trials."""


def write_tables(experiment: Path, study: optuna.Study, space: Space, base: Config) -> None:
    """Write the leaderboard and the best config as they are now.

    The best config is that of the best checkpoint, with its seed, so a winner of finalists has a fresh seed.
    """
    write_leaderboard(experiment / LEADERBOARD, study, space)
    if best := best_training(study, space.objectives):
        write_config(experiment / BEST_CONFIG, best_config(base, best, space))


def write_leaderboard(file: Path, study: optuna.Study, space: Space) -> None:
    """One row per trial, best first: the fixed columns, other objectives, and each searched parameter.

    Values are those of the trial's best epoch. They are empty for a trial that never finished an epoch, and so is an
    absent parameter; a chosen None is `null`. A search of several objectives has a column `pareto`: whether the trial
    is in the Pareto set. With `data.broken` skip there is a column `broken_images`: how many images were left out.
    With finalists there are `FINALIST_COLUMNS`; once all are trained, they come first, by their lower bound. With
    screened trials there is a column `stage`, and they follow all full trials, whatever their values are.
    """
    others = [metric for metric, _ in space.objectives if metric != "val_map"]
    several = len(space.objectives) > 1
    front = {trial.number for trial in pareto_set(study, space.objectives)} if several else set()
    ranked = ranked_trials(study, space.objectives)
    rest = [trial for trial in ended_trials(study) if trial.number not in {each.number for each in ranked}]
    screened = ranked_screened(study, space.objectives)
    trials = ranked + rest + screened
    skips = any(trial.broken_images is not None for trial in trials)
    finalists = {result.trial.number: result for result in finalist_results(study, space.objective)}
    fresh = FINALIST_COLUMNS if finalists else ()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    extra = [*["stage"] * bool(screened), *others, *["pareto"] * several, *["broken_images"] * skips, *fresh]
    writer.writerow([*FIXED_COLUMNS, *extra, *space.keys])
    for trial in trials:
        val_map = "" if trial.val_map is None else trial.val_map
        values = dict(zip((metric for metric, _ in space.objectives), trial.objectives, strict=False))
        row = [trial.name, trial.result, trial.epochs, val_map, round(trial.seconds, 2)]
        row += [stage_of(trial)] if screened else []
        row += [values.get(metric, "") for metric in others]
        row += [str(trial.number in front).lower()] if several else []
        row += ["" if trial.broken_images is None else trial.broken_images] if skips else []
        row += _fresh_cells(finalists.get(trial.number)) if finalists else []
        parameters = trial.parameters
        writer.writerow([*row, *(_cell(parameters[key]) if key in parameters else "" for key in space.keys)])
    replace_file(file, text.getvalue())


SCREEN = "screen"
"""The `stage` of a screened trial."""


def stage_of(trial: TrialRecord) -> str:
    """`screen` for a trial that trained only a head on feature maps, `full` for any other."""
    return SCREEN if trial.is_screened else "full"


def _fresh_cells(result: FinalistResult | None) -> list[Any]:
    """The cells of `FINALIST_COLUMNS`."""
    if result is None:
        return [""] * len(FINALIST_COLUMNS)
    return [*("" if value is None else value for value in (result.val_map_mean, result.val_map_std)), result.seeds]


def cell_value(cell: str) -> Any:
    """The value of a leaderboard's cell: null, true, false, a number or a text. An empty cell has none."""
    value = parse_value(cell)
    if isinstance(value, str):
        return value if cell.startswith('"') else cell
    return value if value is None or isinstance(value, (bool, int, float)) else cell


def _cell(value: Any) -> Any:
    """A parameter's value as `cell_value` reads it. An empty cell stands for an absent parameter."""
    if value is None:
        return "null"
    return _text_cell(value) if isinstance(value, str) else value


@functools.cache  # the table is written after each trial, and texts are few
def _text_cell(text: str) -> str:
    """A text, in quotes where another value would be read, or where its cell would be empty."""
    return text if text and cell_value(text) == text else json.dumps(text, ensure_ascii=False)


@dataclass(frozen=True)
class LeaderboardRow:
    """A row of a leaderboard, as text."""

    cells: dict[str, str]
    """All cells by column."""

    @property
    def trial_id(self) -> str:
        """The trial's id."""
        return self.cells["trial_id"]

    @property
    def state(self) -> str:
        """COMPLETE, PRUNED or FAIL."""
        return self.cells["state"]

    @property
    def is_screened(self) -> bool:
        """Whether the trial trained only a head, on feature maps: its value is none of a full trial."""
        return self.cells.get("stage") == SCREEN

    @property
    def epochs(self) -> str:
        """Epochs that the trial trained."""
        return self.cells["epochs"]

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters that are present, by dotted key."""
        return {name: cell for name, cell in self.cells.items() if "." in name and cell}


def read_leaderboard(file: Path) -> list[LeaderboardRow]:
    """The rows of a leaderboard.

    Raises:
        OSError: the file cannot be read.
    """
    with file.open() as stream:
        return [LeaderboardRow(cells) for cells in csv.DictReader(stream)]


def best_config(base: Config, trial: TrialRecord, space: Space) -> Config:
    """The complete configuration of a trial. A training with it chooses its epoch by the search's first objective."""
    seed = {} if trial.seed is None else {"train.seed": trial.seed}
    return Config.from_dict(nest(flatten(base.to_dict()) | trial.parameters | seed | {"train.objective": space.metric}))


def write_config(file: Path, config: Config) -> None:
    """All keys that a training uses, as YAML that `--config` reads."""
    replace_file(file, dump_yaml(config.in_use()))


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The content of summary.json."""

    trials: int
    """Trials of the search itself, without the trainings of finalists. So are the next 4."""
    complete: int
    pruned: int
    failed: int
    epochs: int
    """Epochs of all trials."""
    wall_seconds: float
    """Seconds of the whole search."""
    busy_fraction: float
    """The share of that time in which the workers trained."""
    busy_fraction_warm: float
    """The same from when the first gangs are up to the last epoch."""
    objective: str
    """The measure of the first objective."""
    best_value: float | None
    """The first objective of the best trial, as the search measured it; see `verdict` for fresh seeds."""
    best_val_map: float | None
    """val_map of the best trial."""
    best_trial_id: str | None
    pareto: tuple[str, ...] | None = None
    """The Pareto set of a search of several objectives."""
    screened: int | None = None
    """Heads that were screened; they are not among the trials."""
    verdict: Verdict = field(default_factory=Verdict)
    """The finalists and the test images; summary.json has its parts beside the others."""

    @classmethod
    def from_study(
        cls, study: optuna.Study, space: Space, *, wall_seconds: float, busy: float, busy_warm: float
    ) -> Summary:
        """The summary of a study.

        Args:
            study: the search's study.
            space: the searched space.
            wall_seconds: seconds of the whole search.
            busy: the share of that time in which the workers trained.
            busy_warm: the same, once the first gangs were warm.
        """
        trials, best = ended_trials(study), best_trial(study, space.objectives)
        count = {result: sum(trial.result == result for trial in trials) for result in RESULTS.values()}
        front = (
            tuple(trial.name for trial in pareto_set(study, space.objectives)) if len(space.objectives) > 1 else None
        )
        return cls(
            trials=len(trials),
            complete=count["COMPLETE"],
            pruned=count["PRUNED"],
            failed=count["FAIL"],
            epochs=sum(trial.epochs for trial in trials),
            wall_seconds=round(wall_seconds, 2),
            busy_fraction=round(busy, 4),
            busy_fraction_warm=round(busy_warm, 4),
            objective=space.metric,
            best_value=best.best_value if best else None,
            best_val_map=best.val_map if best else None,
            best_trial_id=best.name if best else None,
            pareto=front,
            screened=sum(trial.ended for trial in screened_trials(study)) or None,
            verdict=Verdict.of(study, space.objectives),
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it, without `pareto`, `screened` and parts of the verdict that do not apply."""
        content = {name: value for name, value in asdict(self).items() if name != "verdict"}
        for name in ("pareto", "screened"):
            if content[name] is None:
                del content[name]
        return content | self.verdict.to_dict()

    def write(self, file: Path) -> None:
        """Write summary.json."""
        replace_file(file, json.dumps(self.to_dict(), indent=1) + "\n")

    @classmethod
    def read(cls, file: Path) -> Summary:
        """The summary in a file.

        Raises:
            InputError: the file is not a summary.
        """
        try:
            content = json.loads(file.read_text())
            written = {name: content[name] for name in cls.__dataclass_fields__ if name in content}
            earlier = {"objective": "val_map", "best_value": content.get("best_val_map")}  # before these were written
            return cls(**earlier | written, verdict=Verdict.from_dict(content))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise InputError(f"{file}: not a search's summary ({error})") from None
