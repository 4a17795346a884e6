"""Watches the Ray that a command started for itself: if it dies, the user reads what happened and what to do.

A Ray that dies takes the command's process along, without a word and often only after half a minute. So a thread looks
at Ray's processes and ends the command at once. If Ray is faster, a shell that waits for the command's end prints the
message.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
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


LAST_WORDS = 'read -r word; [ "$word" = ended ] || printf "%s\\n" "$1" >&2'
"""A shell's script: print a message if the command's process ends before it has said that it ends."""


@contextlib.contextmanager
def ending_with_ray(
    processes: Sequence[psutil.Process], hint: str, before_exit: Callable[[], object] | None = None
) -> Iterator[None]:
    """While the context lasts, end this process with exit code 1 and a message if one of Ray's processes dies.

    Args:
        processes: Ray's vital processes; none for a Ray that this process did not start.
        hint: advice to the user, for the message.
        before_exit: saves what can be saved.
    """
    if not processes:
        yield
        return
    over = threading.Event()
    message = f"failed: the command's process has ended: Ray died under it, or it was killed; {hint}"
    line = ["/bin/sh", "-c", LAST_WORDS, "sh", message]
    shell = subprocess.Popen(line, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603 - the script is fixed

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            dead = next((process for process in processes if not _is_alive(process)), None)
            if dead:
                lost = _try(before_exit)
                shell.communicate(b"ended\n")
                _exit(f"failed: Ray died: its process {dead.pid} has ended, killed or out of memory{lost}; {hint}")

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        shell.communicate(b"ended\n")


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _try(before_exit: Callable[[], object] | None) -> str:
    """Save what can be saved; returns what went wrong, for the message."""
    try:
        if before_exit:
            before_exit()
    except InputError as error:
        return f" ({error})"
    return ""


def _exit(message: str) -> None:
    """End this process at once: its main thread waits for a Ray that will not answer."""
    sys.stdout.flush()
    print(message, file=sys.stderr, flush=True)  # noqa: T201
    for process in psutil.Process().children(recursive=True):  # the rest of Ray, and the workers
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    os._exit(1)
