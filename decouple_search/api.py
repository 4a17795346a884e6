"""The Python API: `search`, `train`, `evaluate` and `load_experiment`. The commands of these names do the same.

Importing this module imports almost nothing; each function imports what it needs. A user's mistake raises
`decouplenet.errors.InputError`, and a training that fails raises `decouplenet.errors.TrainingFailed`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from decouplenet.dotted_keys import flatten, nearest
from decouplenet.errors import InputError

if TYPE_CHECKING:
    from decouple_search.results.experiment import Experiment
    from decouple_search.space.space import Space
    from decouplenet.config import Config

_Options = TypeVar("_Options")
Place = str | os.PathLike[str]
"""A path, or a URI such as `s3://bucket/runs`."""
Keys = Mapping[str, Any]
"""Values of config keys, dotted (`{"train.epochs": 3}`) or nested (`{"train": {"epochs": 3}}`)."""


def search(
    space: Space | Place = "demo",
    *,
    trials: int | None = None,
    storage: Place = "results",
    name: str | None = None,
    config: Keys | None = None,
    sampler: str | None = None,
    scheduler: str | None = None,
    seed: int = 0,
    time_budget: float | None = None,
    workers_per_trial: int | None = None,
    quiet: bool = False,
    **options: Any,
) -> Experiment:
    """Search a space, on the connected Ray or on one that is started. A search of the same folder is resumed.

    Args:
        space: a `Space`, the path or URI of its YAML file, or the name of a shipped space.
        trials: trials in all; by default the space's own number.
        storage: folder or URI that experiments are kept in.
        name: name of the experiment's folder; by default the space's name and the time.
        config: config keys. They win over the space's base, and a searched key among them is fixed.
        sampler: name of the sampler; by default the space's own.
        scheduler: name of the scheduler; by default the space's own.
        seed: seed of the sampler.
        time_budget: seconds after which the search stops.
        workers_per_trial: workers that train a trial together.
        quiet: print nothing to stdout.
        options: the other flags of `tune`: the fields of `decouple_search.options.Options`.

    Returns:
        The results, also of a search that was interrupted (`Experiment.interrupted`).

    Raises:
        InputError: the search cannot start.
        TrainingFailed: no trial ended well.
    """
    from decouple_search.options import Options, request_search
    from decouple_search.runs import run_search

    options |= {"trials": trials, "storage": storage, "name": name, "sampler": sampler, "scheduler": scheduler}
    options |= {"seed": seed, "time_budget": time_budget, "workers_per_trial": workers_per_trial}
    given = _checked(Options, options, but=("space", "dry_run", "epoch_seconds", "prices"))
    keys = given.keys_given(_dotted(config))
    request = request_search(_opened(space, keys), given)
    with _output(quiet):
        run_search(request)
    return load_experiment(request.folder.uri, optuna_storage=given.optuna_storage)


def load_experiment(folder: Place, *, optuna_storage: str | None = None) -> Experiment:
    """The results of a search, as they are now; also while it runs. Needs no Ray.

    Args:
        folder: the search's folder or URI: `<storage>/<name>`.
        optuna_storage: URL of the study's database, if the search had one.

    Raises:
        InputError: the folder is no search's, or its study cannot be read.
    """
    from decouple_search.results.experiment import read_experiment
    from decouple_search.storage.opening import folder_at

    with folder_at(os.fspath(folder)) as opened:
        return read_experiment(opened, optuna_storage)


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """The result of a training."""

    folder: str
    """The training's folder, a path or URI."""
    best_checkpoint: Path | str
    """The checkpoint of its best epoch: a folder, or a URI in object storage."""
    epoch: int
    """The best epoch by `train.objective`; the last epoch where no image was held out."""
    measures: Mapping[str, Any]
    """The measures of that epoch, such as `val_map`."""


def train(
    config: Config | Keys | Place,
    *,
    workers: int | str | None = None,
    storage: Place = "results",
    name: str | None = None,
    quiet: bool = False,
    **options: Any,
) -> TrainedModel:
    """Train one configuration with Ray Train, and keep its best and its last checkpoint.

    Args:
        config: a `Config` such as `Experiment.best_config`, config keys, or the path or URI of a YAML file of keys.
        workers: N, or `"MIN:MAX"` to grow and shrink with the cluster; by default `scaling.workers_per_trial`.
        storage: folder or URI that trainings are kept in.
        name: name of the training's folder; by default train and the time.
        quiet: print nothing to stdout.
        options: the other flags of `train`, such as `resume=True`: the fields of
            `decouple_search.ray_train.request.TrainOptions`.

    Raises:
        InputError: the training cannot start.
        TrainingFailed: it cannot go to its end.
    """
    from decouple_search.ray_train.request import TrainOptions, request_training
    from decouple_search.results.tables import BEST_CHECKPOINT
    from decouple_search.runs import run_training

    options |= {"workers": None if workers is None else str(workers), "storage": storage, "name": name}
    request = request_training(_checked(TrainOptions, options), _keys_of(config), _where(config))
    with _output(quiet):
        best = run_training(request)
    return TrainedModel(
        folder=request.folder.shown,
        best_checkpoint=request.folder.child(BEST_CHECKPOINT).place,
        epoch=best.epoch,
        measures=best.measures,
    )


