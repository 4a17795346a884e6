"""A trial's specification, and the dict in which Tune carries it."""

import json

import pytest

from decouple_search.ray_tune.trial_spec import TrialSpec
from decouple_search.space.objective import Objective

CONFIG = {"optim.lr": 0.1, "model.attention": "arch1", "train.deepspeed_config": None}
OBJECTIVES = (Objective("val_map", "max"), Objective("latency_ms", "min"))
MINIMAL = TrialSpec(number=3, config=CONFIG, objectives=OBJECTIVES)
COMPLETE = TrialSpec(
    number=None, config=CONFIG, objectives=OBJECTIVES, checkpoint="a/checkpoint_000001", attempt=2, given_up="too often"
)


@pytest.mark.parametrize("spec", [MINIMAL, COMPLETE])
def test_tunes_dict_is_the_same_specification_and_can_be_json(spec):
    assert TrialSpec.from_tune(json.loads(json.dumps(spec.to_tune()))) == spec


def test_tunes_dict_is_not_changed_with_the_config():
    config = dict(CONFIG)
    carried = TrialSpec(number=0, config=config, objectives=OBJECTIVES).to_tune()
    config["optim.lr"] = 0.2
    assert carried["config"]["optim.lr"] == 0.1


def test_given_up_for_changes_only_the_reason():
    given_up = MINIMAL.given_up_for("it lost workers too often")
    assert given_up.given_up == "it lost workers too often"
    assert given_up.to_tune() == MINIMAL.to_tune() | {"given_up": "it lost workers too often"}


def test_an_explored_specification_has_nothing_else_of_its_donor():
    explored = COMPLETE.explored({"optim.lr": 0.2})
    assert explored == TrialSpec(number=None, config={"optim.lr": 0.2}, objectives=OBJECTIVES)
