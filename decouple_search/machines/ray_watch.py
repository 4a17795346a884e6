"""Watches the Ray that a command started for itself: if it dies, the command says so and ends.

Without this, Ray ends the whole process half a minute later, without a word.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

import psutil

from decouplenet.errors import InputError

LOOK_SECONDS = 1.0
"""Seconds between two looks at Ray's processes."""
VITAL = ("raylet", "gcs_server")
"""Ray's processes without which it is dead. The death of one of its agents ends its raylet."""


def vital_processes() -> list[psutil.Process]:
    """The vital processes of a Ray that this process started."""
    return [process for process in psutil.Process().children() if process.name() in VITAL]


@contextlib.contextmanager
def ending_with_ray(
    processes: Sequence[psutil.Process], hint: str, before_exit: Callable[[], object] | None = None
) -> Iterator[None]:
    """While the context lasts, end this process with exit code 1 if one of Ray's processes dies.

    Args:
        processes: Ray's vital processes; none for a Ray that this process did not start.
        hint: what the user can do, for the message.
        before_exit: saves what can be saved.
    """
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            for process in processes:
                if not _is_alive(process):
                    _exit(process, hint, before_exit)

    thread = threading.Thread(target=watch, daemon=True)
    if processes:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if processes:
            thread.join()


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _exit(dead: psutil.Process, hint: str, before_exit: Callable[[], object] | None) -> None:
    """End this process at once: its main thread waits for a Ray that will not answer."""
    lost = ""
    try:
        if before_exit:
            before_exit()
    except InputError as error:
        lost = f" ({error})"
    sys.stdout.flush()
    message = f"failed: Ray died: its process {dead.pid} has ended, killed or out of memory{lost}; {hint}"
    print(message, file=sys.stderr, flush=True)  # noqa: T201
    for process in psutil.Process().children(recursive=True):  # the rest of Ray, and the workers
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    os._exit(1)
