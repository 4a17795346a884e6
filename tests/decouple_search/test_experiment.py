"""A search's folder: who may write in it, when it goes on, and with what."""

import json
import subprocess
import sys

import pytest
import torch
import yaml
from safetensors.torch import save_file

from decouple_search.experiment import check_same, forget_tunes_state, goes_on, held, unfinished, write_definition
from decouple_search.schedulers import Scheduler
from decouple_search.space import load_space
from decouple_search.study import STUDY_NAME, open_study
from decouplenet.command_line import parse_config
from decouplenet.errors import InputError


@pytest.fixture
def space(space_file):
    return load_space(space_file())


def test_the_same_search_goes_on_and_another_is_refused_with_what_differs(space_file, space, tmp_path):
    config, asha = parse_config(space.base), Scheduler("asha")
    write_definition(tmp_path, space, config, asha, grid=False)
    check_same(tmp_path, space, config, asha, grid=False)
    elsewhere = parse_config({**space.base, "scaling.workers_per_trial": 2, "data.workers": 7, "data.cache": "none"})
    check_same(tmp_path, space, elsewhere, asha, grid=False)
    other = load_space(
        space_file(
            ("{float: [0.0, 1.0]}", "{float: [0.0, 0.5]}"),
            ("  model.attention: ", "  model.k_pos: {float: [0.1, 0.2]}\n  model.attention: "),
        )
    )
    changed = parse_config({**other.base, "train.epochs": 5})
    with pytest.raises(InputError) as refused:
        check_same(tmp_path, other, changed, Scheduler("asha", 2), grid=True)
    said = str(refused.value)
    assert "model.alpha: float 0.0 to 1.0 there, float 0.0 to 0.5 here" in said
    assert "model.k_pos: absent there, float 0.1 to 0.2 here" in said
    assert "train.epochs: 3 there, 5 here" in said
    assert "scheduler grace_epochs: 1 there, 2 here" in said
    assert "sampler grid: False there, True here" in said
    assert "optim.lr" not in said


def test_what_a_beginning_that_was_killed_leaves_is_begun_anew(tmp_path):
    assert not goes_on(tmp_path / "new", "auto")
    for name in (".lock", "study.log"):
        (tmp_path / name).touch()
    assert not goes_on(tmp_path, "auto")
    (tmp_path / "experiment.yaml").touch()
    assert goes_on(tmp_path, "auto")
    assert goes_on(tmp_path, "must")


def test_two_searches_do_not_write_in_one_folder(tmp_path):
    code = "from decouple_search.experiment import held\nfrom pathlib import Path\n"
    code += f"with held(Path({str(tmp_path)!r})): print('in')"
    with held(tmp_path):
        late = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "another search is writing in" in late.stderr
    assert "in" in subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def checkpoint(folder, epoch, *, whole=True, **config):
    folder.mkdir(parents=True)
    save_file({"weight": torch.zeros(3)}, folder / "model.safetensors")
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "metrics.json").write_text(json.dumps({"epoch": epoch}))
    torch.save({"epoch": epoch}, folder / "state.pt")
    if not whole:
        content = (folder / "state.pt").read_bytes()
        (folder / "state.pt").write_bytes(content[: len(content) // 2])


def test_running_trials_go_on_from_their_newest_whole_checkpoint(space, tmp_path):
    study = open_study(tmp_path / "study.log", space)
    for i in range(4):
        trial = study.ask()
        space.suggest(trial)
        if i == 1:
            study.tell(trial, 0.5)
    stopped = study.ask()
    stopped.set_user_attr("stopped", 1)
    stopped.set_user_attr("epochs", 1)
    done = study.ask()
    done.set_user_attr("epochs", 3)
    done.set_user_attr("objectives", [0.7])
    trials = tmp_path / "trials"
    checkpoint(trials / "0000" / "checkpoint_000000", 1)
    checkpoint(trials / "0000" / "checkpoint_000001", 3, optim={"lr": 0.005})
    checkpoint(trials / "0000" / "checkpoint_000002", 4, whole=False)
    checkpoint(trials / "0001" / "checkpoint_000000", 3)
    checkpoint(trials / "0002" / "checkpoint_000000", 1, whole=False)
    (trials / "tuner.pkl").touch()
    first = unfinished(study, tmp_path, space, 3, 1)
    assert [(one.number, one.since and one.since.rpartition("/")[2]) for one in first] == [
        (0, "checkpoint_1-000001"), (2, None), (3, None),
    ]  # fmt: skip
    assert study.trials[4].state.name == "PRUNED"
    assert (study.trials[5].state.name, study.trials[5].value) == ("COMPLETE", 0.7)
    assert first[0].changed == {"optim.lr": 0.005}
    checkpoint(trials / "0000" / "checkpoint_000000", 5)  # of the second run, which is killed too
    again = unfinished(study, tmp_path, space, 3, 2)
    assert again[0].since == str(trials / "0000" / "checkpoint_2-000000")
    assert (trials / "0001" / "checkpoint_000000").is_dir()
    forget_tunes_state(tmp_path)
    assert sorted(path.name for path in trials.iterdir()) == ["0000", "0001", "0002"]


def test_a_study_whose_writer_was_killed_opens_without_the_half_line(space, tmp_path):
    file = tmp_path / "study.log"
    study = open_study(file, space)
    space.suggest(study.ask())
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"op_code": 6, "worker_id": "half a')
    (tmp_path / "study.log.lock").symlink_to(file)
    again = open_study(file, space)
    again.tell(0, 0.5)
    assert again.study_name == STUDY_NAME
    assert [trial.value for trial in open_study(file, space).trials] == [0.5]


def test_a_study_in_a_database(space, tmp_path):
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    study = open_study(tmp_path / "study.log", space, url=url, name="x")
    study.tell(study.ask(), 0.5)
    assert not (tmp_path / "study.log").exists()
    assert open_study(tmp_path / "study.log", space, url=url, name="x").best_value == 0.5
    with pytest.raises(InputError, match="--optuna-storage: 'nothing://x' cannot be used"):
        open_study(tmp_path / "study.log", space, url="nothing://x", name="x")


def test_a_search_that_was_killed_before_its_first_trial_goes_on_and_without_its_study_does_not(space_file, tmp_path):
    from decouple_search.search import Search
    from decouple_search.tune import read

    start = "start:\n  - {model.maps_per_class: 2, model.alpha: 0.1, model.k_neg: 0.2}\n"
    options, space, config = read(["--space", str(space_file((start, "")))])

    def opened(*, goes_on):
        search = Search(tmp_path, space, config, Scheduler("asha"), options, 4, "gp")
        search.goes_on = goes_on
        return search._open_study()

    opened(goes_on=False)
    assert opened(goes_on=True).user_attrs["runs"] == 1
    assert opened(goes_on=True).user_attrs["runs"] == 2
    (tmp_path / "study.log").unlink()
    with pytest.raises(InputError, match="there is no study of"):
        opened(goes_on=True)
