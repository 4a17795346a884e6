"""The files of an experiment folder, written from the Optuna study: leaderboard, best config, checkpoint, summary."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import FrozenTrial, TrialState

from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.space.space import Space
from decouple_search.storage.folder import CHECKPOINT_FILES, replace_text
from decouple_search.study.record import ended_trials, trial_name
from decouplenet.config import Config

STATES = {TrialState.COMPLETE: "COMPLETE", TrialState.PRUNED: "PRUNED", TrialState.FAIL: "FAIL"}


def state_of(trial: FrozenTrial) -> str:
    """COMPLETE, PRUNED or FAIL; a trial that an interrupted search left is one that was stopped."""
    return STATES.get(trial.state, "PRUNED")


def best_trial(study: optuna.Study, space: Space) -> FrozenTrial | None:
    """The trial that reached the best objective in any epoch, stopped early or not; the earlier of equals.

    Of several objectives the first decides, then the second, and so on, so it is one of the Pareto set.
    """
    return max(_measured(study), key=lambda trial: (_values(trial, space), -trial.number), default=None)


def pareto_set(study: optuna.Study, space: Space) -> list[FrozenTrial]:
    """The trials than which no other is at least as good in all objectives and better in one."""
    trials = _measured(study)
    values = [_values(trial, space) for trial in trials]

    def beaten(mine: tuple[float, ...]) -> bool:
        return any(other != mine and all(o >= m for o, m in zip(other, mine, strict=True)) for other in values)

    return [trial for trial, mine in zip(trials, values, strict=True) if not beaten(mine)]


def parameters_of(trial: FrozenTrial) -> dict[str, Any]:
    """The searched parameters that a trial's best epoch was trained with; pbt changes them on the way."""
    parameters: dict[str, Any] = trial.user_attrs.get("in_force", trial.params)
    return parameters


def write_leaderboard(file: Path, study: optuna.Study, space: Space) -> None:
    """A row a trial, best first: `trial_id, state, epochs, val_map, seconds` and each searched parameter.

    `val_map` is that of the trial's best epoch; a parameter that was absent, and the val_map of a trial that
    never finished an epoch, are empty. A search of several objectives has a column for each other one, of the same
    epoch, and `pareto`, whether the trial is one of the Pareto set.
    """
    keys = [parameter.key for parameter in space.parameters]
    several = len(space.objectives) > 1
    others = [metric for metric, _ in space.objectives if metric != "val_map"] if several else []
    front = {trial.number for trial in pareto_set(study, space)} if several else set()
    ranked = sorted(_measured(study), key=lambda trial: (_values(trial, space), -trial.number), reverse=True)
    rest = [trial for trial in ended_trials(study) if trial not in ranked]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial_id", "state", "epochs", "val_map", "seconds", *others, *["pareto"] * several, *keys])
    for trial in ranked + rest:
        known = trial.user_attrs
        row = [trial_name(trial.number), state_of(trial), known.get("epochs", 0), known.get("val_map", "")]
        row += [round(known.get("seconds", 0.0), 2)]
        if several:
            told = dict(zip((metric for metric, _ in space.objectives), known.get("objectives", []), strict=False))
            row += [*(told.get(metric, "") for metric in others), str(trial.number in front).lower()]
        parameters = parameters_of(trial)
        writer.writerow([*row, *(parameters.get(key, "") for key in keys)])
    replace_text(file, text.getvalue())


def write_tables(experiment: Path, study: optuna.Study, space: Space, base: Config) -> None:
    """Write the leaderboard and the best config as they stand."""
    write_leaderboard(experiment / "leaderboard.csv", study, space)
    if best := best_trial(study, space):
        write_best_config(experiment / "best_config.yaml", best_config(base, best))


def best_config(base: Config, trial: FrozenTrial) -> Config:
    """The complete configuration of a trial."""
    nested = base.to_dict()
    for key, value in parameters_of(trial).items():
        section, _, name = key.partition(".")
        nested[section][name] = value
    return Config.from_dict(nested)


def write_best_config(file: Path, config: Config) -> None:
    """All keys as YAML, as `--config` reads them."""
    replace_text(file, yaml.safe_dump(config.to_dict(), sort_keys=False))


def best_kept(
    checkpoints: Checkpoints, study: optuna.Study, space: Space
) -> tuple[FrozenTrial, str, dict[str, Any]] | None:
    """The best checkpoint that there is: its trial, its path and its metrics.

    It is the best trial's of its best epoch, unless a worker was lost or the search interrupted just then.
    """
    sign = 1 if space.mode == "max" else -1
    best, there = best_trial(study, space), checkpoints.all()
    found = [
        (trial, place, checkpoints.metrics(place))
        for trial in ended_trials(study)
        if _usable(trial)
        for place in there.get(trial_name(trial.number), [])
        if checkpoints.is_whole(place)
    ]
    mine = [kept for kept in found if kept[0] == best and kept[2]["epoch"] == kept[0].user_attrs["best_epoch"]]
    return next(iter(mine), None) or max(
        found, key=lambda kept: (sign * kept[2][space.metric], -kept[0].number), default=None
    )


def export_checkpoint(source: Path, target: Path, metrics: dict[str, Any]) -> None:
    """Copy a checkpoint folder without its training state, its metrics updated; complete or not there at all."""
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for name in CHECKPOINT_FILES:
        shutil.copyfile(source / name, partial / name)
    known = json.loads((partial / "metrics.json").read_text())
    (partial / "metrics.json").write_text(json.dumps(known | metrics, indent=1) + "\n")
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)


def summary(study: optuna.Study, space: Space, *, wall_seconds: float, busy: float, busy_warm: float) -> dict[str, Any]:
    """What summary.json holds.

    Args:
        study: the study.
        space: what was searched.
        wall_seconds: of the whole search.
        busy: share of its time in which the workers trained.
        busy_warm: the same once the first gangs were warm.
    """
    trials = ended_trials(study)
    best = best_trial(study, space)
    count = {name: sum(state_of(trial) == name for trial in trials) for name in STATES.values()}
    front = [trial_name(trial.number) for trial in pareto_set(study, space)]
    return {
        "trials": len(trials),
        "complete": count["COMPLETE"],
        "pruned": count["PRUNED"],
        "failed": count["FAIL"],
        "epochs": sum(trial.user_attrs.get("epochs", 0) for trial in trials),
        "wall_seconds": round(wall_seconds, 2),
        "busy_fraction": round(busy, 4),
        "busy_fraction_warm": round(busy_warm, 4),
        "best_val_map": best.user_attrs["val_map"] if best else None,
        "best_trial_id": trial_name(best.number) if best else None,
        **({"pareto": front} if len(space.objectives) > 1 else {}),
    }


def write_json(file: Path, content: dict[str, Any]) -> None:
    """Write JSON as `replace_text` does."""
    replace_text(file, json.dumps(content, indent=1) + "\n")


def _usable(trial: FrozenTrial) -> bool:
    return trial.state != TrialState.FAIL


def _measured(study: optuna.Study) -> list[FrozenTrial]:
    return [trial for trial in ended_trials(study) if "objectives" in trial.user_attrs and _usable(trial)]


def _values(trial: FrozenTrial, space: Space) -> tuple[float, ...]:
    """The objectives of a trial's best epoch, larger is better."""
    told = trial.user_attrs["objectives"]
    return tuple(v if mode == "max" else -v for v, (_, mode) in zip(told, space.objectives, strict=True))
