"""Checkpoints to measure, alone or in an ensemble. Needs neither Ray nor torch."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from decouple_search.storage.opening import folder_at, open_checkpoint
from decouplenet.checkpoint_files import CONFIG
from decouplenet.command_line import parse_config
from decouplenet.config import FACTS, Config
from decouplenet.dotted_keys import flatten
from decouplenet.errors import InputError
from decouplenet.portable import with_absolute_paths
from decouplenet.yaml_text import load_yaml


class EnsembleMember(NamedTuple):
    """A checkpoint to score with."""

    name: str
    """The user's name for it."""
    folder: Path
    """Its folder on this machine."""
    config: Config
    """The config that says on which data and how it is scored."""


def check_scoring(*, split: str, workers: int | None) -> None:
    """Refuse another split than val, train and test, and a number of workers below 1.

    Raises:
        InputError: which of the two.
    """
    if split not in ("val", "train", "test"):
        raise InputError(f"--split: '{split}' is neither val, train nor test")
    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise InputError(f"--workers: {workers!r} is not a whole number from 1")


def check_thresholds(members: Sequence[EnsembleMember], file: str | None) -> None:
    """Refuse a file of thresholds that does not fit the classes of the checkpoints.

    Raises:
        InputError: the file cannot be read, or has other classes.
    """
    if file is not None:
        from decouplenet.checkpoint_header import class_names
        from decouplenet.thresholds import read_thresholds

        read_thresholds(file, class_names(members[0].folder))


def open_member(place: str, keys: Mapping[str, Any], stack: contextlib.ExitStack) -> EnsembleMember:
    """A checkpoint, measured by its own config with the given keys.

    Args:
        place: its folder or URI.
        keys: config keys, dotted; only keys of the data and of the machine may differ from the training's.
        stack: removes what was fetched when it closes.

    Raises:
        InputError: it is no checkpoint, or a key is not an evaluation's to change.
    """
    name, folder = open_checkpoint(place, stack)
    file = folder / CONFIG
    if not file.is_file():
        raise InputError(f"--checkpoint: '{name}' has no {CONFIG}; give a folder that a search or training wrote")
    trained = flatten(load_yaml(file))
    for key, value in keys.items():
        if not FACTS[key].measured and (key not in trained or value != trained[key]):
            raise InputError(
                f"{key}: is the checkpoint's own ({trained.get(key)} in {name}); an evaluation cannot change it"
            )
    # The hardware of the training does not bind: a cluster's checkpoint is measured on a laptop too.
    portable = {key: value for key, value in trained.items() if key not in FACTS or not FACTS[key].hardware}
    used = {key: value for key, value in keys.items() if FACTS[key].measured}
    return EnsembleMember(name, folder, with_absolute_paths(parse_config(portable | used, f"{name}/{CONFIG}")))


def kept_checkpoints(experiment: str | None, stack: contextlib.ExitStack) -> list[str]:
    """The newest complete checkpoint of each trial of a search; of an ended trial this is its best.

    Args:
        experiment: the search's folder or URI; None for no search.
        stack: closes the folder.

    Raises:
        InputError: the folder has no checkpoints.
    """
    if experiment is None:
        return []
    from decouple_search.storage.checkpoints import Checkpoints

    folder = stack.enter_context(folder_at(experiment))
    checkpoints = Checkpoints(folder)
    complete = [[path for path in paths if checkpoints.is_whole(path)] for paths in checkpoints.all().values()]
    newest = [paths[-1] for paths in complete if paths]
    if not newest:
        raise InputError(f"--experiment: '{folder.shown}' has no checkpoints in trials/; give the folder of a search")
    return [folder.child(path.removeprefix(f"{folder.opened[1]}/")).uri for path in newest]
