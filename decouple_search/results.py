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

from decouple_search.searcher import trial_name
from decouple_search.space import Space
from decouple_search.storage import CHECKPOINT_FILES
from decouplenet.config import Config

STATES = {TrialState.COMPLETE: "COMPLETE", TrialState.PRUNED: "PRUNED", TrialState.FAIL: "FAIL"}


def ended_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that have ended, in the order they were asked for."""
    return study.get_trials(deepcopy=False, states=tuple(STATES))


def best_trial(study: optuna.Study, mode: str) -> FrozenTrial | None:
    """The trial that reached the best objective in any epoch, stopped early or not; the earlier of equals."""
    measured = [trial for trial in ended_trials(study) if "best_value" in trial.user_attrs and _usable(trial)]
    sign = 1 if mode == "max" else -1
    return max(measured, key=lambda t: (sign * t.user_attrs["best_value"], -t.number), default=None)


def parameters_of(trial: FrozenTrial) -> dict[str, Any]:
    """The searched parameters that a trial's best epoch was trained with; pbt changes them on the way."""
    parameters: dict[str, Any] = trial.user_attrs.get("parameters", trial.params)
    return parameters


def write_leaderboard(file: Path, study: optuna.Study, space: Space) -> None:
    """A row a trial, best first: `trial_id, state, epochs, val_map, seconds` and each searched parameter.

    `val_map` is that of the trial's best epoch; a parameter that was absent, and the val_map of a trial that
    never finished an epoch, are empty.
    """
    keys = [parameter.key for parameter in space.parameters]
    sign = 1 if space.mode == "max" else -1
    rows = sorted(
        ended_trials(study),
        key=lambda t: (
            not _usable(t),
            -sign * t.user_attrs.get("best_value", -sign * float("inf")),
            t.number,
        ),
    )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial_id", "state", "epochs", "val_map", "seconds", *keys])
    for trial in rows:
        known = trial.user_attrs
        seconds = (trial.datetime_complete - trial.datetime_start).total_seconds()  # type: ignore[operator]
        measured = [known.get("epochs", 0), known.get("val_map", ""), round(seconds, 2)]
        parameters = [parameters_of(trial).get(key, "") for key in keys]
        writer.writerow([trial_name(trial.number), STATES[trial.state], *measured, *parameters])
    replace_text(file, text.getvalue())


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


def best_kept(experiment: Path, study: optuna.Study, space: Space) -> tuple[FrozenTrial, Path, dict[str, Any]] | None:
    """The best checkpoint that is on disk: its trial, its folder and its metrics.

    It is the best trial's of its best epoch, unless a worker was lost or the search interrupted just then.
    """
    sign = 1 if space.mode == "max" else -1
    found = [
        (trial, folder, json.loads((folder / "metrics.json").read_text()))
        for trial in ended_trials(study)
        if _usable(trial)
        for folder in sorted((experiment / "trials" / trial_name(trial.number)).glob("checkpoint_*"))
        if all((folder / name).is_file() for name in CHECKPOINT_FILES)
    ]
    return max(found, key=lambda kept: (sign * kept[2][space.metric], -kept[0].number), default=None)


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
    best = best_trial(study, space.mode)
    count = {name: sum(trial.state == state for trial in trials) for state, name in STATES.items()}
    return {
        "trials": len(trials),
        "complete": count["COMPLETE"],
        "pruned": count["PRUNED"],
        "failed": count["FAIL"],
        "wall_seconds": round(wall_seconds, 2),
        "busy_fraction": round(busy, 4),
        "busy_fraction_warm": round(busy_warm, 4),
        "best_val_map": best.user_attrs["val_map"] if best else None,
        "best_trial_id": trial_name(best.number) if best else None,
    }


def write_json(file: Path, content: dict[str, Any]) -> None:
    """Write JSON as `replace_text` does."""
    replace_text(file, json.dumps(content, indent=1) + "\n")


def replace_text(file: Path, text: str) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(text)
    partial.replace(file)


def _usable(trial: FrozenTrial) -> bool:
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
