"""The tables of an experiment folder: leaderboard, best config, summary."""

import csv
import json

import optuna
import pytest

from decouple_search.results.tables import (
    FIXED_COLUMNS,
    Summary,
    best_config,
    cell_value,
    read_leaderboard,
    write_config,
    write_leaderboard,
    write_tables,
)
from decouple_search.space.domain import Choice
from decouple_search.space.space import Space
from decouple_search.space.yaml_file import load_space
from decouple_search.study.optuna_storage import open_study
from decouple_search.study.ranking import best_trial, pareto_set
from decouple_search.study.record import StudyRecord, TrialRecord
from decouplenet.command_line import parse_config
from decouplenet.config import Config
from decouplenet.errors import InputError
from decouplenet.yaml_text import load_yaml
from tests.decouple_search.results.studies import run_screened, run_trial


@pytest.fixture
def make_search(space_file, tmp_path):
    """Make a space with these objectives, and a new study of it with the space's start points."""

    def make(objective=None):
        replacements = [("scheduler: {", f"objective: {objective}\nscheduler: {{")] if objective else []
        space = load_space(space_file(*replacements))
        study = open_study(tmp_path / "study.log", space)
        study.sampler = optuna.samplers.RandomSampler(0)
        for point in space.checked_start():
            study.enqueue_trial(point)
        return study, space

    return make


@pytest.fixture
def search(make_search):
    """A study and its space, of which val_map is the objective."""
    return make_search()


def summarise(study, space):
    return Summary.from_study(study, space, wall_seconds=20.0, busy=0.375, busy_warm=0.93751)


def leaderboard(file, study, space):
    """The rows of the leaderboard that is written."""
    write_leaderboard(file, study, space)
    with file.open() as stream:
        return list(csv.DictReader(stream))


def test_the_leaderboard_has_a_row_per_trial_best_first(search, tmp_path):
    study, space = search
    for values in ((0.2, 0.3, 0.25), (0.1, 0.15), (0.5,)):
        run_trial(study, space, values)
    run_trial(study, space, (), failure="out of memory")
    rows = leaderboard(tmp_path / "leaderboard.csv", study, space)
    assert [row["trial_id"] for row in rows] == ["0002", "0000", "0001", "0003"]
    assert [row["state"] for row in rows] == ["PRUNED", "COMPLETE", "PRUNED", "FAIL"]
    assert [row["epochs"] for row in rows] == ["1", "3", "2", "0"]
    assert [row["val_map"] for row in rows] == ["0.5", "0.3", "0.15", ""]
    assert [row["seconds"] for row in rows] == ["2.5", "7.5", "5.0", "0.0"]
    assert list(rows[0]) == [*FIXED_COLUMNS, *space.keys]
    assert rows[1]["model.k_neg"] == ""  # absent: its condition does not hold
    assert {key: rows[1][key] for key in space.keys} == {
        key: str(study.trials[0].params.get(key, "")) for key in space.keys
    }


def test_screened_trials_follow_all_full_ones_and_are_counted_apart(search, tmp_path):
    study, space = search
    run_screened(study, space, (0.6, 0.8), 2)
    run_trial(study, space, (0.2, 0.3, 0.25))
    run_screened(study, space, (0.9,), 2)
    run_screened(study, space, (), 2, failure="out of memory")
    run_trial(study, space, (), failure="out of memory")
    rows = leaderboard(tmp_path / "leaderboard.csv", study, space)
    assert list(rows[0]) == [*FIXED_COLUMNS, "stage", *space.keys]
    assert [row["stage"] for row in rows] == ["full"] * 2 + ["screen"] * 3
    assert [row["state"] for row in rows] == ["COMPLETE", "FAIL", "PRUNED", "COMPLETE", "FAIL"]
    assert [row["val_map"] for row in rows] == ["0.3", "", "0.9", "0.8", ""]
    summary = summarise(study, space)
    assert (summary.trials, summary.complete, summary.failed, summary.epochs) == (2, 1, 1, 3)
    assert (summary.screened, summary.best_val_map) == (3, 0.3)
    summary.write(tmp_path / "summary.json")
    assert json.loads((tmp_path / "summary.json").read_text())["screened"] == 3
    assert Summary.read(tmp_path / "summary.json") == summary
    assert best_trial(study, space.objectives).val_map == 0.3


def test_the_leaderboard_can_be_read(search, tmp_path):
    study, space = search
    run_trial(study, space, (0.2, 0.3, 0.25))
    write_leaderboard(tmp_path / "leaderboard.csv", study, space)
    [row] = read_leaderboard(tmp_path / "leaderboard.csv")
    assert (row.trial_id, row.state, row.epochs, row.cells["val_map"]) == ("0000", "COMPLETE", "3", "0.3")
    assert row.parameters == {key: str(value) for key, value in study.trials[0].params.items()}


