"""The Optuna study as Tune's searcher: what it proposes, and what it records of trials that end in each way."""

import json
import math

import optuna
import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher
from ray.tune.utils import flatten_dict

from decouple_search.gang.epoch_result import EpochResult
from decouple_search.ray_tune.requeue import Requeue
from decouple_search.ray_tune.searcher import EpochRecorder, Proposals, StudySearcher
from decouple_search.ray_tune.trial_spec import TrialSpec
from decouple_search.samplers.registry import SAMPLERS, make_sampler
from decouple_search.space.domain import Float
from decouple_search.space.space import Space
from decouple_search.space.yaml_file import load_space
from decouple_search.study.optuna_storage import STUDY_NAME, open_study
from decouple_search.study.ranges import RangeWatch
from decouple_search.study.record import TrialRecord, all_trials, own_trials
from decouple_search.study.resume import ResumableTrial
from decouplenet.command_line import parse_config
from decouplenet.dotted_keys import flatten
from tests.decouple_search.ray_tune.stubs import StubTrial, epoch_dict, failure_dict


@pytest.fixture
def space(space_file):
    return load_space(space_file())


@pytest.fixture
def study(space, tmp_path):
    """A new study, with its start points."""
    return new_study(tmp_path / "study.log", space)


@pytest.fixture
def searcher(study, space):
    """A searcher of four trials, two at a time."""
    return make_searcher(study, space, trials=4, slots=2)


def new_study(file, space):
    study = open_study(file, space)
    for point in space.checked_start():
        study.enqueue_trial(point)
    return study


def base_config(space):
    """The complete base configuration of a space, dotted."""
    return flatten(parse_config(space.base).to_dict())


def make_searcher(study, space, *, trials, slots, sampler="random", seed=0, requeue=None, **options):
    """A searcher of a study; `slots` is a number, or a function that gives it."""
    epochs = base_config(space)["train.epochs"]

    def prepare(number):
        study.sampler = make_sampler(sampler, space, epochs, seed, number)

    slots_now = slots if callable(slots) else lambda: slots
    proposals = Proposals(trials=trials, slots=slots_now, prepare=prepare, **options)
    return StudySearcher(study, space, base_config(space), proposals, requeue)


def suggest(searcher, trial_id):
    """The specification of the trial that the searcher proposes."""
    return TrialSpec.from_tune(searcher.suggest(trial_id))


def with_config(result, config):
    """A result with the config that trained it, flattened as Tune does for searchers and schedulers."""
    return flatten_dict(result | {"config": {"number": 0, "config": dict(config)}})


def test_a_proposed_configuration_is_complete_and_the_start_point_comes_first(searcher):
    first = suggest(searcher, "a")
    assert first.number == 0
    assert first.config["model.maps_per_class"] == 2
    assert first.config["model.alpha"] == 0.1
    assert set(first.config) == set(flatten(parse_config({}).to_dict()))
    assert (first.checkpoint, first.attempt, first.given_up) == (None, 0, None)


def test_a_specification_has_the_objectives_of_the_space(searcher, space):
    assert suggest(searcher, "a").objectives == space.objectives


def test_it_proposes_as_many_trials_as_there_are_slots_and_as_many_as_the_search_has(searcher):
    assert searcher.suggest("a")
    assert searcher.suggest("b")
    assert searcher.suggest("c") is None
    for ended, following in (("a", "c"), ("b", "d")):
        searcher.on_trial_complete(ended, epoch_dict(3, 0.5))
        assert searcher.suggest(following)
    assert searcher.suggest("e") is None


def test_it_is_finished_only_after_the_last_trial_has_ended(study, space):
    searcher = make_searcher(study, space, trials=2, slots=2)
    assert searcher.suggest("a")
    assert searcher.suggest("b")
    searcher.on_trial_complete("a", epoch_dict(3, 0.5))
    assert searcher.suggest("c") is None
    searcher.on_trial_complete("b", epoch_dict(3, 0.5))
    assert searcher.suggest("c") == Searcher.FINISHED


def test_results_of_a_trial_that_has_ended_are_ignored(searcher, study):
    searcher.suggest("a")
    searcher.on_trial_complete("a", epoch_dict(3, 0.5))
    searcher.on_trial_result("a", epoch_dict(4, 0.9))
    searcher.on_trial_complete("a", epoch_dict(4, 0.9))
    assert study.trials[0].intermediate_values == {3: 0.5}


