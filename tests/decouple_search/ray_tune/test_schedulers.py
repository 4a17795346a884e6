"""Tune's scheduler of a search: which trials it stops or pauses after an epoch, and which never."""

import math
from types import SimpleNamespace

import pytest
from ray import cloudpickle
from ray.tune.schedulers import FIFOScheduler

from decouple_search.gang.epoch_result import EpochResult
from decouple_search.ray_tune.population import Population
from decouple_search.ray_tune.recovery import LossPolicy
from decouple_search.ray_tune.requeue import Requeue
from decouple_search.ray_tune.schedulers import (
    PlainScheduler,
    PromotionScheduler,
    SchedulerContext,
    StoppingScheduler,
    tune_scheduler,
)
from decouple_search.ray_tune.trial_spec import TrialSpec
from decouple_search.ray_tune.tune_result import to_tune
from decouple_search.space.yaml_file import load_space
from decouple_search.stopping.scheduler import SCHEDULERS, STOPPING, Scheduler
from decouple_search.study.compat import reopen_trial
from decouple_search.study.finalists import add_repeat
from decouple_search.study.optuna_storage import open_study
from decouple_search.study.record import TrialRecord
from decouple_search.study.screened import add_screened
from decouple_search.study.trial_log import TrialLog
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
        requeue = options.pop("requeue", Requeue())
        policy = LossPolicy(Config(), 2, requeue)
        return SchedulerContext(
            **{"space": space, "config": BASE, "study": study, "seed": 0, "slots": lambda: 1} | options,
            loss_policy=policy,
            requeue=requeue,
        )

    return make


def tune_trial(space, number, **options):
    """The part of a Tune trial that the scheduler reads."""
    spec = TrialSpec(**{"number": number, "config": BASE, "objectives": space.objectives} | options)
    return SimpleNamespace(trial_id=f"id of {number}", config=spec.to_tune())


def report_first_epochs(study, values):
    """Start a trial for each value, which is that of its first epoch."""
    for value in values:
        study.ask().report(value, 1)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_tune_can_pickle_its_scheduler(context, name):
    cloudpickle.dumps(tune_scheduler(Scheduler(name), context()))


@pytest.mark.parametrize("name", SCHEDULERS)
def test_each_scheduler_has_its_kind_of_tunes(context, name):
    kinds = {"promotion": PromotionScheduler, "pbt": Population, "none": PlainScheduler}
    kinds |= dict.fromkeys(STOPPING, StoppingScheduler)
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
    asha = tune_scheduler(Scheduler("asha"), context(space=space, study=study))
    decisions = [
        asha.on_trial_result(
            None, tune_trial(space, number), to_tune(EpochResult(epoch=1, measures={"val_loss": value}))
        )
        for number, value in enumerate((0.1, 0.5))
    ]
    assert decisions == ["CONTINUE", "STOP"]


@pytest.mark.parametrize("name", ["asha", "promotion"])
def test_a_screened_trial_is_stopped_beside_screened_ones_alone(space, study, context, name):
    """Full values, which are higher here, stop no screened trial, and a screened trial is never paused."""
    report_first_epochs(study, (0.8, 0.9))
    for value in (0.1, 0.2, 0.3):
        number = add_screened(study, space, {}, 4)
        reopen_trial(study, number).report(value, 1)
    scheduler = tune_scheduler(Scheduler(name), context())
    screened = BASE | {"train.epochs": 4}
    decisions = [
        scheduler.on_trial_result(
            SimpleNamespace(get_trials=list),
            tune_trial(space, number, screened=True, config=screened),
            to_tune(EpochResult(epoch=1, measures={"val_map": value}, screened=True)),
        )
        for number, value in ((2, 0.1), (3, 0.2), (4, 0.3), (4, math.nan))
    ]
    assert decisions == ["STOP", "STOP", "CONTINUE", "CONTINUE"]
    assert [trial.user_attrs.get("stopped") for trial in study.trials] == [None, None, 1, 1, None]


def test_a_training_of_a_finalist_is_never_stopped_and_stops_no_trial(space, study, context):
    asha = tune_scheduler(Scheduler("asha"), context())
    report_first_epochs(study, (0.4, 0.5))
    add_repeat(study, 0, 17)
    reopen_trial(study, 2).report(0.9, 1)
    finalist = tune_trial(space, 2, repeat_of=0)
    assert asha.on_trial_result(None, finalist, to_tune(EpochResult(epoch=1, measures={"val_map": 0.1}))) == "CONTINUE"
    best = to_tune(EpochResult(epoch=1, measures={"val_map": 0.5}))
    assert asha.on_trial_result(None, tune_trial(space, 1), best) == "CONTINUE"
    assert not any("stopped" in trial.user_attrs for trial in study.trials)


