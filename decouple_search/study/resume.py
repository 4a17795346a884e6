"""The study of a search made ready, as it begins or goes on, and what an earlier run left of its trials."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from decouple_search.ray_tune.schedulers import Scheduler
from decouple_search.ray_tune.searcher import Unfinished
from decouple_search.results.tables import state_of
from decouple_search.space.space import Space
from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.study.experiment import JOURNAL, write_definition
from decouple_search.study.record import INTERRUPTED, note, open_study, own_trials, trial_name
from decouple_search.study.warm_start import take_over
from decouplenet.config import Config
from decouplenet.data.places import shown
from decouplenet.errors import InputError


def begin(
    experiment: Path,
    space: Space,
    config: Config,
    scheduler: Scheduler,
    *,
    grid: bool,
    url: str | None = None,
    other: str | None = None,
) -> tuple[optuna.Study, str]:
    """The study of a new search, with the trials of another one and the start points in it, if wanted.

    Args:
        experiment: the folder of the search.
        space: what to search.
        config: the base configuration.
        scheduler: when trials are stopped.
        grid: whether the sampler is `grid`, which takes no start points.
        url: a database for the study.
        other: the folder of a search whose trials are taken over.

    Returns:
        The study, and what was taken from another one, in words.

    Raises:
        InputError: the database has a study of that name, or the other search has none.
    """
    file, name = experiment / JOURNAL, experiment.name
    file.unlink(missing_ok=True)  # of a beginning that was killed
    study = open_study(file, space, url=url, name=name)
    if own_trials(study):
        raise InputError(f"--optuna-storage: it has a study '{name}' already; give another --name")
    if study.get_trials(deepcopy=False):  # of a beginning that was killed
        optuna.delete_study(study_name=study.study_name, storage=study._storage)
        study = open_study(file, space, url=url, name=name)
    taken = take_over(other, study, space, config) if other else ""
    for point in () if grid else space.checked_start():
        study.enqueue_trial(point)
    study.set_user_attr("runs", 0)
    # Last, so that what is in the folder is whole once it can go on.
    write_definition(experiment, space, config, scheduler, grid=grid)
    return study, taken


def go_on(experiment: Path, space: Space, checkpoints: Checkpoints, *, url: str | None = None) -> optuna.Study:
    """The study of a search that was killed or stopped.

    Args:
        experiment: its folder.
        space: what it searches.
        checkpoints: those of its trials.
        url: the database that the study is in.

    Raises:
        InputError: the database does not have it.
    """
    file = experiment / JOURNAL
    study = open_study(file, space, url=url, name=experiment.name)
    if "runs" not in study.user_attrs:
        raise InputError(
            f"--optuna-storage: there is no study of '{experiment.name}' in {shown(url or file)}; "
            "give the one it was begun with"
        )
    study.set_user_attr("runs", study.user_attrs["runs"] + 1)
    study.set_user_attr(INTERRUPTED, False)
    checkpoints.delete_files()  # by which Tune would restore the search itself
    return study


def unfinished(study: optuna.Study, checkpoints: Checkpoints, space: Space, epochs: int, run: int) -> list[Unfinished]:
    """The trials that had begun when the search was killed or stopped, each with its newest whole checkpoint.

    Their checkpoints are renamed, from `checkpoint_000002` to `checkpoint_1-000002` of the first run that was cut
    off, and so on: Tune numbers the new ones from 0 again.

    Args:
        study: the search's.
        checkpoints: those of its trials.
        space: what is searched.
        epochs: of a full training.
        run: how often the search was cut off by now.
    """
    found, there = [], checkpoints.all()
    for trial in own_trials(study, [TrialState.RUNNING]):
        # What had ended, and was to be told when its checkpoint was written:
        if _epochs(trial) >= epochs:
            study.tell(trial.number, trial.user_attrs["objectives"])
            continue
        if trial.user_attrs.get("stopped", epochs) <= _epochs(trial):
            study.tell(trial.number, state=TrialState.PRUNED)
            continue
        kept = []
        for checkpoint in there.get(trial_name(trial.number), []):
            # Of an epoch that the study in storage does not know yet: the trial's next epoch is that one.
            if not checkpoints.is_whole(checkpoint) or checkpoints.metrics(checkpoint)["epoch"] > _epochs(trial):
                checkpoints.delete(checkpoint)
                continue
            number = checkpoint.rpartition("/")[2].removeprefix("checkpoint_")
            new = f"checkpoint_{run}-{number}"
            kept.append(checkpoint if "-" in number else checkpoints.rename(checkpoint, new))
        note(study, trial.number, "checkpoint", kept[-1] if kept else None)
        found.append(newest(study, checkpoints, space, trial.number))
    return found


def newest(study: optuna.Study, checkpoints: Checkpoints, space: Space, number: int) -> Unfinished:
    """A trial that is to go on, with its newest checkpoint.

    Args:
        study: the search's.
        checkpoints: those of its trials.
        space: what is searched.
        number: the trial's.
    """
    since = study.get_trials(deepcopy=False)[number].user_attrs.get("checkpoint")
    if since is None or not checkpoints.is_whole(since):
        return Unfinished(number, None, {})
    used = checkpoints.config(since)  # pbt may have changed what was proposed
    return Unfinished(number, since, {p.key: used[p.key] for p in space.parameters if p.key in used})


def _epochs(trial: FrozenTrial) -> int:
    epochs: int = trial.user_attrs.get("epochs", 0)
    return epochs


def ended(study: optuna.Study) -> dict[str, tuple[bool, bool]]:
    """The trials of earlier runs by name, and whether each has ended, and well."""
    return {
        trial_name(trial.number): (trial.state.is_finished(), state_of(trial) != "FAIL") for trial in own_trials(study)
    }
