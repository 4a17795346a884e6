"""The folder of a search: what it was made with, whether a search goes on with it, and that one writes in it."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from decouple_search.ray_tune.schedulers import Scheduler
from decouple_search.space.space import Space
from decouple_search.storage.folder import Folder, replace_text
from decouplenet.config import Config, flatten, load_yaml
from decouplenet.data.places import shown
from decouplenet.errors import InputError

DEFINITION = "experiment.yaml"
"""What a search is made with."""
JOURNAL = "study.log"
"""The Optuna study, unless it is in a database."""
BEGINNING = {JOURNAL, f"{JOURNAL}.lock"}
"""What a search that was killed while it began leaves, beside hidden files, and no trial with it."""
MACHINE = ("scaling.", "data.workers", "data.cache")
"""Beginnings of keys that may be others when a search goes on."""


def goes_on(folder: Folder, resume: str) -> bool:
    """Whether a search goes on with what a folder has, or begins it.

    Args:
        folder: the experiment's.
        resume: auto, must or never.

    Raises:
        InputError: an unknown word, or one that does not fit the folder.
    """
    if resume not in ("auto", "must", "never"):
        raise InputError(f"--resume: '{resume}' is unknown; valid: auto, must, never")
    there, name = {one for one in folder.names() if not one.startswith(".")}, folder.shown
    if there <= BEGINNING and not (not folder.remote and folder.local.is_file()):
        if resume == "must":
            raise InputError(f"--resume must: there is no '{name}'; give the --storage and --name of a search")
        return False
    if resume == "never":
        raise InputError(f"--name: '{name}' is there already; give another --name, or --resume auto")
    if DEFINITION not in there:
        raise InputError(f"--name: '{name}' is there already and is no search's folder; give another --name")
    return True


def definition(space: Space, config: Config, scheduler: Scheduler, *, grid: bool) -> dict[str, Any]:
    """What decides a search's trials, as it is kept in its folder."""
    searched = {parameter.key for parameter in space.parameters}
    flat = without_secrets(config).items()
    fixed = {k: v for k, v in flat if k not in searched and not k.startswith(MACHINE)}
    return {
        "search": {parameter.key: str(parameter) for parameter in space.parameters},
        "objectives": dict(space.objectives),
        "scheduler": vars(scheduler),
        "sampler": {"grid": grid},  # others may take turns
        "fixed": fixed,
    }


def without_secrets(config: Config) -> dict[str, Any]:
    """A configuration's dotted keys, addresses without what they may carry of keys, which may be made anew."""
    return {key: shown(v) if isinstance(v, str) else v for key, v in flatten(config.to_dict()).items()}


def check_same(folder: Folder, space: Space, config: Config, scheduler: Scheduler, *, grid: bool) -> None:
    """Refuse to go on with a folder that was made by another search.

    Raises:
        InputError: all that is different.
    """
    was, now = load_yaml(folder.local / DEFINITION), definition(space, config, scheduler, grid=grid)
    apart = []
    for part, values in now.items():
        before = was.get(part, {})
        for key in sorted(before.keys() | values.keys()):
            if before.get(key) != values.get(key):
                name = key if part in ("search", "fixed") else f"{part} {key}"
                apart.append(f"{name}: {before.get(key, 'absent')} there, {values.get(key, 'absent')} here")
    if apart:
        raise InputError(
            f"--name: '{folder.shown}' was made by another search ({'; '.join(apart)}); give another --name"
        )


def write_definition(folder: Path, space: Space, config: Config, scheduler: Scheduler, *, grid: bool) -> None:
    """Keep what the search is made with."""
    replace_text(folder / DEFINITION, yaml.safe_dump(definition(space, config, scheduler, grid=grid), sort_keys=False))


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Around a search: no other one writes in its folder. Ends with the process, however that ends.

    Raises:
        InputError: another one does, or the folder's disk keeps no locks.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context((folder / ".lock").open("w"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"--name: another search is writing in '{folder}'; wait for it, or stop it") from None
        except OSError as error:
            raise InputError(
                f"--storage: '{folder}' cannot be locked ({error.strerror}); give another folder"
            ) from None
        yield
