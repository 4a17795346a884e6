"""A search's best checkpoint: found on disk, exported, measured, and compared with its trial."""

import json

import pytest
import torch
from safetensors.torch import save_file

from decouple_search.results import best_checkpoint as module
from decouple_search.results.best_checkpoint import best_checkpoint, export_best, export_checkpoint
from decouple_search.results.verdict import TestMeasures
from decouple_search.space.finalists import FinalistPlan
from decouple_search.space.yaml_file import load_space
from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.storage.opening import folder_at
from decouple_search.study.finalists import choose_finalists, missing_repeats
from decouple_search.study.optuna_storage import open_study
from decouplenet.errors import InputError, TrainingFailed
from tests.decouple_search.results.studies import run_repeat, run_trial


@pytest.fixture
def search(space_file, tmp_path):
    """A study of two trials, of which the first is the best in its second epoch, and its space."""
    space = load_space(space_file())
    study = open_study(tmp_path / "study.log", space)
    run_trial(study, space, (0.2, 0.7))
    run_trial(study, space, (0.6,))
    return study, space


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(folder_at(str(tmp_path)))


def write_checkpoint(root, trial, number, metrics, *, truncated=False):
    """A trial's checkpoint; `truncated` as if its worker was lost while it was written."""
    folder = root / "trials" / trial / f"checkpoint_{number:06d}"
    folder.mkdir(parents=True)
    save_file({"weight": torch.zeros(100)}, folder / "model.safetensors")
    (folder / "config.yaml").write_text("{}")
    (folder / "metrics.json").write_text(json.dumps(metrics))
    torch.save({}, folder / "state.pt")
    if truncated:
        content = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(content[:-1])


def test_without_a_checkpoint_there_is_no_best_one(search, checkpoints):
    assert best_checkpoint(checkpoints, *search) is None


def test_it_is_the_best_trials_checkpoint_of_its_best_epoch(search, checkpoints, tmp_path):
    write_checkpoint(tmp_path, "0000", 0, {"epoch": 1, "val_map": 0.2})
    write_checkpoint(tmp_path, "0000", 1, {"epoch": 2, "val_map": 0.7})
    write_checkpoint(tmp_path, "0001", 0, {"epoch": 1, "val_map": 0.6})
    best = best_checkpoint(checkpoints, *search)
    assert (best.trial.name, best.path.split("/")[-1], best.metrics) == (
        "0000",
        "checkpoint_000001",
        {"epoch": 2, "val_map": 0.7},
    )


def test_it_is_the_best_complete_checkpoint_where_the_best_epochs_is_not_complete(search, checkpoints, tmp_path):
    """A worker may be lost while the best epoch is saved."""
    write_checkpoint(tmp_path, "0000", 0, {"epoch": 1, "val_map": 0.2})
    write_checkpoint(tmp_path, "0001", 0, {"epoch": 1, "val_map": 0.6})
    write_checkpoint(tmp_path, "0001", 1, {"epoch": 2, "val_map": 0.9}, truncated=True)
    best = best_checkpoint(checkpoints, *search)
    assert (best.trial.number, best.path.split("/")[-2], best.metrics["val_map"]) == (1, "0001", 0.6)


def test_a_failed_trials_checkpoint_is_never_the_best(search, checkpoints, tmp_path):
    study, space = search
    run_trial(study, space, (0.9,), failure="the loss is nan")
    write_checkpoint(tmp_path, "0002", 0, {"epoch": 1, "val_map": 0.9})
    assert best_checkpoint(checkpoints, study, space) is None


def test_an_exported_checkpoint_has_no_training_state_and_more_metrics(tmp_path):
    write_checkpoint(tmp_path, "0000", 0, {"epoch": 1, "val_map": 0.2})
    target = tmp_path / "target"
    for extra in ({}, {"map": 0.25}):  # the second one replaces the first one
        export_checkpoint(tmp_path / "trials" / "0000" / "checkpoint_000000", target, extra)
        assert {file.name for file in target.iterdir()} == {"config.yaml", "metrics.json", "model.safetensors"}
        assert json.loads((target / "metrics.json").read_text()) == {"epoch": 1, "val_map": 0.2} | extra


@pytest.mark.parametrize(
    ("measured", "warning"),
    [
        ({"val_map": 0.7, "val_loss": 1.0}, ""),
        ({"val_map": 0.5, "val_loss": 1.0}, "warning: val_map is 0.500000, its trial had 0.700000\n"),
    ],
)
def test_the_best_checkpoint_is_measured_and_compared_with_its_trial(
    search, checkpoints, tmp_path, monkeypatch, capsys, measured, warning
):
    write_checkpoint(tmp_path, "0000", 0, {"epoch": 2, "val_map": 0.7})
    monkeypatch.setattr(module, "_measured", lambda folder: measured)
    export_best(tmp_path, checkpoints, *search, measure=True)
    assert capsys.readouterr().out == f"measuring the best checkpoint\n{warning}"
    metrics = json.loads((tmp_path / "best_checkpoint" / "metrics.json").read_text())
    assert metrics == {"epoch": 2} | measured


def test_a_search_by_another_measure_compares_that_measure(space_file, checkpoints, tmp_path, monkeypatch, capsys):
    space = load_space(space_file(("scheduler: {", "objective: [{metric: val_loss}]\nscheduler: {")))
    study = open_study(tmp_path / "study.log", space)
    run_trial(study, space, (0.9,), val_map=0.5)
    write_checkpoint(tmp_path, "0000", 0, {"epoch": 1, "val_map": 0.5, "val_loss": 0.9})
    monkeypatch.setattr(module, "_measured", lambda folder: {"val_map": 0.1, "val_loss": 0.8})
    export_best(tmp_path, checkpoints, study, space, measure=True)
    assert "warning: val_loss is 0.800000, its trial had 0.900000\n" in capsys.readouterr().out


