"""The right to write in a folder of object storage, where no file can be locked."""

from __future__ import annotations

import _thread
import contextlib
import threading
import time
import uuid
from types import TracebackType

from decouple_search.storage.folder import Folder
from decouplenet.command_line import print_line
from decouplenet.errors import InputError

LEASE = ".lease"
"""The file that says which search writes in a folder."""
RENEWAL_SECONDS = 5.0
"""Seconds between two renewals of a lease."""
SILENCE_SECONDS = 30.0
"""Seconds without a renewal after which the owner of a lease counts as killed."""


class StorageLease:
    """The right to write in a folder of object storage, as a context: a file that its owner keeps renewing.

    Clocks of different machines are not compared. A search that wants the lease watches for `SILENCE_SECONDS` whether
    another search renews it.

    Args:
        folder: the folder.

    Raises:
        InputError: another search has the lease.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder, self._owner, self._renewals = folder, uuid.uuid4().hex, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self.lost = False
        """Whether another search has taken the lease, because this machine stood still for long."""

    def __enter__(self) -> StorageLease:
        seen, since = self._folder.read(LEASE), time.monotonic()
        if seen:
            shown, seconds = self._folder.shown, SILENCE_SECONDS
            print_line(f"waiting    up to {seconds:g} s to see whether another search still writes in {shown}")
        while seen and time.monotonic() - since < SILENCE_SECONDS:
            self._over.wait(RENEWAL_SECONDS / 5)
            now = self._folder.read(LEASE)
            if now and now != seen:
                raise self._taken()
            seen = now
        self._renew()
        if not self._is_mine(self._folder.read(LEASE)):  # two searches started at the same time
            raise self._taken()
        self._thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if not self.lost:
            with contextlib.suppress(InputError):  # the next search then waits until the lease is silent
                self._folder.remove(LEASE)

    def _taken(self) -> InputError:
        return InputError(f"--name: another search is writing in '{self._folder.shown}'; wait for it, or stop it")

    def _is_mine(self, content: bytes | None) -> bool:
        # Bytes: a file that is replaced while it is read may end with what is no text.
        return content is not None and content.startswith(self._owner.encode())

    def _renew(self) -> None:
        self._renewals += 1
        self._folder.write(LEASE, f"{self._owner} {self._renewals}\n".encode())

    def _keep(self) -> None:
        while not self._over.wait(RENEWAL_SECONDS):
            with contextlib.suppress(InputError):  # the storage did not answer; the next renewal may get through
                content = self._folder.read(LEASE)
                if content is not None and not self._is_mine(content):
                    self.lost = True
                    _thread.interrupt_main()
                    return
                self._renew()
