"""A search that begins, and one that goes on with what a killed one left."""

import json

import pytest
import torch
import yaml
from optuna.trial import TrialState
from safetensors.torch import save_file

from decouple_search.ray_tune.schedulers import Scheduler
from decouple_search.space.yaml_file import load_space
from decouple_search.storage.checkpoints import Checkpoints, written
from decouple_search.storage.folder import Folder, folder_at
from decouple_search.study.record import note, open_study
from decouple_search.study.resume import begin, ended, go_on, newest, unfinished
from decouplenet.command_line import parse_config
from decouplenet.errors import InputError


@pytest.fixture
def space(space_file):
    return load_space(space_file())


def checkpoint(folder, epoch, *, whole=True, remote=False, **config):
    folder.mkdir(parents=True)
    save_file({"weight": torch.zeros(3)}, folder / "model.safetensors")
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "metrics.json").write_text(json.dumps({"epoch": epoch}))
    torch.save({"epoch": epoch}, folder / "state.pt")
    if not whole:  # in object storage a file is there as a whole, or not at all
        content = (folder / "state.pt").read_bytes()
        (folder / "state.pt").write_bytes(content[: len(content) // 2])
        if remote:
            (folder / "state.pt").unlink()


@pytest.fixture(params=["here", "s3"])
def folder(request, tmp_path):
    """A search's folder, here and in object storage."""
    storage = str(tmp_path) if request.param == "here" else request.getfixturevalue("s3")
    with Folder(storage, f"resume-{request.node.name}") as folder:
        folder.local.mkdir(parents=True)
        yield folder


def begun(study, space, **known):
    trial = study.ask()
    space.suggest(trial)
    for name, value in known.items():
        trial.set_user_attr(name, value)
    return trial


def test_running_trials_go_on_from_their_newest_whole_checkpoint(space, folder):
    study, checkpoints = open_study(folder.local / "study.log", space), Checkpoints(folder)
    begun(study, space, epochs=2)
    study.tell(begun(study, space), 0.5)
    begun(study, space)
    begun(study, space)
    begun(study, space, epochs=1, stopped=1)
    begun(study, space, epochs=3, objectives=[0.7])
    trials = folder.local / "trials"
    checkpoint(trials / "0000" / "checkpoint_000000", 1)
    checkpoint(trials / "0000" / "checkpoint_000001", 2, optim={"lr": 0.005})
    checkpoint(trials / "0000" / "checkpoint_000002", 2, whole=False, remote=folder.remote)
    checkpoint(trials / "0001" / "checkpoint_000000", 3)
    checkpoint(trials / "0002" / "checkpoint_000000", 1)  # the study was lost with its driver, and does not know it
    checkpoint(trials / "0003" / "checkpoint_000000", 0, whole=False, remote=folder.remote)
    folder.push()
    first = unfinished(study, checkpoints, space, 3, 1)
    assert [(one.number, one.since and one.since.rpartition("/")[2]) for one in first] == [
        (0, "checkpoint_1-000001"), (2, None), (3, None),
    ]  # fmt: skip
    assert study.trials[4].state.name == "PRUNED"
    assert (study.trials[5].state.name, study.trials[5].value) == ("COMPLETE", 0.7)
    assert first[0].changed == {"optim.lr": 0.005}
    # So it does where it is lost before it has written another one, and from that where it has.
    assert newest(study, checkpoints, space, 0) == first[0]
    assert newest(study, checkpoints, space, 2) == (2, None, {})
    checkpoint(trials / "0002" / "checkpoint_000004", 1, optim={"lr": 0.007})
    folder.push()
    note(study, 2, "checkpoint", f"{checkpoints.root}/0002/checkpoint_000004")
    assert newest(study, checkpoints, space, 2) == (
        2,
        f"{checkpoints.root}/0002/checkpoint_000004",
        {"optim.lr": 0.007},
    )
    checkpoints.delete(f"{checkpoints.root}/0002/checkpoint_000004")
    assert newest(study, checkpoints, space, 2) == (2, None, {})
    assert checkpoints.all().keys() == {"0000", "0001"}
    checkpoint(trials / "0000" / "checkpoint_000003", 2)  # of the second run, which is killed too
    folder.push()
    again = unfinished(study, checkpoints, space, 3, 2)
    assert again[0].since == f"{checkpoints.root}/0000/checkpoint_2-000003"
    assert [place.rpartition("/")[2] for place in checkpoints.all()["0000"]] == [
        "checkpoint_1-000000", "checkpoint_1-000001", "checkpoint_2-000003",
    ]  # fmt: skip


def test_ended_and_failed_trials_are_told_apart(space, tmp_path):
    study = open_study(tmp_path / "study.log", space)
    for state in ("PRUNED", "FAIL", None):
        trial = study.ask()
        if state:
            study.tell(trial, state=TrialState[state])
    assert ended(study) == {"0000": (True, True), "0001": (True, False), "0002": (False, True)}


def test_checkpoints_are_in_order_over_more_than_ten_runs():
    names = ["0/checkpoint_2-000000", "0/checkpoint_2-000010", "0.1/checkpoint_2-000001", "0/checkpoint_10-000000"]
    names += ["0/checkpoint_000000", "0.1/checkpoint_000000"]
    assert sorted((f"trials/{name}" for name in reversed(names)), key=written) == [f"trials/{name}" for name in names]


def test_a_search_that_was_killed_before_its_first_trial_goes_on_and_without_its_study_does_not(space_file, tmp_path):
    start = "start:\n  - {model.maps_per_class: 2, model.alpha: 0.1, model.k_neg: 0.2}\n"
    space = load_space(space_file((start, "")))
    begin(tmp_path, space, parse_config(space.base), Scheduler("asha"), grid=False)
    checkpoints = Checkpoints(folder_at(str(tmp_path)))
    assert go_on(tmp_path, space, checkpoints).user_attrs["runs"] == 1
    (tmp_path / "trials" / "0000").mkdir(parents=True)
    (tmp_path / "trials" / "tuner.pkl").touch()  # Tune's own
    assert go_on(tmp_path, space, checkpoints).user_attrs["runs"] == 2
    assert [path.name for path in (tmp_path / "trials").iterdir()] == ["0000"]
    (tmp_path / "study.log").unlink()
    with pytest.raises(InputError, match="there is no study of"):
        go_on(tmp_path, space, checkpoints)


def test_start_points_are_asked_for_once_after_a_beginning_that_was_killed(space, tmp_path):
    database = f"sqlite:///{tmp_path / 'studies.db'}"
    config, made = parse_config(space.base), {"grid": False, "url": database}
    begin(tmp_path, space, config, Scheduler("asha"), **made)
    study, _ = begin(tmp_path, space, config, Scheduler("asha"), **made)
    assert [trial.state.name for trial in study.get_trials()] == ["WAITING"] * len(space.start)
    study.ask()
    with pytest.raises(InputError, match=r"--optuna-storage: it has a study .* already"):
        begin(tmp_path, space, config, Scheduler("asha"), **made)


def test_storage_that_fails_is_said_in_a_line(folder, monkeypatch):
    class Failing:
        type_name = "s3"

        def get_file_info(self, selector):
            raise OSError("ACCESS_DENIED during ListObjectsV2")

    checkpoints = Checkpoints(folder)
    monkeypatch.setattr(checkpoints, "system", Failing())
    with pytest.raises(InputError, match=r"--storage: '.*' cannot be used \(ACCESS_DENIED"):
        checkpoints.delete_files()
