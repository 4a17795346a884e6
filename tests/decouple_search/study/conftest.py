"""Fixtures of the tests of studies."""

import pytest

from decouple_search.space.yaml_file import load_space


@pytest.fixture
def space(space_file):
    """The small space, with one start point."""
    return load_space(space_file())
