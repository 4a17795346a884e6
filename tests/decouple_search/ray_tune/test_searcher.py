"""The study: what Optuna is told of trials that end in each way, and what Tune is given."""

import csv
import json
import math

import optuna
import pytest
import torch
from optuna.trial import TrialState
from ray.tune.search import Searcher
from safetensors.torch import save_file

from decouple_search.ray_tune.searcher import StudySearcher, Unfinished
from decouple_search.results import tables as results
from decouple_search.samplers.registry import SAMPLERS, make_sampler
from decouple_search.space.yaml_file import load_space
from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.storage.folder import folder_at
from decouple_search.study.record import INTERRUPTED, STUDY_NAME, curve, open_study
from decouplenet.command_line import parse_config
from decouplenet.dotted_keys import flatten


@pytest.fixture
def search(space_file, tmp_path):
    """A searcher of four trials, two at a time, its study and its space."""
    space = load_space(space_file())
    return (
        begun(tmp_path / "study.log", space, trials=4, room=lambda: 2),
        study_of(tmp_path / "study.log", space),
        space,
    )


def study_of(file, space):
    return OPEN.setdefault(file, open_study(file, space))


OPEN = {}


def begun(file, space, sampler="random", seed=0, **options):
    """A searcher of a new study, with its start points in it."""
    study, base = study_of(file, space), flatten(parse_config(space.base).to_dict())
    for point in space.checked_start():
        study.enqueue_trial(point)

    def prepare(number):
        study.sampler = make_sampler(sampler, space, base["train.epochs"], seed, number)

    return StudySearcher(study, space, base, prepare=prepare, **options)


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
    assert searcher.suggest("e") is None


def test_a_search_is_over_when_its_last_trial_is(space_file, tmp_path):
    space = load_space(space_file())
    searcher = begun(tmp_path / "s.log", space, trials=2, room=lambda: 2)
    study = study_of(tmp_path / "s.log", space)
    assert searcher.suggest("a")
    assert searcher.suggest("b")
    searcher.on_trial_complete("a", epoch(3, 0.5))
    assert searcher.suggest("c") is None
    searcher.on_trial_complete("b", epoch(3, 0.5))
    assert searcher.suggest("c") == Searcher.FINISHED
    searcher.on_trial_result("a", epoch(4, 0.9))  # of a trial that is told already: not heard
    assert study.trials[0].intermediate_values == {3: 0.5}


def test_a_trial_that_was_lost_while_it_started_begins_again_and_the_room_may_change(space_file, tmp_path):
    space, room, lost = load_space(space_file()), [1], set()

    def newest(number):
        return Unfinished(number, "its checkpoint", {"optim.lr": 0.005})

    searcher = begun(tmp_path / "s.log", space, trials=2, room=lambda: room[0], again=lost, newest=newest)
    study = study_of(tmp_path / "s.log", space)
    first = searcher.suggest("a")
    assert searcher.suggest("b") is None
    room[0] = 2  # a machine has joined
    assert searcher.suggest("b")["trial"] == 1
    lost.add("a")
    searcher.on_trial_complete("a", error=True)
    assert study.trials[0].state.name == "RUNNING"
    again = searcher.suggest("c")
    assert (again["trial"], again["since"]) == (0, "its checkpoint")
    assert again["config"] == first["config"] | {"optim.lr": 0.005}  # what the checkpoint was trained with
    searcher.on_trial_complete("c", epoch(3, 0.5))
    searcher.on_trial_complete("b", error=True)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL"]


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
    assert "in_force" not in study.trials[0].user_attrs


def test_trials_that_the_budget_ends_keep_what_they_reached(search):
    searcher, study, space = search
    searcher.suggest("a")
    searcher.suggest("b")
    searcher.on_trial_result("a", epoch(1, 0.3))
    assert searcher.running == 2
    base = flatten(parse_config(space.base).to_dict())
    left = [Unfinished(number, None, {}) for number in (0, 1)]
    again = StudySearcher(study, space, base, trials=2, room=lambda: 1, unfinished=left)
    again.suggest("x")  # and the other one waits to go on
    again.end_running()
    assert [t.state for t in study.trials] == [TrialState.PRUNED, TrialState.FAIL]
    assert again.running == 0


