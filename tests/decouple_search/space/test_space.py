"""A space in Python and in YAML, what is refused, and configurations drawn from it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decouple_search.samplers.encoding import Encoding
from decouple_search.space.domain import Choice, Float, Int
from decouple_search.space.objective import Objective
from decouple_search.space.space import Space
from decouple_search.space.yaml_file import load_space
from decouplenet.errors import InputError
from decouplenet.registration import register_head

BASE = {"model": {"backbone": "tiny", "pretrained": False}}
FILE = """
base: {model: {backbone: tiny, pretrained: false}, train.epochs: 4}
search:
  model.k_neg: {float: [0.05, 1.0], log: true, when: {model.alpha: {gt: 0.3}}}
  model.alpha: {float: [0.0, 1.0]}
  model.maps_per_class: {int: [1, 9], step: 2}
  model.attention: {choice: [none, arch1]}
start: [{model.alpha: 1, model.k_neg: 0.2}]
objective: [{metric: val_loss}, {metric: latency_ms}]
scheduler: {name: hyperband, reduction_factor: 2}
trials: 7
sampler: tpe
keep_checkpoints: 5
"""


@settings(deadline=None)
@given(seed=st.integers(0, 1000), width=st.floats(0.01, 0.5))
def test_drawn_configurations_and_their_neighbours_are_in_the_space(space, seed, width):
    rng, encoding = np.random.default_rng(seed), Encoding(space)
    drawn = space.draw(rng)
    near = encoding.neighbours(encoding.units([drawn]), 1, width, rng)
    for point in (drawn, encoding.point(near[0])):
        assert ("model.k_neg" in point) == (point["model.alpha"] > 0.5)
        for parameter in space.parameters:
            if parameter.key in point:
                value, distribution = point[parameter.key], parameter.distribution
                assert parameter.contains(value)
                assert distribution._contains(distribution.to_internal_repr(value))
                if parameter.kind != "choice":
                    assert parameter.value_at(parameter.position(value)) == pytest.approx(value)


def test_the_keys_of_a_space_are_those_of_its_parameters(space):
    assert space.keys == tuple(parameter.key for parameter in space.parameters)
    assert set(space.keys) == {
        "model.maps_per_class", "model.attention", "model.alpha", "model.k_neg", "optim.lr", "optim.momentum",
        "train.batch_size",
    }  # fmt: skip


def test_a_space_in_python_is_the_same_as_in_yaml(tmp_path):
    (tmp_path / "mine.yaml").write_text(FILE)
    in_yaml = load_space(tmp_path / "mine.yaml")
    in_python = Space(
        base={"model": {"backbone": "tiny", "pretrained": False}, "train.epochs": 4},
        search={
            "model.k_neg": Float(0.05, 1.0, log=True, when={"model.alpha": {"gt": 0.3}}),
            "model.alpha": Float(0, 1),
            "model.maps_per_class": Int(1, 9, step=2),
            "model.attention": Choice(["none", "arch1"]),
        },
        start=({"model.alpha": 1, "model": {"k_neg": 0.2}},),
        objective=[{"metric": "val_loss"}, {"metric": "latency_ms"}],
        scheduler={"name": "hyperband", "reduction_factor": 2},
        trials=7,
        sampler="tpe",
        keep_checkpoints=5,
        name="mine",
    )
    for name in ("name", "base", "start", "objectives", "scheduler", "trials", "sampler", "keep_checkpoints", "keys"):
        assert getattr(in_python, name) == getattr(in_yaml, name), name
    assert repr(in_python.parameters) == repr(in_yaml.parameters)
    assert in_python.checked_start() == in_yaml.checked_start() == [{"model.alpha": 1.0, "model.k_neg": 0.2}]
    assert in_python.objectives == (Objective("val_loss", "min"), Objective("latency_ms", "min"))
    assert in_python.scheduler == {"name": "hyperband", "reduction_factor": 2}
    assert (in_python.trials, in_python.sampler, in_python.keep_checkpoints) == (7, "tpe", 5)


def test_what_is_left_out_has_its_default():
    space = Space({"model.alpha": Float(0, 1)})
    assert (space.name, space.base, space.start, space.objectives) == ("space", {}, (), (Objective("val_map", "max"),))
    assert (space.scheduler, space.trials, space.sampler, space.keep_checkpoints) == (
        {"name": "promotion"},
        20,
        None,
        3,
    )


def test_a_domain_may_also_be_its_yaml_mapping():
    space = Space({"model.alpha": {"float": [0, 1]}, "optim.lr": Float(0.1, 1)}, base=BASE)
    assert space.parameters == Space({"model.alpha": Float(0, 1), "optim.lr": Float(0.1, 1)}, base=BASE).parameters


def test_paths_in_the_base_are_text():
    space = Space({"model.alpha": Float(0, 1)}, base={"data": {"train_images": Path("photos")}, **BASE})
    assert space.base["data.train_images"] == "photos"


def test_the_values_of_a_searched_key(space):
    assert space.values_of("model.attention") == ("none", "arch1", "joint")
    assert space.values_of("model.maps_per_class") == (1, 16)
    assert space.values_of("model.head") == ()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"search": {"model.alpha": Float(1, 0)}}, r"Space, search, model.alpha: 'float' needs \[low, high\]"),
        ({"search": {"model.alpha": Float(0, 2, log=True)}}, "Space, search, model.alpha: a log range must begin"),
        ({"search": {"model.alpha": "0 to 1"}}, "Space, search, model.alpha: a mapping is needed, and it holds '0 to"),
        ({"search": {"model.alpah": Float(0, 1)}}, "Space, search: unknown key 'model.alpah'; did you mean 'model.alp"),
        ({"search": {"model.maps_per_class": Int(0, 4)}}, "Space, search, model.maps_per_class: .* 0 is out of range"),
        ({"search": {"model.attention": Choice(["arch3"])}}, "Space, search, model.attention: .* arch3 is not one of"),
        ({"search": {"train.epochs": Int(1, 4)}}, "Space, search, train.epochs: it cannot be searched"),
        ({"search": {}}, "Space: nothing is searched"),
        ({"search": [Float(0, 1)]}, "Space, search: a mapping is needed"),
        ({"base": {"model": {"alpah": 1}}}, "Space, base: unknown key 'model.alpah'"),
        ({"base": {"train.epochs": 0}}, "Space, base: train.epochs: 0 is out of range"),
        ({"base": "model"}, "Space, base: a mapping is needed"),
        ({"start": [{}, {"model.alpha": 2}]}, "Space, start, point 2: model.alpha = 2 is outside float 0.0 to 1.0"),
        ({"start": {"model.alpha": 1}}, "Space, start: a list of points is needed"),
        ({"objective": "val_map"}, "Space, objective: a mapping is needed"),
        ({"objective": {"metric": "val_mpa"}}, "Space, objective: unknown metric 'val_mpa'; did you mean 'val_map'"),
        ({"scheduler": "asha"}, "Space, scheduler: a mapping is needed, and it holds 'asha'"),
        ({"sampler": 3}, "Space, sampler: '3' is not a name"),
        ({"trials": 0}, "Space, trials: '0' is not a whole number from 1"),
        ({"keep_checkpoints": True}, "Space, keep_checkpoints: 'True' is not a whole number from 1"),
        ({"trials": 0, "where": "my space"}, "my space, trials: '0' is not"),
    ],
)
def test_a_wrong_space_is_refused_with_its_place(changed, message):
    with pytest.raises(InputError, match=f"^{message}"):
        Space(**{"search": {"model.alpha": Float(0, 1)}, "base": BASE, **changed})


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ({"model.alpah": {"gt": 1}}, "Space, search, optim.lr, when: unknown key 'model.alpah'"),
        ({"model.alpha": {"above": 1}}, "Space, search, optim.lr, when, model.alpha: .* is needed; valid: eq, ne"),
        ({"model.alpha": {"gt": "much"}}, "Space, search, optim.lr, when, model.alpha: gt compares numbers"),
        ({"model.attention": {"gt": 1}}, "Space, search, optim.lr, when, model.attention: gt compares numbers"),
    ],
)
def test_a_wrong_condition_is_refused_with_its_place(when, message):
    with pytest.raises(InputError, match=f"^{message}"):
        Space({"optim.lr": Float(0.1, 1, when=when)}, base=BASE)


def test_a_parameter_is_present_when_its_conditions_hold():
    condition = {"model.alpha": {"ge": 0.5}, "model.attention": "arch1"}
    searched = {"optim.lr": Float(0.1, 1, when=condition), "model.alpha": Float(0, 1)}
    space = Space(searched | {"model.attention": Choice(["none", "arch1"])}, base=BASE)
    drawn = [space.draw(np.random.default_rng(seed)) for seed in range(40)]
    for point in drawn:
        assert ("optim.lr" in point) == (point["model.alpha"] >= 0.5 and point["model.attention"] == "arch1")
    assert 0 < sum("optim.lr" in point for point in drawn) < 40


def test_keys_that_are_fixed_are_no_longer_searched():
    searched = {"model.alpha": Float(0, 1), "optim.lr": Float(0.1, 1), "optim.momentum": Float(0, 0.9)}
    space = Space(searched, base=BASE, start=[{"model.alpha": 0.5, "optim.lr": 0.2}], trials=7, name="mine", where="it")
    fixed = space.with_fixed({"model.alpha": 0.7, "train.epochs": 2})
    assert fixed.keys == ("optim.lr", "optim.momentum")
    assert fixed.base == space.base | {"model.alpha": 0.7, "train.epochs": 2}
    assert (fixed.start, fixed.trials, fixed.name, fixed.where) == (({"optim.lr": 0.2},), 7, "mine", "it")
    twice = fixed.with_fixed({"optim.lr": 0.3, "train.epochs": 3})
    assert twice.keys == ("optim.momentum",)
    assert twice.base == space.base | {"model.alpha": 0.7, "optim.lr": 0.3, "train.epochs": 3}
    assert (space.keys, space.base) == (tuple(searched), {"model.backbone": "tiny", "model.pretrained": False})
    assert space.with_fixed({}) is space


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"model.alpah": 1}, "unknown key 'model.alpah'; did you mean 'model.alpha'"),
        ({"train.epochs": 0}, "train.epochs: 0 is out of range"),
        ({"model.alpha": 0.5}, "nothing is searched"),
    ],
)
def test_keys_that_cannot_be_fixed_are_refused(keys, message):
    with pytest.raises(InputError, match=f"^Space.*: {message}"):
        Space({"model.alpha": Float(0, 1)}, base=BASE).with_fixed(keys)


def test_the_names_of_extensions_are_valid_in_a_space(registries):
    register_head("mine")(print)
    searched = Space({"model.head": Choice(["gap", "mine"])}, base=BASE)
    assert searched.values_of("model.head") == ("gap", "mine")
    condition = {"model.head": {"in": ["mine"]}}
    fixed = Space({"optim.lr": Float(0.1, 1, when=condition)}, base={**BASE, "model.head": "mine"})
    assert "optim.lr" in fixed.draw(np.random.default_rng(0))
    for wrong in ({"base": {"model.head": "yours"}}, {"search": {"model.head": Choice(["mine", "yours"])}}):
        with pytest.raises(
            InputError, match="model.head: yours is not one of 'decouplenet', .*, 'mine'; a name of your own"
        ):
            Space(**{"search": {"model.alpha": Float(0, 1)}, **wrong})


def test_ranges_with_other_ends_keep_all_else():
    rate, size = (
        Float(1e-4, 1e-2, log=True, grow=True),
        {"int": [8, 32], "step": 8, "when": {"model.alpha": {"gt": 0.5}}},
    )
    searched = {"optim.lr": rate, "train.batch_size": size, "model.alpha": Float(0, 1)}
    space = Space(searched, base=BASE, start=[{"optim.lr": 1e-3}], trials=7, name="mine")
    wider = space.with_ranges({"optim.lr": (1e-5, 1), "train.batch_size": [8, 64]})
    assert [str(parameter) for parameter in wider.parameters] == [
        "float 1e-05 to 1.0, log, grow", "float 0.0 to 1.0", "int 8 to 64, step 8, when model.alpha gt 0.5",
    ]  # fmt: skip
    assert (wider.start, wider.trials, wider.name, wider.base) == (space.start, 7, "mine", space.base)
    assert space.values_of("optim.lr") == (1e-4, 1e-2)
    assert wider.with_ranges({"optim.lr": [1e-4, 1e-2], "train.batch_size": [8, 32]}).parameters == space.parameters
    assert space.with_ranges({}) is space
    fixed = wider.with_fixed({"model.alpha": 0.7})
    assert fixed.values_of("optim.lr") == (1e-5, 1.0)


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"optim.rl": [0.1, 1]}, "--ranges: 'optim.rl' is not searched as a range; did you mean 'optim.lr'?"),
        ({"optim.momentum": [0, 0.5]}, "--ranges: 'optim.momentum' is not searched as a range; valid: "),
        (
            {"model.attention": ["none"]},
            "--ranges: 'model.attention' is not searched as a range; valid: optim.lr, train",
        ),
        ({"optim.lr": 0.1}, "--ranges, optim.lr: [low, high] is needed, not 0.1"),
        ({"optim.lr": [0.1]}, "--ranges, optim.lr: 'float' needs [low, high], and holds [0.1]"),
        ({"optim.lr": [1, 0.1]}, "--ranges, optim.lr: 'float' needs [low, high], and holds [1, 0.1]"),
        ({"optim.lr": ["a", 1]}, "--ranges, optim.lr: 'float' needs [low, high], and holds ['a', 1]"),
        ({"optim.lr": [0, 1]}, "--ranges, optim.lr: a log range must begin above 0, not at 0"),
        ({"train.batch_size": [8, 9.5]}, "--ranges, train.batch_size: 'int' needs whole numbers, and holds [8, 9.5]"),
        ({"train.batch_size": [0, 9]}, "--ranges, train.batch_size: train.batch_size: 0 is out of range"),
        ({"optim.lr": [0.1, 1]}, "Space, start, point 1: optim.lr = 0.01 is outside float 0.1 to 1.0, log"),
    ],
)
def test_other_ends_are_checked_like_those_of_a_space(ranges, message):
    searched = {"optim.lr": Float(1e-4, 1e-2, log=True), "train.batch_size": Int(8, 32)}
    choices = {"model.attention": Choice(["none", "arch1"]), "optim.momentum": Float(0, 0.9)}
    space = Space(searched | choices, base=BASE, start=[{"optim.lr": 1e-2}]).with_fixed({"optim.momentum": 0.5})
    with pytest.raises(InputError) as raised:
        space.with_ranges(ranges, "--ranges")
    assert str(raised.value).startswith(message)


def test_a_space_of_choices_has_no_range_to_change():
    with pytest.raises(InputError, match="^ranges: 'optim.lr' is not searched as a range; the space has no range$"):
        Space({"model.attention": Choice(["none"])}, base=BASE).with_ranges({"optim.lr": [0.1, 1]})
