"""Population-based training: what it may change, and how a population comes back after a crash."""

import functools
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem
from ray.train._internal.session import _TrainingResult
from ray.tune import Checkpoint
from ray.tune.experiment import Trial
from ray.tune.schedulers import PopulationBasedTraining, TrialScheduler

from decouple_search.ray_tune.population import Explorer
from decouple_search.ray_tune.recovery import Recovery
from decouple_search.ray_tune.schedulers import CHANGEABLE, Scheduler, tune_scheduler
from decouple_search.ray_tune.trainable import GIVEN_UP
from decouple_search.study.record import open_study, trial_name
from decouplenet.config import Config
from decouplenet.dotted_keys import flatten


def population(space, study, *, interval, slots, system):
    """Tune's scheduler of a population of the default configuration."""
    return tune_scheduler(
        Scheduler("pbt", interval_epochs=interval),
        space,
        flatten(Config().to_dict()),
        study=study,
        seed=0,
        slots=slots,
        recovery=Recovery(Config(), 2),
        system=system,
    )


@given(st.integers(0, 1000), st.data())
def test_exploring_stays_in_the_space_and_leaves_the_network(space, seed, data):
    point = {
        "model.maps_per_class": 3,
        "model.attention": "arch1",
        "model.alpha": data.draw(st.floats(0, 1)),
        "model.k_neg": 0.3,
        "optim.lr": data.draw(st.floats(1e-4, 1e-1)),
        "optim.momentum": data.draw(st.sampled_from([0.5, 0.7, 0.95])),
        "train.batch_size": data.draw(st.sampled_from([16, 32, 64])),
    }
    donor = {"trial": 4, "since": "there", "objectives": [["val_map", "max"]], GIVEN_UP: "its worker was lost"}
    donor["config"] = flatten(Config().to_dict()) | point
    before = dict(donor["config"])
    explored = Explorer(space, flatten(Config().to_dict()) | {"model.k_neg": 0.25}, seed)(donor)
    assert donor["config"] == before
    assert explored.keys() == {"config", "objectives"}  # the rest is the donor's own
    for parameter in space.parameters:
        new, old = explored["config"][parameter.key], before[parameter.key]
        absent = parameter.key == "model.k_neg" and explored["config"]["model.alpha"] <= 0.5
        assert absent or parameter.contains(new)
        assert type(new) is type(old)
        if parameter.key not in CHANGEABLE:
            assert new == old
    if explored["config"]["model.alpha"] <= 0.5:
        assert explored["config"]["model.k_neg"] == 0.25  # the base's: it is absent there
    unsearched = {key for key in before if key not in point}
    assert all(explored["config"][key] == before[key] for key in unsearched)


def test_exploring_changes_something(space):
    donor = {"objectives": [], "config": flatten(Config().to_dict()) | {"optim.lr": 0.01, "train.batch_size": 32}}
    explore = Explorer(space, flatten(Config().to_dict()), 0)
    rates = {explore(donor)["config"]["optim.lr"] for _ in range(50)}
    assert {0.008, 0.012} < {round(rate, 9) for rate in rates}
    assert len(rates) > 5  # and some are drawn anew
    assert {explore(donor)["config"]["train.batch_size"] for _ in range(50)} == {16, 32, 64}


@pytest.mark.parametrize("mode", ["max", "min"])
def test_trials_that_go_on_are_compared_with_the_standing_that_they_had(space, tmp_path, mode):
    space = replace(space, objectives=(("val_map" if mode == "max" else "val_loss", mode),))
    study = open_study(tmp_path / "study.log", space)
    base = flatten(Config().to_dict())
    for value in (0.2, 0.4, 0.6, 0.8):
        trial = study.ask()
        for epoch in (1, 2, 3, 4, 5):
            trial.report(value + epoch / 100, epoch)
    study.ask()  # one that had not begun
    system = SubTreeFileSystem(str(tmp_path), LocalFileSystem())  # whose paths are no paths elsewhere
    pbt = population(space, study, interval=2, slots=lambda: 4, system=system)
    trials = []
    for number in range(5):
        config = {"config": base, "since": f"{number}/checkpoint" if number < 4 else None}
        name = functools.partial(lambda number, trial: trial_name(number), number)
        trials.append(Trial("decouple", config=config, stub=True, trial_name_creator=name))
        pbt.on_trial_add(SimpleNamespace(get_trials=lambda: trials), trials[-1])
    worst, best = (trials[0], trials[3]) if mode == "max" else (trials[3], trials[0])
    lower, upper = pbt._quantiles()
    assert (lower, upper) == ([worst], [best])
    state = pbt._trial_state[best]
    assert (state.last_checkpoint.path, state.last_checkpoint.filesystem) == (best.config["since"], system)
    assert (state.last_train_time, pbt._trial_state[trials[4]].last_train_time) == (4, 0)
    assert pbt.choose_trial_to_run(SimpleNamespace(get_trials=lambda: trials)) is trials[4]
    # An epoch before the next comparison decides nothing.
    result = {"epoch": 5, space.metric: 0.9}
    assert pbt.on_trial_result(SimpleNamespace(get_trials=lambda: trials), worst, result) == "CONTINUE"
    # Lost and queued again, it keeps its standing, with what it wrote in this run: what it went on from is deleted.
    own = Checkpoint("own", filesystem=system)
    best.run_metadata.checkpoint_manager.register_checkpoint(_TrainingResult(own, {"epoch": 5}))
    pbt.on_trial_add(SimpleNamespace(get_trials=lambda: trials), best)
    assert pbt._trial_state[best].last_score == state.last_score
    assert pbt._trial_state[best].last_checkpoint.path == "own"


def test_a_trial_makes_room_for_one_that_waits_only_where_no_slot_is_free(space, tmp_path, monkeypatch):
    room = 3
    study = open_study(tmp_path / "study.log", space)
    pbt = population(space, study, interval=1, slots=lambda: room, system=LocalFileSystem())
    trials = [Trial("decouple", stub=True) for _ in range(4)]
    for trial in trials[:2]:
        trial.set_status(Trial.RUNNING)
    controller = SimpleNamespace(get_trials=lambda: trials)
    monkeypatch.setattr(PopulationBasedTraining, "on_trial_result", lambda *_: TrialScheduler.PAUSE)
    assert pbt.on_trial_result(controller, trials[0], {}) == TrialScheduler.CONTINUE  # the third gang still starts
    room = 2  # a machine was lost, and its slot with it
    assert pbt.on_trial_result(controller, trials[0], {}) == TrialScheduler.PAUSE
