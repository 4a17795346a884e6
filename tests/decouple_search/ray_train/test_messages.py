"""What a training's workers get and report, and the dicts in which Ray Train carries it."""

import json

import pytest

from decouple_search.ray_train.messages import LoopSettings, TrainReport

EPOCH = TrainReport(epoch=2, step=0, workers=4, measures={"train_loss": 1.5, "val_map": 0.5, "images_per_second": 8.0})
NOTE = TrainReport(epoch=2, step=0, workers=4, measures={"train_loss": 1.5}, note="slow disk")
PART = TrainReport(epoch=2, step=7, workers=4, saved="notice")
NOTED_PART = TrainReport(epoch=2, step=7, workers=4, note="slow disk", saved="time")


@pytest.mark.parametrize("report", [EPOCH, NOTE, PART, NOTED_PART])
def test_rays_dict_is_the_same_report_and_can_be_json(report):
    assert TrainReport.from_ray(json.loads(json.dumps(report.to_ray()))) == report


def test_a_report_without_measures_is_of_a_part_of_an_epoch():
    assert EPOCH.is_epoch
    assert not PART.is_epoch
    assert PART.to_ray()["saved"] == "notice"


def test_an_epochs_report_does_not_say_why_an_earlier_part_was_saved():
    report = TrainReport(epoch=3, step=0, workers=4, measures={"train_loss": 1.5}, saved="notice")
    assert "saved" not in report.to_ray()


def test_measures_are_at_the_top_level_where_ray_train_looks_for_them():
    assert EPOCH.to_ray()["val_map"] == 0.5


@pytest.mark.parametrize("checkpoint", [None, "x/checkpoints/a"])
def test_rays_dict_is_the_same_settings(checkpoint):
    settings = LoopSettings(config={"train": {"epochs": 3}}, folder=None, checkpoint=checkpoint, extensions=b"x")
    assert LoopSettings.from_ray(dict(settings.to_ray())) == settings
