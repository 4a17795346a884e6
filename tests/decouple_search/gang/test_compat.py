"""The contract with torch: one test per function of `gang/compat.py`, which says what a new version broke."""

import pytest
import torch.distributed as dist

from decouple_search.gang import compat


@pytest.fixture
def process_group():
    """A process group of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield dist.group.WORLD
    if dist.is_initialized():
        dist.destroy_process_group()


def test_collectives_are_aborted_by_the_process_group(process_group, monkeypatch):
    assert callable(getattr(dist.ProcessGroup, "abort", None)), "torch's process group has no method 'abort'"
    assert isinstance(process_group, dist.ProcessGroup), "dist.group.WORLD is not the process group of this process"
    aborted = []
    monkeypatch.setattr(dist.ProcessGroup, "abort", lambda group: aborted.append(group))
    compat.abort_collectives()
    assert aborted == [process_group], "abort_collectives does not abort the process group of this process"


def test_a_gloo_group_takes_an_abort_without_an_error_and_can_be_left(process_group):
    compat.abort_collectives()
    dist.destroy_process_group()
    assert not dist.is_initialized(), "a process group that was aborted cannot be left"


def test_without_a_process_group_nothing_is_aborted():
    assert not dist.is_initialized()
    assert compat.abort_collectives() is None, "abort_collectives fails without a process group"
