"""The public names of both packages, which are imported on first use."""

import importlib
import re
import subprocess
import sys
from importlib.metadata import version

import pytest

import decouple_search
import decouplenet
from decouple_search import api

PACKAGES = [decouple_search, decouplenet]


@pytest.mark.parametrize("package", PACKAGES)
def test_each_public_name_is_there(package):
    assert sorted(package.__all__) == sorted(package._MODULES)
    for name in package.__all__:
        value = getattr(package, name)
        assert value.__name__ == name
        assert value.__doc__
    assert package.__version__ == version("decouple-search")


@pytest.mark.parametrize("package", PACKAGES)
def test_an_unknown_name_is_an_attribute_error_with_the_public_names(package):
    public = ", ".join(package.__all__)
    message = f"^module '{package.__name__}' has no attribute 'serach'; public: {re.escape(public)}$"
    with pytest.raises(AttributeError, match=message):
        package.serach  # noqa: B018
    with pytest.raises(ImportError):
        importlib.import_module(f"{package.__name__}.serach")


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_the_import_of_a_commands_module_does_not_hide_the_function(name, monkeypatch):
    monkeypatch.delitem(sys.modules, f"decouple_search.{name}", raising=False)
    module = importlib.import_module(f"decouple_search.{name}")
    assert module is sys.modules[f"decouple_search.{name}"]
    assert callable(module.main)
    assert getattr(decouple_search, name) is getattr(api, name)


def test_commands_can_be_imported_from_their_modules():
    from decouple_search.evaluate import main as evaluate_main
    from decouple_search.train import main as train_main

    assert (evaluate_main.__module__, train_main.__module__) == ("decouple_search.evaluate", "decouple_search.train")


def test_other_attributes_of_the_package_can_be_set(monkeypatch):
    monkeypatch.setattr(decouple_search, "note", "mine", raising=False)
    assert decouple_search.note == "mine"
    decouple_search.train = "mine"
    assert decouple_search.train == "mine"
    del decouple_search.train
    assert decouple_search.train is api.train
    assert importlib.import_module("decouple_search.options") is decouple_search.options


def test_the_public_functions_import_nothing_that_takes_seconds():
    names = "search, train, evaluate, load_experiment, register_sampler, TrainedModel, Space, Float, Int, Choice"
    code = (
        f"import sys\nfrom decouple_search import {names}\n"
        "print(*{'torch', 'ray', 'optuna', 'numpy', 'pandas', 'pyarrow'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout.split() == []


def test_a_notebook_completes_the_public_names():
    assert set(decouple_search.__all__) <= set(dir(decouple_search))
    assert set(decouplenet.__all__) <= set(dir(decouplenet))
