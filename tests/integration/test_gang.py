"""A gang on a real Ray: the same results used or fresh, and what it does when a worker fails, hangs or dies."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
import ray

from decouple_search.gang import Gang, GangHungError
from decouplenet.config import ScalingConfig
from decouplenet.data.synthetic import write_scenes
from decouplenet.errors import InputError, TrainingFailed

pytestmark = pytest.mark.ray
SECONDS = ("train_seconds", "eval_seconds", "images_per_second")


def scaling(workers, **keys):
    return ScalingConfig(workers_per_trial=workers, cpus_per_worker=0.5, gpus_per_worker=0, **keys)


@pytest.fixture(scope="module")
def warm(ray_cluster):
    """A gang of two workers that the tests share."""
    gang = Gang(scaling(2))
    yield gang
    gang.stop()


@pytest.fixture
def gang(ray_cluster):
    """A function that starts a gang, which ends with the test."""
    started = []

    def start(workers=2, **keys):
        started.append(Gang(scaling(workers, **keys)))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def epochs(gang, config, count=2):
    """What a configuration measures on a gang, epoch by epoch."""
    gang.start(config.to_dict())
    measured = [gang.train_epoch() for _ in range(count)]
    return [{name: value for name, value in epoch.items() if name not in SECONDS} for epoch in measured]


def pids():
    """Processes of the gang workers that live."""
    from ray.util.state import list_actors

    return [a.pid for a in list_actors(filters=[("state", "=", "ALIVE"), ("class_name", "=", "GangWorker")])]


def test_a_used_gang_gives_what_a_fresh_one_gives(warm, gang, config):
    wanted = config(model__attention="joint", optim__name="adamw", optim__lr=0.003)
    epochs(warm, config(model__head="wildcat", optim__lr=0.2, train__seed=5, train__batch_size=24))
    assert epochs(warm, wanted) == epochs(gang(), wanted)


def test_what_fails_in_all_or_in_one_of_the_workers_fails_the_trial_and_not_the_gang(warm, config, tmp_path):
    expected, before = epochs(warm, config()), pids()
    with pytest.raises(TrainingFailed, match="the loss is nan"):
        epochs(warm, config(optim__lr=1e30))
    assert epochs(warm, config()) == expected
    # One broken photo is in one worker's share: it fails, while the other waits for it in a collective.
    name, broken = broken_photo(tmp_path / "scenes")
    with pytest.raises(InputError, match=f"{name}: cannot be decoded"):
        epochs(warm, config(data__format="coco", data__cache="none", **broken))
    assert not warm.broken
    assert epochs(warm, config()) == expected
    assert pids() == before


def broken_photo(folder):
    """Sixty scenes, one training photo cut off; the config keys that read them."""
    write_scenes(folder, 60, 0)
    photo = next(folder.glob("images/*7.*"))
    photo.write_bytes(photo.read_bytes()[:100])
    return photo.name, {
        "data__train_annotations": str(folder / "instances_train.json"),
        "data__val_annotations": str(folder / "instances_val.json"),
        "data__train_images": str(folder / "images"),
    }


def gone(alive, seconds=30):
    """Whether nothing is alive any more, within some seconds."""
    until = time.monotonic() + seconds
    while alive() and time.monotonic() < until:
        threading.Event().wait(0.2)
    return not alive()


def test_a_worker_that_stands_still_is_found(gang, config):
    before = set(pids())
    stopped = gang(hang_timeout=2)
    epochs(stopped, config(), 1)
    mine = [pid for pid in pids() if pid not in before]
    os.kill(mine[0], signal.SIGSTOP)
    with pytest.raises(GangHungError, match=r"no worker got on for 2 s \(scaling.hang_timeout\); .* \?"):
        stopped.train_epoch()
    stopped.stop()
    assert gone(lambda: [pid for pid in mine if Path(f"/proc/{pid}").exists()])


def test_a_long_epoch_is_no_standstill(gang, config):
    """The time-out counts from the last thing that got done, not from the call."""
    patient = gang(1, hang_timeout=0.5)
    patient.start(config(data__synthetic_images=1600, data__image_size=96).to_dict())
    assert patient.train_epoch()["train_seconds"] > 1


def test_a_dead_worker_fails_the_call(warm, config):
    epochs(warm, config(), 1)
    os.kill(pids()[0], signal.SIGKILL)
    with pytest.raises(ray.exceptions.RayActorError):
        warm.train_epoch()
