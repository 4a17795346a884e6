"""The study: what Optuna is told of trials that end in each way, and what Tune is given."""

import csv
import math

import optuna
import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from decouple_search import results
from decouple_search.searcher import SAMPLERS, STUDY_NAME, StudySearcher, open_study
from decouple_search.space import load_space
from decouplenet.command_line import parse_config
from decouplenet.config import flatten
from decouplenet.errors import InputError


@pytest.fixture
def search(space_file, tmp_path):
    """A searcher of four trials, two at a time, its study and its space."""
    space = load_space(space_file())
    study = open_study(tmp_path / "study.log", "random", seed=0)
    base = flatten(parse_config(space.base).to_dict())
    return StudySearcher(study, space, base, trials=4, max_concurrent=2), study, space


def epoch(number, value, **more):
    return {"epoch": number, "val_map": value, "train_seconds": 2.0, "eval_seconds": 0.5} | more


def test_configurations_are_complete_and_the_start_point_comes_first(search):
    searcher, _, _ = search
    first = searcher.suggest("a")
    assert first["trial"] == 0
    assert first["config"]["model.maps_per_class"] == 2
    assert first["config"]["model.alpha"] == 0.1
    assert set(first["config"]) == set(flatten(parse_config({}).to_dict()))


def test_no_more_at_a_time_than_there_are_slots_and_no_more_than_asked_for(search):
    searcher, _, _ = search
    assert searcher.suggest("a")
    assert searcher.suggest("b")
    assert searcher.suggest("c") is None
    for name, following in (("a", "c"), ("b", "d")):
        searcher.on_trial_complete(name, epoch(3, 0.5))
        assert searcher.suggest(following)
    assert searcher.suggest("e") == Searcher.FINISHED


def test_a_search_that_stays_is_over_when_its_last_trial_is(space_file, tmp_path):
    space = load_space(space_file())
    base = flatten(parse_config(space.base).to_dict())
    study = open_study(tmp_path / "s.log", "random", seed=0)
    searcher = StudySearcher(study, space, base, trials=2, max_concurrent=2, stay=True)
    assert searcher.suggest("a")
    assert searcher.suggest("b")
    searcher.on_trial_complete("a", epoch(3, 0.5))
    assert searcher.suggest("c") is None
    searcher.on_trial_complete("b", epoch(3, 0.5))
    assert searcher.suggest("c") == Searcher.FINISHED
    searcher.on_trial_result("a", epoch(4, 0.9))  # of a trial that is told already: not heard
    assert study.trials[0].intermediate_values == {3: 0.5}


def test_every_way_to_end(search):
    searcher, study, _ = search
    for name in "ab":
        searcher.suggest(name)
    searcher.on_trial_result("a", epoch(1, 0.3))
    searcher.on_trial_result("a", epoch(2, 0.6))
    searcher.on_trial_complete("a", epoch(3, 0.5))
    searcher.on_trial_result("b", epoch(1, 0.2))
    searcher.on_trial_complete("b", epoch(2, 0.1))
    for name in "cd":
        searcher.suggest(name)
    searcher.on_trial_result("c", epoch(1, 0.4))
    searcher.on_trial_complete("c", {"epoch": 1, "failed": "the loss is nan in epoch 2", "done": True})
    searcher.on_trial_complete("d", None, error=True)
    trials = study.trials
    assert [t.state for t in trials] == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.FAIL,
        TrialState.FAIL,
    ]
    assert trials[0].value == 0.6  # its best epoch, as the leaderboard has it
    assert trials[0].intermediate_values == {1: 0.3, 2: 0.6, 3: 0.5}
    assert trials[0].user_attrs["best_epoch"] == 2
    assert trials[1].intermediate_values == {1: 0.2, 2: 0.1}
    assert trials[2].user_attrs["failure"] == "the loss is nan in epoch 2"
    assert trials[3].user_attrs["failure"] == "a worker was lost"


def test_an_epoch_done_again_counts_once(search):
    searcher, study, _ = search
    searcher.suggest("a")
    for result in (epoch(1, 0.3), epoch(2, 0.4), epoch(2, 0.4)):
        searcher.on_trial_result("a", result)
    searcher.on_trial_complete("a", epoch(3, 0.5))
    assert study.trials[0].intermediate_values == {1: 0.3, 2: 0.4, 3: 0.5}


def test_the_parameters_of_the_best_epoch_are_those_it_was_trained_with(search, tmp_path):
    """PBT takes a donor's configuration over, and changes it."""
    searcher, study, space = search
    own = searcher.suggest("a")["config"]
    searcher.on_trial_result("a", told(own, epoch(1, 0.3)))
    donors = own | {"model.maps_per_class": 3, "model.alpha": 0.9, "model.k_neg": 0.5, "optim.lr": 0.004}
    searcher.on_trial_result("a", told(donors, epoch(2, 0.6, lineage=["0001 epoch 1"])))
    searcher.on_trial_complete("a", told(donors | {"optim.lr": 0.001}, epoch(3, 0.5, lineage=["0001 epoch 1"])))
    trial = study.trials[0]
    used = {key: donors[key] for key in (p.key for p in space.parameters)}
    assert results.parameters_of(trial) == used
    assert trial.params == {key: own[key] for key in trial.params}  # what was proposed, to Optuna
    assert trial.user_attrs["lineage"] == ["0001 epoch 1"]
    assert results.best_config(parse_config(space.base), trial).model.k_neg == 0.5
    results.write_leaderboard(tmp_path / "l.csv", study, space)
    assert ",0.004" in (tmp_path / "l.csv").read_text()


