"""Best values at an end of their range, and ranges that grow by themselves: when, how far, and what the study keeps."""

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from decouple_search.space.domain import Choice, Float, Int
from decouple_search.space.ranges import length, share
from decouple_search.space.space import Space
from decouple_search.study.optuna_storage import load_journal, open_study
from decouple_search.study.ranges import (
    EVIDENCE,
    MAX_GROWTHS,
    Growth,
    RangeWatch,
    due_growths,
    edge_notes,
    edges,
    grown_ranges,
    growths,
    note_edges,
    ranges_of,
)

BASE = {"model": {"backbone": "tiny", "pretrained": False}}
RATE = Float(1e-4, 1e-2, log=True, grow=True)


def space_of(**searched):
    """A space of `optim.lr` and other keys; a name has `__` in place of the dot."""
    keys = {name.replace("__", "."): domain for name, domain in searched.items()}
    return Space({"optim.lr": RATE, **keys}, base=BASE)


def add_trials(study, space, points, value=None, state=TrialState.COMPLETE):
    """Ended trials of a study; the value of a trial is its rate unless one is given."""
    for point in points:
        objective = value if value is not None else point["optim.lr"]
        distributions = {
            parameter.key: parameter.distribution for parameter in space.parameters if parameter.key in point
        }
        study.add_trial(
            create_trial(
                params=point,
                distributions=distributions,
                value=objective if state == TrialState.COMPLETE else None,
                state=state,
                user_attrs={"objectives": [objective], "best_value": objective},
            )
        )


def rates(*values):
    return [{"optim.lr": value} for value in values]


@pytest.fixture
def study():
    return optuna.create_study(direction="maximize")


@pytest.fixture
def watch(study):
    return RangeWatch(study, space_of(), lambda edge: f"{edge}; wider {edge.wider}")


LOW = rates(*[2e-4] * (EVIDENCE - 3))
TOP = rates(8e-3, 9e-3, 1e-2)


def test_a_range_grows_at_the_end_that_the_best_trials_are_near(study):
    add_trials(study, space_of(), LOW + TOP)
    assert due_growths(study, space_of(), EVIDENCE) == [
        Growth("optim.lr", "upper", (1e-4, 1e-2), (1e-4, 0.1), EVIDENCE)
    ]
    assert grown_ranges(study, space_of()) == {"optim.lr": (1e-4, 0.1)}
    assert growths(study) == []  # nothing is recorded by asking


@pytest.mark.parametrize(
    "points",
    [
        LOW[1:] + TOP,  # too few
        LOW + rates(1e-2, 3e-3, 2e-3),  # the median is inside
        LOW,
        [],
    ],
)
def test_without_the_evidence_no_range_grows(study, points):
    add_trials(study, space_of(), points)
    assert grown_ranges(study, space_of()) == {}


def test_failed_and_imported_trials_are_no_evidence(study):
    add_trials(study, space_of(), LOW[1:] + TOP)
    add_trials(study, space_of(), rates(1e-2), state=TrialState.FAIL)
    copy = study.trials[-2]
    copy.user_attrs["taken_from"] = "another search"
    study.add_trial(copy)
    assert grown_ranges(study, space_of()) == {}
    add_trials(study, space_of(), rates(2e-4), state=TrialState.PRUNED)
    assert grown_ranges(study, space_of()) == {"optim.lr": (1e-4, 0.1)}


def test_a_range_without_grow_keeps_its_ends(study):
    space = Space({"optim.lr": Float(1e-4, 1e-2, log=True)}, base=BASE)
    add_trials(study, space, LOW + TOP)
    assert grown_ranges(study, space) == {}


def test_a_range_grows_to_the_limit_of_its_key_and_not_beyond(study):
    space = space_of(optim__momentum=Float(0.5, 0.9, grow=True), model__k_neg=Float(0.1, 1.0, log=True, grow=True))
    add_trials(study, space, [{**point, "optim.momentum": 0.89, "model.k_neg": 1.0} for point in LOW + TOP])
    grown = grown_ranges(study, space)
    assert grown["optim.momentum"][0] == 0.5
    assert 0.95 < grown["optim.momentum"][1] < 1
    assert "model.k_neg" not in grown


def test_a_conditional_range_grows_only_if_all_of_the_best_trials_have_it(study):
    space = space_of(optim__momentum=Float(0.1, 0.5, when={"optim.name": "sgd"}, grow=True))
    add_trials(study, space, [{**point, "optim.momentum": 0.5} for point in LOW + rates(2e-4) * EVIDENCE + TOP[1:]])
    add_trials(study, space, rates(8e-3))
    assert "optim.momentum" not in grown_ranges(study, space)
    add_trials(study, space, [{"optim.lr": 9e-3, "optim.momentum": 0.5}])
    assert grown_ranges(study, space)["optim.momentum"] == (0.1, 0.7)


