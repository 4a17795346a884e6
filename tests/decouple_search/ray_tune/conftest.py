"""A study of the space of a test's file, and a searcher."""

import pytest

from tests.decouple_search.ray_tune.searchers import make_searcher, new_study


@pytest.fixture
def study(space, tmp_path):
    """A new study, with its start points."""
    return new_study(tmp_path / "study.log", space)


@pytest.fixture
def searcher(study, space):
    """A searcher of four trials, two at a time."""
    return make_searcher(study, space, trials=4, slots=2)