def told(config, result):
    """A result with the config that Tune flattens into it."""
    return result | {"config/trial": 0} | {f"config/config/{key}": value for key, value in config.items()}


def test_parameters_that_stayed_are_not_noted_twice(search):
    searcher, study, _ = search
    own = searcher.suggest("a")["config"]
    searcher.on_trial_complete("a", told(own, epoch(3, 0.3)))
    assert "parameters" not in study.trials[0].user_attrs


def test_trials_cut_short_keep_what_they_reached(search):
    searcher, study, _ = search
    searcher.suggest("a")
    searcher.suggest("b")
    searcher.on_trial_result("a", epoch(1, 0.3))
    assert searcher.end_interrupted()
    assert [t.state for t in study.trials] == [TrialState.PRUNED, TrialState.FAIL]
    assert not searcher.end_interrupted()


def test_a_value_that_is_no_number_is_not_reported(search):
    searcher, study, _ = search
    searcher.suggest("a")
    searcher.on_trial_result("a", epoch(1, math.nan))
    searcher.on_trial_complete("a", None)
    assert study.trials[0].intermediate_values == {}
    assert study.trials[0].state == TrialState.FAIL


def test_optuna_alone_opens_the_study(search, tmp_path):
    searcher, _, _ = search
    searcher.suggest("a")
    searcher.on_trial_complete("a", epoch(3, 0.7))
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.log")))
    study = optuna.load_study(study_name=STUDY_NAME, storage=storage)
    assert study.best_value == 0.7
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE


def test_unknown_sampler_names_the_nearest(tmp_path):
    with pytest.raises(InputError, match="random"):
        open_study(tmp_path / "s.log", "randon")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_seed_decides_what_is_proposed(space_file, tmp_path, sampler):
    space = load_space(space_file())
    base = flatten(parse_config(space.base).to_dict())
    proposals = []
    for run in range(2):
        study = open_study(tmp_path / f"{sampler}{run}.log", sampler, seed=7)
        searcher = StudySearcher(study, space, base, trials=15, max_concurrent=1)
        for i in range(15):
            values = searcher.suggest(str(i))["config"]
            searcher.on_trial_complete(str(i), epoch(3, values["optim.lr"] * 50 + values["model.alpha"] / 10))
        proposals.append([trial.params for trial in study.trials])
    assert proposals[0] == proposals[1]
    assert proposals[0][3] != proposals[0][4]


def test_leaderboard_best_config_and_summary(search, tmp_path):
    searcher, study, space = search
    for name, values in (("a", (0.2, 0.3, 0.25)), ("b", (0.1, 0.15)), ("c", (0.5,)), ("d", ())):
        searcher.suggest(name)
        for i, value in enumerate(values, start=1):
            searcher.on_trial_result(name, epoch(i, value))
        searcher.on_trial_complete(name, None, error=not values)
    results.write_leaderboard(tmp_path / "leaderboard.csv", study, space)
    with (tmp_path / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["trial_id"] for row in rows] == ["0002", "0000", "0001", "0003"]
    assert [row["state"] for row in rows] == ["PRUNED", "COMPLETE", "PRUNED", "FAIL"]
    assert [row["epochs"] for row in rows] == ["1", "3", "2", "0"]
    assert [row["val_map"] for row in rows] == ["0.5", "0.3", "0.15", ""]
    assert set(rows[0]) == {"trial_id", "state", "epochs", "val_map", "seconds"} | {p.key for p in space.parameters}
    assert rows[1]["model.k_neg"] == ""  # absent: its condition did not hold
    best = results.best_trial(study, "max")
    config = results.best_config(parse_config(space.base), best)
    results.write_best_config(tmp_path / "best.yaml", config)
    from decouplenet.config import Config, load_yaml

    assert Config.from_dict(load_yaml(tmp_path / "best.yaml")) == config
    assert config.optim.lr == best.params["optim.lr"]
    summary = results.summary(study, space, wall_seconds=20.0, busy=0.375, busy_warm=0.93751)
    assert summary == {
        "trials": 4, "complete": 1, "pruned": 2, "failed": 1, "wall_seconds": 20.0,
        "busy_fraction": 0.375, "busy_fraction_warm": 0.9375, "best_val_map": 0.5, "best_trial_id": "0002",
    }  # fmt: skip


def test_the_best_checkpoint_is_what_is_on_disk(search, tmp_path):
    """A worker may be lost while the best epoch is saved."""
    searcher, study, space = search
    for name, values in (("a", (0.2, 0.7)), ("b", (0.6,))):
        searcher.suggest(name)
        for i, value in enumerate(values, start=1):
            searcher.on_trial_result(name, epoch(i, value))
        searcher.on_trial_complete(name, None)
    assert results.best_kept(tmp_path, study, space) is None
    for trial, number, value in (("0000", 1, 0.2), ("0001", 1, 0.6)):
        folder = tmp_path / "trials" / trial / "checkpoint_000000"
        folder.mkdir(parents=True)
        for file in ("model.safetensors", "config.yaml"):
            (folder / file).touch()
        (folder / "metrics.json").write_text(f'{{"epoch": {number}, "val_map": {value}}}')
    trial, folder, told = results.best_kept(tmp_path, study, space)
    assert (trial.number, folder.parent.name, told["val_map"]) == (1, "0001", 0.6)
