"""Which trial a free slot trains next."""

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from decouple_search.samplers import promotion
from decouple_search.samplers.promotion import Promotions, horizons, index_promotion, rung_promotion
from decouple_search.samplers.study_model import STARTUP_TRIALS, StudyModel
from decouple_search.stopping.scheduler import Scheduler
from decouple_search.study import attributes
from decouple_search.study.record import search_trials
from tests.decouple_search.formula import formula_value

EPOCHS = 9


def add_trial(study, space, point, values, *, state=TrialState.RUNNING, paused=True, seconds=0.0):
    """Add a trial with values by epoch, of some seconds each; returns its number."""
    distributions = {parameter.key: parameter.distribution for parameter in space.parameters}
    running = state == TrialState.RUNNING
    study.add_trial(
        optuna.trial.create_trial(
            state=state,
            value=values[max(values)] if state == TrialState.COMPLETE else None,
            params=point,
            distributions={key: distributions[key] for key in point},
            intermediate_values=values,
            user_attrs={
                attributes.EPOCHS: max(values, default=0),
                attributes.SECONDS: seconds * max(values, default=0),
                **({attributes.PAUSED: max(values)} if running and paused and values else {}),
            },
        )
    )
    return len(study.trials) - 1


def formula_trial(study, space, point, epochs, **options):
    """Add a trial with a curve by the formula."""
    values = {epoch: formula_value(point, epoch) for epoch in range(1, epochs + 1)}
    if epochs == EPOCHS:
        options["state"] = TrialState.COMPLETE
    return add_trial(study, space, point, values, **options)


def promotions(study, space, *, trials, by_model=True, **options):
    return Promotions(
        study, lambda _: space, Scheduler("promotion", **options), EPOCHS, trials, by_model=by_model, seed=0
    )


def add_random(study, space):
    """Random trials, of which every second is trained in full."""
    rng = np.random.default_rng(0)
    for number in range(STARTUP_TRIALS + 4):
        formula_trial(study, space, space.draw(rng), 1 + 8 * (number % 2))
    return rng


@pytest.fixture
def study():
    return optuna.create_study(direction="maximize")


def test_rungs_promote_the_best_third_of_the_highest_rung_that_has_one_left():
    curves = {number: {1: value} for number, value in enumerate((0.1, 0.6, 0.3, 0.5, 0.2, 0.4))}
    assert rung_promotion(curves, list(curves), [1, 3], 3) == 1
    curves[1][2] = 0.7
    assert rung_promotion(curves, list(curves), [1, 3], 3) == 1, "it is on its way to the next rung"
    assert rung_promotion(curves, [0, 2, 3, 4, 5], [1, 3], 3) == 3
    assert rung_promotion(curves, [0, 2, 4, 5], [1, 3], 3) is None
    for number, value in ((1, 0.8), (3, 0.9), (5, 0.7)):
        curves[number][3] = value
    assert rung_promotion(curves, list(curves), [1, 3], 3) == 3
    assert rung_promotion({0: {1: 0.1}, 1: {1: 0.2}}, [0, 1], [1, 3], 3) is None, "a third of two is none"


def test_the_model_promotes_a_slow_trial_where_slow_trials_became_the_best(study, space):
    """High learning rates are quick to a middling value; low ones are slow to a high one."""

    def value(point, epoch):
        top, speed = (0.9, 0.2) if point["optim.lr"] < 3e-3 else (0.6, 3.0)
        return (top - 0.1 * (point["model.alpha"] - 0.5) ** 2) * (1 - np.exp(-speed * epoch))

    rng = np.random.default_rng(0)
    for i in range(24):
        point = space.draw(rng)
        values = {epoch: value(point, epoch) for epoch in range(1, EPOCHS + 1 if i % 2 == 0 else 2)}
        state = TrialState.COMPLETE if len(values) == EPOCHS else TrialState.PRUNED
        add_trial(study, space, point, values, state=state)
    base = space.present(space.draw(rng) | {"model.alpha": 0.5, "model.k_neg": 0.2, "optim.lr": 1e-3})
    slow, fast = base, base | {"optim.lr": 2e-2}
    numbers = [add_trial(study, space, point, {1: value(point, 1)}) for point in (slow, fast)]
    assert value(slow, 1) < value(fast, 1)
    model = StudyModel(study, search_trials(study), space, EPOCHS)
    assert index_promotion(model, numbers, EPOCHS, None) == numbers[0]
    assert index_promotion(model, [], EPOCHS, None) is None


