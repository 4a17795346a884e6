"""Screened trials in the searcher: when they start, what they train, and how they end and resume."""

import pytest

from decouple_search.ray_tune.requeue import Requeue
from decouple_search.samplers.screening import Screening
from decouple_search.space.screen import ScreenPlan
from decouple_search.space.yaml_file import load_space
from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.storage.opening import folder_at
from decouple_search.study.optuna_storage import open_study
from decouple_search.study.record import own_trials, screened_trials
from decouple_search.study.resume import resumable_trial, resumable_trials
from tests.decouple_search.ray_tune.searchers import StubPromotions, make_searcher, suggest
from tests.decouple_search.ray_tune.stubs import epoch_dict, failure_dict


@pytest.fixture
def space(space_file):
    return load_space(
        space_file(
            ("pretrained: false", "pretrained: weights.pth"),
            ("image_size: 32", "image_size: 32, cutout: 0.2"),
            ("  optim.lr:", "  optim.backbone_lr_scale: {float: [0.01, 1.0]}\n  optim.lr:"),
        )
    )


@pytest.fixture
def study(space, tmp_path):
    return open_study(tmp_path / "study.log", space)


@pytest.fixture
def make(study, space, tmp_path):
    """Make a searcher that screens two heads; each searcher is a run of the search."""

    def make(*, trials=2, slots=1, count=2, **options):
        checkpoints = Checkpoints(folder_at(str(tmp_path)))
        return make_searcher(
            study,
            space,
            trials=trials,
            slots=slots,
            screening=Screening(study, space, ScreenPlan(count, 2), epochs=3, seed=0),
            resumable=resumable_trials(study, checkpoints, space, 3, 1),
            resume_point=lambda number: resumable_trial(study, checkpoints, space, number),
            **options,
        )

    return make


def train(searcher, name, value=0.5):
    """The next trial is proposed and trained; returns its specification."""
    spec = suggest(searcher, name)
    epochs = spec.config["train.epochs"]
    for epoch in range(1, epochs):
        searcher.on_trial_result(name, epoch_dict(epoch, value))
    searcher.on_trial_complete(name, epoch_dict(epochs, value))
    return spec


def test_heads_are_screened_first_and_are_none_of_the_trials(make, study):
    searcher = make()
    specs = [train(searcher, name, value) for name, value in (("a", 0.9), ("b", 0.8), ("c", 0.3), ("d", 0.4))]
    assert [spec.screened for spec in specs] == [True, True, False, False]
    assert [spec.number for spec in specs] == [0, 1, 2, 3]
    assert not searcher.has_more()
    assert [trial.number for trial in own_trials(study)] == [2, 3]
    assert [trial.result for trial in screened_trials(study)] == ["COMPLETE"] * 2
    assert study.best_trial.number == 3, "a screened value is never the best of the study"


def test_a_screened_trial_trains_a_head_on_feature_maps_alone(make, space):
    first, second, full = (train(searcher := make(), "a"), train(searcher, "b"), train(searcher, "c"))
    for spec in (first, second):
        assert spec.config["train.freeze_backbone"] is True
        assert spec.config["train.epochs"] == 2
        assert spec.config["data.cutout"] == 0
        assert spec.config["optim.backbone_lr_scale"] == space.base["optim.backbone_lr_scale"]
        assert set(spec.config) == set(full.config)
    assert first.config["model.maps_per_class"] == 2, "the start point"
    assert first.config["model.alpha"] == 0.1
    assert (full.config["train.freeze_backbone"], full.config["train.epochs"]) == (False, 3)
    assert full.config["data.cutout"] == 0.2


def test_slots_are_shared_by_screened_and_full_trials(make):
    searcher = make(slots=2)
    assert suggest(searcher, "a").screened
    assert suggest(searcher, "b").screened
    assert searcher.suggest("c") is None
    searcher.on_trial_complete("a", epoch_dict(2, 0.5))
    assert not suggest(searcher, "c").screened


def test_a_killed_search_starts_its_unfinished_heads_over_and_no_others(make, study):
    searcher = make(count=3)
    done = train(searcher, "a")
    running = suggest(searcher, "b")
    searcher.on_trial_result("b", epoch_dict(1, 0.5))
    resumed = make(count=3)
    assert resumed.running == 1
    specs = [train(resumed, name) for name in ("a", "b", "c")]
    assert specs[0].number == running.number
    assert specs[0].screened
    assert specs[0].config == running.config
    assert specs[0].checkpoint is None
    assert [spec.screened for spec in specs] == [True, True, False]
    assert done.number not in [spec.number for spec in specs]
    assert [trial.epochs for trial in screened_trials(study)] == [2, 2, 2]


def test_a_head_whose_last_epoch_was_recorded_is_not_trained_once_more(make, study):
    searcher = make(count=1)
    suggest(searcher, "a")
    for epoch in (1, 2):
        searcher.on_trial_result("a", epoch_dict(epoch, 0.5))
    assert not suggest(make(count=1), "a").screened
    assert [trial.result for trial in screened_trials(study)] == ["COMPLETE"]


def test_a_head_that_cannot_be_trained_fails_alone(make, study):
    searcher = make()
    suggest(searcher, "a")
    searcher.on_trial_complete("a", failure_dict("NaN"))
    assert train(searcher, "b").screened
    assert not train(searcher, "c").screened
    assert [trial.result for trial in screened_trials(study)] == ["FAIL", "COMPLETE"]
    assert not own_trials(study)[0].failure


def test_a_lost_head_is_requeued(make, study):
    requeue = Requeue()
    searcher = make(requeue=requeue)
    lost = suggest(searcher, "a")
    requeue.mark("a")
    searcher.on_trial_complete("a", error=True)
    restarted = suggest(searcher, "b")
    assert (restarted.number, restarted.attempt, restarted.screened) == (lost.number, 1, True)


def test_no_head_is_screened_once_the_budget_is_used_up(make):
    over = []
    searcher = make(is_over=lambda: bool(over))
    train(searcher, "a")
    over.append(True)
    assert not searcher.has_more()


def test_heads_come_before_trials_that_pause(make, study):
    searcher = make(promotions=StubPromotions(study, 2))
    assert [train(searcher, name).screened for name in ("a", "b", "c", "d")] == [True, True, False, False]
