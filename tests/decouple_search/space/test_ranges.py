"""The ends of ranges: which positions are at an end, and how far a range is widened."""

import math

import optuna
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from optuna.distributions import check_distribution_compatibility

from decouple_search.space.parameter import Parameter
from decouple_search.space.ranges import (
    AT_END,
    LEAST_GAIN,
    config_accepts,
    end_at,
    length,
    share,
    shown,
    widened,
)
from decouplenet.yaml_text import parse_value

ENDS = st.sampled_from(["lower", "upper"])


def always(value):
    return True


@st.composite
def ranges(draw):
    """A range of every kind: float or int, linear, logarithmic or stepped."""
    kind, scale = draw(st.sampled_from(["int", "float"])), draw(st.sampled_from(["linear", "log", "step"]))
    if kind == "int":
        low = draw(st.integers(2 if scale == "log" else -1000, 1000))  # the logarithm ends at 1
        high = low + draw(st.integers(1, 1000))
        step = draw(st.integers(1, min(high - low, 9))) if scale == "step" else None
    elif scale == "step":
        low, step = draw(st.integers(-20, 20)) / 20, draw(st.sampled_from([0.05, 0.25, 0.5]))
        high = round(low + draw(st.integers(1, 20)) * step, 2)
    else:
        low, step = draw(st.floats(1e-9, 1e3) if scale == "log" else st.floats(-1e3, 1e3)), None
        high = low * draw(st.floats(1.5, 1e6)) if scale == "log" else low + draw(st.floats(1e-3, 1e6))
    return Parameter("a.key", kind, (low, high), log=scale == "log", step=step)


@given(parameter=ranges(), end=ENDS, part=st.floats(0.1, 2))
def test_a_wider_range_has_one_end_farther_by_about_the_wanted_length(parameter, end, part):
    by = part * length(parameter)
    low, high = widened(parameter, end, by, always)
    wider = parameter.with_range(low, high)
    assert (high, low)[end == "upper"] == parameter.ends[end == "lower"]
    gain = length(wider) - length(parameter)
    assert gain > 0
    if parameter.kind == "float" and parameter.step is None:
        assert gain == pytest.approx(by, rel=0.2)
    elif not parameter.log:
        assert abs(gain - by) <= max(parameter.step or 1, 0.1 * by + 1)
    if parameter.kind == "int":
        assert isinstance(low, int)
        assert isinstance(high, int)


@pytest.mark.filterwarnings("ignore:The distribution is specified")  # by steps that do not divide it
@given(parameter=ranges(), end=ENDS, part=st.floats(0.1, 2), position=st.floats(0, 1))
def test_what_a_range_contains_is_in_the_wider_one_and_optuna_takes_it_in_the_same_study(
    parameter, end, part, position
):
    value = parameter.value_at(position)
    assume(parameter.contains(value))
    wider = parameter.with_range(*widened(parameter, end, part * length(parameter), always))
    assert wider.contains(value)
    check_distribution_compatibility(parameter.distribution, wider.distribution)
    assert wider.distribution._contains(wider.distribution.to_internal_repr(value))


@given(parameter=ranges(), end=ENDS, part=st.floats(0.1, 2))
def test_a_value_of_the_wider_range_has_a_position_in_the_narrow_one(parameter, end, part):
    low, high = widened(parameter, end, part * length(parameter), always)
    position = parameter.position(low if end == "lower" else high)
    assert math.isfinite(position)
    assert position < 0 if end == "lower" else position >= 1  # a high end between two steps has a position too
    assert parameter.value_at(position) == pytest.approx(parameter.ends[end == "upper"])


@given(parameter=ranges(), end=ENDS, limit=st.floats(0.1, 0.9))
def test_a_limit_of_the_key_is_approached_and_never_passed(parameter, end, limit):
    assume(parameter.kind == "float" and parameter.step is None)
    by, sign = length(parameter), -1 if end == "lower" else 1
    edge = parameter.values[0 if end == "lower" else 1]
    bound = parameter.unscaled(parameter.scaled(edge) + sign * limit * by)
    low, high = widened(parameter, end, by, lambda value: sign * (value - bound) <= 0)
    moved = low if end == "lower" else high
    assert sign * (moved - bound) <= 0
    # The end is a short number, so a part of the way is lost.
    assert abs(parameter.scaled(moved) - parameter.scaled(edge)) >= (0.75 * limit - 0.01) * by


@given(parameter=ranges(), end=ENDS)
def test_an_end_that_is_the_limit_of_the_key_does_not_move(parameter, end):
    low, high = parameter.ends
    assert widened(parameter, end, length(parameter), lambda value: low <= value <= high) is None


