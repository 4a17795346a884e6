"""`tune --dry-run`: the whole plan of a search, and then what the machines lack for it. Starts nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from decouple_search.machines.capacity import Capacity, Resources, largest_cluster, resolve_gpus, this_machine
from decouple_search.machines.cost import describe_cost
from decouple_search.machines.manifest import ClusterLimits
from decouple_search.machines.timing import DataSize, ScreenSeconds, screen_seconds, time_steps
from decouple_search.options import SearchRequest
from decouple_search.plan import (
    describe,
    disk_use,
    epochs_with_finalists,
    maps_of_image,
    timed_heads,
    with_map_share,
)
from decouple_search.study.definition import DEFINITION, JOURNAL, check_same, is_resuming
from decouplenet.command_line import print_line
from decouplenet.config import Config, DataConfig, ScalingConfig
from decouplenet.errors import InputError, TrainingFailed, UnreadableError, one_line

IMAGE_KEYS = ("data.train_images:", "data.val_images:")
"""How the messages begin that are about files of images, not about labels."""
MAX_FAULTS = 3
"""The most faults of the labels, and the most of the images, that are printed."""
MAX_NOTES = 8
"""The most notes about the data that are printed."""


class DataState(NamedTuple):
    """What is known of the data on this machine."""

    size: DataSize | str
    """The size of the data, or why it is not known, as a clause."""
    problems: list[str]
    """What is missing or damaged."""
    notes: list[str]
    """What is missing and need not be on this machine."""


def dry_run(request: SearchRequest, limits: ClusterLimits | None, prices: Mapping[str, float]) -> int:
    """Print the plan of a search to stdout, and then each problem as a line to stderr.

    Args:
        request: the search.
        limits: the machines that the cluster file allows; None for this machine alone.
        prices: per hour, by type of machine.

    Returns:
        The command's exit code: 2 if no trial fits, or the data is damaged or not on the machine planned for; else 0.

    Raises:
        InputError: the cluster file does not say what its machines have, or a price is missing.
    """
    options = request.options
    config, machines = largest_cluster(request.config, limits) if limits else (request.config, [this_machine()])
    config = resolve_gpus(config, machines)
    fitting = Capacity(config.scaling).trials(machines)
    slots = min(fitting, options.max_concurrent or request.trials, request.trials)
    cost = describe_cost(
        config,
        limits,
        epochs=epochs_with_finalists(request, config),
        epoch_seconds=options.epoch_seconds,
        time_budget=options.time_budget,
        running=slots,
        prices=prices,
    )
    data = _examine(config.data, elsewhere=limits is not None)
    problems = [] if fitting else [_shortage(config, machines, on_cluster=limits is not None)]
    problems += data.problems
    if limits is None:
        from decouplenet.data.absent import absent_weights  # numpy is not on the path of --help

        problems += [f"{place.problem}; {place.advice}" for place in absent_weights(config)]
    try:
        disk = disk_use(request, config, slots, data.size)
    except InputError as error:  # the head of an extension
        disk = "disk       not known, as the network cannot be built"
        problems.append(str(error))
    resumed, refusal = _folder_state(request)
    problems += refusal
    results = f"results    {request.folder.shown}{' (resumed)' if resumed else ''}"
    screening = _screen_seconds(request, config, slots, data.size, elsewhere=limits is not None)
    print_line("\n".join([describe(request, config, slots, screening), cost, disk, results]))
    for note in data.notes:
        print_line(f"note       {note}")
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)  # noqa: T201
    return 2 if problems else 0


def _screen_seconds(
    request: SearchRequest, config: Config, slots: int, size: DataSize | str, *, elsewhere: bool
) -> ScreenSeconds | str:
    """The seconds that screening takes on this machine, or why they are not known, as a clause."""
    if request.screen is None:
        return ""
    if elsewhere:
        return "its machines time them when the search starts"
    if isinstance(size, str):
        return size
    try:
        maps = maps_of_image(request.space, config, [config.data.image_size])
        config = with_map_share(request, config, size.images, maps)
        times = time_steps(config, timed_heads(request, config), size.classes)
    except (InputError, TrainingFailed) as error:
        return one_line(error)
    return screen_seconds(times, config, request.screen.epochs, size, slots * config.scaling.workers_per_trial)


def _folder_state(request: SearchRequest) -> tuple[bool, list[str]]:
    """Whether the search resumes in its folder, and why it cannot use the folder, if so."""
    try:
        with request.folder as folder:
            if not is_resuming(folder, request.options.resume):
                return False, []
            folder.pull(DEFINITION)
            check_same(folder, request.definition)
            if journal := folder.pull(JOURNAL):
                from decouple_search.study.journal import read_journal  # Optuna is not on the path of --help

                read_journal(journal)
    except InputError as error:
        return False, [str(error)]
    return True, []


def _shortage(config: Config, machines: Sequence[Resources], *, on_cluster: bool) -> str:
    """Why no trial fits, and what to change, in a line."""
    capacity = Capacity(config.scaling)
    needs_gpus = bool(config.scaling.gpus_per_worker) and not any(machine.get("GPU") for machine in machines)
    fitting = capacity.largest_fitting(machines)
    advice = f"a trial fits with {_flags(config.scaling, fitting)}" if fitting else "no smaller trial fits either"
    if needs_gpus:
        where = "no machine of the cluster has a GPU" if on_cluster else "this machine has no GPU"
        advice = f"{where}; on CPUs {advice}"
    return (
        f"{capacity.shortage(machines)}; {advice}{'' if on_cluster else ', or plan on a cluster with --cluster FILE'}"
    )


def _flags(scaling: ScalingConfig, fitting: ScalingConfig) -> str:
    """The flags that turn the need of a trial into a smaller one."""
    names = ("gpus_per_worker", "cpus_per_worker", "workers_per_trial")
    values = {name: getattr(fitting, name) for name in names}
    return " ".join(f"--scaling.{name} {value:g}" for name, value in values.items() if value != getattr(scaling, name))


def _examine(config: DataConfig, *, elsewhere: bool) -> DataState:
    """What is known of the data on this machine. Nothing is drawn or decoded.

    Args:
        config: the config of the data.
        elsewhere: whether the search runs on other machines, so that this machine need not have the data.
    """
    if config.format == "synthetic":
        from decouplenet.data.synthetic import CLASS_NAMES, val_scenes

        val = val_scenes(config.synthetic_images)
        return DataState(DataSize(config.synthetic_images - val, val, len(CLASS_NAMES)), [], [])
    from decouplenet.data.absent import absent_data, labels_alone

    absent = absent_data(config)
    if absent.labels:
        state = DataState(absent.labels[0].problem, [], [])
    else:
        state = _read(labels_alone(config) if absent.images else config, elsewhere=elsewhere)
    if not elsewhere:
        lacking = [f"{place.problem}; {place.advice}" for place in (*absent.labels, *absent.images)]
        return state._replace(problems=lacking + state.problems)
    notes = [f"the images are not counted, as {place.problem}" for place in absent.labels]
    notes += [place.problem for place in absent.images]
    return state._replace(notes=[f"{note}; the machines of the cluster need it" for note in notes] + state.notes)


def _read(config: DataConfig, *, elsewhere: bool) -> DataState:
    """What is known of the data whose labels are on this machine or at an address."""
    from decouplenet.data.formats import load_image_sets
    from decouplenet.data.reporter import Reporter

    faults, notes = list[str](), list[str]()
    size: DataSize | str = "the labels cannot be read"
    try:
        train, val = load_image_sets(config, Reporter(faults.append, notes.append))
        size = DataSize(len(train), len(val), len(train.class_names))
    except UnreadableError as error:
        if elsewhere:
            return DataState(size, [], [f"the images are not counted: {error}"])
        faults.append(str(error))
    except InputError as error:
        faults.append(str(error))
    missing = _first([fault for fault in faults if fault.startswith(IMAGE_KEYS)], MAX_FAULTS, "faults of this kind")
    damaged = _first([fault for fault in faults if not fault.startswith(IMAGE_KEYS)], MAX_FAULTS, "faults of this kind")
    notes = _first(notes, MAX_NOTES, "notes")
    if elsewhere:
        return DataState(size, damaged, [*missing, *notes])
    return DataState(size, [*missing, *damaged], notes)


def _first(messages: list[str], maximum: int, kind: str) -> list[str]:
    """The first of the messages, and the number of the others."""
    others = len(messages) - maximum
    rest = [f"data: {others} more {kind}; `python -m decouplenet.data check` prints them"]
    return messages[:maximum] + (rest if others > 0 else [])