def evaluate(
    checkpoint: Place | Sequence[Place] = (),
    *,
    experiment: Place | None = None,
    split: str = "val",
    config: Keys | None = None,
    thresholds: Place | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Measure checkpoints. Several are also measured as an ensemble, by the mean of their scores.

    Args:
        checkpoint: a checkpoint's folder or URI, or several.
        experiment: a search's folder or URI: all checkpoints that it kept.
        split: the images to measure on, val, train or test.
        config: config keys of the data and the machine that differ from the training's.
        thresholds: a file of thresholds per class, in place of 0.5.
        workers: number of workers; by default all that fit.
        cluster: file of `ray up` or KubeRay: the machines that may be added.
        quiet: print nothing to stdout.

    Returns:
        The content of `evaluate --json`: `decouplenet.multilabel_metrics`, and in `checkpoints` those of each.

    Raises:
        InputError: checkpoints and data do not fit together.
        TrainingFailed: a worker was lost too often, or scores are not finite.
    """
    from decouple_search.evaluation.member import check_scoring, check_thresholds, kept_checkpoints, open_member

    places = [checkpoint] if isinstance(checkpoint, (str, os.PathLike)) else list(checkpoint)
    names = [os.fspath(place) for place in places]
    file = None if thresholds is None else os.fspath(thresholds)
    check_scoring(split=split, workers=workers)
    with contextlib.ExitStack() as stack:
        kept = kept_checkpoints(None if experiment is None else os.fspath(experiment), stack)
        members = [open_member(name, _dotted(config), stack) for name in [*names, *kept]]
        if not members:
            raise InputError("checkpoint: not given; name the folder of a checkpoint, or several")
        check_thresholds(members, file)

        from decouple_search.evaluation.measures import measure  # after the checks, as Ray takes seconds to import
        from decouple_search.evaluation.scoring import score_all

        stack.enter_context(_output(quiet))
        scored = score_all(members, split=split, workers=workers, cluster=cluster)
        return measure([member.name for member in members], scored, split=split, thresholds=file)


def _checked(options: type[_Options], given: Mapping[str, Any], but: Sequence[str] = ()) -> _Options:
    """The options of a command.

    Args:
        options: their dataclass.
        given: their values by name.
        but: options that only the command has.

    Raises:
        TypeError: an option of another name.
        InputError: a value of another type, or below its minimum.
    """
    from decouplenet.command_line import check_flags

    valid = [name for name in get_type_hints(options) if name not in but]
    if unknown := [name for name in given if name not in valid]:
        raise TypeError(f"unknown option '{unknown[0]}'; {nearest(unknown[0], valid)}")
    return check_flags(
        options(
            **{name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in given.items()}
        )
    )


def _opened(space: Space | Place, keys: Mapping[str, Any]) -> Space:
    """A space with config keys fixed."""
    from decouple_search.space.shipped import space_file
    from decouple_search.space.space import Space
    from decouple_search.space.yaml_file import load_space

    if isinstance(space, Space):
        return space.with_fixed(keys)
    return load_space(space_file(os.fspath(space)), keys)


def _keys_of(config: Config | Keys | Place) -> dict[str, Any]:
    """The config keys that a user gave, dotted."""
    from decouplenet.config import Config
    from decouplenet.yaml_text import load_yaml

    if isinstance(config, Config):
        return flatten(config.to_dict())
    return flatten(load_yaml(os.fspath(config))) if isinstance(config, (str, os.PathLike)) else _dotted(config)


def _dotted(config: Keys | None) -> dict[str, Any]:
    """Config keys, dotted."""
    if not isinstance(config or {}, Mapping):
        raise InputError(f"config: a mapping of config keys is needed, not {config!r}")
    return flatten(config or {})


def _where(config: Config | Keys | Place) -> str:
    return os.fspath(config) if isinstance(config, (str, os.PathLike)) else "config"


@contextlib.contextmanager
def _output(quiet: bool) -> Iterator[None]:
    """A context whose stdout is dropped if `quiet`."""
    if not quiet:
        yield
        return
    with Path(os.devnull).open("w") as nothing, contextlib.redirect_stdout(nothing):
        yield