def test_a_limit_closer_than_the_least_gain_counts_as_reached():
    parameter = Parameter("a.key", "float", (0.0, 1.0))
    assert widened(parameter, "upper", 1.0, lambda value: value <= 1 + 0.9 * LEAST_GAIN) is None
    assert widened(parameter, "upper", 1.0, lambda value: value <= 1 + 1.1 * LEAST_GAIN) is not None


@pytest.mark.parametrize(
    ("kind", "ends", "options", "end", "expected"),
    [
        ("float", (1e-4, 1e-2), {"log": True}, "upper", (1e-4, 0.1)),
        ("float", (1e-4, 1e-2), {"log": True}, "lower", (1e-5, 1e-2)),
        ("float", (5e-4, 1e-2), {"log": True}, "upper", (5e-4, 0.0447)),
        ("float", (0.0, 0.3), {}, "upper", (0.0, 0.45)),
        ("float", (0.2, 0.6), {}, "lower", (0.0, 0.6)),
        ("float", (0.5, 0.9), {"step": 0.1}, "upper", (0.5, 1.1)),
        ("float", (1000.1, 1000.2), {}, "upper", (1000.1, 1000.25)),
        ("int", (1, 16), {"log": True}, "upper", (1, 64)),
        ("int", (2, 3), {}, "upper", (2, 4)),
        ("int", (1, 9), {"step": 2}, "lower", (-3, 9)),
        ("int", (1, 10), {"step": 4}, "upper", (1, 13)),
        ("int", (0, 12345), {}, "upper", (0, 18500)),
    ],
)
def test_half_a_range_more_in_short_numbers(kind, ends, options, end, expected):
    parameter = Parameter("a.key", kind, ends, **options)
    assert widened(parameter, end, length(parameter) / 2, always) == expected


def test_a_range_of_a_single_value_and_one_beyond_all_numbers_are_not_widened():
    for kind, value in (("float", 0.5), ("int", 3)):
        single = Parameter("a.key", kind, (value, value))
        assert widened(single, "lower", length(single), always) is None
        assert widened(single, "upper", length(single), always) is None
    coarse = Parameter("a.key", "float", (1e16, 1e16 + 8))
    assert widened(coarse, "lower", 0.1, always) is None  # no number is there
    huge = Parameter("a.key", "float", (1e-300, 1e300), log=True)
    assert widened(huge, "upper", length(huge), always) is None
    assert widened(Parameter("a.key", "int", (1, 16), log=True), "lower", 1.0, always) is None  # no logarithm of 0


@given(parameter=ranges())
def test_the_ends_of_a_range_have_the_shares_0_and_1(parameter):
    low, high = parameter.ends
    assert (share(parameter, low), share(parameter, high)) == (0, pytest.approx(1))
    assert (end_at(share(parameter, low)), end_at(share(parameter, high))) == ("lower", "upper")


def test_a_position_is_at_an_end_within_the_margin():
    assert [end_at(each) for each in (-1, 0, AT_END, 0.021, 0.5, 0.979, 0.98, 1, 2)] == [
        "lower", "lower", "lower", None, None, None, "upper", "upper", "upper",
    ]  # fmt: skip
    assert [end_at(each, 0.3) for each in (0.29, 0.31, 0.71)] == ["lower", None, "upper"]
    assert end_at(share(Parameter("a.key", "float", (0.5, 0.5)), 0.5)) is None


@pytest.mark.parametrize(
    ("key", "taken", "refused"),
    [
        ("optim.lr", 100.0, -1.0),
        ("optim.momentum", 0.99, 1.0),
        ("model.k_neg", 1.0, 1.5),
        ("model.maps_per_class", 1, 0),
    ],
)
def test_the_config_says_which_values_a_key_can_have(key, taken, refused):
    accepts = config_accepts({"model.pretrained": False}, key)
    assert accepts(taken)
    assert not accepts(refused)


@given(low=st.floats(-1e9, 1e9), high=st.integers(-9, 9))
def test_ends_are_shown_as_they_are_read(low, high):
    assert parse_value(shown((low, high))) == [low, high]


def test_optuna_samples_a_grown_range_in_a_study_with_the_narrow_one():
    study, narrow = optuna.create_study(), Parameter("a.key", "float", (1e-4, 1e-2), log=True)
    trial = study.ask()
    narrow.suggest(trial)
    study.tell(trial, 1.0)
    study.enqueue_trial({"a.key": 0.05})
    trial = study.ask()
    assert narrow.with_range(1e-4, 0.1).suggest(trial) == 0.05
    assert study.trials[1].distributions["a.key"].high == 0.1