def test_what_is_exported_in_place_of_the_best_epoch_is_said(search, checkpoints, tmp_path, capsys):
    write_checkpoint(tmp_path, "0001", 0, {"epoch": 1, "val_map": 0.6})
    export_best(tmp_path, checkpoints, *search, measure=False)
    assert capsys.readouterr().out == (
        "warning: the best epoch's checkpoint was not written to the end; best_checkpoint is of trial 0001, epoch 1, "
        "val_map 0.6000\n"
    )
    assert json.loads((tmp_path / "best_checkpoint" / "metrics.json").read_text())["epoch"] == 1


def test_a_search_without_a_complete_checkpoint_is_said(search, checkpoints, tmp_path, capsys):
    export_best(tmp_path, checkpoints, *search, measure=True)
    expected = "warning: no trial's checkpoint was written to the end, so there is no best_checkpoint\n"
    assert capsys.readouterr().out == expected
    assert not (tmp_path / "best_checkpoint").exists()


@pytest.mark.parametrize(
    ("error", "reason"),
    [(TrainingFailed("a worker was lost"), "a worker was lost"), (KeyboardInterrupt(), "KeyboardInterrupt")],
)
def test_a_measurement_that_is_cut_off_leaves_the_exported_checkpoint(
    search, checkpoints, tmp_path, monkeypatch, capsys, error, reason
):
    def measured(folder):
        raise error

    write_checkpoint(tmp_path, "0000", 0, {"epoch": 2, "val_map": 0.7})
    monkeypatch.setattr(module, "_measured", measured)
    try:
        export_best(tmp_path, checkpoints, *search, measure=True)
    except KeyboardInterrupt:
        pytest.fail("the interrupted measurement ends the search")  # rather than pytest
    assert f"warning: the best checkpoint was not measured ({reason})" in capsys.readouterr().out
    assert json.loads((tmp_path / "best_checkpoint" / "metrics.json").read_text()) == {"epoch": 2, "val_map": 0.7}


@pytest.fixture
def tested(monkeypatch):
    """The checkpoints that are measured on test images: 50 of them, map 0.5."""
    tested = []

    def measure_on_test(folder):
        tested.append(json.loads((folder / "metrics.json").read_text())["val_map"])
        return 50, {"map": 0.5}

    monkeypatch.setattr(module, "measure_on_test", measure_on_test)
    monkeypatch.setattr(module, "_measured", lambda folder: {"val_map": 0.7})
    return tested


def test_the_test_images_are_measured_once_with_the_best_checkpoint(search, checkpoints, tmp_path, tested):
    study, space = search
    write_checkpoint(tmp_path, "0000", 0, {"epoch": 2, "val_map": 0.7})
    write_checkpoint(tmp_path, "0001", 0, {"epoch": 1, "val_map": 0.6})
    export_best(tmp_path, checkpoints, study, space, measure=False)
    assert tested == [], "an interrupted search measured the test images"
    for _ in range(2):
        export_best(tmp_path, checkpoints, study, space, measure=True)
        assert tested == [0.7]
    expected = TestMeasures(trial_id="0000", epoch=2, images=50, metrics={"map": 0.5})
    assert TestMeasures.read(study) == expected
    run_trial(study, space, (0.9,))
    write_checkpoint(tmp_path, "0002", 0, {"epoch": 1, "val_map": 0.9})
    export_best(tmp_path, checkpoints, study, space, measure=True)
    assert tested == [0.7, 0.9], "another winner was not measured"


def test_what_stands_for_the_best_checkpoint_is_not_measured_measuring(search, checkpoints, tmp_path, tested):
    write_checkpoint(tmp_path, "0001", 0, {"epoch": 1, "val_map": 0.6})
    export_best(tmp_path, checkpoints, *search, measure=True)
    assert tested == []


def test_test_images_that_cannot_be_read_leave_the_rest(search, checkpoints, tmp_path, tested, monkeypatch, capsys):
    def refuse(folder):
        raise InputError("data.test_images: no file")

    monkeypatch.setattr(module, "measure_on_test", refuse)
    write_checkpoint(tmp_path, "0000", 0, {"epoch": 2, "val_map": 0.7})
    export_best(tmp_path, checkpoints, *search, measure=True)
    assert "warning: the test images were not measured (data.test_images: no file)" in capsys.readouterr().out
    assert TestMeasures.read(search[0]) is None
    assert (tmp_path / "best_checkpoint").exists()


def test_the_best_checkpoint_of_finalists_is_the_winners_best_training(search, checkpoints, tmp_path, tested):
    study, space = search
    choose_finalists(study, {0: 0.5, 1: 0.6}, space.objective, FinalistPlan(2, 2), seed=0, used_seeds=[0])
    for (finalist, seed), value in zip(missing_repeats(study), (0.5, 0.6, 0.52, 0.62), strict=True):
        run_repeat(study, space, finalist, seed, (value - 0.1, value, value - 0.1))
    for trial, value in (("0000", 0.7), ("0002", 0.5), ("0003", 0.6), ("0004", 0.52), ("0005", 0.62)):
        write_checkpoint(tmp_path, trial, 0, {"epoch": 2, "val_map": value})
    best = best_checkpoint(checkpoints, study, space)
    assert (best.trial.name, best.trial.repeat_of, best.metrics["val_map"]) == ("0005", 0, 0.62)
    export_best(tmp_path, checkpoints, study, space, measure=True)
    assert tested == [0.62]
