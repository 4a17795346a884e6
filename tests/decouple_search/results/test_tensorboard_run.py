"""A run in TensorBoard."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

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
