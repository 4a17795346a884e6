"""What follows when a trial loses a worker or a machine."""

from dataclasses import replace
from pathlib import Path

import pytest
from ray.tune.experiment import Trial

from decouple_search.ray_tune import recovery
from decouple_search.ray_tune.recovery import Recovery, workers_for, workers_of
from decouple_search.ray_tune.trainable import GIVEN_UP
from decouple_search.ray_tune.tuner import trial_resources
from decouplenet.config import Config, ScalingConfig
from decouplenet.errors import InputError

WORKER = "ray.exceptions.ActorDiedError: The actor died\nThe actor is dead because its worker process has died.\n"
HUNG = "decouple_search.gang.gang.GangHungError: no worker got on for 600 s\n"
SILENT = "ray.exceptions.ActorUnavailableError: The actor 12 is unavailable: RPC error\n"
DRAINED = "ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task.\n"
MACHINE = "ray.exceptions.ActorDiedError: The actor died because its node has died. Node Id: 12\n"


@pytest.fixture(autouse=True)
def dead(monkeypatch):
    """The number of machines that Ray knows it has lost, in a list."""
    dead = [0]
    monkeypatch.setattr(recovery, "dead_machines", lambda: dead[0])
    return dead


def config(workers=4, least=None, strategy="PACK"):
    return Config(
        scaling=ScalingConfig(
            workers_per_trial=workers, min_workers_per_trial=least, placement_strategy=strategy, gpus_per_worker=0
        )
    )


class Lost:
    """A trial as a scheduler of Tune sees it just after a loss."""

    PENDING, RUNNING = Trial.PENDING, Trial.RUNNING

    def __init__(self, folder, scaling, status=Trial.ERROR):
        self.local_path, self.trial_id, self.status, self.config = str(folder), "t", status, {"trial": 0}
        self.placement_group_factory = trial_resources(scaling)
        self.losses = 0

    def __str__(self):
        return "0000"

    def lose(self, decide, text, others=()):
        """A loss with its text in the file that Tune keeps of them."""
        self.losses += 1
        with (Path(self.local_path) / "error.txt").open("a") as file:
            file.write(f"Failure # {self.losses} (occurred at noon)\n{text}")
        decide(self, [self, *others])

    def set_config(self, new):
        """As Tune's."""
        self.config = new

    def update_resources(self, new):
        """As Tune's."""
        self.placement_group_factory = new


def test_workers_that_die_are_counted_and_machines_are_not(tmp_path):
    decide, trial = Recovery(config(), 1), Lost(tmp_path, config().scaling)
    for text in (WORKER, MACHINE, MACHINE, MACHINE):
        trial.lose(decide, text)
        assert GIVEN_UP not in trial.config
    trial.lose(decide, HUNG)
    assert trial.config == {"trial": 0, GIVEN_UP: "no worker got on for 600 s"}


def test_a_trial_whose_machine_is_lost_while_it_starts_is_asked_for_again(tmp_path):
    decide, trial = Recovery(config(), 0), Lost(tmp_path, config().scaling, Trial.PENDING)
    trial.lose(decide, MACHINE)
    assert decide.again == {"t"}
    trial.lose(decide, WORKER)
    assert decide.again == {"t"}
    started = Lost(tmp_path, config().scaling)
    started.lose(decide, WORKER)
    assert GIVEN_UP in started.config


def test_silence_counts_unless_a_machine_is_then_found_lost(tmp_path, dead):
    decide, trial = Recovery(config(), 1), Lost(tmp_path, config().scaling)
    for _ in range(3):
        trial.lose(decide, SILENT)
        dead[0] += 1
    assert GIVEN_UP not in trial.config
    trial.lose(decide, SILENT)
    trial.lose(decide, DRAINED)
    assert GIVEN_UP not in trial.config
    trial.lose(decide, SILENT)
    assert "is unavailable" in trial.config[GIVEN_UP]


