"""A process that trains keeps its memory."""

import os
import platform
import subprocess
import sys

import pytest

from decouplenet.allocator import KEEP_MEMORY, allocator_environment

FAULTS = """
import resource, threading
def allocate():
    pieces = [bytearray(100 << 20) for _ in range(5)]
def fault():
    global faults
    allocate()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    allocate()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
thread = threading.Thread(target=fault)  # trainings do not run in the main thread of a gang's worker
thread.start()
thread.join()
print(faults)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_large_memory_is_kept_from_step_to_step():
    def faults(environment):
        return int(subprocess.check_output([sys.executable, "-c", FAULTS], env=environment))

    others = {name: value for name, value in os.environ.items() if name not in KEEP_MEMORY}
    assert faults(others | KEEP_MEMORY) < 0.1 * faults(others)


def test_the_user_s_own_settings_stay(monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "8")
    monkeypatch.delenv("MALLOC_MMAP_MAX_", raising=False)
    environment = allocator_environment()
    assert environment["MALLOC_ARENA_MAX"] == "8"
    assert environment["MALLOC_MMAP_MAX_"] == "0"
