"""The contract with Ray Tune: one test per name of `compat.py`, which says what a new version of Ray broke."""

import inspect
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from ray import tune
from ray._common.usage import usage_constants, usage_lib
from ray.train._internal import storage
from ray.train._internal.session import _TrainingResult
from ray.tune.constants import TUNE_ENV_VARS
from ray.tune.execution import tune_controller
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.experimental.output import get_air_verbosity
from ray.tune.schedulers import PopulationBasedTraining, TrialScheduler
from ray.tune.schedulers.pbt import _PBTTrialState
from ray.tune.search import SearchGenerator
from ray.tune.utils import flatten_dict
from ray.tune.utils.callback import _create_default_callbacks

from decouple_search.gang.epoch_result import EpochResult
from decouple_search.ray_tune import compat
from decouple_search.ray_tune.tune_result import from_tune, to_tune


@pytest.fixture
def trial():
    return Trial("decouple", stub=True)


@pytest.fixture
def stored_trial(tmp_path, monkeypatch):
    """A trial with a folder for its files."""
    monkeypatch.setattr(storage, "_get_ray_train_session_dir", lambda: str(tmp_path))  # the session of a running Ray
    context = storage.StorageContext(str(tmp_path), experiment_dir_name="experiment", trial_dir_name="trial")
    trial = Trial("decouple", stub=True, storage=context)
    trial.init_local_path()
    return trial


class EventLog:
    """Takes the place of each part of Tune's controller, and lists its calls as `part.method`."""

    def __init__(self, decision=TrialScheduler.CONTINUE):
        self.calls = []
        self.decision = decision

    def part(self, name):
        """An object that takes the place of a part, whatever its methods are."""
        log = self

        class Part:
            def __getattr__(self, method):
                def call(*arguments, **options):
                    log.calls.append(f"{name}.{method}")
                    return log.decision if method == "on_trial_result" and name == "scheduler" else None

                return call

        return Part()


def stub_controller(log, **attributes):
    """An object with the attributes of `TuneController` that handle a trial's events, without Ray."""
    return SimpleNamespace(
        _scheduler_alg=log.part("scheduler"),
        _search_alg=log.part("searcher"),
        _callbacks=log.part("callbacks"),
        _stopper=lambda trial_id, result: False,
        _validate_result_metrics=lambda result: None,
        _wrapped=lambda: None,
        _mark_trial_to_checkpoint=lambda trial: None,
        _checkpoint_trial_if_needed=lambda trial, force: log.calls.append(f"checkpoint force={force}"),
        _queue_decision=lambda trial, decision: None,
        _cached_trial_decisions={},
        _schedule_trial_stop=lambda trial, exception: None,
        _try_recover=lambda trial, exc: log.calls.append("recover"),
        _trials=[],
        _iteration=0,
        _total_time=0.0,
        **attributes,
    )


def test_tune_reads_the_environment_variables_that_are_set_here():
    names = (
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS",
        "TUNE_DISABLE_STRICT_METRIC_CHECKING",
        "TUNE_GLOBAL_CHECKPOINT_S",
        "TUNE_MAX_PENDING_TRIALS_PG",
    )
    for name in names:
        assert name in TUNE_ENV_VARS, f"Ray Tune does not know the environment variable {name} any more"


def test_no_usage_statistics_are_sent(monkeypatch):
    assert usage_constants.USAGE_STATS_ENABLED_ENV_VAR == "RAY_USAGE_STATS_ENABLED", "Ray renamed the variable"
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    assert not usage_lib.usage_stats_enabled(), "RAY_USAGE_STATS_ENABLED=0 does not stop Ray's usage statistics"


def test_tune_adds_no_loggers_of_its_own(monkeypatch):
    monkeypatch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    added = [type(callback).__name__ for callback in _create_default_callbacks([], metric="val_map")]
    loggers = [name for name in added if "Logger" in name]
    assert loggers == [], f"with TUNE_DISABLE_AUTO_CALLBACK_LOGGERS=1 Tune adds {loggers} beside our own tables"


def test_a_failed_trial_may_report_no_metric(monkeypatch):
    monkeypatch.setenv("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
    controller = SimpleNamespace(
        _metric="val_map",
        _scheduler_alg=SimpleNamespace(metric="val_map"),
        _search_alg=SimpleNamespace(metric="val_map"),
    )
    failed = to_tune(EpochResult(epoch=0, failure="out of memory"), done=True)
    TuneController._validate_result_metrics(controller, failed)  # raises ValueError where the variable has no effect


def test_the_old_output_is_used_because_it_follows_verbose(monkeypatch):
    monkeypatch.setenv("RAY_AIR_NEW_OUTPUT", "0")
    assert get_air_verbosity(0) is None, "RAY_AIR_NEW_OUTPUT=0 does not choose the output that verbose=0 silences"


def test_the_period_of_tunes_own_checkpoints_is_read_as_a_number():
    source = inspect.getsource(TuneController.__init__)
    assert 'os.getenv("TUNE_GLOBAL_CHECKPOINT_S"' in source, "Tune does not read TUNE_GLOBAL_CHECKPOINT_S any more"


def test_importing_compat_sets_the_variables():
    expected = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
        "RAY_AIR_NEW_OUTPUT": "0",
        "TUNE_GLOBAL_CHECKPOINT_S": "inf",
    }
    code = "import os, json, decouple_search.ray_tune.compat; print(json.dumps(dict(os.environ)))"
    clean = {name: value for name, value in os.environ.items() if name not in expected}
    run = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True)
    environment = json.loads(run.stdout)
    assert {name: environment.get(name) for name in expected} == expected, "a variable is not set by the import"


