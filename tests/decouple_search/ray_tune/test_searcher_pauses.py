"""Trials that pause, and go on later in any slot."""

import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from decouple_search.ray_tune.requeue import Requeue
from decouple_search.space.yaml_file import load_space
from decouple_search.study.record import TrialRecord, own_trials
from decouple_search.study.resume import ResumableTrial
from tests.decouple_search.ray_tune.searchers import StubPromotions, make_searcher, suggest
from tests.decouple_search.ray_tune.stubs import epoch_dict


@pytest.fixture
def space(space_file):
    return load_space(space_file())


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