def test_a_requeued_trial_is_proposed_once_more_from_its_checkpoint(study, space):
    requeue = Requeue()
    searcher = make_searcher(
        study,
        space,
        trials=2,
        slots=2,
        requeue=requeue,
        resume_point=lambda number: ResumableTrial(number, "its checkpoint", {"optim.lr": 0.005}),
    )
    first = suggest(searcher, "a")
    assert suggest(searcher, "b").number == 1
    requeue.mark("a")
    searcher.on_trial_complete("a", error=True)
    assert study.trials[0].state.name == "RUNNING"
    requeued = suggest(searcher, "c")
    assert (requeued.number, requeued.checkpoint, requeued.attempt) == (0, "its checkpoint", 1)
    assert requeued.config == first.config | {"optim.lr": 0.005}  # the values that the checkpoint was trained with
    searcher.on_trial_complete("c", epoch_dict(3, 0.5))
    searcher.on_trial_complete("b", error=True)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL"]


def test_the_number_of_slots_may_change(study, space):
    slots = [1]
    searcher = make_searcher(study, space, trials=2, slots=lambda: slots[0])
    assert searcher.suggest("a")
    assert searcher.suggest("b") is None
    slots[0] = 2  # a machine has joined
    assert suggest(searcher, "b").number == 1


def test_each_way_in_which_a_trial_ends(searcher, study):
    for name in "ab":
        searcher.suggest(name)
    searcher.on_trial_result("a", epoch_dict(1, 0.3))
    searcher.on_trial_result("a", epoch_dict(2, 0.6))
    searcher.on_trial_complete("a", epoch_dict(3, 0.5))
    searcher.on_trial_result("b", epoch_dict(1, 0.2))
    searcher.on_trial_complete("b", epoch_dict(2, 0.1))
    for name in "cd":
        searcher.suggest(name)
    searcher.on_trial_result("c", epoch_dict(1, 0.4))
    searcher.on_trial_complete("c", failure_dict("the loss is nan in epoch 2", epoch=1))
    searcher.on_trial_complete("d", None, error=True)
    trials = study.trials
    assert [trial.state for trial in trials] == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.FAIL,
        TrialState.FAIL,
    ]
    assert trials[0].value == 0.6, "a trial's value is that of its best epoch, as in the leaderboard"
    assert trials[0].intermediate_values == {1: 0.3, 2: 0.6, 3: 0.5}
    assert trials[1].intermediate_values == {1: 0.2, 2: 0.1}
    records = [TrialRecord(trial) for trial in trials]
    assert records[0].best_epoch == 2
    assert records[2].failure == "the loss is nan in epoch 2"
    assert records[3].failure == "a worker was lost"


def test_a_trial_that_is_stopped_before_its_first_result_fails(searcher, study):
    """Tune then gives a result that has its id and no epoch."""
    searcher.suggest("a")
    searcher.on_trial_complete("a", {"trial_id": "a"})
    assert TrialRecord(study.trials[0]).failure == "stopped before its first epoch ended"


def test_an_epoch_that_is_trained_twice_counts_once(searcher, study):
    searcher.suggest("a")
    for result in (epoch_dict(1, 0.3), epoch_dict(2, 0.4), epoch_dict(2, 0.4)):
        searcher.on_trial_result("a", result)
    searcher.on_trial_complete("a", epoch_dict(3, 0.5))
    assert study.trials[0].intermediate_values == {1: 0.3, 2: 0.4, 3: 0.5}
    assert TrialRecord(study.trials[0]).seconds == 3 * 2.5


def test_the_parameters_are_those_that_trained_the_best_epoch(searcher, study, space):
    """PBT takes a donor's configuration, and changes it."""
    proposed = suggest(searcher, "a").config
    searcher.on_trial_result("a", with_config(epoch_dict(1, 0.3), proposed))
    donors = proposed | {"model.maps_per_class": 3, "model.alpha": 0.9, "model.k_neg": 0.5, "optim.lr": 0.004}
    lineage = ("0001 epoch 1",)
    searcher.on_trial_result("a", with_config(epoch_dict(2, 0.6, lineage=lineage), donors))
    worse = donors | {"optim.lr": 0.001}
    searcher.on_trial_complete("a", with_config(epoch_dict(3, 0.5, lineage=lineage), worse))
    trial, record = study.trials[0], TrialRecord(study.trials[0])
    assert record.parameters == {key: donors[key] for key in space.keys}
    assert trial.params == {key: proposed[key] for key in trial.params}, "Optuna keeps the proposed parameters"
    assert record.lineage == lineage


