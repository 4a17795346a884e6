"""The finalists of a space, as YAML and Python give them."""

import pytest

from decouple_search.space.domain import Float
from decouple_search.space.finalists import FinalistPlan, read_finalists
from decouple_search.space.space import Space
from decouple_search.space.yaml_file import load_space
from decouplenet.errors import InputError


def test_a_space_has_no_finalists_unless_it_names_them(space_file):
    assert load_space(space_file()).finalists is None


def test_the_yaml_file_names_them(space_file):
    file = space_file(("trials: 4", "trials: 4\nfinalists: {count: 3, seeds: 2}"))
    assert load_space(file).finalists == FinalistPlan(count=3, seeds=2)


def test_a_space_in_python_keeps_them_when_keys_are_fixed():
    space = Space({"optim.lr": Float(0.1, 1)}, finalists={"count": 2, "seeds": 5})
    assert space.finalists == space.with_fixed({"train.epochs": 3}).finalists == FinalistPlan(2, 5)


def test_the_trainings_are_those_of_each_finalist_with_each_seed():
    assert FinalistPlan(count=3, seeds=4).trainings == 12


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (3, "finalists: a mapping is needed, and it holds 3"),
        ({"count": 3}, r"finalists: seeds is missing; give \{count: 3, seeds: 3\}"),
        ({"count": 3, "seed": 3}, r"finalists: unknown key 'seed'; did you mean 'seeds'\?"),
        ({"count": 3, "seeds": 0}, "finalists, seeds: '0' is not a whole number from 1"),
    ],
)
def test_other_finalists_are_refused(spec, message):
    with pytest.raises(InputError, match=message):
        read_finalists(spec, "finalists")