def test_trials_without_the_key_are_no_evidence_for_its_range(study):
    space = space_of(optim__momentum=Float(0.1, 0.5, when={"optim.name": "sgd"}, grow=True))
    add_trials(study, space, LOW)
    for _ in range(EVIDENCE):
        assert "optim.momentum" not in grown_ranges(study, space)
        add_trials(study, space, [{"optim.lr": 9e-3, "optim.momentum": 0.5}])
    assert "optim.momentum" in grown_ranges(study, space)


def test_a_growth_is_recorded_printed_once_and_needs_new_evidence_for_the_next(study, watch, capsys):
    add_trials(study, watch.space, LOW + TOP)
    for _ in range(2):
        assert watch.before(EVIDENCE).values_of("optim.lr") == (1e-4, 0.1)
    assert capsys.readouterr().out == (
        "note       optim.lr: range [0.0001, 0.01] grows to [0.0001, 0.1] from trial 0010 on, as the best 3 trials are "
        "near its upper end\n"
    )
    assert watch.space.values_of("optim.lr") == (1e-4, 1e-2)  # so the search's definition stays the same
    grown = watch.space_of(EVIDENCE)
    add_trials(study, grown, rates(*[0.1] * (EVIDENCE - 1)))
    assert watch.before(2 * EVIDENCE - 1).values_of("optim.lr") == (1e-4, 0.1)
    add_trials(study, grown, rates(0.1))
    assert watch.before(2 * EVIDENCE).values_of("optim.lr") == (1e-4, 1.0)
    assert [each.trial for each in growths(study)] == [EVIDENCE, 2 * EVIDENCE]


def test_trials_keep_the_range_in_which_they_were_proposed(study, watch):
    add_trials(study, watch.space, LOW + TOP)
    assert watch.before(EVIDENCE).values_of("optim.lr") == (1e-4, 0.1)
    assert watch.before(3).values_of("optim.lr") == (1e-4, 1e-2)
    assert watch.space_of(EVIDENCE - 1).values_of("optim.lr") == (1e-4, 1e-2)
    assert watch.space_of(99).values_of("optim.lr") == (1e-4, 0.1)
    add_trials(study, watch.space, rates(1e-3))  # such as the training of a finalist, with what was proposed before
    assert watch.space_of(EVIDENCE).values_of("optim.lr") == (1e-4, 1e-2)
    assert ranges_of(study, EVIDENCE - 1) == {}


def test_nothing_grows_before_a_trial_that_was_proposed_already(study, watch):
    add_trials(study, watch.space, LOW + TOP)
    watch.before(4)
    assert growths(study) == []
    study.enqueue_trial({"optim.lr": 1e-3})
    watch.before(EVIDENCE)  # a start point has its number and waits
    assert [each.trial for each in growths(study)] == [EVIDENCE]