@pytest.mark.parametrize("name", ["DONE", "SHOULD_CHECKPOINT"])
def test_the_entries_of_a_result_that_tune_acts_on(trial, name):
    key = getattr(compat, name)
    if name == "DONE":
        assert trial.should_stop({key: True}), f"Tune does not end a trial whose result has {key!r}"
        return
    log = EventLog()
    TuneController._process_trial_result(stub_controller(log), trial, {key: True})
    assert "checkpoint force=True" in log.calls, f"Tune writes no checkpoint for a result that has {key!r}"


def test_config_prefix():
    class Formula(tune.Trainable):
        def step(self):
            return to_tune(EpochResult(epoch=1, measures={"val_map": 0.5}))

    config = {"number": 0, "config": {"optim.lr": 0.1, "train.deepspeed_config": None}}
    result = Formula(config=config).train()
    assert result["config"] == config, "Trainable.train does not put the trial's config into the result"
    flat = flatten_dict(result)
    assert flat[f"{compat.CONFIG_PREFIX}config/optim.lr"] == 0.1, "Tune flattens the config under another prefix"
    for carried in (result, flat):
        assert from_tune(carried).config == config["config"], "the config that trained an epoch is not in its result"


def test_allow_pending_trials(monkeypatch):
    monkeypatch.setenv("TUNE_MAX_PENDING_TRIALS_PG", "1")
    compat.allow_pending_trials(7)
    assert tune_controller._get_max_pending_trials(None) == 7, "Tune does not let 7 trials wait for their resources"


def test_is_pending(trial):
    assert compat.is_pending(trial), "a new trial of Tune is not PENDING"
    trial.set_status(Trial.RUNNING)
    assert not compat.is_pending(trial), "a running trial of Tune is PENDING"


def test_is_running(trial):
    assert not compat.is_running(trial), "a new trial of Tune is RUNNING"
    trial.set_status(Trial.RUNNING)
    assert compat.is_running(trial), "a trial that Tune set to RUNNING is not RUNNING"


def test_replace_config(trial):
    compat.replace_config(trial, {"number": 3})
    assert trial.config == {"number": 3}, "Trial.set_config does not replace the config"


def test_replace_resources_and_bundles_of(trial):
    workers = [{"CPU": 1.0}, {"CPU": 2.0}]
    compat.replace_resources(trial, tune.PlacementGroupFactory([{}, *workers]))
    assert compat.bundles_of(trial) == workers, "Trial.update_resources does not replace the placement group"


def test_restart_checkpoint(trial):
    assert compat.restart_checkpoint(trial) is None, "a trial without checkpoints has one"
    checkpoint = tune.Checkpoint("/somewhere/checkpoint_000000")
    trial.run_metadata.checkpoint_manager.register_checkpoint(_TrainingResult(checkpoint, {}))
    assert compat.restart_checkpoint(trial).path == "/somewhere/checkpoint_000000", (
        "Trial.checkpoint is not the newest checkpoint that the trial wrote"
    )


def test_restart_paths(trial):
    ended, without = Trial("decouple", stub=True), Trial("decouple", stub=True)
    for each in (trial, ended):
        checkpoint = tune.Checkpoint(f"/{each.trial_id}")
        each.run_metadata.checkpoint_manager.register_checkpoint(_TrainingResult(checkpoint, {}))
    for status in (Trial.TERMINATED, Trial.ERROR):
        ended.set_status(status)
        assert compat.restart_paths([trial, ended, without]) == {f"/{trial.trial_id}"}, (
            f"a trial whose status is {status} counts as one that would restart"
        )


def test_last_failure(stored_trial):
    assert compat.last_failure(stored_trial) == "", "a trial without failures has one"
    for text in ("first", "second"):
        stored_trial.handle_error(RuntimeError(text))
    failure = compat.last_failure(stored_trial)
    assert "second" in failure, "Tune does not write a trial's failure into error.txt in Trial.local_path"
    assert "first" not in failure, "Tune does not start each failure in error.txt with 'Failure # '"


def test_a_trials_text_is_the_name_of_the_name_creator():
    trial = Trial("decouple", stub=True, trial_name_creator=lambda trial: "0007")
    assert str(trial) == "0007", "a trial's text is not the name that trial_name_creator gave"


def test_all_trials_of():
    controller = SimpleNamespace(_trials=["a", "b"])
    controller.get_trials = lambda: TuneController.get_trials(controller)
    assert compat.all_trials_of(controller) == ["a", "b"], "TuneController.get_trials does not give all trials"


