"""The policy for lost workers and machines: whether a loss counts, and on how many workers a trial continues."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.tune.experiment import Trial

from decouple_search.machines.capacity import Capacity
from decouple_search.ray_tune import recovery
from decouple_search.ray_tune.recovery import NOTICE_SECONDS, LossPolicy, workers_that_fit
from decouple_search.ray_tune.requeue import Requeue
from decouple_search.ray_tune.resources import trial_resources, workers_of
from decouple_search.ray_tune.schedulers import PlainScheduler
from decouple_search.ray_tune.trial_spec import TrialSpec
from decouple_search.space.objective import Objective
from decouplenet.config import Config, ScalingConfig
from decouplenet.errors import InputError

WORKER = "ray.exceptions.ActorDiedError: The actor died\nThe actor is dead because its worker process has died.\n"
HUNG = "decouple_search.gang.errors.GangHungError: no worker made progress for 600 s\n"
UNAVAILABLE = "ray.exceptions.ActorUnavailableError: The actor 12 is unavailable: RPC error\n"
UNEXPECTED = "ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task.\n"
MACHINE = "ray.exceptions.ActorDiedError: The actor died because its node has died. Node Id: 12\n"
SPEC = TrialSpec(number=0, config={"optim.lr": 0.1}, objectives=(Objective("val_map", "max"),))


@pytest.fixture(autouse=True)
def dead(monkeypatch):
    """The number of machines that Ray knows it has lost, in a list."""
    dead = [0]
    monkeypatch.setattr(recovery, "dead_machines", lambda: dead[0])
    return dead


@pytest.fixture
def now(monkeypatch):
    """The time on the policy's clock, in a list."""
    now = [100.0]
    monkeypatch.setattr(recovery.time, "monotonic", lambda: now[0])
    return now


def make_config(workers=4, minimum=None, strategy="PACK"):
    return Config(
        scaling=ScalingConfig(
            workers_per_trial=workers, min_workers_per_trial=minimum, placement_strategy=strategy, gpus_per_worker=0
        )
    )


class LosingTrial:
    """A trial as Tune's scheduler sees it just after a loss."""

    PENDING, RUNNING = Trial.PENDING, Trial.RUNNING

    def __init__(self, folder, scaling, status=Trial.ERROR):
        self.local_path, self.trial_id, self.status, self.config = str(folder), "t", status, SPEC.to_tune()
        self.placement_group_factory = trial_resources(scaling)
        self.losses = 0

    def __str__(self):
        return "0000"

    def lose(self, policy, text, others=()):
        """A loss, with its text in the file in which Tune keeps them."""
        self.losses += 1
        with (Path(self.local_path) / "error.txt").open("a") as file:
            file.write(f"Failure # {self.losses} (occurred at noon)\n{text}")
        policy.lost(self, [self, *others])

    @property
    def given_up(self):
        """Why the trial is not trained any more."""
        return TrialSpec.from_tune(self.config).given_up

    def set_config(self, new):
        """As Tune's."""
        self.config = new

    def update_resources(self, new):
        """As Tune's."""
        self.placement_group_factory = new


def test_lost_workers_count_and_lost_machines_do_not(tmp_path):
    config = make_config()
    policy, trial = LossPolicy(config, 1, Requeue()), LosingTrial(tmp_path, config.scaling)
    for text in (WORKER, MACHINE, MACHINE, MACHINE):
        trial.lose(policy, text)
        assert trial.given_up is None
    trial.lose(policy, HUNG)
    assert TrialSpec.from_tune(trial.config) == SPEC.given_up_for("no worker made progress for 600 s")


def test_a_trial_that_is_lost_while_it_starts_is_requeued_unless_it_was_lost_too_often(tmp_path):
    config, requeue = make_config(), Requeue()
    policy = LossPolicy(config, 0, requeue)
    starting = LosingTrial(tmp_path, config.scaling, Trial.PENDING)
    starting.lose(policy, MACHINE)
    assert requeue.has("t")
    starting.trial_id = "too often"
    starting.lose(policy, WORKER)
    assert not requeue.has("too often")
    started = LosingTrial(tmp_path, config.scaling)
    started.lose(policy, WORKER)
    assert started.given_up


def test_an_unclear_loss_counts_unless_a_machine_is_lost_before_the_next_one(tmp_path, dead):
    config = make_config()
    policy, trial = LossPolicy(config, 1, Requeue()), LosingTrial(tmp_path, config.scaling)
    for _ in range(3):
        trial.lose(policy, UNAVAILABLE)
        dead[0] += 1
    assert trial.given_up is None
    trial.lose(policy, UNAVAILABLE)
    trial.lose(policy, UNEXPECTED)
    assert trial.given_up is None
    trial.lose(policy, UNAVAILABLE)
    assert "is unavailable" in trial.given_up


@pytest.mark.parametrize(
    ("cpus", "minimum", "taken", "strategy", "workers"),
    [
        ([2, 2, 2], 1, 0, "PACK", 4),
        ([2, 1], 1, 0, "PACK", 3),
        ([2, 1], 1, 2, "PACK", 1),
        ([2, 2], 2, 3, "PACK", 2),  # and waits for one of them
        ([1], 3, 0, "PACK", 3),
        ([2, 3], 1, 0, "STRICT_PACK", 3),
        ([4, 4], 1, 0, "STRICT_SPREAD", 2),
    ],
)
def test_a_trial_continues_with_as_many_workers_as_fit(cpus, minimum, taken, strategy, workers):
    capacity = Capacity(make_config(minimum=minimum, strategy=strategy).scaling)
    assert workers_that_fit(capacity, [{"CPU": count} for count in cpus], taken) == workers


