"""The results of a search, read from its folder."""

import importlib.util

import optuna
import pandas as pd
import pytest
from pyarrow.fs import FileSystem, LocalFileSystem, copy_files

from decouple_search.api import load_experiment
from decouple_search.results.experiment import read_experiment
from decouple_search.results.tables import Summary, cell_value
from decouple_search.space.domain import Choice
from decouple_search.space.objective import Objective
from decouple_search.space.space import Space
from decouple_search.space.yaml_file import load_space
from decouple_search.storage.opening import open_folder
from decouple_search.study.record import StudyRecord
from decouplenet.config import Config
from decouplenet.errors import InputError
from decouplenet.yaml_text import load_yaml
from tests.decouple_search.results.studies import run_trial, write_search


@pytest.fixture
def space(space_file):
    """The small space."""
    return load_space(space_file())


@pytest.fixture
def search(space, tmp_path):
    """The folder of a search of twelve trials, and its study."""
    study = write_search(tmp_path / "x", space)
    return tmp_path / "x", study


def facts_of(trial):
    """What a copy of a trial must have in common with it."""
    return trial.number, trial.state, trial.params, trial.values, trial.intermediate_values, trial.user_attrs


def content_of(folder):
    """The files of a folder and what is in them."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def test_the_leaderboard_is_a_table_of_values_best_first(search, space):
    folder, study = search
    table = load_experiment(folder).leaderboard
    assert isinstance(table, pd.DataFrame)
    assert list(table.columns[:5]) == ["trial_id", "state", "epochs", "val_map", "seconds"]
    assert set(table.columns[5:]) == set(space.keys)
    assert len(table) == 12
    values = table["val_map"]
    assert list(values) == sorted(values, reverse=True)
    best = max(study.trials, key=lambda trial: max(trial.intermediate_values.values()))
    assert table["trial_id"][0] == f"{best.number:04d}"
    assert values[0] == pytest.approx(max(best.intermediate_values.values()))
    assert set(table["epochs"]) == {1, 3}
    assert table["optim.lr"].dtype == float
    assert set(table["model.attention"]) == {"none", "arch1"}
    for _, row in table.iterrows():
        parameters = study.trials[int(row["trial_id"])].params
        absent = [key for key in space.keys if key not in parameters]
        assert row[absent].isna().all()
        assert {key: row[key] for key in parameters} == parameters
    assert table["model.k_neg"].isna().any()


def test_without_pandas_the_leaderboard_is_a_list_of_mappings(search, monkeypatch):
    experiment = load_experiment(search[0])
    table = experiment.leaderboard
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    rows = experiment.leaderboard
    assert isinstance(rows, list)
    assert [row["trial_id"] for row in rows] == list(table["trial_id"])
    assert {type(row["epochs"]) for row in rows} == {int}
    assert {type(row["val_map"]) for row in rows} == {float}
    assert {row["model.attention"] for row in rows} == {"none", "arch1"}
    assert [row["model.k_neg"] is None for row in rows] == list(table["model.k_neg"].isna())


def test_the_study_is_a_copy(search):
    folder, study = search
    before = content_of(folder)
    copy = load_experiment(folder).study
    assert [facts_of(trial) for trial in copy.trials] == [facts_of(trial) for trial in study.trials]
    assert copy.best_trial.number == study.best_trial.number
    copy.tell(copy.ask(), 0.9)
    copy.set_user_attr("note", "mine")
    assert content_of(folder) == before
    assert len(load_experiment(folder).study.trials) == 12


def test_a_study_that_is_being_written_is_read_and_left_as_it_is(search, space):
    folder, study = search
    run_trial(study, space, [0.4], ends=False)
    (folder / "study.log.lock").touch()
    with (folder / "study.log").open("ab") as stream:
        stream.write(b'{"op_code": 6, "worker_id": "half a')
    before = content_of(folder)
    experiment = load_experiment(folder)
    assert [trial.state.name for trial in experiment.study.trials][12:] == ["RUNNING"]
    assert len(experiment.rows) == 12
    assert content_of(folder) == before


def test_the_best_configuration_is_that_of_the_first_row(search):
    folder, _ = search
    experiment = load_experiment(folder)
    assert isinstance(experiment.best_config, Config)
    assert experiment.best_config.in_use() == load_yaml(folder / "best_config.yaml")
    assert experiment.best_config.optim.lr == pytest.approx(experiment.leaderboard["optim.lr"][0])


def test_a_search_that_runs_has_no_summary_and_no_checkpoint_yet(search):
    folder, _ = search
    experiment = load_experiment(str(folder))
    assert (experiment.folder, experiment.summary, experiment.best_checkpoint) == (str(folder), None, None)
    (folder / "best_checkpoint").mkdir()
    facts = dict.fromkeys(("trials", "complete", "pruned", "failed", "epochs"), 0)
    facts |= dict.fromkeys(("wall_seconds", "busy_fraction", "busy_fraction_warm", "best_value", "best_val_map"), 0.5)
    summary = Summary(**facts, objective="val_map", best_trial_id="0003")
    summary.write(folder / "summary.json")
    ended = load_experiment(folder)
    assert (ended.summary, ended.best_checkpoint) == (summary, folder / "best_checkpoint")


def test_a_search_without_an_ended_trial_has_no_results_yet(search):
    folder, _ = search
    for name in ("leaderboard.csv", "best_config.yaml"):
        (folder / name).unlink()
    experiment = load_experiment(folder)
    assert (experiment.rows, experiment.best_config, len(experiment.leaderboard)) == ((), None, 0)


def test_whether_the_search_was_interrupted(search):
    folder, study = search
    assert load_experiment(folder).interrupted is False
    StudyRecord(study).interrupted = True
    assert load_experiment(folder).interrupted is True


def test_several_objectives_stay_in_their_order(space_file, tmp_path):
    several = load_space(space_file(("trials: 4", "objective: [{metric: val_loss}, {metric: val_map}]")))
    folder = tmp_path / "x"
    study = write_search(folder, several, val_map=0.5)
    experiment = load_experiment(folder)
    assert experiment.objectives == (Objective("val_loss", "min"), Objective("val_map", "max"))
    assert experiment.study.directions == study.directions
    losses = experiment.leaderboard["val_loss"]
    assert list(losses) == sorted(losses)
    assert set(experiment.leaderboard["pareto"]) == {True, False}
    assert experiment.best_config.train.objective == "val_loss"


def test_a_study_in_a_database(space, tmp_path):
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    study = write_search(tmp_path / "x", space, trials=2, url=url)
    experiment = load_experiment(tmp_path / "x", optuna_storage=url)
    assert [facts_of(trial) for trial in experiment.study.trials] == [facts_of(trial) for trial in study.trials]
    experiment.study.tell(experiment.study.ask(), 0.9)
    assert len(optuna.load_study(study_name="x", storage=url).trials) == 2
    with pytest.raises(InputError, match=r"the study of '.*/x' cannot be read \(no study.log\); give --optuna-storage"):
        load_experiment(tmp_path / "x")
    with pytest.raises(InputError, match=r"the study of '.*/x' cannot be read .*\)$"):
        load_experiment(tmp_path / "x", optuna_storage=f"sqlite:///{tmp_path / 'others.db'}")


def test_a_search_in_object_storage(search, s3):
    folder, study = search
    base, _, query = s3.partition("?")
    system, path = FileSystem.from_uri(s3)
    (folder / "best_checkpoint").mkdir()
    (folder / "best_checkpoint" / "model.pt").touch()
    copy_files(str(folder), f"{path}/stored", LocalFileSystem(), system)
    experiment = load_experiment(f"{base}/stored?{query}")
    assert experiment.best_checkpoint == f"{base}/stored/best_checkpoint?{query}"
    assert experiment.folder.endswith("bucket/runs/stored")
    assert "secret" not in experiment.folder
    assert (len(experiment.rows), len(experiment.study.trials)) == (12, len(study.trials))


def test_what_is_no_search_is_refused(search, tmp_path):
    folder, _ = search
    for place in (tmp_path, tmp_path / "none", folder / "study.log"):
        with pytest.raises(InputError, match=f"^'{place}' is no search's folder; give a folder that tune wrote$"):
            read_experiment(open_folder(str(place.parent), place.name))


def test_only_a_summary_of_the_results_is_shown(search):
    text = repr(load_experiment(search[0]))
    assert str(search[0]) in text
    assert len(text) < 400


@pytest.mark.parametrize("damage", [b"\n", b"[1]\n", b"\0\0\0\n", b'{"op_code":8,"wor\n', b'"\n\n{}'])
def test_a_damaged_study_is_read_and_left_as_it_is(search, damage, capsys):
    folder, study = search
    expected = [facts_of(trial) for trial in study.trials]
    with (folder / "study.log").open("ab") as stream:
        stream.write(damage)
    before = content_of(folder)
    assert [facts_of(trial) for trial in load_experiment(folder).study.trials] == expected
    assert content_of(folder) == before
    assert capsys.readouterr() == ("", "")


def test_a_study_whose_records_are_in_doubt_is_refused(search):
    folder, _ = search
    lines = (folder / "study.log").read_bytes().splitlines(keepends=True)
    (folder / "study.log").write_bytes(b"".join([*lines[:9], b"[1]\n", *lines[10:]]))
    before = content_of(folder)
    with pytest.raises(
        InputError, match=r"^x/study.log, line 10: it is damaged, and the records after it .*gives up: \d+\)$"
    ):
        load_experiment(folder)
    assert content_of(folder) == before


def test_a_chosen_null_is_told_from_an_absent_parameter(tmp_path):
    keys = ("train.deepspeed_config", "data.label_separator")
    searched = {keys[0]: Choice([None, "a.json"]), keys[1]: Choice([None, "~"], when={keys[0]: None})}
    space = Space(searched, base={"model.pretrained": False, "train.deepspeed_config": "a.json"})
    write_search(tmp_path / "x", space)
    experiment = load_experiment(tmp_path / "x")
    rows = {row.trial_id: row.cells for row in experiment.rows}
    values = {row["trial_id"]: row for row in experiment.leaderboard.to_dict("records")}
    seen = set()
    for trial in experiment.study.trials:
        cells = [rows[f"{trial.number:04d}"][key] for key in keys]
        assert cells == [{None: "null", "~": '"~"', "-": ""}.get(trial.params.get(key, "-"), "a.json") for key in keys]
        for key in keys:
            value = values[f"{trial.number:04d}"][key]
            assert trial.params.get(key) == (None if pd.isna(value) else value)
        seen.add(tuple(cells))
    assert seen == {("null", "null"), ("null", '"~"'), ("a.json", "")}
    best = experiment.rows[0].parameters
    assert cell_value(best[keys[0]]) == experiment.best_config.train.deepspeed_config


@pytest.mark.parametrize("chosen", [None, "a.json"])
def test_the_best_config_has_the_chosen_null(tmp_path, chosen):
    key = "train.deepspeed_config"
    space = Space({key: Choice([chosen])}, base={"model.pretrained": False, key: "b.json"})
    write_search(tmp_path / "x", space, trials=1)
    assert load_yaml(tmp_path / "x" / "best_config.yaml")["train"]["deepspeed_config"] == chosen
    assert load_experiment(tmp_path / "x").best_config.train.deepspeed_config == chosen