def test_parameters_that_did_not_change_are_not_recorded_twice(searcher, study):
    proposed = suggest(searcher, "a").config
    searcher.on_trial_complete("a", with_config(epoch_dict(3, 0.3), proposed))
    assert "in_force" not in study.trials[0].user_attrs


def test_end_running_ends_started_and_waiting_trials(searcher, study, space):
    searcher.suggest("a")
    searcher.suggest("b")
    searcher.on_trial_result("a", epoch_dict(1, 0.3))
    assert searcher.running == 2
    resumable = [ResumableTrial(number, None, {}) for number in (0, 1)]
    resumed = make_searcher(study, space, trials=2, slots=1, resumable=resumable)
    resumed.suggest("x")  # and the other trial waits to be resumed
    resumed.end_running()
    assert [trial.state for trial in study.trials] == [TrialState.PRUNED, TrialState.FAIL]
    assert resumed.running == 0


def test_incomplete_start_points_are_filled_in_differently(space_file, tmp_path):
    points = "\n".join(f"  - {{model.maps_per_class: {maps}}}" for maps in (1, 2, 3))
    old = "  - {model.maps_per_class: 2, model.alpha: 0.1, model.k_neg: 0.2}"
    space = load_space(space_file((old, points)))
    study = new_study(tmp_path / "start.log", space)
    searcher = make_searcher(study, space, trials=4, slots=4, sampler="gp")
    rates = [suggest(searcher, name).config["optim.lr"] for name in "abcd"]
    assert len(set(rates)) == 4


def test_trials_of_an_earlier_run_are_resumed_first_and_proposed_once(searcher, study, space):
    proposed = [suggest(searcher, name).config for name in "ab"]
    searcher.on_trial_result("a", epoch_dict(1, 0.3))
    searcher.on_trial_complete("b", epoch_dict(3, 0.2))
    del searcher  # the process is killed
    resumable = [ResumableTrial(0, "checkpoint", {"optim.lr": 0.005})]
    resumed = make_searcher(study, space, trials=4, slots=1, resumable=resumable)
    assert (resumed.proposed, resumed.running) == (1, 1)
    first = suggest(resumed, "x")
    assert (first.number, first.checkpoint, first.attempt) == (0, "checkpoint", 0)
    assert first.config == proposed[0] | {"optim.lr": 0.005}
    resumed.on_trial_result("x", epoch_dict(1, 0.3))  # trained a second time
    resumed.on_trial_result("x", epoch_dict(2, 0.4))
    resumed.on_trial_complete("x", epoch_dict(3, 0.5))
    assert study.trials[0].intermediate_values == {1: 0.3, 2: 0.4, 3: 0.5}
    for number in (2, 3):
        assert suggest(resumed, str(number)).number == number
        resumed.on_trial_complete(str(number), epoch_dict(3, 0.1))
    assert resumed.suggest("z") == Searcher.FINISHED
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4


def test_a_trial_that_the_study_has_without_parameters_is_proposed(study, space):
    """The search was killed after it asked the study, and before it proposed the trial."""
    study.sampler = make_sampler("random", space, 3, 0, 0)
    study.ask()
    resumable = [ResumableTrial(0, None, {})]
    config = suggest(make_searcher(study, space, trials=1, slots=1, resumable=resumable), "x").config
    assert {key: config[key] for key in study.trials[0].params} == study.trials[0].params
    assert config["model.maps_per_class"] == 2  # the start point's


