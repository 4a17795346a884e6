"""Searches as tests run them, in a process of their own, and what they leave: their files, and what lives on Ray."""

import csv
import os
import select
import subprocess
import sys

import optuna
import torch

from decouple_search.study.optuna_storage import STUDY_NAME
from decouplenet.data.opened import open_data
from decouplenet.engine import Engine

FILES = ("best_config.yaml", "best_checkpoint", "leaderboard.csv", "report.html", "study.log", "summary.json")
FILES += ("tensorboard",)


def leaderboard(experiment):
    """The rows of the leaderboard."""
    with (experiment / "leaderboard.csv").open() as file:
        return list(csv.DictReader(file))


def read_study(experiment):
    """The study, opened with Optuna alone."""
    journal = optuna.storages.journal.JournalFileBackend(str(experiment / "study.log"))
    return optuna.load_study(study_name=STUDY_NAME, storage=optuna.storages.JournalStorage(journal))


def trials_with_checkpoints(experiment):
    """The trial of each checkpoint folder."""
    return sorted(folder.parent.name for folder in experiment.glob("trials/*/checkpoint_*"))


def alive_on_ray():
    """Actors that live, and placement groups that are not removed."""
    from ray.util.state import list_actors, list_placement_groups

    actors = [actor.class_name for actor in list_actors(filters=[("state", "!=", "DEAD")])]
    actors = [name for name in actors if name != "_AutoscalingCoordinatorActor"]  # Ray's own, after a training
    return actors + [group.placement_group_id for group in list_placement_groups(filters=[("state", "!=", "REMOVED")])]


def gang_pids():
    """The processes of the gang workers that live."""
    from ray.util.state import list_actors

    return [a.pid for a in list_actors(filters=[("state", "=", "ALIVE"), ("class_name", "=", "GangWorker")])]


def wait_for_end(pids):
    """Return when these processes have ended, as the kernel says; fail if one of them lives for another minute."""
    for pid in pids:
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ended, _, _ = select.select([process], [], [], 60)
        os.close(process)
        assert ended, f"process {pid} is still alive"


def workers_started():
    """The number of gang workers since this Ray started, with those that have ended."""
    from ray.util.state import list_actors

    return len(list_actors(filters=[("class_name", "=", "GangWorker")], limit=1000))


def start_search(ray_cluster, file, folder, *flags):
    """Start a search in a process of its own, on the same Ray; returns once a trial has ended an epoch."""
    command = [sys.executable, "-m", "decouple_search.tune", "--space", str(file), "--storage", str(folder)]
    process = subprocess.Popen(
        [*command, "--name", "x", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "RAY_ADDRESS": ray_cluster},
    )
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "  epoch " in line:
            return process
    raise AssertionError(f"no epoch was reported: {''.join(lines)}")


def read_until(process, text, count=1):
    """Read a search's lines until this number of them has a text; False if the search ended before."""
    matches = 0
    for line in process.stdout:
        matches += text in line
        if matches == count:
            return True
    return False


def trained_in_one_go(config):
    """val_map by epoch of a training without a pause, with as many threads as a worker has; sums depend on them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, int(config.scaling.cpus_per_worker)))
    try:
        engine = Engine(config, open_data(config.data))
        return {epoch: (engine.train_epoch() | engine.evaluate())["val_map"] for epoch in range(1, 4)}
    finally:
        torch.set_num_threads(threads)