def test_a_trial_with_a_minimum_of_workers_shrinks_and_grows_back(tmp_path, monkeypatch, capsys):
    machines = [{"CPU": 4}, {"CPU": 2}]
    monkeypatch.setattr(recovery, "alive", lambda: machines)
    config = make_config(minimum=2)
    other = LosingTrial(tmp_path, replace(config.scaling, workers_per_trial=3), Trial.RUNNING)
    trial, policy = LosingTrial(tmp_path, config.scaling), LossPolicy(config, 2, Requeue())
    trial.lose(policy, MACHINE, [other])
    assert workers_of(trial) == 3
    assert "trial 0000  continues with 3 of 4 workers" in capsys.readouterr().out
    machines.append({"CPU": 4})
    trial.lose(policy, WORKER, [other])
    assert workers_of(trial) == 4


def test_a_trial_without_a_minimum_of_workers_waits_for_machines(tmp_path, monkeypatch):
    monkeypatch.setattr(recovery, "alive", list)
    config = make_config()
    trial = LosingTrial(tmp_path, config.scaling)
    trial.lose(LossPolicy(config, 2, Requeue()), MACHINE)
    assert workers_of(trial) == 4


def test_a_trial_shrinks_only_once_ray_knows_whether_a_machine_is_lost(tmp_path, monkeypatch, dead):
    machines = [{"CPU": 4}]

    def sleep_until_ray_notices(seconds):
        machines[0] = {"CPU": 2}
        dead[0] += 1

    monkeypatch.setattr(recovery, "alive", lambda: machines)
    monkeypatch.setattr(recovery.time, "sleep", sleep_until_ray_notices)
    config = make_config(minimum=1)
    trial = LosingTrial(tmp_path, config.scaling)
    trial.lose(LossPolicy(config, 2, Requeue()), UNAVAILABLE)
    assert workers_of(trial) == 2


def test_a_trial_that_waits_in_vain_is_requeued_with_fewer_workers(tmp_path, monkeypatch, now):
    machines, requeue, config = [{"CPU": 4}], Requeue(), make_config(minimum=1)
    monkeypatch.setattr(recovery, "current_machines", lambda config, limits: (config, machines))
    policy, trial = LossPolicy(config, 2, requeue), LosingTrial(tmp_path, config.scaling, Trial.PENDING)
    policy.added(trial, [])
    now[0] += 2 * NOTICE_SECONDS
    assert policy.waiting_in_vain([trial]) == []  # its workers fit, and others may use the machines for now
    machines[0] = {"CPU": 3}
    policy.added(trial, [])  # it is not new
    assert workers_of(trial) == 4
    now[0] += 2 * NOTICE_SECONDS
    assert policy.waiting_in_vain([trial]) == [trial]
    assert requeue.has("t")
    trial.trial_id = "u"
    policy.added(trial, [trial])
    assert workers_of(trial) == 3


def test_a_trial_without_a_minimum_of_workers_never_waits_in_vain(tmp_path, monkeypatch, now):
    monkeypatch.setattr(recovery, "current_machines", lambda config, limits: (config, [{"CPU": 3}]))
    config = make_config()
    policy, trial = LossPolicy(config, 2, Requeue()), LosingTrial(tmp_path, config.scaling, Trial.PENDING)
    policy.added(trial, [])
    now[0] += 2 * NOTICE_SECONDS
    assert policy.waiting_in_vain([trial]) == []


def test_trials_that_take_turns_do_not_wait_in_vain(tmp_path, monkeypatch, now):
    config = make_config(minimum=1)
    monkeypatch.setattr(recovery, "current_machines", lambda config, limits: (config, [{"CPU": 4}]))
    running = LosingTrial(tmp_path, config.scaling, Trial.RUNNING)
    for turns, in_vain in ((True, False), (False, True)):
        policy = LossPolicy(config, 2, Requeue(), turns=turns)
        waiting = LosingTrial(tmp_path, config.scaling, Trial.PENDING)
        policy.added(waiting, [])
        now[0] += 2 * NOTICE_SECONDS
        assert bool(policy.waiting_in_vain([running, waiting])) == in_vain


def test_a_scheduler_tells_the_policy_of_each_event_and_stops_trials_that_wait_in_vain():
    trials, stopped, events = [Trial("decouple", stub=True) for _ in range(2)], [], []
    policy = SimpleNamespace(
        lost=lambda *arguments: events.append(("lost", *arguments)),
        added=lambda *arguments: events.append(("added", *arguments)),
        waiting_in_vain=lambda waiting: waiting[1:],
    )
    controller = SimpleNamespace(get_trials=lambda: trials, request_stop_trial=stopped.append)
    scheduler = PlainScheduler(policy)
    scheduler.on_trial_add(controller, trials[0])
    scheduler.on_trial_error(controller, trials[0])
    assert events == [("added", trials[0], trials), ("lost", trials[0], trials)]
    scheduler.choose_trial_to_run(controller)
    assert stopped == [trials[1]]


def test_the_minimum_of_workers_may_not_exceed_the_number_of_workers():
    with pytest.raises(InputError, match="scaling.min_workers_per_trial: 3 is out of range; it must be from 1 to"):
        make_config(workers=2, minimum=3)
