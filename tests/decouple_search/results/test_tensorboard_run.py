"""A run in TensorBoard."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from decouple_search.results.tensorboard_run import TensorBoardRun, tag_of


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("val_map", "val/map"),
        ("train_loss", "train/loss"),
        ("lr", "train/lr"),
        ("images_per_second", "train/images_per_second"),
    ],
)
def test_a_measure_is_in_the_group_of_its_name(name, tag):
    assert tag_of(name) == tag


def test_a_run_has_the_measures_of_training_and_validation(tmp_path):
    run = TensorBoardRun(tmp_path)
    measures = {"val_map": 0.5, "train_loss": 1.5, "lr": 0.25, "images_per_second": 8.0, "parameters": 10.0}
    run.epoch(1, measures)
    run.epoch(2, measures | {"val_map": 0.75})
    run.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) == {"val/map", "train/loss", "train/lr", "train/images_per_second"}
    assert [(event.step, event.value) for event in events.Scalars("val/map")] == [(1, 0.5), (2, 0.75)]


def test_a_null_is_shown_as_text_beside_other_values(tmp_path):
    run = TensorBoardRun(tmp_path)
    run.hyperparameters({"train.deepspeed_config": None, "optim.lr": 0.25, "data.flip": False}, "val_map", "0004")
    run.close()
    metadata = EventAccumulator(str(tmp_path)).Reload().summary_metadata["_hparams_/session_start_info"]
    given = HParamsPluginData.FromString(metadata.plugin_data.content).session_start_info.hparams
    assert {name: getattr(value, value.WhichOneof("kind")) for name, value in given.items()} == {
        "train.deepspeed_config": "null", "optim.lr": 0.25, "data.flip": False,
    }  # fmt: skip
