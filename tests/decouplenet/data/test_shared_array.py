"""An array that several processes fill together: each chunk once, also when a process is killed."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from decouplenet.data import shared_array
from decouplenet.data.shared_array import open_shared
from decouplenet.errors import InputError

SHAPE = (10, 2, 3, 4)
PROCESS = """
import json, sys
from pathlib import Path
import numpy as np
from decouplenet.data.shared_array import open_shared
folder = Path(sys.argv[1])
def compute(rows):
    print(json.dumps(rows.start), flush=True)
    sys.stdin.readline()
    return np.full((rows.stop - rows.start, 2, 3, 4), rows.start, np.float16)
open_shared(folder / "maps.f16", (10, 2, 3, 4), compute, rows=3, what="feature maps")
print(json.dumps("complete"), flush=True)
"""


class Filler:
    """A process that fills the array. It computes a chunk whenever it is let go on."""

    def __init__(self, folder):
        command = [sys.executable, "-c", PROCESS, str(folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def says(self):
        """The next line that it prints: a chunk that it has begun, or that the array is complete."""
        return json.loads(self.process.stdout.readline())

    def go_on(self):
        """Let it complete the chunk that it has begun."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()


def rows_of(seen):
    def compute(rows):
        seen.append((rows.start, rows.stop))
        return np.full((rows.stop - rows.start, *SHAPE[1:]), rows.start, np.float16)

    return compute


def expected():
    return np.repeat([0, 3, 6, 9], [3, 3, 3, 1]).astype(np.float16)


def test_a_new_array_is_filled_chunk_by_chunk_and_kept(tmp_path):
    seen, reported = [], []
    file = tmp_path / "maps.f16"
    progress = lambda done, total: reported.append((done, total))  # noqa: E731
    array = open_shared(file, SHAPE, rows_of(seen), rows=3, what="feature maps", progress=progress)
    assert seen == [(0, 3), (3, 6), (6, 9), (9, 10)]
    assert reported == [(3, 10), (6, 10), (9, 10), (10, 10)]
    assert np.array_equal(array[:, 1, 2, 3], expected())
    assert [each.name for each in tmp_path.iterdir() if each.suffix != ".lock"] == ["maps.f16"]
    reopened = open_shared(file, SHAPE, lambda rows: pytest.fail("computed once more"), rows=3, what="feature maps")
    assert np.array_equal(reopened, array)


def test_two_processes_share_the_chunks(tmp_path):
    first, second = Filler(tmp_path), Filler(tmp_path)
    try:
        taken = [first.says(), second.says()]
        assert len(set(taken)) == 2
        first.go_on()
        taken.append(first.says())
        first.go_on()
        taken.append(first.says())
        assert sorted(taken) == [0, 3, 6, 9]
        second.go_on()
        first.go_on()
        assert [first.says(), second.says()] == ["complete", "complete"]
    finally:
        first.process.kill()
        second.process.kill()
    array = open_shared(tmp_path / "maps.f16", SHAPE, rows_of([]), rows=3, what="feature maps")
    assert np.array_equal(array[:, 0, 0, 0], expected())


def test_a_killed_process_loses_only_its_chunk(tmp_path):
    killed = Filler(tmp_path)
    assert killed.says() == 0
    killed.go_on()
    assert killed.says() == 3
    os.kill(killed.process.pid, signal.SIGKILL)
    killed.process.wait()
    seen = []
    array = open_shared(tmp_path / "maps.f16", SHAPE, rows_of(seen), rows=3, what="feature maps")
    assert seen == [(3, 6), (6, 9), (9, 10)]
    assert np.array_equal(array[:, 0, 0, 0], expected())


def test_a_process_takes_over_the_chunk_of_one_that_dies_beside_it(tmp_path):
    hanging = Filler(tmp_path)
    assert hanging.says() == 0
    other = Filler(tmp_path)
    try:
        for chunk in (3, 6, 9):
            assert other.says() == chunk
            other.go_on()
        os.kill(hanging.process.pid, signal.SIGKILL)
        assert other.says() == 0
        other.go_on()
        assert other.says() == "complete"
    finally:
        other.process.kill()
        hanging.process.wait()


def test_a_failed_chunk_leaves_the_others(tmp_path):
    def failing(rows):
        if rows.start == 6:
            raise InputError("broken")
        return np.zeros((rows.stop - rows.start, *SHAPE[1:]), np.float16)

    with pytest.raises(InputError, match="broken"):
        open_shared(tmp_path / "maps.f16", SHAPE, failing, rows=3, what="feature maps")
    seen = []
    open_shared(tmp_path / "maps.f16", SHAPE, rows_of(seen), rows=3, what="feature maps")
    assert seen == [(6, 9), (9, 10)]


def test_a_full_disk_is_reported_before_anything_is_computed(tmp_path):
    shape = (10**9, 14, 14, 2048)
    with pytest.raises(InputError, match=r"^data.cache: feature maps need 802816.0 GB, but .* GB free; give another"):
        open_shared(tmp_path / "maps.f16", shape, lambda rows: pytest.fail("computed"), rows=32, what="feature maps")
    assert np.dtype(np.float16).itemsize == shared_array.FLOAT16_BYTES
