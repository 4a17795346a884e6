"""A search's best checkpoint: written out, and measured again on workers like those that trained it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import ray

from decouple_search.results import tables as results
from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.gang.gang import Gang, GangHungError
from decouple_search.space.space import Space
from decouple_search.study.record import trial_name
from decouplenet.command_line import print_line
from decouplenet.config import Config, load_yaml


def export_best(experiment: Path, checkpoints: Checkpoints, study: optuna.Study, space: Space, *, again: bool) -> None:
    """Write `best_checkpoint/` from what there is, measure it again, and say where it is not what it should be.

    Args:
        experiment: the experiment's folder on this machine.
        checkpoints: those of its trials.
        study: the search's.
        space: what was searched.
        again: whether to measure it again.
    """
    target, best = experiment / "best_checkpoint", results.best_trial(study, space)
    kept = results.best_kept(checkpoints, study, space)
    if kept is None:
        if best:
            print_line("warning: no trial's checkpoint was written to the end, so there is no best_checkpoint")
        return
    trial, source, told = kept
    if best != trial or told["epoch"] != trial.user_attrs["best_epoch"]:
        print_line(
            "warning: the best epoch's checkpoint was not written to the end; best_checkpoint is trial "
            f"{trial_name(trial.number)}'s of epoch {told['epoch']}, val_map {told['val_map']:.4f}"
        )
    with checkpoints.at_hand(source) as folder:
        results.export_checkpoint(folder, target, {})  # there before the measuring, which may be interrupted
        if not again:
            return
        print_line("measuring the best checkpoint again")
        try:
            measured = _measured(folder)
        except (ray.exceptions.RayError, GangHungError, KeyboardInterrupt) as error:
            print_line(f"warning: the best checkpoint was not measured again ({type(error).__name__})")
            return
        results.export_checkpoint(folder, target, measured)
    if abs(measured["val_map"] - told["val_map"]) > 1e-6:
        print_line(f"warning: val_map is {measured['val_map']:.6f}, its trial had {told['val_map']:.6f}")


def _measured(checkpoint: Path) -> dict[str, Any]:
    config = Config.from_dict(load_yaml(checkpoint / "config.yaml"))
    gang = Gang(config.scaling)
    try:
        gang.start(config.to_dict())
        gang.restore({file.name: file.read_bytes() for file in checkpoint.iterdir()})
        return gang.evaluate()
    finally:
        gang.stop()
