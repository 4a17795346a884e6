"""Learning curves as arrays, and the typical curve among them."""

import optuna
import pytest
from optuna.trial import TrialState

from decouple_search.samplers.curves import Curve, Observations, curves_of, sparse_epochs, typical_curve
from decouple_search.space.objective import Objective
from decouple_search.study.record import WORKER_LOST, all_trials
from tests.decouple_search.spaces import varied


def test_the_typical_curve_is_not_that_of_the_trials_that_were_not_stopped():
    observed = Observations.of_curves([Curve(0, {}, {1: 0.5, 3: 0.7}), Curve(1, {}, {1: 0.1})])
    assert typical_curve(observed, 3) == pytest.approx([0.3, 0.3, 0.4, 0.5])


def test_a_gain_counts_between_its_epochs():
    observed = Observations.of_curves([Curve(0, {}, {1: 0.5, 2: 0.7, 3: 0.7})])
    assert typical_curve(observed, 3) == pytest.approx([0.5, 0.5, 0.7, 0.7])


def test_beyond_the_known_epochs_the_typical_gains_fall():
    typical = typical_curve(Observations.of_curves([Curve(0, {}, {1: 0.5, 2: 0.6})]), 9)
    gains = typical[2:] - typical[1:-1]
    assert (gains > 0).all()
    assert (gains[1:] < gains[:-1]).all()
    falling = typical_curve(Observations.of_curves([Curve(0, {}, {1: 0.5, 2: 0.4})]), 4)
    assert falling[2:] == pytest.approx(0.4), "a fall is not continued"


def test_of_a_curve_the_model_takes_powers_of_two_and_the_last_epoch():
    assert sparse_epochs(dict.fromkeys(range(1, 12), 0.5)) == [1, 2, 4, 8, 11]
    assert sparse_epochs({}) == []


@pytest.mark.parametrize("mode", ["max", "min"])
def test_of_failed_trials_only_those_count_that_cannot_be_trained(space, mode):
    space = varied(space, objectives=(Objective("val_map", mode),))
    sign = 1 if mode == "max" else -1
    study = optuna.create_study(direction="maximize")
    for number in range(4):
        study.sampler = optuna.samplers.RandomSampler(number)
        trial = study.ask()
        space.suggest(trial)
        if number < 3:
            trial.report(sign * (0.2 + number), 1)
        trial.report(sign * 9.9, 12)  # of a search with more epochs
        if number == 2:
            study.tell(trial, state=TrialState.FAIL)  # its loss was NaN
        elif number == 3:
            trial.set_user_attr("failure", WORKER_LOST)
            study.tell(trial, state=TrialState.FAIL)
    curves = curves_of(all_trials(study), space, 9)
    assert [(curve.number, curve.values) for curve in curves] == [(0, {1: 0.2}), (1, {1: 1.2}), (2, {1: 0.2})]