def test_the_leaderboard_has_the_parameters_that_trained_the_best_epoch(search, tmp_path):
    study, space = search
    log = run_trial(study, space, (0.2,), ends=False)
    log.trial.set_user_attr("in_force", {"optim.lr": 0.004, "model.k_neg": 0.5})
    log.end(None, 3)
    [row] = leaderboard(tmp_path / "leaderboard.csv", study, space)
    assert (row["optim.lr"], row["model.k_neg"]) == ("0.004", "0.5")


def test_images_that_were_left_out_are_counted(search, tmp_path):
    study, space = search
    log = run_trial(study, space, (0.2,), ends=False)
    log.trial.set_user_attr("broken_images", 3)
    log.end(None, 3)
    run_trial(study, space, (), failure="out of memory")
    rows = leaderboard(tmp_path / "leaderboard.csv", study, space)
    assert list(rows[0]) == [*FIXED_COLUMNS, "broken_images", *space.keys]
    assert [row["broken_images"] for row in rows] == ["3", ""]


def test_running_trials_of_an_interrupted_search_count_as_pruned(search, tmp_path):
    study, space = search
    run_trial(study, space, (0.3,), ends=False)
    run_trial(study, space, (), ends=False)
    assert summarise(study, space).trials == 0
    StudyRecord(study).interrupted = True
    summary = summarise(study, space)
    assert (summary.trials, summary.pruned) == (1, 1)
    write_leaderboard(tmp_path / "leaderboard.csv", study, space)
    lines = (tmp_path / "leaderboard.csv").read_text().splitlines()
    assert lines[1].startswith("0000,PRUNED,1,0.3,2.5,")
    assert len(lines) == 2


def test_several_objectives_have_columns_and_a_pareto_set(make_search, tmp_path):
    study, space = make_search("[{metric: val_map}, {metric: parameters}]")
    for value, size in ((0.5, 10), (0.4, 5), (0.4, 7), (0.6, 10)):
        run_trial(study, space, (value - 0.1, value - 0.2, value), parameters=size)
    assert [trial.number for trial in pareto_set(study, space.objectives)] == [1, 3]
    assert best_trial(study, space.objectives).number == 3
    rows = {row["trial_id"]: row for row in leaderboard(tmp_path / "leaderboard.csv", study, space)}
    assert {name: row["pareto"] for name, row in rows.items()} == {
        "0003": "true", "0000": "false", "0001": "true", "0002": "false",
    }  # fmt: skip
    assert rows["0001"]["parameters"] == "5"
    assert list(rows["0001"]) == [*FIXED_COLUMNS, "parameters", "pareto", *space.keys]
    assert summarise(study, space).pareto == ("0001", "0003")
    assert summarise(study, space).to_dict()["pareto"] == ("0001", "0003")


def test_an_objective_other_than_val_map_has_a_column_and_ranks_the_trials(make_search, tmp_path):
    study, space = make_search("[{metric: val_loss}]")
    run_trial(study, space, (0.7, 0.9, 0.8), val_map=0.6)
    run_trial(study, space, (0.5,), val_map=0.4)
    rows = leaderboard(tmp_path / "leaderboard.csv", study, space)
    assert list(rows[0]) == [*FIXED_COLUMNS, "val_loss", *space.keys]
    assert [row["trial_id"] for row in rows] == ["0001", "0000"]
    assert [row["val_loss"] for row in rows] == ["0.5", "0.7"]
    assert [row["val_map"] for row in rows] == ["0.4", "0.6"]


def test_the_summary_names_the_objective_and_its_best_value(make_search, tmp_path):
    study, space = make_search("[{metric: val_loss}]")
    run_trial(study, space, (0.7, 0.9, 0.8), val_map=0.6)
    run_trial(study, space, (0.5,), val_map=0.4)
    summarise(study, space).write(tmp_path / "summary.json")
    content = json.loads((tmp_path / "summary.json").read_text())
    assert (content["objective"], content["best_value"], content["best_trial_id"]) == ("val_loss", 0.5, "0001")
    assert content["best_val_map"] == 0.4, "val_map in the best trial's best epoch"


