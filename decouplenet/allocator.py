"""The memory of a process that trains on a CPU: the C library keeps what a step frees for the next step.

Each step allocates and frees the same large tensors. By default, glibc gives them back to the kernel at once, and the
next step gets new pages, which the kernel has to fill with zeros. That took two fifths of a MobileNetV2's step on a
virtual machine (docs/benchmarks.md). A process that keeps its memory has hardly any such faults after its first steps.
It took a fifth more memory there, because the freed pieces do not fit exactly.

glibc reads these settings when a process starts. Whoever starts a process that trains gives them to it. Other C
libraries ignore them.
"""

from __future__ import annotations

import os

KEEP_MEMORY = {
    "MALLOC_ARENA_MAX": "1",  # the heap of another thread cannot grow above 64 MiB, less than many tensors take
    "MALLOC_MMAP_MAX_": "0",  # no allocation gets a mapping of its own, which would end with it
    "MALLOC_TRIM_THRESHOLD_": str(2**63 - 1),  # the end of the heap stays too
}
"""Environment variables of glibc's allocator (`man mallopt`)."""


def allocator_environment() -> dict[str, str]:
    """The environment variables for a process that trains. Those that this process has stay as they are."""
    return {name: os.environ.get(name, value) for name, value in KEEP_MEMORY.items()}
