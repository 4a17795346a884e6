"""Population-based training: what it may change, and how a population is restored after a crash."""

import functools
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem
from ray.train._internal.session import _TrainingResult
from ray.tune import Checkpoint
from ray.tune.experiment import Trial
from ray.tune.schedulers import PopulationBasedTraining, TrialScheduler

from decouple_search.ray_tune.population import Explorer, Population
from decouple_search.ray_tune.recovery import LossPolicy
from decouple_search.ray_tune.requeue import Requeue
from decouple_search.ray_tune.trial_spec import TrialSpec
from decouple_search.ray_tune.tune_result import from_tune
from decouple_search.space.objective import Objective
from decouple_search.stopping.scheduler import CHANGEABLE
from decouple_search.study.optuna_storage import open_study
from decouple_search.study.record import trial_name
from decouplenet.config import Config
from decouplenet.dotted_keys import flatten
from tests.decouple_search.spaces import varied

BASE = flatten(Config().to_dict())
OBJECTIVES = (Objective("val_map", "max"),)


def make_population(space, study, *, interval, slots, filesystem):
    """Tune's scheduler of a population of the default configuration."""
    return Population(
        interval,
        space,
        BASE,
        study=study,
        seed=0,
        slots=slots,
        loss_policy=LossPolicy(Config(), 2, Requeue()),
        filesystem=filesystem,
    )


def make_spec(number, **options):
    return TrialSpec(number=number, **({"config": BASE, "objectives": OBJECTIVES} | options))


@given(st.integers(0, 1000), st.data())
def test_explore_stays_in_the_space_and_keeps_the_network(space, seed, data):
    point = {
        "model.maps_per_class": 3,
        "model.attention": "arch1",
        "model.alpha": data.draw(st.floats(0, 1)),
        "model.k_neg": 0.3,
        "optim.lr": data.draw(st.floats(1e-4, 1e-1)),
        "optim.momentum": data.draw(st.sampled_from([0.5, 0.7, 0.95])),
        "train.batch_size": data.draw(st.sampled_from([16, 32, 64])),
    }
    donor = make_spec(4, config=BASE | point, checkpoint="there", attempt=2, given_up="its worker was lost").to_tune()
    before = dict(donor["config"])
    explored = TrialSpec.from_tune(Explorer(space, BASE | {"model.k_neg": 0.25}, seed)(donor))
    assert donor["config"] == before
    assert explored == make_spec(None, config=explored.config), "only the configuration is the donor's"
    for parameter in space.parameters:
        new, old = explored.config[parameter.key], before[parameter.key]
        absent = parameter.key == "model.k_neg" and explored.config["model.alpha"] <= 0.5
        assert absent or parameter.contains(new)
        assert type(new) is type(old)
        if parameter.key not in CHANGEABLE:
            assert new == old
    if explored.config["model.alpha"] <= 0.5:
        assert explored.config["model.k_neg"] == 0.25, "an absent parameter has the value of the base"
    fixed = {key for key in before if key not in point}
    assert all(explored.config[key] == before[key] for key in fixed)


def test_explore_changes_values_by_a_fifth_and_draws_some_anew(space):
    donor = make_spec(0, config=BASE | {"optim.lr": 0.01, "train.batch_size": 32}).to_tune()
    explore = Explorer(space, BASE, 0)
    rates = {explore(donor)["config"]["optim.lr"] for _ in range(50)}
    assert {0.008, 0.012} < {round(rate, 9) for rate in rates}
    assert len(rates) > 5
    assert {explore(donor)["config"]["train.batch_size"] for _ in range(50)} == {16, 32, 64}


@pytest.mark.parametrize("mode", ["max", "min"])
def test_resumed_trials_are_compared_with_their_earlier_standing(space, tmp_path, mode):
    space = varied(space, objectives=(Objective("val_map" if mode == "max" else "val_loss", mode),))
    study = open_study(tmp_path / "study.log", space)
    for value in (0.2, 0.4, 0.6, 0.8):
        trial = study.ask()
        for epoch in (1, 2, 3, 4, 5):
            trial.report(value + epoch / 100, epoch)
    study.ask()  # a trial without an epoch
    filesystem = SubTreeFileSystem(str(tmp_path), LocalFileSystem())  # its paths are valid only in it
    pbt = make_population(space, study, interval=2, slots=lambda: 4, filesystem=filesystem)
    trials = []
    controller = SimpleNamespace(get_trials=lambda: trials)
    for number in range(5):
        spec = make_spec(number, checkpoint=f"{number}/checkpoint" if number < 4 else None)
        name = functools.partial(lambda number, trial: trial_name(number), number)
        trials.append(Trial("decouple", config=spec.to_tune(), stub=True, trial_name_creator=name))
        pbt.on_trial_add(controller, trials[-1])
    worst, best = (trials[0], trials[3]) if mode == "max" else (trials[3], trials[0])
    lower, upper = pbt._quantiles()
    assert (lower, upper) == ([worst], [best])
    state = pbt._trial_state[best]
    assert (state.last_checkpoint.path, state.last_checkpoint.filesystem) == (best.config["checkpoint"], filesystem)
    assert (state.last_train_time, pbt._trial_state[trials[4]].last_train_time) == (4, 0)
    assert pbt.choose_trial_to_run(controller) is trials[4]
    # Tune gives this result to a trial that continues from the checkpoint, and callbacks read it.
    assert from_tune(state.last_result).epoch == 4
    # An epoch before the next comparison decides nothing.
    result = {"epoch": 5, space.metric: 0.9}
    assert pbt.on_trial_result(controller, worst, result) == "CONTINUE"
    # A trial that is lost and queued again keeps its standing, with the checkpoint that it wrote in this run: the
    # checkpoint that it resumed from is deleted by then.
    newer = Checkpoint("newer", filesystem=filesystem)
    best.run_metadata.checkpoint_manager.register_checkpoint(_TrainingResult(newer, {"epoch": 5}))
    pbt.on_trial_add(controller, best)
    assert pbt._trial_state[best].last_score == state.last_score
    assert pbt._trial_state[best].last_checkpoint.path == "newer"


def test_a_trial_is_paused_for_a_waiting_one_only_if_no_slot_is_free(space, tmp_path, monkeypatch):
    slots = 3
    study = open_study(tmp_path / "study.log", space)
    pbt = make_population(space, study, interval=1, slots=lambda: slots, filesystem=LocalFileSystem())
    trials = [Trial("decouple", stub=True) for _ in range(4)]
    for trial in trials[:2]:
        trial.set_status(Trial.RUNNING)
    controller = SimpleNamespace(get_trials=lambda: trials)
    monkeypatch.setattr(PopulationBasedTraining, "on_trial_result", lambda *_: TrialScheduler.PAUSE)
    assert pbt.on_trial_result(controller, trials[0], {}) == TrialScheduler.CONTINUE  # the third gang still starts
    slots = 2  # a machine was lost, and its slot with it
    assert pbt.on_trial_result(controller, trials[0], {}) == TrialScheduler.PAUSE
