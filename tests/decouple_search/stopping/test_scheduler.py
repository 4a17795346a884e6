"""The scheduler of a search: its options, its rungs, and whether it stops a trial."""

import pytest

from decouple_search.space.yaml_file import load_space
from decouple_search.stopping.rules import brackets
from decouple_search.stopping.scheduler import CHANGEABLE, STOPPING, Scheduler, make_scheduler
from decouplenet.errors import InputError


@pytest.mark.parametrize(
    ("epochs", "grace", "factor", "rungs"),
    [(9, 1, 3, [1, 3]), (10, 1, 3, [1, 3, 9]), (12, 2, 2, [2, 4, 8]), (1, 1, 3, []), (27, 1, 3, [1, 3, 9])],
)
def test_rungs_are_those_of_tunes_asha(epochs, grace, factor, rungs):
    from ray.tune.schedulers import AsyncHyperBandScheduler

    for name in ("promotion", "asha", "hyperband"):
        assert Scheduler(name, grace, factor).rungs(epochs) == rungs
    tunes = AsyncHyperBandScheduler(max_t=epochs, grace_period=grace, reduction_factor=factor)
    milestones = sorted(milestone for milestone, _ in tunes._brackets[0]._rungs)
    assert [milestone for milestone in milestones if milestone < epochs] == rungs


@pytest.mark.parametrize(
    ("scheduler", "trials", "epochs", "in_all"),
    [
        (Scheduler("none"), 4, 3, (12, 12)),
        (Scheduler("pbt"), 4, 3, (12, 12)),
        (Scheduler("asha"), 4, 3, (7, 12)),  # 4 of one epoch, and a third of them 2 more
        (Scheduler("promotion"), 4, 3, (7, 7)),
        (Scheduler("promotion"), 24, 9, (24 + 8 * 2 + 16, 56)),
        (Scheduler("promotion", 2, 2), 8, 5, (8 * 2 + 4 * 2 + 2 * 1, 26)),
        (Scheduler("promotion"), 2, 9, (2 + 2 + 6, 10)),  # one trial is trained in full
    ],
)
def test_epochs_in_all(scheduler, trials, epochs, in_all):
    assert scheduler.epochs_in_all(trials, epochs) == in_all


def test_a_trial_may_be_paused_after_its_grace_epochs_and_then_after_ever_more_epochs():
    def pauses(epochs, grace=1):
        scheduler, ends = Scheduler("promotion", grace), [0]
        while ends[-1] < epochs:
            ends.append(scheduler.next_pause(ends[-1], epochs))
        return ends[1:]

    assert pauses(4) == [1, 2, 3, 4]
    assert pauses(30) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 19, 22, 26, 30]
    assert pauses(5, grace=3) == [3, 4, 5]
    assert pauses(1) == [1]


def test_wrong_options_are_refused():
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
    with pytest.raises(InputError, match="reduction_factor must be at least 2, not 1"):
        make_scheduler({"reduction_factor": 1}, None, 9)


def test_the_command_lines_name_wins_over_the_spaces_options():
    assert make_scheduler({"name": "asha", "grace_epochs": 2}, "none", 9) == Scheduler("none")
    assert make_scheduler({"name": "asha", "grace_epochs": 2}, "pbt", 9) == Scheduler("pbt")
    assert make_scheduler({"name": "promotion", "grace_epochs": 2}, "asha", 9) == Scheduler("asha")
    assert make_scheduler({"name": "asha", "grace_epochs": 2}, "asha", 9) == Scheduler("asha", 2)


def test_promotion_is_the_default():
    assert make_scheduler({}, None, 9) == Scheduler("promotion")
    assert make_scheduler({"grace_epochs": 2}, None, 9) == Scheduler("promotion", 2)


def test_pbt_needs_a_searched_parameter_that_it_can_change(space_file):
    fixed = {"model.k_neg": 0.2, "model.alpha": 0.5, "optim.lr": 0.01}
    with pytest.raises(InputError, match="the space searches none that it can change: model.k_pos"):
        make_scheduler({}, "pbt", 9, load_space(space_file(), fixed))
    make_scheduler({}, "pbt", 9, load_space(space_file()))
    assert {"model.k_neg", "model.alpha", "optim.lr"} <= set(CHANGEABLE)


CURVES = {0: {1: 0.5, 2: 0.5, 3: 0.5}, 1: {1: 0.6, 2: 0.6, 3: 0.6}, 2: {1: 0.7, 2: 0.7}, 3: {1: 0.4, 2: 0.4}}


@pytest.mark.parametrize(
    ("scheduler", "number", "epoch", "stops"),
    [
        (Scheduler("asha"), 3, 1, True),
        (Scheduler("asha"), 2, 1, False),
        (Scheduler("asha"), 3, 2, False),  # no rung
        (Scheduler("asha"), 0, 3, True),
        (Scheduler("asha"), 1, 3, False),
        (Scheduler("median", 2), 3, 1, False),  # before the grace epochs have ended
        (Scheduler("median", 2), 3, 2, True),
        (Scheduler("median", 2), 2, 2, False),
        (Scheduler("median", 2), 0, 3, False),  # too few other trials have reached that epoch
    ],
)
def test_a_trial_is_stopped_by_the_curves_of_all_trials(scheduler, number, epoch, stops):
    assert scheduler.stops(number, CURVES, epoch, 9) is stops


def test_hyperband_compares_only_trials_of_the_same_bracket():
    hyperband, asha, first_rungs = Scheduler("hyperband"), Scheduler("asha"), brackets(1, 3, 9) * 2
    # Each trial of the bracket that starts at epoch 1 is better than each of the bracket that starts at epoch 3.
    values = {number: 0.01 * number + 0.5 * (first == 1) for number, first in enumerate(first_rungs)}
    curves = {number: {1: value, 3: value} for number, value in values.items()}
    early = [number for number, first in enumerate(first_rungs) if first == 1]
    late = [number for number, first in enumerate(first_rungs) if first == 3]
    assert hyperband.stops(early[0], curves, 1, 9)
    assert not hyperband.stops(early[-1], curves, 1, 9)
    assert not hyperband.stops(late[0], curves, 1, 9)  # before the first rung of its bracket
    assert hyperband.stops(late[0], curves, 3, 9)
    assert not hyperband.stops(late[-1], curves, 3, 9)
    assert asha.stops(late[-1], curves, 3, 9)


@pytest.mark.parametrize("name", STOPPING)
def test_no_trial_is_stopped_after_its_last_epoch(name):
    curves = {0: dict.fromkeys(range(1, 10), 0.0)} | {
        number: dict.fromkeys(range(1, 10), 1.0) for number in range(1, 20)
    }
    assert not Scheduler(name).stops(0, curves, 9, 9)


def test_pbt_keeps_the_checkpoints_that_another_trial_may_continue_from():
    assert (Scheduler("asha").recent_checkpoints, Scheduler("asha").checkpoints_at_a_time) == (1, 2)
    assert Scheduler("promotion").recent_checkpoints == 1
    assert Scheduler("pbt", interval_epochs=4).recent_checkpoints == 6
