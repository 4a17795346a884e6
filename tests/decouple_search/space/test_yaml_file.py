"""A space's YAML file: what Optuna is asked to propose, under which conditions, and which files are refused."""

from pathlib import Path

import optuna
import pytest

from decouple_search.evaluation.paper_tables import OWN, row_of
from decouple_search.space.objective import Objective
from decouple_search.space.yaml_file import load_space
from decouplenet.command_line import parse_config
from decouplenet.errors import InputError

SPACES = sorted((Path(__file__).parents[3] / "search_spaces").glob("*.yaml"))


def propose(space, trials=60):
    """Random proposals: the parameters of each, and Optuna's trial."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    proposals = []
    for _ in range(trials):
        trial = study.ask()
        proposals.append((space.suggest(trial), trial))
    return proposals


def test_proposals_lie_in_the_space_and_conditions_hold(space_file):
    space = load_space(space_file())
    proposals = propose(space)
    for values, trial in proposals:
        assert trial.params == values
        assert ("model.k_neg" in values) == (values["model.alpha"] > 0.3)
        assert 1 <= values["model.maps_per_class"] <= 4
        assert values["model.attention"] in ("none", "arch1")
        parse_config({**space.base, **values})
    assert len({"model.k_neg" in values for values, _ in proposals}) == 2


def test_a_parameter_comes_after_the_parameters_that_its_conditions_name(space_file):
    keys = load_space(space_file()).keys
    assert keys.index("model.alpha") < keys.index("model.k_neg")


def test_a_condition_on_a_fixed_key(space_file):
    fixed = load_space(space_file(), {"model.alpha": 0.0})
    assert not any("model.k_neg" in values for values, _ in propose(fixed, 20))
    fixed = load_space(space_file(), {"model.alpha": 0.9})
    assert all("model.k_neg" in values for values, _ in propose(fixed, 20))


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("{gt: 3}", [4]),
        ("{le: 2}", [1, 2]),
        ("{in: [1, 4]}", [1, 4]),
        ("{ne: 2}", [1, 3, 4]),
        ("3", [3]),
        ("{not_in: [1]}", [2, 3, 4]),
    ],
)
def test_every_kind_of_condition(space_file, condition, holds):
    file = space_file(("when: {model.alpha: {gt: 0.3}}", f"when: {{model.maps_per_class: {condition}}}"))
    for values, _ in propose(load_space(file)):
        assert ("model.k_neg" in values) == (values["model.maps_per_class"] in holds)


def test_a_key_given_on_the_command_line_is_no_longer_searched(space_file):
    space = load_space(space_file(), {"model.maps_per_class": 3, "train.epochs": 7})
    assert "model.maps_per_class" not in space.keys
    assert (space.base["model.maps_per_class"], space.base["train.epochs"]) == (3, 7)
    assert space.start == ({"model.alpha": 0.1, "model.k_neg": 0.2},)


def test_start_points_lose_parameters_whose_conditions_do_not_hold(space_file):
    assert load_space(space_file()).checked_start() == [{"model.maps_per_class": 2, "model.alpha": 0.1}]
    condition_holds = space_file(("model.alpha: 0.1,", "model.alpha: 0.7,"))
    assert load_space(condition_holds).checked_start() == [
        {"model.maps_per_class": 2, "model.alpha": 0.7, "model.k_neg": 0.2}
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("search:", "serach:", r"unknown key 'serach'; did you mean 'search'\?"),
        (
            "model.attention:",
            "model.atention:",
            r"search: unknown key 'model.atention'; did you mean 'model.attention'\?",
        ),
        ("pretrained:", "pretrain:", r"base: unknown key 'model.pretrain'"),
        ("{int: [1, 4], log: true}", "{int: [4, 1]}", r"maps_per_class: 'int' needs \[low, high\]"),
        ("{int: [1, 4], log: true}", "{int: [0, 4], log: true}", "log range must begin above 0"),
        ("{int: [1, 4], log: true}", "{int: [0, 4]}", "search, model.maps_per_class.* out of range"),
        ("{int: [1, 4], log: true}", "{int: [1.5, 4]}", "whole numbers"),
        ("{int: [1, 4], log: true}", "{integer: [1, 4]}", "unknown 'integer'"),
        ("{choice: [none, arch1]}", "{choice: [none, arch9]}", "search, model.attention: .*arch9"),
        ("{choice: [none, arch1]}", "{choice: []}", "needs a list"),
        ("{model.alpha: {gt: 0.3}}", "{model.alpha: {above: 0.3}}", "one condition is needed; valid: eq, ne"),
        ("{model.alpha: {gt: 0.3}}", "{model.k_neg: {gt: 0.3}}", "refer to one another"),
        (
            "model.maps_per_class: 2,",
            "model.maps_per_class: 9,",
            r"point 1: model.maps_per_class = 9 is outside int 1 to 4",
        ),
        ("model.maps_per_class: 2,", "model.backbone: resnet18,", "'model.backbone' is not searched"),
        ("epochs: 3", "epochs: none", "base: train.epochs"),
        ("trials: 4", "trials: many", "trials: 'many'"),
        ("trials: 4", "objective: {metric: val_map, mode: up}", "mode 'up' is unknown"),
        ("trials: 4", "objective: [val_map]", "a mapping is needed"),
        ("trials: 4", "objective: [{metric: val_map}, {metric: val_map}]", "'val_map' is there twice"),
        ("trials: 4", "objective: [{metric: latency_ms}, {metric: val_map}]", "put a measure first that differs"),
        ("trials: 4", "objective: {metric: val_mpa}", r"unknown metric 'val_mpa'; did you mean 'val_map'\?"),
        ("trials: 4", "objective: {metrc: val_map}", "unknown 'metrc'"),
        ("{choice: [none, arch1]}", "{choice: [1, 1.0]}", "two of the choices are equal"),
        ("model.attention:", "train.epochs:", "train.epochs: it cannot be searched"),
        ("model.attention:", "scaling.workers_per_trial:", "scaling.workers_per_trial: it cannot be searched"),
        ("{int: [1, 4], log: true}", "{int: [1, 4], step: 0.5}", "step must be a whole number above 0, not 0.5"),
        ("{float: [0.0, 1.0]}", "{float: [0.0, 1.0], step: -1}", "step must be a number above 0"),
        ("{float: [0.0, 1.0]}", "{float: [0.0, .inf]}", r"needs \[low, high\]"),
        ("{model.alpha: {gt: 0.3}}", "{model.alpha: {gt: abc}}", "gt compares numbers"),
        ("{model.alpha: {gt: 0.3}}", "{model.attention: {gt: 3}}", "gt compares numbers"),
        ("{model.alpha: {gt: 0.3}}", "{model.attention: arch3}", "when: model.attention: arch3 is not one of"),
        ("{model.alpha: {gt: 0.3}}", "{model.attention: {in: arch1}}", "in and not_in take a list"),
        ("model: {backbone: tiny, pretrained: false}", "1: 2", "unknown key '1'"),
        ("\n  - {model.maps_per_class: 2, model.alpha: 0.1, model.k_neg: 0.2}", " 5", "start: a list of points"),
    ],
)
def test_a_wrong_space_is_refused_with_its_place_and_reason(space_file, old, new, message):
    with pytest.raises(InputError, match=message) as error:
        load_space(space_file((old, new)))
    assert "small.yaml" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_whole_number_for_a_float_parameter_is_a_float(space_file):
    file = space_file(("model.alpha: 0.1,", "model.alpha: 1,"), ("model.k_neg: 0.2}", "model.k_neg: 1}"))
    point = load_space(file).checked_start()[0]
    assert type(point["model.k_neg"]) is float  # 1 would be one pixel, 1.0 is all of them
    assert type(point["model.maps_per_class"]) is int


def test_a_loss_is_minimised_unless_the_space_gives_another_mode(space_file):
    space = load_space(space_file(("trials: 4", "objective: {metric: val_loss}")))
    assert space.objectives == (Objective("val_loss", "min"),)
    assert (space.objective, space.metric, space.mode) == (Objective("val_loss", "min"), "val_loss", "min")
    assert load_space(space_file(("trials: 4", "objective: {metric: val_loss, mode: max}"))).mode == "max"


def test_several_objectives_stay_in_the_order_of_the_file(space_file):
    space = load_space(space_file(("trials: 4", "objective: [{metric: val_map}, {metric: latency_ms}]")))
    assert space.objectives == (Objective("val_map", "max"), Objective("latency_ms", "min"))


def test_a_value_of_the_command_line_that_is_out_of_range_is_named_as_such(space_file):
    with pytest.raises(InputError, match="with the given keys: train.epochs: 0 is out of range"):
        load_space(space_file(), {"train.epochs": 0})


def test_flags_are_checked_together_with_the_space(space_file):
    """Tiny is refused with ImageNet weights, which are the default, but not with a base that has none."""
    assert load_space(space_file(), {"model.backbone": "tiny"}).base["model.backbone"] == "tiny"
    with_condition = space_file(("{model.alpha: {gt: 0.3}}", "{model.backbone: tiny}"))
    assert any("model.k_neg" in values for values, _ in propose(load_space(with_condition), 3))


def test_a_space_that_searches_nothing_is_refused(space_file):
    everything = ("model.maps_per_class", "model.attention", "model.k_neg", "model.alpha", "optim.lr")
    values = (1, "none", 0.5, 0.5, 0.01)
    with pytest.raises(InputError, match="nothing is searched"):
        load_space(space_file(), dict(zip(everything, values, strict=True)))


def test_the_repository_has_spaces():
    assert "demo" in [file.stem for file in SPACES]
    assert any(file.stem.startswith("table") for file in SPACES)


@pytest.mark.parametrize("file", SPACES, ids=lambda file: file.stem)
def test_the_spaces_of_the_repository(file):
    space = load_space(file)
    comments = file.read_text().split("\nbase:")[0]
    assert all(heading in comments for heading in ("# Costs:", "# Expect:"))
    for values, _ in propose(space, 20):
        parse_config({**space.base, **values})
    if file.stem.startswith("table"):
        assert "# Trains:" in comments
        assert len(space.grid()) == space.trials == space.keep_checkpoints
        rows = [row_of(parse_config({**space.base, **point})) for point in space.grid()]
        assert all(rows.count(row) == 3 for row in rows)  # three seeds
        paper_rows = OWN["NUS-WIDE" if "nuswide" in comments else "MS-COCO"]
        table = int(file.stem[5])
        expected = {
            row for row, (number, _) in paper_rows.items() if number == table and row.attention != "arch1+arch2"
        }
        assert expected <= set(rows)
    else:
        assert "# Searches:" in comments
        decouplenet_keys = {"maps_per_class", "upsampling", "attention", "k_pos", "k_neg", "alpha"}
        assert decouplenet_keys <= {key.removeprefix("model.") for key in space.keys}
