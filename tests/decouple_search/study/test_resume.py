"""A study made ready: for a new search, and for a search that resumes after it was killed."""

import json

import pytest
import torch
import yaml
from optuna.trial import TrialState
from safetensors.torch import save_file

from decouple_search.space.domain import Choice, Float
from decouple_search.space.space import Space
from decouple_search.space.yaml_file import load_space
from decouple_search.stopping.scheduler import Scheduler
from decouple_search.storage.checkpoints import Checkpoints
from decouple_search.storage.opening import folder_at, open_folder
from decouple_search.storage.remote_folder import RemoteFolder
from decouple_search.study.compat import reopen_trial
from decouple_search.study.definition import Definition
from decouple_search.study.finalists import add_repeat
from decouple_search.study.optuna_storage import open_study
from decouple_search.study.resume import (
    EarlierTrial,
    ResumableTrial,
    create_study,
    earlier_trials,
    resumable_trial,
    resumable_trials,
    resume_study,
)
from decouple_search.study.trial_log import note_checkpoint
from decouplenet.command_line import parse_config
from decouplenet.errors import InputError


def write_checkpoint(folder, epoch, *, whole=True, remote=False, **config):
    """Write a checkpoint; one that is not whole lacks the end of a file, or in object storage a file."""
    folder.mkdir(parents=True)
    save_file({"weight": torch.zeros(3)}, folder / "model.safetensors")
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "metrics.json").write_text(json.dumps({"epoch": epoch}))
    torch.save({"epoch": epoch}, folder / "state.pt")
    if not whole:
        content = (folder / "state.pt").read_bytes()
        (folder / "state.pt").write_bytes(content[: len(content) // 2])
        if remote:
            (folder / "state.pt").unlink()


@pytest.fixture(params=["disk", "s3"])
def folder(request, tmp_path):
    """A search's folder, on a disk and in object storage."""
    storage = str(tmp_path) if request.param == "disk" else request.getfixturevalue("s3")
    with open_folder(storage, f"resume-{request.node.name}") as folder:
        folder.local.mkdir(parents=True)
        yield folder


def start_trial(study, space, **attributes):
    trial = study.ask()
    space.suggest(trial)
    for name, value in attributes.items():
        trial.set_user_attr(name, value)
    return trial


def base_names(paths):
    return [path and path.rpartition("/")[2] for path in paths]


def test_running_trials_resume_from_their_newest_whole_checkpoint(space, folder):
    study, checkpoints = open_study(folder.local / "study.log", space), Checkpoints(folder)
    remote = isinstance(folder, RemoteFolder)
    start_trial(study, space, epochs=2)
    study.tell(start_trial(study, space), 0.5)
    start_trial(study, space)
    start_trial(study, space)
    start_trial(study, space, epochs=1, stopped=1)
    start_trial(study, space, epochs=3, objectives=[0.7])
    trials = folder.local / "trials"
    write_checkpoint(trials / "0000" / "checkpoint_000000", 1)
    write_checkpoint(trials / "0000" / "checkpoint_000001", 2, optim={"lr": 0.005})
    write_checkpoint(trials / "0000" / "checkpoint_000002", 2, whole=False, remote=remote)
    write_checkpoint(trials / "0001" / "checkpoint_000000", 3)
    write_checkpoint(trials / "0002" / "checkpoint_000000", 1)  # newer than the study, which was lost with its driver
    write_checkpoint(trials / "0003" / "checkpoint_000000", 0, whole=False, remote=remote)
    folder.push()
    resumable = resumable_trials(study, checkpoints, space, 3, 1)
    assert [trial.number for trial in resumable] == [0, 2, 3]
    assert base_names(trial.checkpoint for trial in resumable) == ["checkpoint_1-000001", None, None]
    assert study.trials[4].state.name == "PRUNED"
    assert (study.trials[5].state.name, study.trials[5].value) == ("COMPLETE", 0.7)
    assert resumable[0].changed == {"optim.lr": 0.005}
    # A trial that is lost in this run resumes from there too, until it has written another checkpoint.
    assert resumable_trial(study, checkpoints, space, 0) == resumable[0]
    assert resumable_trial(study, checkpoints, space, 2) == ResumableTrial(2, None, {})
    write_checkpoint(trials / "0002" / "checkpoint_000004", 1, optim={"lr": 0.007})
    folder.push()
    newer = f"{checkpoints.root}/0002/checkpoint_000004"
    note_checkpoint(study, 2, newer)
    assert resumable_trial(study, checkpoints, space, 2) == ResumableTrial(2, newer, {"optim.lr": 0.007})
    checkpoints.delete(newer)
    assert resumable_trial(study, checkpoints, space, 2) == ResumableTrial(2, None, {})
    assert checkpoints.all().keys() == {"0000", "0001"}
    write_checkpoint(trials / "0000" / "checkpoint_000003", 2)  # of the second run, which is killed too
    folder.push()
    resumable = resumable_trials(study, checkpoints, space, 3, 2)
    assert resumable[0].checkpoint == f"{checkpoints.root}/0000/checkpoint_2-000003"
    assert base_names(checkpoints.all()["0000"]) == [
        "checkpoint_1-000000",
        "checkpoint_1-000001",
        "checkpoint_2-000003",
    ]


def test_earlier_trials_have_ended_or_not_and_failed_or_not(space, tmp_path):
    study = open_study(tmp_path / "study.log", space)
    for state in ("PRUNED", "FAIL", None):
        trial = study.ask()
        if state:
            study.tell(trial, state=TrialState[state])
    assert earlier_trials(study) == {
        "0000": EarlierTrial(ended=True, succeeded=True),
        "0001": EarlierTrial(ended=True, succeeded=False),
        "0002": EarlierTrial(ended=False, succeeded=True),
    }


def test_a_search_without_trials_resumes_and_a_search_without_its_study_does_not(space_file, tmp_path):
    start = "start:\n  - {model.maps_per_class: 2, model.alpha: 0.1, model.k_neg: 0.2}\n"
    space = load_space(space_file((start, "")))
    config = parse_config(space.base)
    create_study(tmp_path, space, config, Definition.from_search(space, config, Scheduler("asha"), grid=False))
    checkpoints = Checkpoints(folder_at(str(tmp_path)))
    assert resume_study(tmp_path, space, checkpoints).user_attrs["runs"] == 1
    (tmp_path / "trials" / "0000").mkdir(parents=True)
    (tmp_path / "trials" / "tuner.pkl").touch()  # Tune's own
    assert resume_study(tmp_path, space, checkpoints).user_attrs["runs"] == 2
    assert [path.name for path in (tmp_path / "trials").iterdir()] == ["0000"]
    (tmp_path / "study.log").unlink()
    with pytest.raises(InputError, match="there is no study of"):
        resume_study(tmp_path, space, checkpoints)


def test_start_points_are_enqueued_once_although_an_earlier_start_was_killed(space, tmp_path):
    database = f"sqlite:///{tmp_path / 'studies.db'}"
    config = parse_config(space.base)
    definition = Definition.from_search(space, config, Scheduler("asha"), grid=False)
    create_study(tmp_path, space, config, definition, url=database)
    study, _ = create_study(tmp_path, space, config, definition, url=database)
    assert [trial.state.name for trial in study.get_trials()] == ["WAITING"] * len(space.start)
    study.ask()
    with pytest.raises(InputError, match=r"--optuna-storage: it has a study .* already"):
        create_study(tmp_path, space, config, definition, url=database)


def test_only_start_points_that_no_screen_can_judge_are_trained_in_full(tmp_path):
    space = Space(
        {"model.alpha": Float(0.0, 1.0), "optim.backbone_lr_scale": Float(0.01, 1.0)},
        base={"optim.backbone_lr_scale": 1.0},
        start=[
            {"model.alpha": 0.1},
            {"model.alpha": 0.3, "optim.backbone_lr_scale": 1.0},
            {"model.alpha": 0.2, "optim.backbone_lr_scale": 0.5},
        ],
    )
    config = parse_config(space.base)
    definition = Definition.from_search(space, config, Scheduler("asha"), grid=False)
    study, _ = create_study(tmp_path, space, config, definition, screens=True)
    fixed = [trial.system_attrs["fixed_params"] for trial in study.get_trials()]
    assert fixed == [{"model.alpha": 0.2, "optim.backbone_lr_scale": 0.5}]


def test_a_grid_takes_no_start_points(space, tmp_path):
    config = parse_config(space.base)
    definition = Definition.from_search(space, config, Scheduler("asha"), grid=True)
    study, imported = create_study(tmp_path, space, config, definition)
    assert (study.get_trials(), imported) == ([], "")
    assert Definition.read(tmp_path / "experiment.yaml") == definition


def test_a_search_resumes_from_a_journal_with_a_damaged_end(space, folder):
    study = open_study(folder.local / "study.log", space)
    study.set_user_attr("runs", 0)
    study.tell(start_trial(study, space), 0.5)
    whole = (folder.local / "study.log").read_bytes()
    (folder.local / "study.log").write_bytes(whole + b"[1]\n\n")
    folder.push()
    with folder_at(folder.uri) as resumed:
        resumed.pull("study.log")
        study = resume_study(resumed.local, space, Checkpoints(resumed))
        assert (study.user_attrs["runs"], [trial.value for trial in study.trials]) == (1, [0.5])
        resumed.push()
        [side] = [name for name in resumed.names() if name.startswith("study.log.damaged-")]
        assert resumed.read(side) == b"[1]\n\n"
        assert resumed.read("study.log").startswith(whole)


def test_a_search_whose_journal_is_refused_leaves_everything_as_it_is(space, folder):
    study, checkpoints = open_study(folder.local / "study.log", space), Checkpoints(folder)
    study.set_user_attr("runs", 0)
    study.tell(start_trial(study, space), 0.5)
    (folder.local / "trials").mkdir()
    (folder.local / "trials" / "tuner.pkl").touch()  # Tune's own
    lines = (folder.local / "study.log").read_bytes().splitlines(keepends=True)
    for damaged in (b"".join([*lines[:3], b"[1]\n", *lines[3:]]), lines[0][:40] + b"\n", lines[0] + b"[1]\n"):
        (folder.local / "study.log").write_bytes(damaged)
        folder.push()
        with pytest.raises(InputError, match=r"study\.log"):
            resume_study(folder.local, space, checkpoints)
        folder.push()
        assert folder.names() == {"study.log", "trials"}
        assert folder.read("study.log") == damaged
        assert folder.read("trials/tuner.pkl") == b""


def test_a_chosen_null_is_proposed_again_when_its_trial_resumes(tmp_path):
    domain = Choice([None, "a.json"])
    space = Space(
        {"train.deepspeed_config": domain}, base={"model.pretrained": False}, start=[{"train.deepspeed_config": None}]
    )
    config = parse_config(space.base)
    definition = Definition.from_search(space, config, Scheduler("asha"), grid=False)
    study, _ = create_study(tmp_path, space, config, definition)
    assert space.suggest(study.ask()) == {"train.deepspeed_config": None}
    resumed = resume_study(tmp_path, space, Checkpoints(folder_at(str(tmp_path))))
    assert space.suggest(reopen_trial(resumed, 0)) == {"train.deepspeed_config": None}
    assert resumed.trials[0].params == {"train.deepspeed_config": None}
    assert Definition.read(tmp_path / "experiment.yaml").differences(definition) == []


def test_a_training_of_a_finalist_resumes_as_one(space, tmp_path):
    study, checkpoints = open_study(tmp_path / "study.log", space), Checkpoints(folder_at(str(tmp_path)))
    study.tell(start_trial(study, space), 0.5)
    number = add_repeat(study, 0, 17)
    assert resumable_trials(study, checkpoints, space, 3, 1) == [ResumableTrial(number, None, {}, is_repeat=True)]
    assert earlier_trials(study)["0001"] == EarlierTrial(ended=False, succeeded=True, repeat_of="0000")
