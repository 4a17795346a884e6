"""Schedulers: their options, and ASHA's rungs."""

from types import SimpleNamespace

import optuna
import pytest
from ray import cloudpickle

from decouple_search.ray_tune.recovery import Recovery
from decouple_search.ray_tune.schedulers import SCHEDULERS, Scheduler, make_scheduler, tune_scheduler
from decouple_search.space.yaml_file import load_space
from decouple_search.study.record import open_study
from decouplenet.config import Config
from decouplenet.dotted_keys import flatten
from decouplenet.errors import InputError


@pytest.mark.parametrize(
    ("epochs", "grace", "factor", "rungs"),
    [(9, 1, 3, [1, 3]), (10, 1, 3, [1, 3, 9]), (12, 2, 2, [2, 4, 8]), (1, 1, 3, []), (27, 1, 3, [1, 3, 9])],
)
def test_rungs_are_those_of_tunes_asha(epochs, grace, factor, rungs):
    from ray.tune.schedulers import AsyncHyperBandScheduler

    assert Scheduler("asha", grace, factor).rungs(epochs) == rungs
    theirs = AsyncHyperBandScheduler(max_t=epochs, grace_period=grace, reduction_factor=factor)
    milestones = sorted(milestone for milestone, _ in theirs._brackets[0]._rungs)
    assert [m for m in milestones if m < epochs] == rungs


def test_schedulers_that_are_refused(space_file):
    with pytest.raises(InputError, match="unknown 'ahsa'; did you mean 'asha'"):
        make_scheduler({"name": "ahsa"}, None, 9)
    with pytest.raises(InputError, match="unknown option 'grace' of asha; valid: grace_epochs, reduction_factor"):
        make_scheduler({"name": "asha", "grace": 1}, None, 9)
    with pytest.raises(InputError, match="unknown option 'grace_epochs' of pbt; valid: interval_epochs"):
        make_scheduler({"name": "pbt", "grace_epochs": 1}, None, 9)
    with pytest.raises(InputError, match="grace_epochs 10 is more than train.epochs 9"):
        make_scheduler({"grace_epochs": 10}, None, 9)
    with pytest.raises(InputError, match="interval_epochs must be a whole number from 1, not 0"):
        make_scheduler({"name": "pbt", "interval_epochs": 0}, None, 9)


def test_the_command_lines_name_wins_over_the_spaces_options():
    assert make_scheduler({"name": "asha", "grace_epochs": 2}, "none", 9) == Scheduler("none")
    assert make_scheduler({"name": "asha", "grace_epochs": 2}, "pbt", 9) == Scheduler("pbt")
    assert make_scheduler({"grace_epochs": 2}, "asha", 9) == Scheduler("asha", 2)


def test_pbt_needs_something_to_change(space_file):
    fixed = {"model.k_neg": 0.2, "model.alpha": 0.5, "optim.lr": 0.01}
    with pytest.raises(InputError, match="none is searched that can be changed then: model.k_pos"):
        make_scheduler({}, "pbt", 9, load_space(space_file(), fixed))
    make_scheduler({}, "pbt", 9, load_space(space_file()))


def test_tune_can_pickle_its_scheduler(space_file, tmp_path):
    space = load_space(space_file())
    base = flatten(Config().to_dict())
    for name in SCHEDULERS:
        study = open_study(tmp_path / f"{name}.log", space)
        cloudpickle.dumps(
            tune_scheduler(
                Scheduler(name), space, base, study=study, seed=0, slots=lambda: 2, recovery=Recovery(Config(), 2)
            )
        )


def test_a_rung_is_judged_once(space_file, tmp_path):
    """An epoch that is done again, after the search was cut off, was decided then."""
    space = load_space(space_file())
    study = open_study(tmp_path / "study.log", space)
    base = flatten(Config().to_dict()) | {"train.epochs": 9}
    asha = tune_scheduler(
        Scheduler("asha"), space, base, study=study, seed=0, slots=lambda: 1, recovery=Recovery(Config(), 2)
    )
    for value in (0.1, 0.5):
        study.ask().report(value, 1)
    first = SimpleNamespace(config={"trial": 0})
    assert asha.on_trial_result(None, first, {"epoch": 1, "val_map": 0.1}) == "STOP"
    assert study.trials[0].user_attrs["stopped"] == 1
    optuna.trial.Trial(study, study.trials[0]._trial_id).set_user_attr("epochs", 2)
    assert asha.on_trial_result(None, first, {"epoch": 1, "val_map": 0.1}) == "CONTINUE"
    assert asha.on_trial_result(None, first, {"epoch": 3, "failed": "no"}) == "CONTINUE"


def test_a_trial_that_is_spared_goes_on(space_file, tmp_path):
    space = load_space(space_file())
    study = open_study(tmp_path / "study.log", space)
    base = flatten(Config().to_dict()) | {"train.epochs": 9}
    asked = []

    def spares(*told):
        asked.append(told)
        return told[2] > 0.2

    asha = tune_scheduler(
        Scheduler("asha"),
        space,
        base,
        study=study,
        seed=0,
        slots=lambda: 1,
        recovery=Recovery(Config(), 2),
        spares=spares,
    )
    for value in (0.1, 0.3, 0.5):
        study.ask().report(value, 1)
    decided = [
        asha.on_trial_result(None, SimpleNamespace(config={"trial": number}), {"epoch": 1, "val_map": value})
        for number, value in enumerate((0.1, 0.3, 0.5))
    ]
    assert decided == ["STOP", "CONTINUE", "CONTINUE"]
    assert asked == [(0, 1, 0.1), (1, 1, 0.3)]  # and not of the one that the rule lets pass
    assert ["stopped" in trial.user_attrs for trial in study.trials] == [True, False, False]