def test_the_model_prefers_a_new_trial_to_a_hopeless_one(study, space):
    rng = np.random.default_rng(0)
    points = sorted((space.draw(rng) for _ in range(24)), key=lambda point: formula_value(point, 9))
    for point in points[1:]:
        formula_trial(study, space, point, EPOCHS)
    worst = formula_trial(study, space, points[0], 4)
    model = StudyModel(study, search_trials(study), space, EPOCHS)
    assert index_promotion(model, [worst], EPOCHS, np.random.default_rng(0)) is None


def test_of_two_trials_with_the_same_end_the_nearer_goes_on():
    class Model:
        best_value, scale = 0.5, 0.1

        def trained(self, number):
            return (1, 8)[number]

        def expect(self, numbers, epochs):
            return np.where(epochs == EPOCHS, 0.6, 0.1), np.full(len(epochs), 0.05)

        def log_divisors(self, numbers):
            return np.zeros(2)

    assert index_promotion(Model(), [0, 1], EPOCHS, None) == 1


def test_of_two_trials_with_the_same_promise_the_cheaper_goes_on():
    class Model:
        best_value, scale = 0.5, 0.1
        divisors = np.array([0.0, 0.0])

        def trained(self, number):
            return 3

        def expect(self, numbers, epochs):
            return np.full(len(epochs), 0.5 + 0.01 * np.array(numbers)), np.full(len(epochs), 0.05)

        def log_divisors(self, numbers):
            return self.divisors

    model = Model()
    assert index_promotion(model, [0, 1], EPOCHS, None) == 1
    model.divisors = np.array([0.0, 1.0])
    assert index_promotion(model, [0, 1], EPOCHS, None) == 0


def test_horizons_end_with_the_last_epoch():
    assert horizons(1) == [1]
    assert horizons(9) == [1, 3, 4, 9]
    assert horizons(50) == [1, 4, 17, 50]


@pytest.mark.parametrize("by_model", [True, False])
@pytest.mark.parametrize("trials", [1, 3, 6, 20])
def test_a_search_gives_its_epochs_to_its_trials_and_then_ends(study, space, by_model, trials):
    """Every trial starts, at least one is trained in full, and no more epochs are trained than the plan says."""
    slots, rng = 3, np.random.default_rng(0)
    chooser, running, started = promotions(study, space, trials=trials, by_model=by_model), {}, 0
    scheduler = Scheduler("promotion")

    def write(number, epochs, **attrs):
        trial = optuna.trial.Trial(study, study.trials[number]._trial_id)
        for epoch in range(len(study.trials[number].intermediate_values) + 1, epochs + 1):
            trial.report(formula_value(trial.params, epoch), epoch)
        trial.set_user_attr(attributes.EPOCHS, epochs)
        for name, value in attrs.items():
            trial.set_user_attr(name, value)

    while True:
        while len(running) < slots and (choice := chooser.next()) is not None:
            if choice == "new":
                choice = add_trial(study, space, space.draw(rng), {}, paused=False)
                started += 1
            write(choice, search_trials(study)[choice].epochs, paused=None)
            running[choice] = scheduler.next_pause(search_trials(study)[choice].epochs, EPOCHS)
        if not running:
            break
        number = min(running)
        until = running.pop(number)
        write(number, until, **({} if until == EPOCHS else {"paused": until}))
        if until == EPOCHS:
            study.tell(number, 0.5)
    epochs = [trial.epochs for trial in search_trials(study)]
    assert started == trials
    assert max(epochs) == EPOCHS
    least = scheduler.epochs_in_all(trials, EPOCHS)[0]
    assert least - EPOCHS < sum(epochs) <= least + 1
    if trials == 20:
        good = np.corrcoef(epochs, [formula_value(trial.params, 9) for trial in study.trials])[0, 1]
        assert good > 0.3


