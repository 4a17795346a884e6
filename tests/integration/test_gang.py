"""A gang on a real Ray: the same results used or fresh, and what it does when a worker fails, hangs or dies."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
import ray

from decouple_search.gang.gang import Gang, GangHungError, root_cause
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


def pids(gang):
    """The processes of a gang's workers."""
    return [seat.pid for seat in gang.seats]


def test_a_used_gang_gives_what_a_fresh_one_gives(warm, gang, config):
    wanted = config(model__attention="joint", optim__name="adamw", optim__lr=0.003)
    epochs(warm, config(model__head="wildcat", optim__lr=0.2, train__seed=5, train__batch_size=24))
    assert epochs(warm, wanted) == epochs(gang(), wanted)


def test_what_fails_in_all_or_in_one_of_the_workers_fails_the_trial_and_not_the_gang(warm, config, tmp_path):
    expected = epochs(warm, config())
    with pytest.raises(TrainingFailed, match="the loss is nan"):
        epochs(warm, config(optim__lr=1e30))
    assert epochs(warm, config()) == expected
    # One broken photo is in one worker's share: it fails, while the other waits for it in a collective.
    name, broken = broken_photo(tmp_path / "scenes")
    with pytest.raises(InputError, match=f"{name}: cannot be decoded"):
        epochs(warm, config(data__format="coco", data__cache="none", **broken))
    assert not warm.broken
    assert epochs(warm, config()) == expected
    assert all(Path(f"/proc/{pid}").exists() for pid in pids(warm))


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
    while alive():  # asked once a turn: a worker that is being ended may get its name only now
        if time.monotonic() > until:
            return False
        threading.Event().wait(0.2)
    return True


def test_a_worker_that_stands_still_is_found(gang, config):
    stopped = gang(hang_timeout=2)
    epochs(stopped, config(), 1)
    os.kill(pids(stopped)[0], signal.SIGSTOP)
    with pytest.raises(
        GangHungError,
        match=r"no worker got on for 2 s \(scaling.hang_timeout\): rank 0 \(pid \d+ on .*\) no answer, rank 1",
    ):
        stopped.train_epoch()
    stopped.stop()
    assert gone(lambda: [pid for pid in pids(stopped) if Path(f"/proc/{pid}").exists()])


def test_the_root_cause_is_a_death_before_a_failure_before_what_they_left_behind():
    closed, failed = RuntimeError("Connection closed by peer"), TrainingFailed("out of memory")
    died = ray.exceptions.ActorDiedError()
    assert root_cause([closed, failed]) is failed
    assert root_cause([closed, failed, died]) is died
    assert root_cause([closed, RuntimeError("later")]) is closed
    starved = ray.exceptions.OutOfMemoryError("ended by the memory monitor")
    assert root_cause([closed, starved]) is starved


def test_a_worker_that_dies_at_the_start_takes_the_others_with_it(ray_cluster):
    before = gang_processes()

    def kill_the_first():
        while not (new := gang_processes() - before):
            pass
        os.kill(new.pop(), signal.SIGKILL)

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    with pytest.raises(ray.exceptions.RayError):
        Gang(scaling(2))
    killer.join()
    assert gone(lambda: gang_processes() - before)


def gang_processes():
    """Processes of gang workers, as the machine has them."""
    found = set()
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if command.read_text().startswith("ray::GangWorker"):
                found.add(int(command.parent.name))
        except OSError:
            continue  # it ended meanwhile
    return found


def test_a_long_epoch_is_no_standstill(gang, config):
    """The time-out counts from the last thing that got done, not from the call."""
    patient = gang(1, hang_timeout=0.5)
    patient.start(config(data__synthetic_images=1600, data__image_size=96).to_dict())
    assert patient.train_epoch()["train_seconds"] > 1


def test_a_worker_that_dies_in_an_epoch_fails_the_call_as_dead(warm, config):
    """The other worker's collective fails sooner than the death is known."""
    warm.start(config(data__synthetic_images=1600, data__image_size=96).to_dict())
    victim, before = pids(warm)[0], warm._progress(5)

    def kill_in_the_middle():
        while any(new < old + 5 for new, old in zip(warm._progress(5), before, strict=True)):
            pass
        os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill_in_the_middle)
    killer.start()
    with pytest.raises(ray.exceptions.RayActorError):
        warm.train_epoch()
    killer.join()
