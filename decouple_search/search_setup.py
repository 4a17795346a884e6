"""A search made ready, step by step: its folder, its Ray, its data and its study.

Ray and the packages of a search each take seconds to start. They do so at the same time, so this module imports those
packages only in its functions.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from decouple_search.machines.connection import (
    Connection,
    available,
    connect,
    wait_for_machines,
)
from decouple_search.machines.folder_check import check_folder
from decouple_search.machines.prepare import check_networks, measured_maps, prepare_data
from decouple_search.machines.timing import ScreenSeconds, finished_timing, screen_seconds, start_timing
from decouple_search.machines.trial_slots import TrialSlots
from decouple_search.options import SearchRequest
from decouple_search.plan import backbone_names, timed_heads, with_map_share
from decouple_search.space.space import Space
from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.storage.writer import exclusive_writer
from decouple_search.study.definition import DEFINITION, JOURNAL, check_same, is_resuming
from decouplenet.config import FACTS, Config
from decouplenet.dotted_keys import flatten, nest
from decouplenet.errors import InputError
from decouplenet.extensions import BACKBONES, HEADS, LOSSES

if TYPE_CHECKING:
    import optuna

    from decouple_search.search_run import Search


@contextlib.contextmanager
def open_search(request: SearchRequest) -> Iterator[Search]:
    """A search, ready to run. It lets go of its folder and its Ray when the context ends.

    The order of the steps matters. The folder becomes this search's alone before it is read. The connection gives the
    machines, and the machines give the config its GPUs. Data and weights are checked before the study is made. The
    study is complete in storage before Tune writes there, so that a killed search can be resumed.

    Raises:
        InputError: the folder cannot be written or belongs to another search, no trial fits on the machines, or the
            data or the weights cannot be read.
    """
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(request.folder)
        writer = stack.enter_context(exclusive_writer(folder))
        resumed = is_resuming(folder, request.options.resume)
        checkpoints = Checkpoints(folder)
        try:
            if resumed:
                _pull(request)
            with _importing():
                connection = stack.enter_context(connect(request.options.cluster))
            from decouple_search.search_run import Search

            config, slots, screening = _fit(request, connection)
            study, imported = (_resumed_study(request, checkpoints), "") if resumed else _create_study(request, config)
            folder.push(last=DEFINITION)
        except BaseException:
            if not resumed:
                shutil.rmtree(folder.local, ignore_errors=True)  # nothing of value is in it, and its name stays free
            raise
        yield Search(
            request=request,
            config=config,
            connection=connection,
            writer=writer,
            checkpoints=checkpoints,
            study=study,
            slots=slots,
            first_slots=slots(),
            screening=screening,
            resumed=resumed,
            imported=imported,
            started=started,
        )


@contextlib.contextmanager
def _importing() -> Iterator[None]:
    """While the context lasts, import the packages of a search in another thread; at its end they are imported."""

    def import_all() -> None:
        import decouple_search.search_run  # noqa: F401 - Ray Tune, pandas, SciPy, Optuna, TensorBoard

    thread = threading.Thread(target=import_all, daemon=True)  # it does not hold up a command that fails
    thread.start()
    yield
    thread.join()


def _fit(request: SearchRequest, connection: Connection) -> tuple[Config, TrialSlots, ScreenSeconds | str]:
    """The base configuration with its GPUs resolved, the slots, and the seconds of screening or why none are known.

    Data and weights are checked.
    """
    from decouple_search.samplers.registry import make_sampler
    from decouple_search.search_parts import most_screened

    wait_for_machines(connection.limits())
    check_folder(request.folder, connection.limits())
    config, machines, _ = available(request.config, connection.limits())  # else a trial would wait for ever
    trials = max(request.trials, most_screened(request))
    max_slots = min(request.options.max_concurrent or trials, trials)
    slots = TrialSlots(config, connection.limits, max_slots)
    # The driver decodes only for itself, and only what all trials read.
    reading = {key for key in request.space.keys if key.startswith("data.") and not FACTS[key].augmentation}
    size = prepare_data(config, decode=len(machines) == 1 and not reading)
    if not size.val:
        raise InputError("data.holdout: 0 leaves no image to measure trials on; give a share, such as 0.1")
    make_sampler(request.sampler, request.space, config.train.epochs, request.options.seed, 0)  # may be the user's own
    timing = start_timing(config, timed_heads(request, config), size.classes) if request.screen else None
    check_networks([config, *_with_extensions(config, request.space)])
    if request.screen is None:
        return config, slots, ""
    maps = measured_maps(backbone_names(request.space, config), config.data.image_size)
    config = with_map_share(request, config, size.images, maps)
    times = finished_timing(timing)
    if isinstance(times, str):
        return config, slots, times
    workers = slots() * config.scaling.workers_per_trial // len(machines)
    return config, slots, screen_seconds(times, config, request.screen.epochs, size, workers)


def _with_extensions(config: Config, space: Space) -> list[Config]:
    """The config with each searched name that is not the project's own."""
    flat = flatten(config.to_dict())
    own = [(kind, set(space.values_of(kind.key)) - set(kind.builtin)) for kind in (BACKBONES, HEADS, LOSSES)]
    return [Config.from_dict(nest(flat | {kind.key: name})) for kind, names in own for name in sorted(names)]


def _pull(request: SearchRequest) -> None:
    """Fetch an earlier search's files from storage, and check that it is the same search."""
    from decouple_search.results.tables import SUMMARY

    for name in (DEFINITION, JOURNAL, SUMMARY):
        request.folder.pull(name)
    check_same(request.folder, request.definition)


def _resumed_study(request: SearchRequest, checkpoints: Checkpoints) -> optuna.Study:
    from decouple_search.study.resume import resume_study

    return resume_study(request.folder.local, request.space, checkpoints, url=request.options.optuna_storage)


def _create_study(request: SearchRequest, config: Config) -> tuple[optuna.Study, str]:
    from decouple_search.study.resume import create_study

    options = request.options
    return create_study(
        request.folder.local,
        request.space,
        config,
        request.definition,
        url=options.optuna_storage,
        warm_start=options.warm_start,
        screens=request.screen is not None,
    )
