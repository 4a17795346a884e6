"""Screened heads: which is next, what they say of full trials, and when a full trial is worth more."""

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from decouple_search.samplers import improvement, screening
from decouple_search.samplers.encoding import Encoding
from decouple_search.samplers.screen_model import MIN_SCREENED, ScreenModel
from decouple_search.samplers.screening import FIRST, Screening
from decouple_search.samplers.study_model import STARTUP_SCREENED, StudyModel
from decouple_search.space.domain import Choice, Float
from decouple_search.space.screen import MOST_SCREENED, ScreenPlan
from decouple_search.space.space import Space
from decouple_search.study import attributes
from decouple_search.study.compat import reopen_trial
from decouple_search.study.record import all_trials, own_trials, screened_trials, search_trials
from decouple_search.study.trial_log import copy_of

EPOCHS, SCREENED_EPOCHS = 3, 4


@pytest.fixture
def study():
    return optuna.create_study(direction="maximize")


@pytest.fixture(scope="module")
def space():
    """A space of a head's keys and of one that a screen cannot judge."""
    return Space(
        {
            "model.alpha": Float(0.0, 1.0),
            "model.attention": Choice(["none", "arch1"]),
            "model.k_neg": Float(0.05, 1.0, log=True, when={"model.alpha": {"gt": 0.5}}),
            "optim.backbone_lr_scale": Float(0.01, 1.0, log=True),
        },
        start=[{"model.alpha": 0.9, "model.attention": "none"}],
    )


def worth(head):
    """What a head reaches on feature maps, below what it reaches in a full training."""
    return 0.6 - (head["model.alpha"] - 0.3) ** 2 - 0.1 * (head["model.attention"] == "none")


def full_worth(point):
    return worth(point) + 0.2 - 0.1 * (np.log10(point["optim.backbone_lr_scale"]) + 1) ** 2


def screen(study, space, count, *, seconds=0.5, plan=None):
    """Screen heads as a search does, one after another."""
    plan = plan or ScreenPlan(count, SCREENED_EPOCHS)
    screener = Screening(study, space, plan, epochs=EPOCHS, seed=0)
    for _ in range(count):
        finish(study, screener.begin(), seconds=seconds)
    return screener


def finish(study, number, *, seconds=0.5, value=None):
    trial = reopen_trial(study, number)
    value = worth(trial.params) if value is None else value
    for epoch in range(1, SCREENED_EPOCHS + 1):
        trial.report(value - 0.2 / epoch + 0.2 / SCREENED_EPOCHS, epoch)
    trial.set_user_attr(attributes.EPOCHS, SCREENED_EPOCHS)
    trial.set_user_attr(attributes.SECONDS, seconds * SCREENED_EPOCHS)
    trial.set_user_attr(attributes.OBJECTIVES, [value])
    study.tell(trial, state=TrialState.PRUNED)


def add_full(study, space, point, *, seconds=20.0, value=full_worth):
    """Add a complete full trial."""
    values = {epoch: value(point) - 0.1 * (EPOCHS - epoch) for epoch in range(1, EPOCHS + 1)}
    study.add_trial(
        optuna.trial.create_trial(
            state=TrialState.COMPLETE,
            value=values[EPOCHS],
            params=point,
            distributions={each.key: each.distribution for each in space.parameters if each.key in point},
            intermediate_values=values,
            user_attrs={
                attributes.EPOCHS: EPOCHS,
                attributes.SECONDS: seconds * EPOCHS,
                attributes.OBJECTIVES: [values[EPOCHS]],
            },
        )
    )


def test_the_start_point_is_screened_first_and_no_head_twice(study, space):
    screen(study, space, 20)
    heads = [trial.parameters for trial in screened_trials(study)]
    assert (heads[0]["model.alpha"], heads[0]["model.attention"]) == (0.9, "none")
    assert len({tuple(sorted(head.items())) for head in heads}) == 20
    assert all("optim.backbone_lr_scale" not in head for head in heads)
    assert all(("model.k_neg" in head) == (head["model.alpha"] > 0.5) for head in heads)


def test_the_model_finds_better_heads_than_chance(study, space):
    screen(study, space, 32)
    values = [trial.objectives[0] for trial in screened_trials(study)]
    assert np.mean(values[-16:]) > np.mean(values[:MIN_SCREENED]) + 0.05
    assert max(values) > 0.595


