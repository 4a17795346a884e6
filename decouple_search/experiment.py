"""The folder of a search: what it was made with, that one search writes in it, and what is left when it goes on."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from decouple_search.schedulers import Scheduler
from decouple_search.space import Space
from decouple_search.storage import replace_text
from decouplenet.config import Config, flatten, load_yaml
from decouplenet.errors import InputError

if TYPE_CHECKING:
    from optuna import Study

    from decouple_search.searcher import Unfinished

DEFINITION = "experiment.yaml"
"""What a search is made with."""
BEGINNING = {".lock", "study.log", "study.log.lock"}
"""What a search that was killed while it began leaves, and no trial with it."""
MACHINE = ("scaling.", "data.workers", "data.cache")
"""Beginnings of keys that may be others when a search goes on."""


def goes_on(folder: Path, resume: str) -> bool:
    """Whether a search goes on with what a folder has, or begins it.

    Args:
        folder: the experiment's.
        resume: auto, must or never.

    Raises:
        InputError: an unknown word, or one that does not fit the folder.
    """
    if resume not in ("auto", "must", "never"):
        raise InputError(f"--resume: '{resume}' is unknown; valid: auto, must, never")
    there = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    if there <= BEGINNING and not folder.is_file():
        if resume == "must":
            raise InputError(f"--resume must: there is no '{folder}'; give the --storage and --name of a search")
        return False
    if resume == "never":
        raise InputError(f"--name: '{folder}' is there already; give another --name, or --resume auto")
    if not (folder / DEFINITION).is_file():
        raise InputError(f"--name: '{folder}' is there already and is no search's folder; give another --name")
    return True


def definition(space: Space, config: Config, scheduler: Scheduler, *, grid: bool) -> dict[str, Any]:
    """What decides a search's trials, as it is kept in its folder."""
    searched = {parameter.key for parameter in space.parameters}
    fixed = {k: v for k, v in flatten(config.to_dict()).items() if k not in searched and not k.startswith(MACHINE)}
    return {
        "search": {parameter.key: str(parameter) for parameter in space.parameters},
        "objectives": dict(space.objectives),
        "scheduler": vars(scheduler),
        "sampler": {"grid": grid},  # others may take turns
        "fixed": fixed,
    }


def check_same(folder: Path, space: Space, config: Config, scheduler: Scheduler, *, grid: bool) -> None:
    """Refuse to go on with a folder that was made by another search.

    Raises:
        InputError: all that is different.
    """
    was, now = load_yaml(folder / DEFINITION), definition(space, config, scheduler, grid=grid)
    apart = []
    for part, values in now.items():
        before = was.get(part, {})
        for key in sorted(before.keys() | values.keys()):
            if before.get(key) != values.get(key):
                name = key if part in ("search", "fixed") else f"{part} {key}"
                apart.append(f"{name}: {before.get(key, 'absent')} there, {values.get(key, 'absent')} here")
    if apart:
        raise InputError(f"--name: '{folder}' was made by another search ({'; '.join(apart)}); give another --name")


def write_definition(folder: Path, space: Space, config: Config, scheduler: Scheduler, *, grid: bool) -> None:
    """Keep what the search is made with."""
    replace_text(folder / DEFINITION, yaml.safe_dump(definition(space, config, scheduler, grid=grid), sort_keys=False))


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Around a search: no other one writes in its folder. Ends with the process, however that ends.

    Raises:
        InputError: another one does.
    """
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"--name: another search is writing in '{folder}'; wait for it, or stop it") from None
        yield


def unfinished(study: Study, folder: Path, space: Space, epochs: int, run: int) -> list[Unfinished]:
    """The trials that had begun when the search was killed or stopped, each with its newest whole checkpoint.

    Their checkpoints are renamed, from `checkpoint_000002` to `checkpoint_1-000002` of the first run that was cut
    off, and so on: Tune numbers the new ones from 0 again.

    Args:
        study: the search's.
        folder: the experiment's.
        space: what is searched.
        epochs: of a full training.
        run: how often the search was cut off by now.
    """
    from optuna.trial import TrialState

    from decouple_search.searcher import Unfinished
    from decouple_search.study import own_trials, trial_name
    from decouplenet.checkpoint import is_whole

    found = []
    for trial in own_trials(study, [TrialState.RUNNING]):
        # What had ended, and was to be told when its checkpoint was written:
        if trial.user_attrs.get("epochs", 0) >= epochs:
            study.tell(trial.number, trial.user_attrs["objectives"])
            continue
        if trial.user_attrs.get("stopped", epochs) <= trial.user_attrs.get("epochs", 0):
            study.tell(trial.number, state=TrialState.PRUNED)
            continue
        kept = sorted((folder / "trials" / trial_name(trial.number)).glob("checkpoint_*"), key=_written)
        for i, checkpoint in enumerate(kept):
            if "-" not in (number := checkpoint.name.removeprefix("checkpoint_")):
                kept[i] = checkpoint.rename(checkpoint.with_name(f"checkpoint_{run}-{number}"))
        whole = [checkpoint for checkpoint in kept if is_whole(checkpoint)]
        changed: dict[str, Any] = {}
        if whole:
            used = flatten(load_yaml(whole[-1] / "config.yaml"))  # pbt may have changed what was proposed
            changed = {p.key: used[p.key] for p in space.parameters if p.key in used}
        found.append(Unfinished(trial.number, str(whole[-1]) if whole else None, changed))
    return found


def forget_tunes_state(folder: Path) -> None:
    """Remove what Tune keeps to restore a search by itself; the study has all that is needed."""
    for file in (folder / "trials").glob("*"):
        if file.is_file():
            file.unlink()


def _written(checkpoint: Path) -> tuple[int, str]:
    """By age: those of earlier runs first, and by number within a run."""
    run, _, number = checkpoint.name.removeprefix("checkpoint_").rpartition("-")
    return (int(run) if run else 10**9), number