@settings(max_examples=25, deadline=None)  # the config is checked at each growth
@given(values=st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_however_a_search_goes_its_ranges_only_grow_and_each_end_at_most_twice(values):
    study = optuna.create_study(direction="maximize")
    space = space_of(model__maps_per_class=Int(4, 8, grow=True))
    watch, before = RangeWatch(study, space, str), space
    for position in values:
        now = watch.before(len(study.trials))
        for parameter in space.parameters:
            low, high = before.values_of(parameter.key)
            wider_low, wider_high = now.values_of(parameter.key)
            assert wider_low <= low < high <= wider_high
            growth = length(now.parameter(parameter.key)) / length(parameter) - 1
            assert growth <= 2 * MAX_GROWTHS * 0.5 + 0.1
        point = {parameter.key: parameter.value_at(position) for parameter in now.parameters}
        add_trials(study, now, [point] * EVIDENCE, value=len(study.trials))
        before = now
    assert len(growths(study)) <= 2 * 2 * MAX_GROWTHS
    assert grown_ranges(study, space).keys() <= {"optim.lr", "model.maps_per_class"}


def test_a_reopened_study_has_the_same_ranges_and_grows_nothing_twice(tmp_path, capsys):
    space, study = space_of(), open_study(tmp_path / "study.log", space_of())
    add_trials(study, space, LOW + TOP)
    grown = RangeWatch(study, space, str).before(EVIDENCE)
    reopened = load_journal(tmp_path / "study.log")
    capsys.readouterr()
    assert RangeWatch(reopened, space, str).before(EVIDENCE).parameters == grown.parameters
    assert growths(reopened) == growths(study)
    assert not capsys.readouterr().out


def test_a_best_value_at_an_end_is_an_edge_with_a_wider_range(study):
    space = space_of(model__maps_per_class=Int(1, 4), model__attention=Choice(["none", "arch1"]))
    others = {"model.maps_per_class": 4, "model.attention": "arch1"}
    add_trials(study, space, [{**point, **others} for point in TOP])
    rate, maps = edges(study, space)
    assert (rate.key, rate.end, rate.value, rate.ends, rate.wider) == (
        "optim.lr",
        "upper",
        1e-2,
        (1e-4, 1e-2),
        (1e-4, 0.1),
    )
    assert (maps.key, maps.wider, maps.agreeing) == ("model.maps_per_class", (1, 6), 3)
    assert str(rate) == "optim.lr: the best value 0.01 is at the upper end of its range [0.0001, 0.01]"
    assert str(maps) == (
        "model.maps_per_class: the best value 4 is at the upper end of its range [1, 4], as in 3 of the best 3 trials"
    )


@pytest.mark.parametrize("maps", [1, 2, 3])
def test_a_value_at_the_limit_of_the_key_or_inside_the_range_is_no_edge(study, maps):
    space = space_of(model__maps_per_class=Int(1, 4))
    add_trials(study, space, [{"optim.lr": 9e-3, "model.maps_per_class": maps}])
    assert edges(study, space) == []


def test_the_best_value_is_compared_with_the_grown_range(study, watch):
    add_trials(study, watch.space, LOW + TOP)
    watch.before(EVIDENCE)
    assert edges(study, watch.space) == []
    add_trials(study, watch.space_of(EVIDENCE), rates(0.1))
    [edge] = edges(study, watch.space)
    assert (edge.ends, edge.wider) == ((1e-4, 0.1), (1e-4, 1.0))


def test_a_study_without_a_value_has_no_edge(study):
    assert edges(study, space_of()) == []


def test_an_edge_that_lasts_is_said_once_while_the_search_runs(study, capsys):
    space = Space({"optim.lr": Float(1e-4, 1e-2, log=True)}, base=BASE)
    watch = RangeWatch(study, space, lambda edge: f"{edge.key} {edge.wider}")
    add_trials(study, space, LOW[1:] + TOP)
    watch.before(EVIDENCE - 1)
    assert not capsys.readouterr().out  # too early
    add_trials(study, space, rates(2e-4))
    for again in (watch, watch, RangeWatch(study, space, str)):
        again.before(EVIDENCE)
    assert capsys.readouterr().out == "note       optim.lr (0.0001, 0.1)\n"
    assert growths(study) == []


def test_one_lucky_trial_at_an_end_is_not_said_while_the_search_runs(study, capsys):
    space = Space({"optim.lr": Float(1e-4, 1e-2, log=True)}, base=BASE)
    add_trials(study, space, LOW + rates(1e-3, 1e-3, 1e-2))
    RangeWatch(study, space, str).before(EVIDENCE)
    assert not capsys.readouterr().out
    assert len(edges(study, space)) == 1


def test_an_end_that_waits_for_evidence_to_grow_is_not_said(study, watch, capsys):
    add_trials(study, watch.space, LOW + TOP)
    add_trials(study, watch.before(EVIDENCE), rates(0.1, 0.1, 0.1))
    capsys.readouterr()
    watch.before(len(study.trials))
    assert not capsys.readouterr().out
    assert len(edges(study, watch.space)) == 1


def test_an_end_that_may_still_grow_by_itself_is_said_only_when_it_no_longer_does(study, watch, capsys):
    add_trials(study, watch.space, LOW + TOP)
    for count in range(1, MAX_GROWTHS + 1):
        space = watch.before(count * EVIDENCE)
        add_trials(study, space, rates(*[space.values_of("optim.lr")[1]] * EVIDENCE))
    assert "wider" not in capsys.readouterr().out
    assert space.values_of("optim.lr") == (1e-4, 1.0)
    watch.before(len(study.trials))
    assert capsys.readouterr().out == (
        "note       optim.lr: the best value 1 is at the upper end of its range [0.0001, 1.0], as in 3 of the best 3 "
        "trials; wider (0.0001, 10.0)\n"
    )


def test_the_limit_of_a_key_is_tried_once(study, monkeypatch):
    space = Space({"model.maps_per_class": Int(1, 4)}, base=BASE)
    add_trials(study, space, [{"model.maps_per_class": 1}] * EVIDENCE, value=0.5)
    watch, tried = RangeWatch(study, space, str), []
    monkeypatch.setattr(
        "decouple_search.study.ranges.config_accepts", lambda base, key: lambda value: tried.append(value) is not None
    )
    watch.before(EVIDENCE)
    first = len(tried)
    watch.before(EVIDENCE)
    assert len(tried) == first > 0


def test_the_notes_of_the_end_stay_in_the_study(study):
    add_trials(study, space_of(), TOP)
    assert edge_notes(study) == []
    assert note_edges(study, space_of(), lambda edges: [each.key for each in edges]) == ["optim.lr"]
    assert edge_notes(study) == ["optim.lr"]
    add_trials(study, space_of(), rates(5e-3), value=1.0)
    note_edges(study, space_of(), lambda edges: [each.key for each in edges])
    assert edge_notes(study) == []


@given(position=st.floats(-1, 2))
def test_the_positions_of_values_outside_of_a_range_are_beyond_its_ends(position):
    narrow, wide = space_of().parameters[0], space_of().with_ranges({"optim.lr": [1e-6, 1.0]}).parameters[0]
    value = narrow.unscaled(narrow.scaled(1e-4) + position * length(narrow))
    assert share(narrow, value) == pytest.approx(position, abs=1e-6)
    assert narrow.position(value) == pytest.approx(position, abs=1e-6)
    assert 0 <= wide.position(value) <= 1