def test_a_screened_trial_is_none_of_the_search(study, space):
    screen(study, space, 3)
    assert not own_trials(study)
    assert not search_trials(study)
    assert [trial.result for trial in screened_trials(study)] == ["COMPLETE"] * 3
    assert len(all_trials(study)) == 3
    with pytest.raises(ValueError, match="No trials are completed"):
        _ = study.best_trial


def test_imported_heads_are_known_and_count_for_no_number(space):
    earlier, study = (optuna.create_study(direction="maximize") for _ in range(2))
    screen(earlier, space, MIN_SCREENED)
    for trial in screened_trials(earlier):
        study.add_trial(copy_of(trial.frozen, trial.frozen.params, trial.frozen.distributions, "earlier"))
    auto = Screening(study, space, ScreenPlan(None, SCREENED_EPOCHS), epochs=EPOCHS, seed=0)
    assert not auto.is_next(instead_of_new=True)  # the first full trial has the best of them
    assert screen(study, space, 2).is_next(instead_of_new=True) is False
    assert len(screened_trials(study)) == 2
    assert not {tuple(t.parameters.items()) for t in screened_trials(study)} & {
        tuple(t.parameters.items()) for t in screened_trials(earlier)[1:]
    }
    assert ScreenModel.of(study, space).observations == (MIN_SCREENED + 2) * SCREENED_EPOCHS


def test_a_killed_search_screens_what_it_would_have_screened(space):
    whole, resumed = (optuna.create_study(direction="maximize") for _ in range(2))
    screen(whole, space, 14)
    screen(resumed, space, 10)
    screen(resumed, space, 4)
    assert [t.parameters for t in screened_trials(whole)] == [t.parameters for t in screened_trials(resumed)]


def test_the_first_full_trials_are_the_best_screened_heads(study, space):
    screen(study, space, 24)
    best = sorted((trial.objectives[0] for trial in screened_trials(study)), reverse=True)
    rng = np.random.default_rng(0)
    for _ in range(STARTUP_SCREENED):
        point = StudyModel(study, search_trials(study), space, EPOCHS).proposal(rng, random=True)
        assert worth(point) >= best[6]
        add_full(study, space, point)
    heads = [
        (trial.frozen.params["model.alpha"], trial.frozen.params["model.attention"]) for trial in own_trials(study)
    ]
    assert len(set(heads)) == STARTUP_SCREENED
    scales = [trial.frozen.params["optim.backbone_lr_scale"] for trial in own_trials(study)]
    assert scales[0] == space.default("optim.backbone_lr_scale") == 0.1, "the first result should be a sound one"
    assert len(set(scales)) == STARTUP_SCREENED, "what cannot be screened is drawn"
    assert all(10**-1.4 <= scale <= 10**-0.6 for scale in scales), "near the base's value"


def test_few_full_trials_and_many_screened_heads_tell_a_good_head_from_a_bad_one(study, space):
    screen(study, space, 24)
    for alpha, scale in ((0.3, 0.1), (0.45, 0.03), (0.2, 0.5)):
        add_full(study, space, {"model.alpha": alpha, "model.attention": "arch1", "optim.backbone_lr_scale": scale})
    model = StudyModel(study, search_trials(study), space, EPOCHS)
    assert model.informed
    good, bad = (
        {"model.alpha": alpha, "model.attention": "arch1", "optim.backbone_lr_scale": 0.1} for alpha in (0.33, 0.99)
    )
    expected = [float(model.expect_new(point, [EPOCHS])[0][0]) for point in (good, bad)]
    assert model.restored(expected[0]) > model.restored(expected[1]) + 0.15
    alone = optuna.create_study(direction="maximize")
    for trial in own_trials(study):
        add_full(alone, space, trial.frozen.params)
    blind = StudyModel(alone, search_trials(alone), space, EPOCHS)
    apart = [blind.restored(float(blind.expect_new(point, [EPOCHS])[0][0])) for point in (good, bad)]
    assert apart[0] - apart[1] < 0.15


