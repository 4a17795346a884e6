"""How Tune names the trials of a search and their folders."""

import pytest

from decouple_search.ray_tune import tuner
from decouple_search.ray_tune.trial_spec import TrialSpec
from decouple_search.space.objective import Objective
from tests.decouple_search.ray_tune.stubs import StubTrial


def named(number, attempt):
    """The name of a trial, and the name of its folder."""
    spec = TrialSpec(number=number, config={}, objectives=(Objective("val_map", "max"),), attempt=attempt)
    trial = StubTrial("before")
    trial.config = spec.to_tune()
    return tuner._proposed_name(trial), tuner._folder_name(trial)


@pytest.mark.parametrize(("attempt", "folder"), [(0, "0012"), (1, "0012.1")])
def test_a_requeued_trial_keeps_its_name_and_gets_another_folder(attempt, folder):
    """Tune numbers its checkpoints from 0 once more."""
    assert named(12, attempt) == ("0012", folder)
