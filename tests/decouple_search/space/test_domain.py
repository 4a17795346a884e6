"""The values of a searched key in Python, and the same values in YAML."""

from datetime import date
from types import MappingProxyType

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from decouple_search.space.domain import Choice, Float, Int
from decouple_search.space.space import Space
from decouple_search.space.yaml_file import load_space
from decouplenet.errors import InputError

BASE = {"model": {"pretrained": False}}
CONDITIONS = [
    None,
    {"model.alpha": {"gt": 0.5}},
    {"model.attention": "arch1"},
    {"model.head": {"in": ["gap", "gmp"]}, "train.batch_size": {"le": 16}},
]
TEXTS = ["no", "null", "~", "true", "0x1F", "2024-01-01", "a: b", " padded ", "'quoted'", "größer\n", "[a, b]", ""]
CHOICES = {
    "model.attention": st.sampled_from(["none", "arch1", "arch2", "joint"]),
    "model.k_pos": st.integers(1, 50) | st.floats(0.01, 0.99),
    "model.pretrained": st.booleans(),
    "optim.weight_decay": st.floats(0, 1e9),
    "train.zero_stage": st.integers(0, 3),
    "train.deepspeed_config": st.sampled_from([None, *TEXTS]),
}


@st.composite
def ranges(draw):
    """A key and a range of it: of whole numbers, or of real ones."""
    kind, key, numbers = draw(
        st.sampled_from(
            [(Int, "train.seed", st.integers(0, 10**12)), (Float, "optim.weight_decay", st.floats(0, 1e300))]
        )
    )
    low, high = sorted([draw(numbers), draw(numbers)])
    scale = draw(st.sampled_from(["linear", "log", "step"] if low > 0 else ["linear", "step"]))
    step = draw(st.integers(1, 9) if kind is Int else st.floats(1e-9, 1e9)) if scale == "step" else None
    options = {"log": scale == "log", "step": step, "grow": draw(st.booleans())}
    return key, kind(low, high, when=draw(st.sampled_from(CONDITIONS)), **options)


@st.composite
def choices(draw):
    """A key and choices of it."""
    key = draw(st.sampled_from(list(CHOICES)))
    values = draw(st.lists(CHOICES[key], min_size=1, max_size=4, unique=True))
    return key, Choice(values, when=None if key == "model.attention" else draw(st.sampled_from(CONDITIONS)))


@settings(max_examples=80, deadline=None)
@given(searched=ranges() | choices())
def test_a_domain_in_python_and_its_yaml_are_the_same_parameter(searched, tmp_path_factory):
    key, domain = searched
    file = tmp_path_factory.getbasetemp() / "domain.yaml"
    file.write_text(yaml.safe_dump({"base": BASE, "search": {key: domain.to_yaml()}}))
    (in_python,), (in_yaml,) = Space({key: domain}, base=BASE).parameters, load_space(file).parameters
    assert repr(in_yaml) == repr(in_python)  # 1, 1.0 and true differ


@pytest.mark.parametrize(
    ("domain", "mapping"),
    [
        (Float(0, 1), {"float": [0, 1]}),
        (Float(1e-4, 0.1, log=True), {"float": [1e-4, 0.1], "log": True}),
        (Float(0.5, 0.9, step=0.1), {"float": [0.5, 0.9], "step": 0.1}),
        (Int(1, 16, log=True), {"int": [1, 16], "log": True}),
        (Int(1, 16, step=5), {"int": [1, 16], "step": 5}),
        (Float(1e-4, 0.1, log=True, grow=True), {"float": [1e-4, 0.1], "log": True, "grow": True}),
        (Choice(("none", "arch1")), {"choice": ["none", "arch1"]}),
        (Choice([False]), {"choice": [False]}),
        (Int(1, 2, when={"model.alpha": 0.5}), {"int": [1, 2], "when": {"model.alpha": 0.5}}),
        (Float(0, 1, when={"model.k_neg": {"gt": 0}}), {"float": [0, 1], "when": {"model.k_neg": {"gt": 0}}}),
        (Choice([1], when={"model.alpha": 0.5}), {"choice": [1], "when": {"model.alpha": 0.5}}),
    ],
)
def test_the_mapping_of_a_domain_has_what_was_given(domain, mapping):
    assert domain.to_yaml() == mapping
    assert domain == type(domain)(**vars(domain))


