"""Uses of Ray Tune that rely on more than its documentation promises. Each has a contract test.

Callbacks, schedulers and stoppers are public. Three things that they handle are not: `Trial` objects, the controller,
and the state of the population scheduler.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # the leaderboard and TensorBoard are our own
os.environ.setdefault("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")  # a failed trial has no metric
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # its tables ignore verbose=0
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "inf")  # a search resumes from the study

from ray import tune
from ray.tune.result import DONE, SHOULD_CHECKPOINT

__all__ = ["DONE", "SHOULD_CHECKPOINT", "Trial"]

Trial = Any
"""Tune's trial. Its text is the name that `trial_name_creator` gave."""

CONFIG_PREFIX = "config/"
"""Tune flattens the trial's config into a result under this prefix."""


def allow_pending_trials(count: int) -> None:
    """Let Tune ask for the resources of this many trials at the same time. Otherwise slots start in turn."""
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(count)


def is_pending(trial: Trial) -> bool:
    """Whether a trial waits for its resources, or is starting."""
    return bool(trial.status == trial.PENDING)


def is_running(trial: Trial) -> bool:
    """Whether a trial is running."""
    return bool(trial.status == trial.RUNNING)


def replace_config(trial: Trial, config: dict[str, Any]) -> None:
    """Replace the config of a trial. Its next start uses the new one."""
    trial.set_config(config)


def replace_resources(trial: Trial, resources: tune.PlacementGroupFactory) -> None:
    """Replace the resources of a trial. Its next start asks for the new ones."""
    trial.update_resources(resources)


def bundles_of(trial: Trial) -> list[dict[str, float]]:
    """The resource bundles that a trial has or asks for."""
    bundles: list[dict[str, float]] = trial.placement_group_factory.bundles
    return bundles


def restart_checkpoint(trial: Trial) -> Any:
    """The checkpoint that a trial would restart from, with its `path`; None if it has none."""
    return trial.checkpoint


def restart_paths(trials: Sequence[Trial]) -> set[str]:
    """The paths of the checkpoints that trials which have not ended would restart from."""
    checkpoints = [restart_checkpoint(trial) for trial in trials if not trial.is_finished()]
    return {checkpoint.path for checkpoint in checkpoints if checkpoint}


def last_failure(trial: Trial) -> str:
    """The last failure in a trial's `error.txt`, which Tune writes; empty if there is none."""
    file = Path(trial.local_path) / "error.txt"
    return file.read_text().rpartition("Failure # ")[2] if file.exists() else ""


def all_trials_of(controller: Any) -> list[Trial]:
    """All trials of Tune's controller."""
    trials: list[Trial] = controller.get_trials()
    return trials


def stop_trial(controller: Any, trial: Trial) -> None:
    """Ask Tune's controller to stop a trial."""
    controller.request_stop_trial(trial)


def without_searcher(controller: Any) -> Any:
    """A controller for PopulationBasedTraining, which refuses a search algorithm; ours does not learn from results."""
    return SimpleNamespace(search_alg=None, get_trials=controller.get_trials)


def restore_standing(
    scheduler: tune.schedulers.PopulationBasedTraining,
    trial: Trial,
    *,
    epoch: int,
    utility: float,
    checkpoint: Any,
    result: dict[str, Any],
) -> None:
    """Give a resumed trial its standing in a population.

    Args:
        scheduler: the population's scheduler.
        trial: the trial, already added to the scheduler.
        epoch: the epoch of its last comparison.
        utility: the value that it is compared by; more is better.
        checkpoint: the checkpoint from which other trials may continue.
        result: the result of that epoch.
    """
    state = scheduler._trial_state[trial]
    state.last_train_time = state.last_perturbation_time = epoch
    state.last_score = utility
    state.last_checkpoint = checkpoint
    state.last_result = result
