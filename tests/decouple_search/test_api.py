"""The functions of the Python API: what they ask for, what they give, and what they refuse before Ray starts."""

import inspect
from dataclasses import MISSING, fields, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from decouple_search import Choice, Float, Space, TrainedModel, runs, search, train, tune
from decouple_search.options import Options
from decouple_search.ray_train.request import TrainOptions
from decouple_search.results import experiment
from decouple_search.space.finalists import FinalistPlan
from decouplenet.config import Config
from decouplenet.errors import InputError

SMALL = {"model": {"backbone": "tiny", "pretrained": False}, "train.epochs": 3}


@pytest.fixture
def space():
    return Space({"model.attention": Choice(["none", "arch1"]), "optim.lr": Float(0.1, 1)}, base=SMALL, name="mine")


@pytest.fixture
def requests(monkeypatch):
    """The searches and trainings that would run. Each prints a line, and so does the reading of results."""
    requests = []

    def run_training(request):
        requests.append(request)
        print("progress")
        return SimpleNamespace(epoch=2, measures={"val_map": 0.5})

    def read_experiment(folder, optuna_storage):
        return folder.uri, optuna_storage

    monkeypatch.setattr(runs, "run_search", run_training)
    monkeypatch.setattr(runs, "run_training", run_training)
    monkeypatch.setattr(experiment, "read_experiment", read_experiment)
    return requests


def defaults(options):
    """The default of each field of a dataclass."""
    return {
        each.name: each.default if each.default_factory is MISSING else each.default_factory()
        for each in fields(options)
    }


@pytest.mark.parametrize(
    ("function", "options", "others"),
    [(search, Options, {"config", "quiet", "options"}), (train, TrainOptions, {"config", "quiet", "options"})],
)
def test_the_named_arguments_are_options_of_the_command_with_the_same_defaults(function, options, others):
    parameters = inspect.signature(function).parameters
    named = {name: each.default for name, each in parameters.items() if name not in others}
    assert named == {name: default for name, default in defaults(options).items() if name in named}
    assert len(named) >= 3
    assert parameters["quiet"].default is False


def test_a_search_asks_for_what_the_command_asks_for(space_file, tmp_path, requests):
    file = space_file()
    options = {"trials": 3, "sampler": "random", "scheduler": "none", "seed": 5, "time_budget": 60, "patience": 2}
    result = search(
        file,
        **options,
        storage=tmp_path,
        name="x",
        config={"train": {"epochs": 2}, "model.alpha": 0.5},
        workers_per_trial=2,
        optuna_storage="sqlite:///x.db",
    )
    flags = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    flags += ["--storage", str(tmp_path), "--name", "x", "--train.epochs", "2", "--model.alpha", "0.5"]
    flags += ["--workers-per-trial", "2", "--optuna-storage", "sqlite:///x.db"]
    expected, (request,) = tune.read(["--space", str(file), *flags]), requests
    for name in ("config", "scheduler", "sampler", "trials", "keep_checkpoints", "definition"):
        assert getattr(request, name) == getattr(expected, name), name
    assert request.options == replace(expected.options, space="demo")
    assert request.folder.uri == expected.folder.uri == str(tmp_path / "x")
    assert result == (str(tmp_path / "x"), "sqlite:///x.db")


def test_ranges_are_a_mapping_in_python(space, tmp_path, requests):
    search(space, storage=tmp_path, ranges={"optim.lr": [0.01, 2]})
    (request,) = requests
    assert request.space.values_of("optim.lr") == (0.01, 2.0)
    assert request.wider.command({"optim.lr": (0.001, 2.0)}).startswith("search(..., ranges={'optim.lr': [0.001, 2.0]}")
    with pytest.raises(InputError, match=r"^ranges: 'wide' is not mapping \| None$"):
        search(space, storage=tmp_path, ranges="wide")


def test_a_space_in_python_is_searched_with_the_keys_that_are_given(space, tmp_path, requests):
    search(space, storage=tmp_path, config={"model.attention": "arch1"})
    (request,) = requests
    assert request.space.keys == ("optim.lr",)
    assert (request.config.model.attention, request.config.train.epochs, request.trials) == ("arch1", 3, 20)
    assert request.folder.name.startswith("mine-")


