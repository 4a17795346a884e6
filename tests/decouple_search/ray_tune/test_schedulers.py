"""Tune's scheduler of a search: each epoch of a trial is judged once, by the study's curves, and a veto counts."""

import math
from types import SimpleNamespace

import pytest
from ray import cloudpickle
from ray.tune.schedulers import FIFOScheduler

from decouple_search.gang.epoch_result import EpochResult
from decouple_search.ray_tune.population import Population
from decouple_search.ray_tune.recovery import LossPolicy
from decouple_search.ray_tune.requeue import Requeue
from decouple_search.ray_tune.schedulers import PlainScheduler, SchedulerContext, StoppingScheduler, tune_scheduler
from decouple_search.ray_tune.trial_spec import TrialSpec
from decouple_search.ray_tune.tune_result import to_tune
from decouple_search.space.yaml_file import load_space
from decouple_search.stopping.scheduler import SCHEDULERS, STOPPING, Scheduler
from decouple_search.study.compat import reopen_trial
from decouple_search.study.optuna_storage import open_study
from decouplenet.config import Config
from decouplenet.dotted_keys import flatten

BASE = flatten(Config().to_dict()) | {"train.epochs": 9}


@pytest.fixture
def space(space_file):
    return load_space(space_file())


@pytest.fixture
def study(space, tmp_path):
    return open_study(tmp_path / "study.log", space)


@pytest.fixture
def context(space, study):
    """Make what a search gives to its scheduler."""

    def make(**options):
        policy = LossPolicy(Config(), 2, Requeue())
        return SchedulerContext(
            space=space, config=BASE, study=study, seed=0, slots=lambda: 1, loss_policy=policy, **options
        )

    return make


def tune_trial(space, number):
    """The part of a Tune trial that the scheduler reads."""
    return SimpleNamespace(config=TrialSpec(number=number, config=BASE, objectives=space.objectives).to_tune())


def report_first_epochs(study, values):
    """Start a trial for each value, which is that of its first epoch."""
    for value in values:
        study.ask().report(value, 1)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_tune_can_pickle_its_scheduler(context, name):
    cloudpickle.dumps(tune_scheduler(Scheduler(name), context()))


@pytest.mark.parametrize("name", SCHEDULERS)
def test_each_scheduler_has_its_kind_of_tunes(context, name):
    kinds = {"pbt": Population, "none": PlainScheduler} | dict.fromkeys(STOPPING, StoppingScheduler)
    scheduler = tune_scheduler(Scheduler(name), context())
    assert type(scheduler) is kinds[name]
    assert isinstance(scheduler, FIFOScheduler)


def test_an_epoch_is_judged_once(space, study, context):
    """An epoch that is trained a second time, after the search was killed or a worker was lost, was judged before."""
    asha = tune_scheduler(Scheduler("asha"), context())
    report_first_epochs(study, (0.1, 0.5))
    trial = tune_trial(space, 0)
    first_epoch = to_tune(EpochResult(epoch=1, measures={"val_map": 0.1}))
    assert asha.on_trial_result(None, trial, first_epoch) == "STOP"
    assert study.trials[0].user_attrs["stopped"] == 1
    assert asha.on_trial_result(None, trial, first_epoch) == "CONTINUE"
    reopen_trial(study, 0).set_user_attr("epochs", 2)
    resumed = tune_scheduler(Scheduler("asha"), context())
    assert resumed.on_trial_result(None, trial, first_epoch) == "CONTINUE"
    assert resumed.on_trial_result(None, trial, to_tune(EpochResult(epoch=3, failure="no"))) == "CONTINUE"


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_a_value_that_is_not_finite_stops_no_trial(space, study, context, value):
    asha = tune_scheduler(Scheduler("asha"), context())
    report_first_epochs(study, (0.1, 0.5))
    result = to_tune(EpochResult(epoch=1, measures={"val_map": value}))
    assert asha.on_trial_result(None, tune_trial(space, 0), result) == "CONTINUE"
    assert "stopped" not in study.trials[0].user_attrs


def test_a_lower_loss_is_better(space_file, tmp_path, context):
    space = load_space(space_file(("trials: 4", "objective: {metric: val_loss}")))
    study = open_study(tmp_path / "losses.log", space)
    report_first_epochs(study, (0.1, 0.5))
    policy = LossPolicy(Config(), 2, Requeue())
    losses = SchedulerContext(space=space, config=BASE, study=study, seed=0, slots=lambda: 1, loss_policy=policy)
    asha = tune_scheduler(Scheduler("asha"), losses)
    decisions = [
        asha.on_trial_result(
            None, tune_trial(space, number), to_tune(EpochResult(epoch=1, measures={"val_loss": value}))
        )
        for number, value in enumerate((0.1, 0.5))
    ]
    assert decisions == ["CONTINUE", "STOP"]


def test_a_trial_with_a_veto_against_its_stop_continues(space, study, context):
    asked = []

    def veto(number, epoch, value):
        asked.append((number, epoch, value))
        return value > 0.2

    asha = tune_scheduler(Scheduler("asha"), context(stop_veto=veto))
    values = (0.1, 0.3, 0.5)
    report_first_epochs(study, values)
    decisions = [
        asha.on_trial_result(
            None, tune_trial(space, number), to_tune(EpochResult(epoch=1, measures={"val_map": value}))
        )
        for number, value in enumerate(values)
    ]
    assert decisions == ["STOP", "CONTINUE", "CONTINUE"]
    assert asked == [(0, 1, 0.1), (1, 1, 0.3)]  # the third is not to be stopped anyway
    assert ["stopped" in trial.user_attrs for trial in study.trials] == [True, False, False]