@pytest.mark.parametrize("make", [lambda: Float(0, 1, True), lambda: Int(1, 2, True), lambda: Choice([1], {})])
def test_options_of_a_domain_are_named(make):
    with pytest.raises(TypeError):
        make()


def test_the_values_of_a_choice_may_come_from_an_iterator():
    choice = Choice(name for name in ["none", "arch1"])
    space = Space({"model.attention": choice}, base=BASE).with_fixed({"train.epochs": 2})
    assert space.values_of("model.attention") == ("none", "arch1")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"choice": ["none", "arch1"], "grow": True}, "choices cannot grow; drop grow, or search a range"),
        ({"choice": ["none", "arch1"], "grow": "twice"}, "grow must be true or false, not 'twice'"),
    ],
)
def test_only_a_range_can_grow(spec, message):
    with pytest.raises(InputError) as raised:
        Space({"model.attention": spec}, base=BASE)
    assert str(raised.value) == f"Space, search, model.attention: {message}"


def test_a_range_that_grows_says_so():
    searched = {"optim.lr": Float(1e-4, 0.1, log=True, grow=True), "model.alpha": Float(0, 1)}
    rate, alpha = Space(searched, base=BASE).parameters
    assert (rate.grow, str(rate)) == (True, "float 0.0001 to 0.1, log, grow")
    assert (alpha.grow, str(alpha)) == (False, "float 0.0 to 1.0")


@pytest.mark.parametrize("values", ["none", 3, None])
def test_what_is_no_list_of_values_is_no_choice(values):
    with pytest.raises(InputError, match=f"^Choice: a list of values is needed, not {values!r}$"):
        Choice(values)


def test_conditions_may_be_any_mapping_and_their_operands_tuples():
    when = MappingProxyType({"model.head": MappingProxyType({"in": ("gap", "gmp")})})
    (parameter,) = Space({"model.alpha": Float(0, 1, when=when)}, base=BASE).parameters
    assert parameter.when == {"model.head": ("in", ["gap", "gmp"])}


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ([None, [1, 2]], "[1, 2]"),
        ([{"bf16": True}, None], "{'bf16': True}"),
        (["a.json", date(2024, 1, 1)], "datetime.date(2024, 1, 1)"),
    ],
)
def test_what_optuna_cannot_choose_is_no_choice(values, wrong):
    with pytest.raises(InputError) as raised:
        Space({"train.deepspeed_config": Choice(values)}, base=BASE)
    assert str(raised.value) == (
        f"Space, search, train.deepspeed_config: {wrong} cannot be a choice; choices are null, true, false, numbers "
        "and texts: write it in quotes if the key takes a text, else fix the key under 'base'"
    )


def test_null_is_a_choice_where_the_key_takes_it(tmp_path):
    file = tmp_path / "space.yaml"
    separator = "data.label_separator: {choice: [null, '|'], when: {train.deepspeed_config: null}}"
    file.write_text(
        f"search:\n  train.deepspeed_config: {{choice: [null, a.json]}}\n  {separator}\n"
        "  model.alpha: {float: [0, 1]}\nbase: {model: {pretrained: false}}\n"
        "start: [{train.deepspeed_config: null, data.label_separator: null}]\n"
    )
    space = load_space(file)
    assert space.values_of("train.deepspeed_config") == (None, "a.json")
    assert space.checked_start() == [{"train.deepspeed_config": None, "data.label_separator": None}]
    present = space.present({"train.deepspeed_config": "a.json", "data.label_separator": None, "model.alpha": 0.5})
    assert present == {"train.deepspeed_config": "a.json", "model.alpha": 0.5}
    with pytest.raises(InputError, match=r"optim\.lr: None is not float"):
        Space({"optim.lr": Choice([None, 0.1])}, base=BASE)
