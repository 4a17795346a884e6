"""What a search writes on its driver's machine, copied to object storage while it runs; and who may write there.

A lost driver costs nothing that was there at the last turn of the copying: a turn first brings the files, with the
study among them, and then deletes the checkpoints that were no longer needed when it began. So what is in storage
always fits together.
"""

from __future__ import annotations

import _thread
import contextlib
import threading
import time
import uuid
from types import TracebackType
from typing import Any

from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.storage.folder import Folder
from decouplenet.command_line import print_line
from decouplenet.errors import InputError, TrainingFailed

LEASE = ".lease"
"""The file that tells that a search writes in a folder."""
TURN = 5.0
"""Seconds between two turns of copying, and between two renewals of the lease."""
SILENCE = 30.0
"""Seconds without a renewal after which a lease counts as left by a search that was killed."""


class Lease:
    """The right to write in a folder of object storage, as a context: a file that whoever has it renews all the time.

    Clocks of different machines are not compared: who wants it watches for `SILENCE` seconds whether it is renewed.

    Args:
        folder: the folder.

    Raises:
        InputError: another search has it.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder, self._mine, self._turns = folder, uuid.uuid4().hex, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self.lost = False
        """Whether another search has taken it, as this one's machine stood still for long."""

    def __enter__(self) -> Lease:
        seen, since = self._folder.read(LEASE), time.monotonic()
        if seen:
            print_line(f"waiting    up to {SILENCE:g} s for the search that wrote in {self._folder.shown} to be gone")
        while seen and time.monotonic() - since < SILENCE:
            self._over.wait(TURN / 5)
            now = self._folder.read(LEASE)
            if now and now != seen:
                raise self._taken()
            seen = now
        self._renew()
        if not self._is_mine(self._folder.read(LEASE)):  # two that began at the same time
            raise self._taken()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if not self.lost:
            with contextlib.suppress(InputError):  # the next search then waits for a while
                self._folder.remove(LEASE)

    def _taken(self) -> InputError:
        return InputError(f"--name: another search is writing in '{self._folder.shown}'; wait for it, or stop it")

    def _is_mine(self, content: bytes | None) -> bool:
        return content is not None and content.decode().startswith(self._mine)

    def _renew(self) -> None:
        self._turns += 1
        self._folder.write(LEASE, f"{self._mine} {self._turns}\n".encode())

    def _keep(self) -> None:
        while not self._over.wait(TURN):
            with contextlib.suppress(InputError):  # not reached; the next turn may be luckier
                content = self._folder.read(LEASE)
                if content is not None and not self._is_mine(content):
                    self.lost = True
                    _thread.interrupt_main()
                    return
                self._renew()


class Mirror:
    """The copying, as a context around a search; at its end all is copied, or the files of this machine stay.

    Args:
        folder: the search's, in object storage.
        checkpoints: those in it.
        lease: the right to write there.

    Raises:
        TrainingFailed: the last turn failed, or another search has the folder, at the end.
    """

    def __init__(self, folder: Folder, checkpoints: Checkpoints, lease: Lease) -> None:
        self._folder, self._checkpoints, self._lease = folder, checkpoints, lease
        self._doomed: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Mirror:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._lease.lost:
            raise TrainingFailed(
                f"another search has taken {self._folder.shown} over; what this one found is in "
                f"{self._folder.keep_local()}"
            )
        try:
            self._turn()
        except InputError as raised:
            raise TrainingFailed(f"{raised}; what is not there is in {self._folder.keep_local()}") from None

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks with all that they know, and nothing is made of that

    def delete(self, checkpoint: str) -> None:
        """Delete a checkpoint once a study that does not need it is in storage."""
        self._checkpoints.hide(checkpoint)
        self._doomed.append(checkpoint)

    def _keep(self) -> None:
        warned, pause = False, TURN
        while not self._over.wait(pause) and not self._lease.lost:
            began = time.monotonic()
            try:
                self._turn()
                warned = False
            except InputError as error:
                if not warned:
                    print_line(f"warning: {error}; trying again until it works")
                warned = True
            pause = max(TURN, 9 * (time.monotonic() - began))  # a long study must not be copied all the time

    def _turn(self) -> None:
        doomed = self._doomed[:]
        self._folder.push()
        for checkpoint in doomed:
            self._checkpoints.delete(checkpoint)
        self._checkpoints.delete_files()  # Tune's pickles, which nothing reads, and which have the address's keys
        del self._doomed[: len(doomed)]
