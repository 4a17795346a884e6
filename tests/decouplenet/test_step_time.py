"""Seconds per image, timed on random images: they are those of the steps, and need neither data nor weights."""

from types import SimpleNamespace

import pytest

from decouplenet import step_time
from decouplenet.errors import InputError
from decouplenet.step_time import seconds_per_image


@pytest.mark.parametrize(
    ("seconds", "batches"),
    [(1.0, [(2, 2)] * 2), (0.05, [(2, 2)] * 2 + [(10, 10)] * 2), (1e-4, [(2, 2)] * 2 + [(128, 16)] * 2)],
)
def test_it_times_as_many_images_as_half_a_second_takes(monkeypatch, config, seconds, batches):
    trained = []

    def engine(given, data, *, device):
        count = len(data.train)

        def train_epoch():
            trained.append((count, given.train.batch_size))
            return {"train_seconds": seconds * count}

        evaluate = {"eval_seconds": seconds * count / 10}
        return SimpleNamespace(train_epoch=train_epoch, evaluate=lambda: evaluate, close=lambda: None)

    monkeypatch.setattr(step_time, "Engine", engine)
    assert seconds_per_image(config(train__batch_size=16), 3) == pytest.approx((seconds, seconds / 10))
    assert trained == batches


def test_images_and_feature_maps_are_timed(config, tmp_path):
    whole = config(data__train_annotations="nowhere.json", data__format="coco", train__head_epochs=0)
    pretrained = config(model__pretrained="no such file.pth", data__cache=str(tmp_path))
    for each in (whole, pretrained, pretrained.for_head(2)):
        timed = seconds_per_image(each, 5)
        assert min(timed) > 0
    assert not list(tmp_path.iterdir())


def test_neither_deepspeed_nor_the_compiler_is_tried(monkeypatch, config):
    seen = []

    class Seen(step_time.Engine):
        def __init__(self, given, data, *, device):
            seen.append((given.train.strategy, given.train.compile, given.train.accumulation))
            super().__init__(given, data, device=device)

    monkeypatch.setattr(step_time, "Engine", Seen)
    keys = {"train__strategy": "deepspeed", "train__compile": True, "train__accumulation": 4, "train__batch_size": 16}
    seconds_per_image(config(scaling__workers_per_trial=2, **keys), 3)
    assert set(seen) == {("ddp", False, 1)}


def test_a_network_that_cannot_be_built_is_refused(config):
    with pytest.raises(InputError, match="k = 900 pixels: the map has"):
        seconds_per_image(config(model__k_pos=900), 5)