def test_a_trial_goes_on_in_its_slot_if_nothing_else_earns_it_more(study, space):
    rng = add_random(study, space)
    best = space.draw(rng) | {"optim.lr": 1e-2, "model.alpha": 0.7, "model.attention": "arch1"}
    number = formula_trial(study, space, space.present(best | {"model.k_neg": 0.2}), 4, paused=False)
    chooser = promotions(study, space, trials=100)
    assert chooser.next(leaving=number) == number
    assert chooser.next() != number, "it is being trained, and cannot start a second time"


def test_a_trial_may_go_on_while_the_search_has_epochs_for_it(study, space):
    number = formula_trial(study, space, space.draw(np.random.default_rng(0)), 1, paused=False)
    assert promotions(study, space, trials=3).affords(number)
    formula_trial(study, space, space.draw(np.random.default_rng(1)), 8, paused=False)
    assert not promotions(study, space, trials=2).affords(number), "the other trial takes all ten epochs but this one"


def test_the_last_epochs_are_for_the_furthest_trial(study, space):
    """Three trials have 11 epochs in all. Else the search would go on beyond them until a trial is trained in full."""
    rng = np.random.default_rng(0)
    furthest, *others = [formula_trial(study, space, space.draw(rng), epochs) for epochs in (6, 1, 1)]
    chooser = promotions(study, space, trials=3)
    assert chooser.affords(furthest)
    assert not any(chooser.affords(number) for number in others)
    assert chooser.next() == furthest
    assert chooser.next(leaving=furthest) == furthest


def test_a_slot_that_a_trial_leaves_gets_what_was_chosen_then(study, space, monkeypatch):
    """The choice that pauses a trial is also that of the slot which is free then. It is made once."""
    choices = []
    monkeypatch.setattr(promotion, "index_promotion", lambda *arguments: choices.append(arguments))
    add_random(study, space)
    leaving = formula_trial(study, space, space.draw(np.random.default_rng(9)), 1, paused=False)
    chooser = promotions(study, space, trials=100)
    assert chooser.next(leaving=leaving) == "new"
    optuna.trial.Trial(study, study.trials[leaving]._trial_id).set_user_attr(attributes.PAUSED, 1)
    assert chooser.next() == "new"
    assert len(choices) == 1
    formula_trial(study, space, space.draw(np.random.default_rng(10)), 1)
    chooser.next()
    assert len(choices) == 2, "the study has changed"


def test_only_the_best_paused_trials_keep_their_checkpoints(study, space, monkeypatch):
    monkeypatch.setattr(promotion, "PAUSED", 3)
    rng = np.random.default_rng(0)
    numbers = [formula_trial(study, space, space.draw(rng), 1) for _ in range(6)]
    for by_model in (True, False):
        chooser = promotions(study, space, trials=20, by_model=by_model)
        hopeless = chooser.hopeless()
        assert len(hopeless) == 3
        value = {number: study.trials[number].intermediate_values[1] for number in numbers}
        assert max(value[number] for number in hopeless) < min(value[n] for n in numbers if n not in hopeless)
    for _ in range(6):
        formula_trial(study, space, space.draw(rng), EPOCHS)
    assert len(promotions(study, space, trials=20).hopeless()) == 3, "by the model"
    monkeypatch.setattr(promotion, "PAUSED", 6)
    assert promotions(study, space, trials=20).hopeless() == []