def test_the_best_screened_heads_are_candidates_of_full_trials(study, space, monkeypatch):
    """Also far from all full trials, where few random configurations would not find them."""
    screen(study, space, 24)
    for alpha in (0.85, 0.9, 0.95):
        point = {"model.alpha": alpha, "model.attention": "none", "model.k_neg": 0.2, "optim.backbone_lr_scale": 0.07}
        add_full(study, space, point)
    monkeypatch.setattr(improvement, "CANDIDATES", 2)
    monkeypatch.setattr(improvement, "WIDTHS", (0.001, 0.001, 0.001))
    point = StudyModel(study, search_trials(study), space, EPOCHS).proposal(np.random.default_rng(0))
    best = max(screened_trials(study), key=lambda trial: trial.objectives[0]).frozen.params
    assert point["model.attention"] == best["model.attention"]
    assert point["model.alpha"] == pytest.approx(best["model.alpha"], abs=0.01)


def test_the_weight_of_screened_values_is_learned(study, space):
    """Full values that go against the screened ones take the weight away."""
    screen(study, space, 24)
    agreeing, opposed = optuna.create_study(direction="maximize"), optuna.create_study(direction="maximize")
    for other in (agreeing, opposed):
        other.add_trials(list(study.trials))
    rng = np.random.default_rng(1)
    weights = []
    for other, sign in ((agreeing, 1), (opposed, -1)):
        for _ in range(12):
            add_full(other, space, space.draw(rng), value=lambda point: 0.5 + sign * (worth(point) - 0.4))  # noqa: B023
        model = StudyModel(other, search_trials(other), space, EPOCHS)
        point = space.draw(rng)
        weights.append(model.change_by_screening(point))
    assert weights[1] < 0.2 * weights[0]


def test_a_given_number_is_screened_before_anything_else(study, space):
    screener = screen(study, space, 5)
    assert not screener.is_next(instead_of_new=True)
    assert Screening(study, space, ScreenPlan(6), epochs=EPOCHS, seed=0).is_next(instead_of_new=False)


def test_auto_screens_some_then_trains_and_screens_on_while_the_first_full_trial_has_no_value(study, space):
    plan = ScreenPlan(None, SCREENED_EPOCHS)
    screener = screen(study, space, FIRST - 1, plan=plan)
    assert screener.is_next(instead_of_new=True)
    screen(study, space, 1, plan=plan)
    assert not screener.is_next(instead_of_new=True), "the first full trial starts"
    study.ask()
    assert screener.is_next(instead_of_new=True)
    assert screener.is_next(instead_of_new=False)


@pytest.mark.parametrize(("screened_seconds", "full_seconds", "screens"), [(0.001, 1e6, True), (1e6, 0.001, False)])
def test_auto_weighs_a_screened_head_and_a_full_trial_by_their_seconds(
    study, space, screened_seconds, full_seconds, screens
):
    plan = ScreenPlan(None, SCREENED_EPOCHS)
    screener = screen(study, space, FIRST, plan=plan, seconds=screened_seconds)
    for alpha in (0.3, 0.45, 0.2):
        point = {"model.alpha": alpha, "model.attention": "arch1", "optim.backbone_lr_scale": 0.1}
        add_full(study, space, point, seconds=full_seconds)
    assert screener.is_next(instead_of_new=True) is screens
    assert not screener.is_next(instead_of_new=False), "a paused trial is worth more than a new one already"


def test_auto_stops_at_a_most(study, space, monkeypatch):
    monkeypatch.setattr(screening, "MOST_SCREENED", FIRST)
    screener = screen(study, space, FIRST, plan=ScreenPlan(None, SCREENED_EPOCHS))
    study.ask()
    assert not screener.is_next(instead_of_new=True)
    assert MOST_SCREENED > FIRST


def test_there_is_no_model_of_few_heads_or_of_none(study, space):
    screen(study, space, MIN_SCREENED - 1)
    assert ScreenModel.of(study, space) is None
    screen(study, space, 1)
    model = ScreenModel.of(study, space)
    rows = Encoding(space).rows(Encoding(space).draw(np.random.default_rng(0), 5))
    mean, deviation = model.expect(rows)
    assert mean.shape == deviation.shape == (5,)
    assert (deviation > 0).all()
    assert ScreenModel.of(study, Space({"data.cutout": Float(0.0, 0.5)})) is None
