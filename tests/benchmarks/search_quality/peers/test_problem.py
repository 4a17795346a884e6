"""A problem survives its way to a peer, and conditions hold where a peer knows none."""

import json

from benchmarks.search_quality.functions import FUNCTIONS
from benchmarks.search_quality.peers.problem import Problem, choice_names
from decouple_search.space.parameter import Parameter


def test_a_problem_survives_json():
    parameters = (*FUNCTIONS["conditional"].parameters, Parameter("step", "float", (0.0, 1.0), step=0.25))
    problem = Problem(parameters=parameters, epochs=9, slots=4, seed=3)
    assert Problem.from_json(json.loads(json.dumps(problem.to_json()))) == problem


def test_absent_parameters_are_left_out():
    problem = Problem(parameters=FUNCTIONS["conditional"].parameters, epochs=9, slots=4, seed=3)
    everything = {"lr": 0.1, "optimiser": "sgd", "momentum": 0.9, "beta": 0.9, "dropout": "off", "rate": 0.5}
    assert problem.present(everything) == {"lr": 0.1, "optimiser": "sgd", "momentum": 0.9, "dropout": "off"}


def test_choices_are_named_by_their_places():
    assert choice_names(Parameter("c", "choice", (True, None, "x"))) == ["0", "1", "2"]
