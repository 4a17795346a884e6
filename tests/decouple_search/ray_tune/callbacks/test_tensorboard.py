"""TensorBoard's runs of the trials of a search."""

from dataclasses import replace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from decouple_search.ray_tune.callbacks.tensorboard import TensorBoardRuns
from decouple_search.ray_tune.trial_spec import TrialSpec
from decouple_search.space.objective import Objective
from tests.decouple_search.ray_tune.stubs import StubTrial, epoch_dict, failure_dict


@pytest.fixture
def trial():
    trial = StubTrial("0004", trial_id="a")
    config = {"optim.lr": 0.25, "model.attention": "arch1", "train.epochs": 3}
    trial.config = TrialSpec(number=4, config=config, objectives=(Objective("val_map", "max"),)).to_tune()
    return trial


def test_a_run_has_the_searched_parameters_from_the_start_and_the_measures_of_each_epoch(tmp_path, trial):
    runs = TensorBoardRuns(tmp_path, ("optim.lr", "model.attention"), "val_map")
    runs.on_trial_start(0, [], trial)
    started = EventAccumulator(str(tmp_path / "0004")).Reload()
    metadata = started.summary_metadata["_hparams_/session_start_info"]
    given = HParamsPluginData.FromString(metadata.plugin_data.content).session_start_info.hparams
    assert set(given) == {"optim.lr", "model.attention"}
    assert given["optim.lr"].number_value == 0.25
    runs.on_trial_result(0, [], trial, epoch_dict(1, 0.5, train_loss=2.0))
    runs.on_trial_start(0, [], trial)  # it restarts after a loss
    assert len(list((tmp_path / "0004").iterdir())) == 1, "a restarted trial writes another event file"
    runs.on_trial_result(0, [], trial, epoch_dict(2, 0.75, train_loss=1.0))
    runs.on_trial_result(0, [], trial, failure_dict("the loss is nan", epoch=2))
    runs.on_trial_complete(0, [], trial)
    runs.on_trial_result(0, [], trial, epoch_dict(3, 0.1))  # of a run that is closed
    events = EventAccumulator(str(tmp_path / "0004")).Reload()
    assert {event.step: event.value for event in events.Scalars("val/map")} == {1: 0.5, 2: 0.75}
    assert {event.step: event.value for event in events.Scalars("train/loss")} == {1: 2.0, 2: 1.0}


def test_runs_of_interrupted_trials_are_closed_at_the_end(tmp_path, trial):
    runs = TensorBoardRuns(tmp_path, (), "val_map")
    runs.on_trial_start(0, [], trial)
    runs.on_experiment_end([trial])
    runs.on_trial_result(0, [], trial, epoch_dict(1, 0.5))
    assert EventAccumulator(str(tmp_path / "0004")).Reload().Tags()["scalars"] == []


def test_a_chosen_null_and_a_key_that_is_null_where_it_is_absent_are_shown(tmp_path, trial):
    """The configuration has all keys: a parameter that is absent has its base value, and that may be None."""
    spec = TrialSpec.from_tune(trial.config)
    keys = ("train.deepspeed_config", "optim.lr")
    trial.config = replace(spec, config={**spec.config, keys[0]: None}).to_tune()
    runs = TensorBoardRuns(tmp_path, keys, "val_map")
    runs.on_trial_start(0, [], trial)
    runs.on_trial_complete(0, [], trial)
    metadata = EventAccumulator(str(tmp_path / "0004")).Reload().summary_metadata["_hparams_/session_start_info"]
    given = HParamsPluginData.FromString(metadata.plugin_data.content).session_start_info.hparams
    assert (given[keys[0]].string_value, given[keys[1]].number_value) == ("null", 0.25)