def test_start_points_that_leave_something_open_are_filled_in_differently(space_file, tmp_path):
    points = "\n".join(f"  - {{model.maps_per_class: {maps}}}" for maps in (1, 2, 3))
    old = "  - {model.maps_per_class: 2, model.alpha: 0.1, model.k_neg: 0.2}"
    space = load_space(space_file((old, points)))
    searcher = begun(tmp_path / "s.log", space, "gp", trials=4, room=lambda: 4)
    rates = [searcher.suggest(name)["config"]["optim.lr"] for name in "abcd"]
    assert len(set(rates)) == 4


def test_trials_of_a_run_before_go_on_first_and_none_is_asked_for_twice(search, tmp_path):
    searcher, study, space = search
    proposed = [searcher.suggest(name)["config"] for name in "ab"]
    searcher.on_trial_result("a", epoch(1, 0.3))
    searcher.on_trial_complete("b", epoch(3, 0.2))
    del searcher  # the process is killed
    left = [Unfinished(0, "checkpoint", {"optim.lr": 0.005})]
    base = flatten(parse_config(space.base).to_dict())
    again = StudySearcher(study, space, base, trials=4, room=lambda: 1, unfinished=left)
    assert (again.asked, again.running) == (1, 1)
    first = again.suggest("x")
    assert (first["trial"], first["since"]) == (0, "checkpoint")
    assert first["config"] == proposed[0] | {"optim.lr": 0.005}
    again.on_trial_result("x", epoch(1, 0.3))  # done again
    again.on_trial_result("x", epoch(2, 0.4))
    again.on_trial_complete("x", epoch(3, 0.5))
    assert study.trials[0].intermediate_values == {1: 0.3, 2: 0.4, 3: 0.5}
    for i in (2, 3):
        assert again.suggest(str(i))["trial"] == i
        again.on_trial_complete(str(i), epoch(3, 0.1))
    assert again.suggest("z") == Searcher.FINISHED
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4


def test_a_trial_that_was_killed_before_it_was_proposed_is_proposed_again(search):
    """The study has it, without its parameters."""
    _, study, space = search
    study.sampler = make_sampler("random", space, 3, 0, 0)
    study.ask()
    base = flatten(parse_config(space.base).to_dict())
    again = StudySearcher(study, space, base, trials=1, room=lambda: 1, unfinished=[Unfinished(0, None, {})])
    config = again.suggest("x")["config"]
    assert {key: config[key] for key in study.trials[0].params} == study.trials[0].params
    assert config["model.maps_per_class"] == 2  # the start point's


def test_trials_of_an_interrupted_search_are_shown_as_stopped(search, tmp_path):
    searcher, study, space = search
    searcher.suggest("a")
    searcher.suggest("b")
    searcher.on_trial_result("a", epoch(1, 0.3))
    assert results.summary(study, space, wall_seconds=1, busy=0, busy_warm=0)["trials"] == 0
    study.set_user_attr(INTERRUPTED, True)
    assert results.summary(study, space, wall_seconds=1, busy=0, busy_warm=0)["pruned"] == 1
    results.write_leaderboard(tmp_path / "l.csv", study, space)
    assert (tmp_path / "l.csv").read_text().splitlines()[1].startswith("0000,PRUNED,1,0.3,2.5,")