def test_the_summary(search, tmp_path):
    study, space = search
    for values in ((0.2, 0.3, 0.25), (0.1, 0.15), (0.5,)):
        run_trial(study, space, values)
    run_trial(study, space, (), failure="out of memory")
    summarise(study, space).write(tmp_path / "summary.json")
    assert json.loads((tmp_path / "summary.json").read_text()) == {
        "trials": 4, "complete": 1, "pruned": 2, "failed": 1, "epochs": 6, "wall_seconds": 20.0,
        "busy_fraction": 0.375, "busy_fraction_warm": 0.9375, "objective": "val_map", "best_value": 0.5,
        "best_val_map": 0.5, "best_trial_id": "0002",
    }  # fmt: skip
    assert Summary.read(tmp_path / "summary.json") == summarise(study, space)


def test_the_summary_of_a_search_without_a_value(search):
    study, space = search
    run_trial(study, space, (), failure="out of memory")
    summary = summarise(study, space)
    assert (summary.best_trial_id, summary.best_value, summary.best_val_map, summary.failed) == (None, None, None, 1)


def test_a_summary_without_objective_is_of_an_earlier_version(search, tmp_path):
    study, space = search
    run_trial(study, space, (0.5,))
    content = summarise(study, space).to_dict()
    del content["objective"], content["best_value"]
    (tmp_path / "summary.json").write_text(json.dumps(content | {"added_later": 1}))
    assert Summary.read(tmp_path / "summary.json") == summarise(study, space)
    (tmp_path / "summary.json").write_text("[]")
    with pytest.raises(InputError, match=r"summary.json: not a search's summary"):
        Summary.read(tmp_path / "summary.json")


def test_the_best_config_is_complete_and_can_be_read(search, tmp_path):
    study, space = search
    run_trial(study, space, (0.2, 0.3, 0.25))
    config = best_config(parse_config(space.base), best_trial(study, space.objectives), space)
    write_config(tmp_path / "best.yaml", config)
    assert Config.from_dict(load_yaml(tmp_path / "best.yaml")) == config
    assert config.optim.lr == study.trials[0].params["optim.lr"]
    assert config.data.synthetic_images == 120  # the base's


def test_the_best_config_has_the_parameters_that_trained_the_best_epoch(search):
    study, space = search
    log = run_trial(study, space, (0.2,), ends=False)
    log.trial.set_user_attr("in_force", {"model.k_neg": 0.5})
    assert best_config(parse_config(space.base), log.record, space).model.k_neg == 0.5


def test_the_best_config_chooses_its_epoch_by_the_first_objective(make_search):
    study, space = make_search("[{metric: val_loss}, {metric: parameters}]")
    base = parse_config(space.base)
    run_trial(study, space, (0.5,), parameters=10)
    config = best_config(base, TrialRecord(study.trials[0]), space)
    assert base.train.objective == "val_map"
    assert config.train.objective == "val_loss"


def test_the_tables_are_written_as_they_are_now(search, tmp_path):
    study, space = search
    base = parse_config(space.base)
    write_tables(tmp_path, study, space, base)
    assert not (tmp_path / "best_config.yaml").exists()
    assert len((tmp_path / "leaderboard.csv").read_text().splitlines()) == 1
    run_trial(study, space, (0.5,))
    write_tables(tmp_path, study, space, base)
    rate = study.trials[0].params["optim.lr"]
    assert Config.from_dict(load_yaml(tmp_path / "best_config.yaml")).optim.lr == rate
    assert len((tmp_path / "leaderboard.csv").read_text().splitlines()) == 2


def test_the_leaderboard_gives_back_each_chosen_text_and_null(tmp_path):
    plain = ["a.json", "|", "2024-01-01", '{"bf16": true}', " padded ", "größer", "'quoted'", "[a, b]", '"half']
    quoted = ["", "null", "~", "#", "no", "1e-3", '"quoted"', '"a\tb\n"']
    texts = plain + quoted
    choices = [None, *texts]
    key = "train.deepspeed_config"
    space = Space({key: Choice(choices)}, base={"model.pretrained": False})
    study = open_study(tmp_path / "texts.log", space)
    for choice in choices:
        study.enqueue_trial({key: choice})
        run_trial(study, space, (0.5,))
    rows = leaderboard(tmp_path / "leaderboard.csv", study, space)
    assert [cell_value(row[key]) for row in rows] == choices
    assert [row[key] for row in rows] == ["null", *plain, *map(json.dumps, quoted)]


def test_the_best_config_has_a_null_that_trained_the_best_epoch(tmp_path):
    key = "train.deepspeed_config"
    space = Space({key: Choice(["a.json", None])}, base={"model.pretrained": False, key: "b.json"})
    study = open_study(tmp_path / "null.log", space)
    study.enqueue_trial({key: "a.json"})
    log = run_trial(study, space, (0.2,), ends=False)
    log.trial.set_user_attr("in_force", {key: None})
    assert best_config(parse_config(space.base), log.record, space).train.deepspeed_config is None