def test_all_objectives_and_their_curves_are_recorded(space_file, tmp_path):
    objectives = "[{metric: val_map}, {metric: parameters}]"
    space = load_space(space_file(("scheduler: {", f"objective: {objectives}\nscheduler: {{")))
    study = new_study(tmp_path / "several.log", space)
    searcher = make_searcher(study, space, trials=4, slots=4)
    for name, value, size in (("a", 0.5, 10), ("b", 0.4, 5), ("c", 0.4, 7), ("d", 0.6, 10)):
        searcher.suggest(name)
        searcher.on_trial_result(name, epoch_dict(1, value - 0.1, parameters=size))
        searcher.on_trial_complete(name, epoch_dict(3, value, parameters=size))
    assert [tuple(trial.values) for trial in study.trials] == [(0.5, 10), (0.4, 5), (0.4, 7), (0.6, 10)]
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert all_trials(study)[0].curve == {1: 0.4, 3: 0.5}
    assert {trial.number for trial in study.best_trials} == {1, 3}


def test_a_value_that_is_not_finite_is_not_reported(searcher, study):
    searcher.suggest("a")
    searcher.on_trial_result("a", epoch_dict(1, math.nan))
    searcher.on_trial_complete("a", None)
    assert study.trials[0].intermediate_values == {}
    assert study.trials[0].state == TrialState.FAIL


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "grid"])
def test_the_seed_decides_what_is_proposed(space, tmp_path, sampler):
    """Also where the search is resumed after each trial."""
    proposals = []
    for resumed in (False, True):
        file = tmp_path / f"{sampler}-{resumed}.log"
        study = new_study(file, space)
        searcher = make_searcher(study, space, trials=15, slots=1, sampler=sampler, seed=7)
        for i in range(15):
            if resumed:
                study = open_study(file, space)
                searcher = make_searcher(study, space, trials=15, slots=1, sampler=sampler, seed=7)
            values = suggest(searcher, str(i)).config
            searcher.on_trial_complete(str(i), epoch_dict(3, values["optim.lr"] * 50 + values["model.alpha"] / 10))
        proposals.append([trial.params for trial in study.trials])
    assert proposals[0] == proposals[1]
    assert proposals[0][3] != proposals[0][4]


def test_the_saved_state_names_the_running_trials(searcher, tmp_path):
    for name in "ab":
        searcher.suggest(name)
    searcher.on_trial_complete("a", epoch_dict(3, 0.5))
    searcher.save(str(tmp_path / "state.json"))
    assert json.loads((tmp_path / "state.json").read_text()) == {"proposed": 2, "running": {"b": 1}}


def test_the_recorder_records_an_epoch_before_tune_tells_the_searcher(searcher, study):
    """Its results are nested, as callbacks get them."""
    proposed = suggest(searcher, "a")
    changed = dict(proposed.config) | {"optim.lr": 0.004}
    result = epoch_dict(1, 0.3) | {"config": {**proposed.to_tune(), "config": changed}}
    EpochRecorder(searcher).on_trial_result(0, [], StubTrial("0000", trial_id="a"), result)
    assert study.trials[0].intermediate_values == {1: 0.3}
    assert TrialRecord(study.trials[0]).parameters["optim.lr"] == 0.004


def test_an_epoch_of_another_searchers_trial_is_ignored(searcher, study):
    searcher.suggest("a")
    searcher.record("other", EpochResult(epoch=1, measures={"val_map": 0.5}))
    assert study.trials[0].intermediate_values == {}


def test_optuna_alone_opens_the_study(searcher, tmp_path):
    searcher.suggest("a")
    searcher.on_trial_complete("a", epoch_dict(3, 0.7))
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.log")))
    study = optuna.load_study(study_name=STUDY_NAME, storage=storage)
    assert study.best_value == 0.7
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE


def test_the_number_of_weights_is_that_of_the_network_that_trains(searcher, study):
    """PBT gives a trial its donor's network."""
    searcher.suggest("a")
    for epoch, size in ((1, 10), (2, 25)):
        searcher.on_trial_result("a", epoch_dict(epoch, 0.1, parameters=size))
    assert study.trials[0].user_attrs["parameters"] == 25


def growing_searcher(study, space, *, trials, resumable=()):
    """A searcher whose ranges grow, as `search_run` makes it."""
    watch = RangeWatch(study, space, str)

    def prepare(number):
        study.sampler = make_sampler("random", watch.before(number), 3, 0, number)

    proposals = Proposals(trials=trials, slots=lambda: 2, prepare=prepare, space_of=watch.space_of, resumable=resumable)
    return StudySearcher(study, space, base_config(space), proposals)