def test_without_a_space_the_demo_is_searched(tmp_path, requests):
    search(storage=tmp_path)
    assert (requests[0].space.name, requests[0].trials) == ("demo", 24)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trials": 0}, "trials: 0 is out of range; it must be at least 1"),
        ({"trials": "4"}, r"trials: '4' is not int \| None"),
        ({"seed": 0.5}, "seed: 0.5 is not int"),
        ({"patience": 0}, "patience: 0 is out of range"),
        ({"retrain_best": "no"}, "retrain_best: 'no' is not bool"),
        ({"sampler": "randon"}, "--sampler: unknown 'randon'; did you mean 'random'"),
        ({"config": {"train.epochs": 0}}, "Space, base.*: train.epochs: 0 is out of range"),
        ({"config": {"train": {"epoch": 1}}}, "Space, base.*: unknown key 'train.epoch'; did you mean 'train.epochs'"),
        ({"workers_per_trial": 0}, "Space, base.*: scaling.workers_per_trial: 0 is out of range"),
        ({"space": "dmeo"}, "space 'dmeo': neither a file nor a shipped space; did you mean 'demo'"),
        ({"space": Path("none.yaml")}, "none.yaml: cannot be read"),
    ],
)
def test_a_wrong_search_is_refused(space, tmp_path, requests, arguments, message):
    with pytest.raises(InputError, match=f"^{message}"):
        search(**{"space": space, "storage": tmp_path, **arguments})
    assert requests == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: search(trails=3), "unknown option 'trails'; did you mean 'trials'"),
        (lambda: search(dry_run=True), "unknown option 'dry_run'; "),
        (lambda: search(prices="gpu=1"), "unknown option 'prices'; "),
        (lambda: train({}, resum=True), "unknown option 'resum'; did you mean 'resume'"),
        (lambda: train({}, trials=3), "unknown option 'trials'; "),
    ],
)
def test_an_unknown_option_is_a_type_error(requests, call, message):
    with pytest.raises(TypeError, match=f"^{message}"):
        call()
    assert requests == []


@pytest.mark.parametrize("quiet", [False, True])
def test_nothing_is_printed_if_it_shall_be_quiet(space, tmp_path, requests, capsys, quiet):
    search(space, storage=tmp_path, quiet=quiet)
    train(SMALL, storage=tmp_path, quiet=quiet)
    assert capsys.readouterr().out == ("" if quiet else "progress\nprogress\n")
    print("later")
    assert capsys.readouterr().out == "later\n"


def test_a_training_of_a_config_of_keys_or_of_a_file(tmp_path, config, requests):
    complete = config(train__epochs=5)
    (tmp_path / "keys.yaml").write_text(yaml.safe_dump(SMALL))
    for given in (complete, SMALL, tmp_path / "keys.yaml", str(tmp_path / "keys.yaml")):
        train(given, storage=tmp_path)
    assert requests[0].config == complete
    small = Config.from_dict({"model": SMALL["model"], "train": {"epochs": 3}})
    assert [request.config.model for request in requests[1:]] == [small.model] * 3
    assert [request.config.train for request in requests[1:]] == [small.train] * 3


def test_the_options_and_the_result_of_a_training(tmp_path, requests):
    result = train(SMALL, workers="2:4", storage=tmp_path, name="x", max_failures=5)
    assert result == TrainedModel(
        folder=str(tmp_path / "x"),
        best_checkpoint=tmp_path / "x" / "best_checkpoint",
        epoch=2,
        measures={"val_map": 0.5},
    )
    train(SMALL, workers=3, storage=str(tmp_path))
    train(SMALL, storage=tmp_path)
    workers = [(request.min_workers, request.max_workers, request.max_failures) for request in requests]
    assert workers == [(2, 4, 5), (3, 3, 2), (1, 1, 2)]
    assert requests[1].folder.name.startswith("train-")


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        ({"train.epochs": 0}, {}, "config: train.epochs: 0 is out of range"),
        ({"train": {"epoch": 1}}, {}, "config: unknown key 'train.epoch'; did you mean 'train.epochs'"),
        (SMALL, {"workers": 0}, "--workers: '0' is neither a number from 1 nor MIN:MAX"),
        (SMALL, {"max_failures": -1}, "max_failures: -1 is out of range"),
        (SMALL, {"resume": "x"}, "resume: 'x' is not bool"),
        (SMALL, {"resume": True}, "--resume: which training"),
        ("none.yaml", {}, "none.yaml: cannot be read"),
    ],
)
def test_a_wrong_training_is_refused(tmp_path, requests, config, options, message):
    with pytest.raises(InputError, match=f"^{message}"):
        train(config, storage=tmp_path, **options)
    assert requests == []


def test_the_file_of_a_wrong_config_is_named(tmp_path):
    (tmp_path / "keys.yaml").write_text("train: {epochs: 0}")
    with pytest.raises(InputError, match=f"^{tmp_path}/keys.yaml: train.epochs: 0 is out of range"):
        train(tmp_path / "keys.yaml", storage=tmp_path)


def test_paths_may_be_given_as_path_objects(tmp_path, requests):
    train(SMALL | {"data.train_images": tmp_path}, storage=tmp_path)
    search("demo", config={"data": {"train_images": tmp_path}}, storage=tmp_path)
    assert [request.config.data.train_images for request in requests] == [str(tmp_path), str(tmp_path)]


def test_what_is_no_mapping_of_keys_is_refused(tmp_path, requests):
    with pytest.raises(InputError, match="^config: a mapping of config keys is needed, not 3$"):
        search("demo", config=3, storage=tmp_path)
    assert requests == []


def test_a_search_in_python_takes_finalists(space, requests, tmp_path):
    search(space, trials=4, storage=tmp_path, name="x", finalists=2, seeds=3, quiet=True)
    assert requests[0].finalists == FinalistPlan(count=2, seeds=3)