def test_several_objectives_are_told_and_their_curves_kept(space_file, tmp_path):
    objectives = "[{metric: val_map}, {metric: parameters}]"
    space = load_space(space_file(("scheduler: {", f"objective: {objectives}\nscheduler: {{")))
    searcher, study = begun(tmp_path / "s.log", space, trials=4, room=lambda: 4), study_of(tmp_path / "s.log", space)
    for name, value, size in (("a", 0.5, 10), ("b", 0.4, 5), ("c", 0.4, 7), ("d", 0.6, 10)):
        searcher.suggest(name)
        searcher.on_trial_result(name, epoch(1, value - 0.1, parameters=size))
        searcher.on_trial_complete(name, epoch(3, value, parameters=size))
    assert [tuple(trial.values) for trial in study.trials] == [(0.5, 10), (0.4, 5), (0.4, 7), (0.6, 10)]
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert curve(study.trials[0]) == {1: 0.4, 3: 0.5}
    assert [trial.number for trial in results.pareto_set(study, space)] == [1, 3]
    assert {trial.number for trial in study.best_trials} == {1, 3}
    assert results.best_trial(study, space).number == 3
    results.write_leaderboard(tmp_path / "l.csv", study, space)
    with (tmp_path / "l.csv").open() as file:
        rows = {row["trial_id"]: row for row in csv.DictReader(file)}
    assert {name: row["pareto"] for name, row in rows.items()} == {
        "0003": "true", "0000": "false", "0001": "true", "0002": "false",
    }  # fmt: skip
    assert rows["0001"]["parameters"] == "5"
    assert results.summary(study, space, wall_seconds=1, busy=0, busy_warm=0)["pareto"] == ["0001", "0003"]


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


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "grid"])
def test_the_seed_decides_what_is_proposed(space_file, tmp_path, sampler):
    """Also where the search is cut off after each trial."""
    space = load_space(space_file())
    base = flatten(parse_config(space.base).to_dict())
    proposals = []
    for run in range(2):
        file = tmp_path / f"{sampler}{run}.log"
        searcher, study = begun(file, space, sampler, 7, trials=15, room=lambda: 1), study_of(file, space)
        for i in range(15):
            if run:

                def prepare(number, study=study):
                    study.sampler = make_sampler(sampler, space, base["train.epochs"], 7, number)

                study = open_study(file, space)
                searcher = StudySearcher(study, space, base, trials=15, room=lambda: 1, prepare=prepare)
                prepare.__defaults__ = (study,)
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
    best = results.best_trial(study, space)
    config = results.best_config(parse_config(space.base), best)
    results.write_best_config(tmp_path / "best.yaml", config)
    from decouplenet.config import Config
    from decouplenet.yaml_text import load_yaml

    assert Config.from_dict(load_yaml(tmp_path / "best.yaml")) == config
    assert config.optim.lr == best.params["optim.lr"]
    summary = results.summary(study, space, wall_seconds=20.0, busy=0.375, busy_warm=0.93751)
    assert summary == {
        "trials": 4, "complete": 1, "pruned": 2, "failed": 1, "epochs": 6, "wall_seconds": 20.0,
        "busy_fraction": 0.375, "busy_fraction_warm": 0.9375, "best_val_map": 0.5, "best_trial_id": "0002",
    }  # fmt: skip


def written(folder, metrics, *, cut=False):
    """A checkpoint's files, or a part of them."""
    save_file({"weight": torch.zeros(100)}, folder / "model.safetensors")
    (folder / "config.yaml").write_text("{}")
    (folder / "metrics.json").write_text(json.dumps(metrics))
    torch.save({}, folder / "state.pt")
    if cut:
        content = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(content[:-1])


def test_the_best_checkpoint_is_what_is_on_disk(search, tmp_path):
    """A worker may be lost while the best epoch is saved."""
    searcher, study, space = search
    for name, values in (("a", (0.2, 0.7)), ("b", (0.6,))):
        searcher.suggest(name)
        for i, value in enumerate(values, start=1):
            searcher.on_trial_result(name, epoch(i, value))
        searcher.on_trial_complete(name, None)
    assert results.best_kept(Checkpoints(folder_at(str(tmp_path))), study, space) is None
    for trial, number, value in (("0000", 1, 0.2), ("0001", 1, 0.6)):
        folder = tmp_path / "trials" / trial / "checkpoint_000000"
        folder.mkdir(parents=True)
        written(folder, {"epoch": number, "val_map": value})
    (tmp_path / "trials" / "0001" / "checkpoint_000001").mkdir()
    written(tmp_path / "trials" / "0001" / "checkpoint_000001", {"epoch": 2, "val_map": 0.9}, cut=True)
    trial, folder, told = results.best_kept(Checkpoints(folder_at(str(tmp_path))), study, space)
    assert (trial.number, folder.split("/")[-2], told["val_map"]) == (1, "0001", 0.6)