def rate_of(study, number):
    """The range of the rate that a trial was proposed in."""
    distribution = study.trials[number].distributions["optim.lr"]
    return distribution.low, distribution.high


@pytest.mark.filterwarnings("error::RuntimeWarning")  # Optuna's, of another range for the same trial
def test_ranges_grow_between_trials_and_a_resumed_trial_keeps_its_range(tmp_path):
    rate = Float(1e-4, 1e-2, log=True, grow=True)
    space = Space({"optim.lr": rate}, base={"model.pretrained": False}, start=[{"optim.lr": 9e-3}] * 10)
    study = new_study(tmp_path / "study.log", space)
    searcher = growing_searcher(study, space, trials=12)
    for number in range(10):
        assert suggest(searcher, str(number)).config["optim.lr"] == 9e-3
        if number < 9:
            searcher.on_trial_complete(str(number), epoch_dict(3, 0.5))
    assert suggest(searcher, "10").number == 10
    assert rate_of(study, 10) == (1e-4, 1e-2)  # nine trials have ended
    searcher.on_trial_complete("9", epoch_dict(3, 0.5))
    assert suggest(searcher, "11").number == 11
    assert [rate_of(study, number) for number in (9, 10, 11)] == [(1e-4, 1e-2)] * 2 + [(1e-4, 0.1)]

    reopened = open_study(tmp_path / "study.log", space)
    start = [ResumableTrial(number, None, {}) for number in (10, 11)]
    resumed = growing_searcher(reopened, space, trials=12, resumable=start)
    rates = [study.trials[number].params["optim.lr"] for number in (10, 11)]
    assert [suggest(resumed, name).config["optim.lr"] for name in "ab"] == rates


class StubPromotions:
    """New trials come first. Then each paused trial goes on until it has trained `epochs`, in their order."""

    def __init__(self, study, trials, *, epochs=3):
        self.study, self.trials, self.epochs, self.ending = study, trials, epochs, []

    def next(self):
        """The choice for a free slot."""
        own = own_trials(self.study)
        if len(own) < self.trials:
            return "new"
        return next((each.number for each in own if each.is_paused and each.epochs < self.epochs), None)

    def hopeless(self):
        """The paused trials that end."""
        return self.ending


class PausingSearch:
    """A searcher whose trials pause after each epoch but the last of three."""

    def __init__(self, study, space, *, trials=2, slots=1, epochs=3, **options):
        self.study, self.requeue, self.promotions = study, Requeue(), StubPromotions(study, trials, epochs=epochs)
        self.searcher = make_searcher(
            study,
            space,
            trials=trials,
            slots=slots,
            requeue=self.requeue,
            promotions=self.promotions,
            resume_point=lambda number: ResumableTrial(number, f"checkpoint of {number}", {}),
            **options,
        )
        self.count = 0

    def start(self):
        """The next trial's specification, and Tune's id of it."""
        self.count += 1
        return suggest(self.searcher, str(self.count)), str(self.count)

    def train(self, value=0.5):
        """The next trial trains an epoch, and is paused unless it has trained three."""
        spec, trial_id = self.start()
        epoch = TrialRecord(self.study.trials[spec.number]).epochs + 1
        self.searcher.on_trial_result(trial_id, epoch_dict(epoch, value))
        if epoch < 3:
            self.requeue.pause(trial_id)
        self.searcher.on_trial_complete(trial_id, epoch_dict(epoch, value))
        return spec

    @property
    def states(self):
        """Of each trial: its state, and the epoch after which it is paused."""
        return [(trial.state.name, trial.user_attrs.get("paused")) for trial in self.study.trials]


def test_a_paused_trial_goes_on_from_its_checkpoint_in_a_folder_of_its_own(study, space):
    search = PausingSearch(study, space)
    first = search.train()
    assert search.states == [("RUNNING", 1)], "a paused trial has not ended"
    assert (search.searcher.running, search.searcher.proposed) == (0, 1), "it is not a trial that was lost"
    assert search.train().number == 1
    goes_on, _ = search.start()
    assert search.states == [("RUNNING", None), ("RUNNING", 1)]
    assert (goes_on.number, goes_on.checkpoint, goes_on.attempt) == (0, "checkpoint of 0", 1)
    assert goes_on.config == first.config
    assert search.searcher.proposed == 2


