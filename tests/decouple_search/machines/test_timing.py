"""The seconds of screening: from seconds per image by arithmetic, and timed on a worker of a Ray."""

from dataclasses import replace

import pytest
import ray

from decouple_search.machines import timing
from decouple_search.machines.timing import (
    DataSize,
    StepTimes,
    finished_timing,
    screen_seconds,
    start_timing,
    time_steps,
)
from decouplenet.errors import TrainingFailed
from decouplenet.step_time import ImageSeconds

SIZE = DataSize(train=80, val=20, classes=5)
TIMES = StepTimes(ImageSeconds(0.3, 0.1), (ImageSeconds(0.01, 0.005), ImageSeconds(0.03, 0.015)))


def test_the_seconds_follow_from_those_per_image(config):
    full = config(train__epochs=3)
    seconds = screen_seconds(TIMES, full, 4, SIZE, workers=2)
    assert seconds.maps == pytest.approx(100 * 0.1 / 2)
    assert seconds.heads == pytest.approx((4 * (0.8 + 0.1), 4 * (2.4 + 0.3)))
    assert seconds.full == pytest.approx(3 * (24 + 2))


def test_a_full_trial_trains_its_head_first(config):
    warm = config(train__epochs=3, train__head_epochs=2, model__pretrained="no such file.pth", data__cache="cache")
    head = screen_seconds(TIMES, warm, 4, SIZE, workers=2).full - 3 * (24 + 2)
    assert head == pytest.approx(2 * ((0.8 + 0.1) + (2.4 + 0.3)) / 2)


def test_workers_and_a_share_of_the_images_shorten_it(config):
    alone = screen_seconds(TIMES, config(), 4, SIZE, workers=2)
    base = config(scaling__workers_per_trial=2)
    half = screen_seconds(TIMES, replace(base, train=replace(base.train, map_share=0.5)), 4, SIZE, workers=2)
    assert half.maps == pytest.approx(alone.maps / 2)
    assert half.heads == pytest.approx([seconds / 4 for seconds in alone.heads])
    assert half.full == pytest.approx(alone.full / 2)


def test_a_network_and_heads_are_timed(config, tmp_path):
    full = config(model__pretrained="no such file.pth", data__cache=str(tmp_path))
    times = time_steps(full, [full.for_head(1)], SIZE.classes)
    assert times.full.train > 0
    assert len(times.heads) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TrainingFailed("out of GPU memory"), "their timing failed (out of GPU memory)"),
        (ray.exceptions.GetTimeoutError(), "no worker has timed them in 60 s"),
        (ray.exceptions.WorkerCrashedError(), "their timing failed (The worker died unexpectedly"),
    ],
)
def test_a_search_goes_on_without_a_timing(monkeypatch, error, reason):
    cancelled = []

    def get(pending, *, timeout):
        raise error

    monkeypatch.setattr(ray, "get", get)
    monkeypatch.setattr(ray, "cancel", lambda pending, *, force: cancelled.append(pending))
    assert str(finished_timing("pending")).startswith(reason)
    assert cancelled == (["pending"] if isinstance(error, ray.exceptions.GetTimeoutError) else [])


def test_the_timing_takes_no_cpu_and_the_gpu_of_a_worker(monkeypatch, config):
    asked = {}

    class Task:
        def __init__(self, function):
            asked["function"] = function

        def remote(self, *arguments):
            asked["arguments"] = arguments
            return "pending"

    monkeypatch.setattr(ray, "remote", lambda **options: asked.update(options) or Task)
    full = config(scaling__gpus_per_worker=0.5)
    assert start_timing(full, [full], 5) == "pending"
    assert asked["function"] is timing.time_steps
    assert asked["arguments"][:3] == (full, [full], 5)
    assert (asked["num_cpus"], asked["num_gpus"], asked["max_retries"]) == (0, 0.5, 0)