@pytest.mark.parametrize(
    ("machines", "least", "taken", "strategy", "workers"),
    [
        ([2, 2, 2], 1, 0, "PACK", 4),
        ([2, 1], 1, 0, "PACK", 3),
        ([2, 1], 1, 2, "PACK", 1),
        ([2, 2], 2, 3, "PACK", 2),  # and waits for one
        ([1], 3, 0, "PACK", 3),
        ([2, 3], 1, 0, "STRICT_PACK", 3),
        ([4, 4], 1, 0, "STRICT_SPREAD", 2),
    ],
)
def test_a_trial_goes_on_with_as_many_workers_as_there_is_room_for(machines, least, taken, strategy, workers):
    nodes = [{"CPU": cpus} for cpus in machines]
    assert workers_for(config(strategy=strategy), nodes, least, 4, taken) == workers


def test_a_trial_shrinks_where_it_may_and_grows_back_and_waits_where_it_may_not(tmp_path, monkeypatch, capsys):
    nodes = [{"CPU": 4}, {"CPU": 2}]
    monkeypatch.setattr(recovery, "alive", lambda: nodes)
    may = config(least=2)
    other = Lost(tmp_path, replace(may.scaling, workers_per_trial=3), Trial.RUNNING)
    trial, decide = Lost(tmp_path, may.scaling), Recovery(may, 2)
    trial.lose(decide, MACHINE, [other])
    assert workers_of(trial) == 3
    assert "trial 0000  goes on with 3 of 4 workers" in capsys.readouterr().out
    nodes.append({"CPU": 4})
    trial.lose(decide, WORKER, [other])
    assert workers_of(trial) == 4
    waits = Lost(tmp_path, config().scaling)
    nodes.clear()
    waits.lose(Recovery(config(), 2), MACHINE)
    assert workers_of(waits) == 4


def test_a_trial_that_may_shrink_waits_until_it_is_known_what_is_lost(tmp_path, monkeypatch, dead):
    nodes = [{"CPU": 4}]

    def noticed(seconds):
        nodes[0] = {"CPU": 2}
        dead[0] += 1

    monkeypatch.setattr(recovery, "alive", lambda: nodes)
    monkeypatch.setattr(recovery.time, "sleep", noticed)
    trial = Lost(tmp_path, config(least=1).scaling)
    trial.lose(Recovery(config(least=1), 2), SILENT)
    assert workers_of(trial) == 2


def test_a_trial_that_waits_in_vain_begins_again_with_fewer_workers(tmp_path, monkeypatch):
    nodes, now = [{"CPU": 4}], [100.0]
    monkeypatch.setattr(recovery, "machines", lambda config, cluster: (config, nodes))
    monkeypatch.setattr(recovery.time, "monotonic", lambda: now[0])
    decide, trial = Recovery(config(least=1), 2), Lost(tmp_path, config().scaling, Trial.PENDING)
    decide.added(trial, [])
    now[0] += 2 * recovery.NOTICE
    assert decide.waiting([trial]) == []  # there is room, which others may have for now
    nodes[0] = {"CPU": 3}
    decide.added(trial, [])  # it is not new
    assert workers_of(trial) == 4
    now[0] += 2 * recovery.NOTICE
    assert decide.waiting([trial]) == [trial]
    assert decide.again == {"t"}
    trial.trial_id = "u"
    decide.added(trial, [trial])
    assert workers_of(trial) == 3
    waits = Recovery(config(), 2)
    waits.added(trial, [])
    now[0] += 2 * recovery.NOTICE
    assert waits.waiting([trial]) == []


def test_more_than_there_are_cannot_be_the_least():
    with pytest.raises(InputError, match="scaling.min_workers_per_trial: 3 is out of range; it must be from 1 to"):
        config(workers=2, least=3)


def test_trials_that_take_turns_do_not_wait_in_vain(tmp_path, monkeypatch):
    now, taking = [100.0], config(least=1)
    monkeypatch.setattr(recovery, "machines", lambda config, cluster: (config, [{"CPU": 4}]))
    monkeypatch.setattr(recovery.time, "monotonic", lambda: now[0])
    runs = Lost(tmp_path, taking.scaling, Trial.RUNNING)
    for turns, in_vain in ((True, False), (False, True)):
        decide, waits = Recovery(taking, 2, turns=turns), Lost(tmp_path, taking.scaling, Trial.PENDING)
        decide.added(waits, [])
        now[0] += 2 * recovery.NOTICE
        assert bool(decide.waiting([runs, waits])) == in_vain