def test_trials_that_pause_are_trained_in_turns_to_their_end(study, space):
    search = PausingSearch(study, space)
    specs = [search.train(value=0.1 * i) for i in range(6)]
    assert [(spec.number, spec.attempt) for spec in specs] == [(0, 0), (1, 0), (0, 1), (0, 2), (1, 1), (1, 2)]
    assert [list(trial.intermediate_values) for trial in study.trials] == [[1, 2, 3]] * 2
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 2
    assert search.searcher.proposed == 2
    assert not search.searcher.has_more()
    assert search.searcher.suggest("z") == Searcher.FINISHED


def test_a_search_has_more_to_train_as_long_as_a_paused_trial_may_go_on(study, space):
    search = PausingSearch(study, space, trials=1, slots=2, epochs=2)
    search.train()
    assert search.searcher.has_more()
    _, trial_id = search.start()
    assert not search.searcher.has_more(), "the only trial is being trained"
    assert search.searcher.suggest("z") is None, "it may be paused once more"
    search.searcher.on_trial_result(trial_id, epoch_dict(2, 0.5))
    search.requeue.pause(trial_id)
    search.searcher.on_trial_complete(trial_id, epoch_dict(2, 0.5))
    assert not search.searcher.has_more()
    assert search.searcher.suggest("z") == Searcher.FINISHED
    assert search.states == [("RUNNING", 2)]
    search.searcher.end_running()
    assert study.trials[0].state == TrialState.PRUNED


def test_no_paused_trial_goes_on_once_a_budget_is_used_up(study, space):
    search = PausingSearch(study, space, is_over=lambda: len(own_trials(study)) == 2)
    search.train()
    search.train()
    assert search.searcher.suggest("z") == Searcher.FINISHED
    assert not search.searcher.has_more()
    search.searcher.end_running()
    assert [trial.state for trial in study.trials] == [TrialState.PRUNED] * 2


def test_a_pause_that_was_lost_with_its_worker_is_none(study, space):
    """Tune restarts the trial, or requeues it."""
    search = PausingSearch(study, space)
    _, trial_id = search.start()
    search.searcher.on_trial_result(trial_id, epoch_dict(1, 0.5))
    search.requeue.pause(trial_id)
    search.searcher.on_trial_complete(trial_id, error=True)
    assert search.states == [("RUNNING", None)]
    requeued, _ = search.start()
    assert (requeued.number, requeued.checkpoint, requeued.attempt) == (0, "checkpoint of 0", 1)


def test_of_an_earlier_runs_trials_those_with_a_curve_are_paused_and_the_others_start_over(study, space):
    killed = PausingSearch(study, space, trials=4, slots=3)
    killed.train()
    (_, trained), (_, _) = killed.start(), killed.start()
    killed.searcher.on_trial_result(trained, epoch_dict(1, 0.5))
    del killed  # trial 0 is paused, trial 1 has a curve, and trial 2 has none
    resumable = [ResumableTrial(0, "checkpoint", {}), ResumableTrial(1, "checkpoint", {}), ResumableTrial(2, None, {})]
    resumed = PausingSearch(study, space, trials=4, resumable=resumable)
    assert (resumed.searcher.proposed, resumed.searcher.running) == (2, 1)
    assert resumed.states == [("RUNNING", 1), ("RUNNING", 1), ("RUNNING", None)]
    specs = [resumed.train() for _ in range(3)]
    assert [(spec.number, spec.checkpoint) for spec in specs] == [(2, None), (3, None), (0, "checkpoint of 0")]
    assert resumed.searcher.proposed == 4


def test_a_paused_trial_is_no_less_paused_where_nothing_pauses(study, space):
    """A search that is resumed without its promotions continues it as any other trial."""
    PausingSearch(study, space).train()
    resumed = make_searcher(study, space, trials=1, slots=1, resumable=[ResumableTrial(0, "checkpoint", {})])
    assert suggest(resumed, "x").checkpoint == "checkpoint"


def test_paused_trials_without_hope_end(study, space):
    search = PausingSearch(study, space, trials=3)
    search.train()
    search.train()
    search.promotions.ending = [0]
    search.train()
    assert [trial.state.name for trial in study.trials] == ["PRUNED", "RUNNING", "RUNNING"]
    search.promotions.ending = []
    assert search.train().number == 1
