"""A gang on a real Ray: a used gang measures what a fresh one does, and a worker may fail, hang or die."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
import ray

from decouple_search.gang.errors import GangHungError, root_cause
from decouple_search.gang.gang import Gang
from decouplenet.allocator import KEEP_MEMORY
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
    """Start a gang, which ends with the test."""
    started = []

    def start(workers=2, **keys):
        started.append(Gang(scaling(workers, **keys)))
        return started[-1]

    yield start
    for gang in started:
        gang.stop()


def train(gang, config, count=2):
    """The measures of a configuration on a gang, by epoch, without those that depend on the machine's speed."""
    gang.start(config)
    results = [gang.train_epoch() for _ in range(count)]
    return [{name: value for name, value in each.measures.items() if name not in SECONDS} for each in results]


def pids(gang):
    """The processes of a gang's workers."""
    return [location.pid for location in gang.locations]


def test_a_used_gang_measures_what_a_fresh_gang_measures(warm, gang, config):
    wanted = config(model__attention="joint", optim__name="adamw", optim__lr=0.003)
    train(warm, config(model__head="wildcat", optim__lr=0.2, train__seed=5, train__batch_size=24))
    assert train(warm, wanted) == train(gang(), wanted)


def test_workers_keep_their_memory_from_step_to_step(warm):
    for pid in pids(warm):
        variables = Path(f"/proc/{pid}/environ").read_text().split("\0")  # which glibc reads as the process starts
        assert {f"{name}={value}" for name, value in KEEP_MEMORY.items()} <= set(variables)


def test_a_failed_training_leaves_the_gang_usable(warm, config, tmp_path):
    expected = train(warm, config())
    with pytest.raises(TrainingFailed, match="the loss is nan"):
        train(warm, config(optim__lr=1e30))
    assert train(warm, config()) == expected
    # One worker's share has a broken photo. That worker fails, while the other one waits for it in a collective.
    name, broken = broken_photo(tmp_path / "scenes")
    with pytest.raises(InputError, match=f"{name}: cannot be decoded"):
        train(warm, config(data__format="coco", data__cache="none", **broken))
    assert not warm.broken
    assert train(warm, config()) == expected
    assert all(Path(f"/proc/{pid}").exists() for pid in pids(warm))


def broken_photo(folder):
    """Sixty scenes, of which one training photo is truncated; its name, and the config keys that read them."""
    write_scenes(folder, 60, 0)
    photo = next(folder.glob("images/*7.*"))
    photo.write_bytes(photo.read_bytes()[:100])
    return photo.name, {
        "data__train_annotations": str(folder / "instances_train.json"),
        "data__val_annotations": str(folder / "instances_val.json"),
        "data__train_images": str(folder / "images"),
    }


def all_end(alive, seconds=30):
    """Whether nothing is alive any more, within some seconds."""
    until = time.monotonic() + seconds
    while alive():  # asked each time, because a worker that is being ended may get its name only now
        if time.monotonic() > until:
            return False
        threading.Event().wait(0.2)
    return True


def test_a_worker_that_makes_no_progress_is_noticed(gang, config):
    stopped = gang(hang_timeout=2)
    train(stopped, config(), 1)
    os.kill(pids(stopped)[0], signal.SIGSTOP)
    with pytest.raises(
        GangHungError,
        match=r"no worker made progress for 2 s \(scaling.hang_timeout\): rank 0 \(pid \d+ on .*\) no answer, rank 1",
    ):
        stopped.train_epoch()
    stopped.stop()
    assert all_end(lambda: [pid for pid in pids(stopped) if Path(f"/proc/{pid}").exists()])


def test_the_root_cause_is_a_loss_then_a_failure_then_the_first_error():
    closed, failed = RuntimeError("Connection closed by peer"), TrainingFailed("out of memory")
    died = ray.exceptions.ActorDiedError()
    assert root_cause([closed, failed]) is failed
    assert root_cause([closed, failed, died]) is died
    assert root_cause([closed, RuntimeError("later")]) is closed
    out_of_memory = ray.exceptions.OutOfMemoryError("ended by the memory monitor")
    assert root_cause([closed, out_of_memory]) is out_of_memory


def test_a_gang_whose_worker_dies_at_the_start_leaves_no_worker(ray_cluster):
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
    assert all_end(lambda: gang_processes() - before)


def gang_processes():
    """The processes of gang workers on this machine."""
    pids = set()
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if command.read_text().startswith("ray::GangWorker"):
                pids.add(int(command.parent.name))
        except OSError:
            continue  # it has ended
    return pids


def test_an_epoch_may_take_longer_than_the_timeout(gang, config):
    """The timeout counts from the last progress, not from the call."""
    single = gang(1, hang_timeout=0.5)
    single.start(config(data__synthetic_images=1600, data__image_size=96))
    assert single.train_epoch().measures["train_seconds"] > 1


def test_a_worker_that_dies_in_an_epoch_is_the_cause_of_the_calls_error(warm, config):
    """The other worker's collective fails before Ray knows of the death."""
    warm.start(config(data__synthetic_images=1600, data__image_size=96))
    victim, before = pids(warm)[0], warm.progress(5)

    def kill_in_the_middle():
        while any(new < old + 5 for new, old in zip(warm.progress(5), before, strict=True)):
            pass
        os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill_in_the_middle)
    killer.start()
    with pytest.raises(ray.exceptions.RayActorError):
        warm.train_epoch()
    killer.join()
