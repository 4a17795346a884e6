"""A search's best checkpoint: found, exported, and measured on all workers.

It is of the best trial. With finalists it is of the winner's best training with a fresh seed.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import ray

from decouple_search.results.measuring import measure_on_test, measure_split
from decouple_search.results.tables import BEST_CHECKPOINT
from decouple_search.results.verdict import TestMeasures
from decouple_search.space.space import Space
from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.study.ranking import best_training
from decouple_search.study.record import TrialRecord, ended_trials, repeat_trials
from decouplenet.atomic_files import replace_folder
from decouplenet.checkpoint_files import CHECKPOINT_FILES, METRICS
from decouplenet.command_line import print_line
from decouplenet.errors import InputError, TrainingFailed, one_line


class BestCheckpoint(NamedTuple):
    """The best checkpoint that a search has."""

    trial: TrialRecord
    path: str
    """As `Checkpoints` names it."""
    metrics: dict[str, Any]
    """Its metrics.json."""


def best_checkpoint(checkpoints: Checkpoints, study: optuna.Study, space: Space) -> BestCheckpoint | None:
    """The best training's checkpoint of its best epoch; else the best of all complete checkpoints; None without any.

    A worker may be lost, or the search interrupted, while the best epoch's checkpoint is written.
    """
    best, by_trial, objective = best_training(study, space.objectives), checkpoints.all(), space.objective
    complete = [
        BestCheckpoint(trial, path, checkpoints.metrics(path))
        for trial in [*ended_trials(study), *repeat_trials(study)]
        if trial.result != "FAIL"
        for path in by_trial.get(trial.name, [])
        if checkpoints.is_whole(path)
    ]
    for each in complete:
        if best and each.trial.number == best.number and each.metrics["epoch"] == best.best_epoch:
            return each
    return max(
        complete,
        key=lambda each: (objective.utility(each.metrics[objective.metric]), -each.trial.number),
        default=None,
    )


def export_checkpoint(source: Path, target: Path, metrics: dict[str, Any]) -> None:
    """Copy a checkpoint folder without its training state, with further entries in its metrics.json."""
    with replace_folder(target) as folder:
        for name in CHECKPOINT_FILES:
            shutil.copyfile(source / name, folder / name)
        content = json.loads((folder / METRICS).read_text())
        (folder / METRICS).write_text(json.dumps(content | metrics, indent=1) + "\n")


def export_best(
    experiment: Path, checkpoints: Checkpoints, study: optuna.Study, space: Space, *, measure: bool
) -> None:
    """Write `best_checkpoint/`, measure it, and warn where a value differs from its trial's.

    If there are test images, it is measured on them too, once: a search that is resumed and has the same best
    checkpoint does not measure it again.

    Args:
        experiment: the experiment's folder on this machine.
        checkpoints: the checkpoints of its trials.
        study: the search's study.
        space: the searched space.
        measure: whether to measure it.
    """
    target, best, metric = experiment / BEST_CHECKPOINT, best_training(study, space.objectives), space.metric
    exported = best_checkpoint(checkpoints, study, space)
    if exported is None:
        if best:
            print_line("warning: no trial's checkpoint was written to the end, so there is no best_checkpoint")
        return
    metrics = exported.metrics
    is_best = bool(best and exported.trial.number == best.number and metrics["epoch"] == best.best_epoch)
    if not is_best:
        print_line(
            f"warning: the best epoch's checkpoint was not written to the end; best_checkpoint is of trial "
            f"{exported.trial.name}, epoch {metrics['epoch']}, {metric} {metrics[metric]:.4f}"
        )
    with checkpoints.local_copy(exported.path) as folder:
        export_checkpoint(folder, target, {})  # before the measurement, which may be interrupted
        if not measure:
            return
        print_line("measuring the best checkpoint")
        try:
            measured = _measured(folder)
        except (InputError, TrainingFailed, ray.exceptions.RayError, KeyboardInterrupt) as error:
            print_line(f"warning: the best checkpoint was not measured ({one_line(error) or type(error).__name__})")
            return
        export_checkpoint(folder, target, measured)
        if is_best:
            _measure_on_test(study, exported, folder)
    _compare(metric if metric in measured else "val_map", measured, metrics)


def _measure_on_test(study: optuna.Study, best: BestCheckpoint, folder: Path) -> None:
    """Measure the best checkpoint on the test images, if there are any, and keep the measures in the study."""
    earlier, trial, epoch = TestMeasures.read(study), best.trial.name, best.metrics["epoch"]
    if earlier and (earlier.trial_id, earlier.epoch) == (trial, epoch):
        return
    try:
        measured = measure_on_test(folder)
    except (InputError, TrainingFailed, ray.exceptions.RayError, KeyboardInterrupt) as error:
        print_line(f"warning: the test images were not measured ({one_line(error) or type(error).__name__})")
        return
    if measured:
        TestMeasures(trial_id=trial, epoch=epoch, images=measured[0], metrics=measured[1]).keep(study)


def _compare(metric: str, measured: dict[str, Any], trained: dict[str, Any]) -> None:
    """Warn if a measure differs from the trial's."""
    if abs(measured[metric] - trained[metric]) > 1e-6:
        print_line(f"warning: {metric} is {measured[metric]:.6f}, its trial had {trained[metric]:.6f}")


def _measured(checkpoint: Path) -> dict[str, Any]:
    """The measures of the validation images, on images also where feature maps were trained on."""
    return {f"val_{name}": value for name, value in measure_split(checkpoint, "val")[1].items()}
