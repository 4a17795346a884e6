"""A study made ready: for a new search, or for a search that resumes, with the trials that an earlier run left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from optuna.trial import TrialState

from decouple_search.space.space import Space
from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.study.compat import storage_of
from decouple_search.study.definition import JOURNAL, Definition
from decouple_search.study.optuna_storage import open_study, reopen_study
from decouple_search.study.record import (
    StudyRecord,
    TrialRecord,
    own_trials,
    repeat_trials,
    screened_trials,
    trial_name,
)
from decouple_search.study.trial_log import note_checkpoint, note_pause
from decouple_search.study.warm_start import import_trials
from decouplenet.config import Config
from decouplenet.data.places import shown
from decouplenet.errors import InputError


class ResumableTrial(NamedTuple):
    """A trial that started earlier and has not ended."""

    number: int
    """Its number in the study."""
    checkpoint: str | None
    """The checkpoint to resume from; None to train from the beginning."""
    changed: dict[str, Any]
    """Searched keys whose values in the checkpoint differ from the proposed ones (pbt)."""
    is_repeat: bool = False
    """Whether it is a training of a finalist."""
    is_screened: bool = False
    """Whether it is a screened trial. It starts from its beginning, as it has no checkpoints."""


class EarlierTrial(NamedTuple):
    """A trial of an earlier run."""

    ended: bool
    """Whether it has ended."""
    succeeded: bool
    """Whether it has not failed."""
    repeat_of: str | None = None
    """The name of the finalist that it trains anew; None for a trial of the search itself."""


def create_study(
    experiment: Path,
    space: Space,
    config: Config,
    definition: Definition,
    *,
    url: str | None = None,
    warm_start: str | None = None,
    screens: bool = False,
) -> tuple[optuna.Study, str]:
    """The study of a new search, with the start points, and with trials of another search if wanted.

    Args:
        experiment: the search's folder on this machine.
        space: the searched space.
        config: the base configuration.
        definition: the search's definition. It is written last, because a folder with it counts as complete.
        url: a database for the study.
        warm_start: the folder of a search whose trials are imported.
        screens: whether heads are screened. Start points are then screened too, and are trained in full only if they
            earn it, or if they have more than a screen can judge.

    Returns:
        The study, and a text about the imported trials.

    Raises:
        InputError: the database has a study of that name, or there is no other search.
    """
    file, name = experiment / JOURNAL, experiment.name
    file.unlink(missing_ok=True)  # left by a search that was killed at its start
    study = open_study(file, space, url=url, name=name)
    if own_trials(study):
        raise InputError(f"--optuna-storage: it has a study '{name}' already; give another --name")
    if study.get_trials(deepcopy=False):  # left by a search that was killed at its start
        optuna.delete_study(study_name=study.study_name, storage=storage_of(study))
        study = open_study(file, space, url=url, name=name)
    imported = import_trials(warm_start, study, space, config) if warm_start else ""
    start = space.start_in_full() if screens else space.checked_start()
    for point in () if definition.grid else start:
        study.enqueue_trial(point)
    StudyRecord(study).runs = 0
    definition.write(experiment)
    return study, imported


def resume_study(experiment: Path, space: Space, checkpoints: Checkpoints, *, url: str | None = None) -> optuna.Study:
    """The study of a search that was killed or stopped.

    Args:
        experiment: the search's folder on this machine.
        space: the searched space.
        checkpoints: the checkpoints of its trials.
        url: the database that has the study.

    Raises:
        InputError: there is no such study, or its journal is damaged so that it cannot be mended. Then nothing is
            changed.
    """
    file = experiment / JOURNAL
    study = reopen_study(file, url=url, name=experiment.name)
    if study is None:
        raise InputError(
            f"--optuna-storage: there is no study of '{experiment.name}' in {shown(url or file)}; "
            "give the storage that the search was started with"
        )
    record = StudyRecord(study)
    record.runs = (record.runs or 0) + 1
    record.interrupted = False
    checkpoints.delete_files()  # Tune would restore the search from them
    return study


def resumable_trials(
    study: optuna.Study, checkpoints: Checkpoints, space: Space, epochs: int, run: int
) -> list[ResumableTrial]:
    """The trials that were running when the search ended, each with its newest complete checkpoint.

    Their checkpoints are renamed, because Tune numbers new checkpoints from 0: `checkpoint_000002` becomes
    `checkpoint_1-000002` when the search is resumed for the first time.

    Args:
        study: the search's study.
        checkpoints: the checkpoints of its trials.
        space: the searched space.
        epochs: the epochs of a full training.
        run: how often the search was resumed.
    """
    resumable, by_trial = list[ResumableTrial](), checkpoints.all()
    running = [TrialState.RUNNING]
    resumable += [
        resumable_trial(study, checkpoints, space, trial.number)
        for trial in screened_trials(study, running)
        if not _tell_end(study, trial, trial.screen_epochs or 0)
    ]
    for trial in [*own_trials(study, running), *repeat_trials(study, running)]:
        if _tell_end(study, trial, epochs):
            continue
        kept = []
        for checkpoint in by_trial.get(trial.name, []):
            # The study in storage may be older than a checkpoint: the trial's next epoch is then trained once more.
            if not checkpoints.is_whole(checkpoint) or checkpoints.metrics(checkpoint)["epoch"] > trial.epochs:
                checkpoints.delete(checkpoint)
                continue
            number = checkpoint.rpartition("/")[2].removeprefix("checkpoint_")
            renamed = f"checkpoint_{run}-{number}"
            kept.append(checkpoint if "-" in number else checkpoints.rename(checkpoint, renamed))
        note_checkpoint(study, trial.number, kept[-1] if kept else None)
        resumable.append(resumable_trial(study, checkpoints, space, trial.number))
    return resumable


def pause_with_curve(study: optuna.Study, starts: Sequence[ResumableTrial]) -> list[ResumableTrial]:
    """Pause those trials of an earlier run that have a curve, and return the others, which start over."""
    trials = study.get_trials(deepcopy=False)
    epochs = {start.number: TrialRecord(trials[start.number]).epochs for start in starts}
    for number in (number for number in epochs if epochs[number]):
        note_pause(study, number, epochs[number])
    return [start for start in starts if not epochs[start.number]]


def _tell_end(study: optuna.Study, trial: TrialRecord, epochs: int) -> bool:
    """Whether a trial had ended; the study was to be told once its last checkpoint was written, and is told now."""
    if trial.epochs >= epochs and trial.is_screened:
        study.tell(trial.number, state=TrialState.PRUNED)
        return True
    if trial.epochs >= epochs:
        study.tell(trial.number, list(trial.objectives))
        return True
    if trial.stopped_after is not None and trial.stopped_after <= trial.epochs:
        study.tell(trial.number, state=TrialState.PRUNED)
        return True
    return False


def resumable_trial(study: optuna.Study, checkpoints: Checkpoints, space: Space, number: int) -> ResumableTrial:
    """A trial with its newest checkpoint.

    Args:
        study: the search's study.
        checkpoints: the checkpoints of its trials.
        space: the searched space.
        number: the trial's number.
    """
    trial = TrialRecord(study.get_trials(deepcopy=False)[number])
    checkpoint, is_repeat = trial.checkpoint, trial.repeat_of is not None
    if trial.is_screened:
        return ResumableTrial(number, None, {}, is_screened=True)
    if checkpoint is None or not checkpoints.is_whole(checkpoint):
        return ResumableTrial(number, None, {}, is_repeat)
    config = checkpoints.config(checkpoint)
    changed = {key: config[key] for key in space.keys if key in config}
    return ResumableTrial(number, checkpoint, changed, is_repeat)


def earlier_trials(study: optuna.Study) -> dict[str, EarlierTrial]:
    """The trials of earlier runs by name."""
    return {
        trial.name: EarlierTrial(
            trial.ended,
            trial.result != "FAIL",
            None if trial.repeat_of is None else trial_name(trial.repeat_of),
        )
        for trial in [*own_trials(study), *repeat_trials(study)]
    }
