"""Copies what a search writes on its driver's machine to object storage while the search runs.

A lost driver costs nothing that the last copy brought. A copy first brings the files, with the study among them. Then
it deletes the checkpoints that were no longer needed when it started. So the files in storage always fit together.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any

from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.storage.folder import Folder
from decouple_search.storage.lease import StorageLease
from decouplenet.command_line import print_line
from decouplenet.errors import InputError, TrainingFailed

COPY_SECONDS = 5.0
"""Seconds between two copies."""


class Mirror:
    """The copying, as a context around a search. At its end everything is copied, or the local files stay.

    Args:
        folder: the search's folder in object storage.
        checkpoints: the checkpoints in it.
        lease: the right to write there.

    Raises:
        TrainingFailed: at the end, if the last copy failed or another search has taken the folder.
    """

    def __init__(self, folder: Folder, checkpoints: Checkpoints, lease: StorageLease) -> None:
        self._folder, self._checkpoints, self._lease = folder, checkpoints, lease
        self._doomed: list[str] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Mirror:
        self._thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._lease.lost:
            raise TrainingFailed(
                f"another search has taken over {self._folder.shown}; the results of this search are in "
                f"{self._folder.keep_local()}"
            )
        try:
            self._copy()
        except InputError as raised:
            raise TrainingFailed(
                f"{raised}; the files that were not copied are in {self._folder.keep_local()}"
            ) from None

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks with everything they refer to, and never reads the pickle

    def delete(self, checkpoint: str) -> None:
        """Delete a checkpoint once a study that does not need it is in storage."""
        self._checkpoints.hide(checkpoint)
        self._doomed.append(checkpoint)

    def _keep(self) -> None:
        warned, pause = False, COPY_SECONDS
        while not self._over.wait(pause) and not self._lease.lost:
            started = time.monotonic()
            try:
                self._copy()
                warned = False
            except InputError as error:
                if not warned:
                    print_line(f"warning: {error}; trying until it works")
                warned = True
            pause = max(COPY_SECONDS, 9 * (time.monotonic() - started))  # a long study is not copied all the time

    def _copy(self) -> None:
        doomed = self._doomed[:]
        self._folder.push()
        for checkpoint in doomed:
            self._checkpoints.delete(checkpoint)
        self._checkpoints.delete_files()  # Tune's pickles: nothing reads them, and they hold the keys of the address
        del self._doomed[: len(doomed)]