def test_stop_trial():
    controller = SimpleNamespace(_stop_queue=[], stopped=[])
    controller.request_stop_trial = lambda trial: TuneController.request_stop_trial(controller, trial)
    controller.stop_trial = lambda trial: controller.stopped.append(trial)
    compat.stop_trial(controller, "a")
    TuneController._process_stop_requests(controller)
    assert controller.stopped == ["a"], "TuneController.request_stop_trial does not stop the trial later"


def make_pbt():
    return PopulationBasedTraining(
        time_attr="epoch", metric="val_map", mode="max", custom_explore_fn=lambda config: config
    )


def test_without_searcher(trial):
    controller = SimpleNamespace(search_alg=object.__new__(SearchGenerator), get_trials=lambda: [trial])
    with pytest.raises(ValueError, match="cannot be used"):  # if it accepts one now, without_searcher can go
        make_pbt().on_trial_add(controller, trial)
    pbt = make_pbt()
    pbt.on_trial_add(compat.without_searcher(controller), trial)
    assert trial in pbt._trial_state, "PopulationBasedTraining does not add a trial of a controller without searcher"


def test_restore_standing():
    fields = {"last_train_time", "last_perturbation_time", "last_score", "last_checkpoint", "last_result"}
    missing = fields - vars(_PBTTrialState(Trial("decouple", stub=True))).keys()
    assert not missing, f"the state of a trial in PopulationBasedTraining has no {missing} any more"
    pbt, trials = make_pbt(), [Trial("decouple", stub=True) for _ in range(4)]
    controller = SimpleNamespace(search_alg=None, get_trials=lambda: trials)
    for utility, trial in enumerate(trials):
        pbt.on_trial_add(controller, trial)
        compat.restore_standing(
            pbt, trial, epoch=4, utility=utility, checkpoint=f"checkpoint {utility}", result={"epoch": 4}
        )
    lower, upper = pbt._quantiles()
    assert (lower, upper) == ([trials[0]], [trials[3]]), "restored trials are not compared by the utility"
    assert pbt._trial_state[trials[3]].last_checkpoint == "checkpoint 3", "a donor's checkpoint is not the restored one"


@pytest.mark.parametrize("decision", [TrialScheduler.CONTINUE, TrialScheduler.STOP])
def test_tune_asks_the_scheduler_before_the_callbacks_hear_of_a_result(trial, decision):
    """The recorder is a callback: the scheduler judges an epoch by what the study had before it."""
    log = EventLog(decision)
    TuneController._process_trial_result(stub_controller(log), trial, to_tune(EpochResult(epoch=1)))
    events = [call for call in log.calls if call.endswith("on_trial_result")]
    searcher = [] if decision == TrialScheduler.STOP else ["searcher.on_trial_result"]
    assert events == ["scheduler.on_trial_result", *searcher, "callbacks.on_trial_result"], (
        f"Tune's order after a result whose decision is {decision} has changed"
    )


def test_tune_asks_the_stopper_before_the_callbacks_hear_of_a_result(trial):
    log = EventLog()
    controller = stub_controller(log)
    controller._stopper = lambda trial_id, result: log.calls.append("stopper") or False
    TuneController._process_trial_result(controller, trial, to_tune(EpochResult(epoch=1)))
    assert log.calls[0] == "stopper", "Budget has to mark a trial to be requeued before the searcher hears of its end"


def test_tune_asks_the_scheduler_before_searcher_and_callbacks_hear_of_a_lost_start(stored_trial):
    """The policy for losses marks a trial to be requeued. Searcher and callbacks ask whether it is marked."""
    log = EventLog()
    TuneController._process_trial_failure(stub_controller(log), stored_trial, RuntimeError("lost"))
    assert log.calls == ["scheduler.on_trial_error", "searcher.on_trial_complete", "callbacks.on_trial_error"], (
        "Tune's order after a trial was lost while it started has changed"
    )


def test_tune_recovers_a_running_trial_before_the_callbacks_hear_of_it(stored_trial):
    log = EventLog()
    stored_trial.set_status(Trial.RUNNING)
    stored_trial.max_failures = -1
    TuneController._process_trial_failure(stub_controller(log), stored_trial, RuntimeError("lost"))
    assert log.calls == ["recover", "callbacks.on_trial_recover"], "Tune does not restart a lost trial that was running"


def test_tune_tells_the_scheduler_of_a_loss_before_it_queues_the_trial_again(trial):
    log = EventLog()
    controller = stub_controller(log, _live_trials=set())
    controller._trials = [trial]
    controller._set_trial_status = lambda trial, status: log.calls.append(status)
    TuneController._requeue_trial(controller, trial)
    assert log.calls == ["scheduler.on_trial_error", Trial.PENDING, "scheduler.on_trial_add"], (
        "the policy for losses cannot change a trial before it is queued"
    )


def test_a_trial_without_results_has_no_epoch(trial):
    assert "epoch" not in trial.last_result, "Tune fills in a result of its own that looks like an epoch"
