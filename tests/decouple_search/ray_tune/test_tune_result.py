"""An epoch's result as Tune carries it."""

import pytest
from ray.tune.utils import flatten_dict

from decouple_search.gang.epoch_result import EpochResult
from decouple_search.ray_tune.compat import DONE, SHOULD_CHECKPOINT
from decouple_search.ray_tune.trial_spec import TrialSpec
from decouple_search.ray_tune.tune_result import TIME_ATTRIBUTE, from_tune, last_result, result_or_none, to_tune
from decouple_search.space.objective import Objective
from tests.decouple_search.ray_tune.stubs import StubTrial

CONFIG = {"optim.lr": 0.1, "train.deepspeed_config": None}
SPEC = TrialSpec(number=3, config=CONFIG, objectives=(Objective("val_map", "max"),))
AUTOFILLED = {"trial_id": "a", "training_iteration": 7, "time_total_s": 12.5, "pid": 1}
TRAINED = EpochResult(epoch=2, measures={"val_map": 0.5, "train_loss": 1.5}, note="slow", lineage=("0001 epoch 1",))
FAILED = EpochResult(epoch=1, failure="out of memory", missing_folder="no folder")


@pytest.mark.parametrize("result", [TRAINED, FAILED])
@pytest.mark.parametrize("form", [dict, flatten_dict])
def test_tunes_dict_is_the_same_result_nested_and_flattened(result, form):
    with_config = EpochResult(**vars(result) | {"config": CONFIG})
    assert from_tune(form(to_tune(result) | AUTOFILLED | {"config": SPEC.to_tune()})) == with_config
    assert from_tune(form(to_tune(result))) == result


def test_measures_are_at_the_top_level_where_tune_looks_for_them():
    carried = to_tune(TRAINED)
    assert (carried["val_map"], carried["train_loss"]) == (0.5, 1.5)
    assert carried[TIME_ATTRIBUTE] == 2


@pytest.mark.parametrize("save", [False, True])
@pytest.mark.parametrize("done", [False, True])
def test_tune_is_told_whether_to_save_and_whether_the_trial_has_ended(save, done):
    carried = to_tune(TRAINED, save=save, done=done)
    assert (carried[SHOULD_CHECKPOINT], carried[DONE]) == (save, done)


@pytest.mark.parametrize("carried", [None, {}, AUTOFILLED])
def test_without_an_epoch_there_is_no_result(carried):
    assert result_or_none(carried) is None
    assert last_result(StubTrial("0000", result=carried)) is None


def test_last_result():
    assert last_result(StubTrial("0000", result=to_tune(TRAINED))) == TRAINED