class StubPromotions:
    """Names the trials that keep their slots, and notes when it is asked: the leaving trial, and its epochs by then."""

    def __init__(self, study, *staying):
        self.study, self.staying, self.asked, self.spent = study, staying, [], False

    def next(self, leaving=None):
        """The leaving trial if it stays, or else a new one."""
        self.asked.append((leaving, TrialRecord(self.study.trials[leaving]).epochs))
        return leaving if leaving in self.staying else "new"

    def affords(self, number):
        """Whether there are epochs left for a trial."""
        return not self.spent


@pytest.fixture
def promoting(space, study, context):
    """Make a scheduler that pauses trials, where the named trials keep their slots; the study has two trials."""

    def make(*staying, epochs=9):
        logs = [TrialLog(study, study.ask()) for _ in range(2)]

        def record(trial_id, result):
            logs[int(trial_id.split()[-1])].epoch(result, space.objectives, None)

        requeue, promotions = Requeue(), StubPromotions(study, *staying)
        options = {"requeue": requeue, "promotions": promotions, "record": record}
        scheduler = tune_scheduler(Scheduler("promotion"), context(**options))

        def decide(number, epoch, value=0.5, others=(), **spec):
            trial = tune_trial(space, number, **spec)
            trial.config["config"]["train.epochs"] = epochs
            controller = SimpleNamespace(get_trials=lambda: others)
            return scheduler.on_trial_result(
                controller, trial, to_tune(EpochResult(epoch=epoch, measures={"val_map": value}))
            )

        return SimpleNamespace(scheduler=scheduler, requeue=requeue, promotions=promotions, decide=decide)

    return make


def test_no_trial_is_paused_while_another_waits_for_its_gang(promoting):
    """Otherwise the waiting trial would take over the paused trial's gang, and its own slot would never start."""
    search = promoting()
    waiting, running = (SimpleNamespace(status=status, PENDING="PENDING") for status in ("PENDING", "RUNNING"))
    assert search.decide(0, 1, others=[running, waiting]) == "CONTINUE"
    assert search.promotions.asked == []
    assert search.decide(1, 1, others=[running]) == "STOP"
    search.promotions.spent = True
    assert search.decide(0, 2, others=[waiting]) == "STOP", "no epochs are left for it"


def test_a_trial_is_paused_when_something_else_earns_its_slot_more(promoting):
    search = promoting(1)
    assert [search.decide(number, 1) for number in (0, 1)] == ["STOP", "CONTINUE"]
    assert [search.requeue.is_pausing(f"id of {number}") for number in (0, 1)] == [True, False]


def test_an_epoch_is_in_the_study_before_the_choice(promoting):
    search = promoting(0)
    search.decide(0, 1)
    search.decide(0, 2)
    assert search.promotions.asked == [(0, 1), (0, 2)]


def test_the_choice_is_made_only_after_epochs_at_which_a_trial_may_be_paused(promoting):
    """The further a trial is, the longer it trains at a time."""
    search = promoting(0, epochs=30)
    assert {search.decide(0, epoch) for epoch in range(1, 31)} == {"CONTINUE"}
    assert [epoch for _, epoch in search.promotions.asked] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 19, 22, 26]


def test_a_trial_that_went_on_trains_at_least_until_its_next_pause(promoting):
    search = promoting(epochs=30)
    assert [search.decide(0, epoch) for epoch in (19, 20, 21)] == ["CONTINUE", "CONTINUE", "STOP"]
    assert search.promotions.asked == [(0, 21)]


def test_the_last_epoch_of_a_training_is_no_pause(promoting):
    search = promoting()
    assert search.decide(0, 9) == "CONTINUE"
    assert search.promotions.asked == []


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_trial_is_not_paused_at_a_value_that_is_not_finite(promoting, value):
    search = promoting()
    assert search.decide(0, 1, value) == "CONTINUE"
    assert search.promotions.asked == []
    assert search.decide(0, 2) == "STOP"


def test_a_training_of_a_finalist_is_never_paused(promoting):
    search = promoting()
    assert [search.decide(0, epoch, repeat_of=1) for epoch in range(1, 10)] == ["CONTINUE"] * 9
    assert not search.requeue.has("id of 0")


def test_a_lost_trial_forgets_its_pause_and_may_be_paused_at_the_same_epoch(promoting, space, monkeypatch):
    """Tune restarts it. Its result after that says how it ends, or whether it is paused."""
    search, losses = promoting(), []
    monkeypatch.setattr(search.scheduler.loss_policy, "lost", lambda trial, trials: losses.append(str(trial.trial_id)))
    assert search.decide(0, 1) == "STOP"
    search.scheduler.on_trial_error(SimpleNamespace(get_trials=list), tune_trial(space, 0))
    assert losses == ["id of 0"]
    assert not search.requeue.has("id of 0")
    assert search.decide(0, 1) == "STOP"
    assert search.requeue.is_pausing("id of 0")
