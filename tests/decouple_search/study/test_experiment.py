"""A search's folder: who may write in it, when it goes on, and with what."""

import errno
import subprocess
import sys

import pytest

from decouple_search.ray_tune.schedulers import Scheduler
from decouple_search.space.yaml_file import load_space
from decouple_search.storage.folder import folder_at
from decouple_search.study.experiment import check_same, goes_on, held, write_definition
from decouplenet.command_line import parse_config
from decouplenet.errors import InputError


@pytest.fixture
def space(space_file):
    return load_space(space_file())


def test_the_same_search_goes_on_and_another_is_refused_with_what_differs(space_file, space, tmp_path):
    config, asha = parse_config(space.base), Scheduler("asha")
    write_definition(tmp_path, space, config, asha, grid=False)
    check_same(folder_at(str(tmp_path)), space, config, asha, grid=False)
    elsewhere = parse_config({**space.base, "scaling.workers_per_trial": 2, "data.workers": 7, "data.cache": "none"})
    check_same(folder_at(str(tmp_path)), space, elsewhere, asha, grid=False)
    other = load_space(
        space_file(
            ("{float: [0.0, 1.0]}", "{float: [0.0, 0.5]}"),
            ("  model.attention: ", "  model.k_pos: {float: [0.1, 0.2]}\n  model.attention: "),
        )
    )
    changed = parse_config({**other.base, "train.epochs": 5})
    with pytest.raises(InputError) as refused:
        check_same(folder_at(str(tmp_path)), other, changed, Scheduler("asha", 2), grid=True)
    said = str(refused.value)
    assert "model.alpha: float 0.0 to 1.0 there, float 0.0 to 0.5 here" in said
    assert "model.k_pos: absent there, float 0.1 to 0.2 here" in said
    assert "train.epochs: 3 there, 5 here" in said
    assert "scheduler grace_epochs: 1 there, 2 here" in said
    assert "sampler grid: False there, True here" in said
    assert "optim.lr" not in said


def test_what_a_beginning_that_was_killed_leaves_is_begun_anew(tmp_path):
    assert not goes_on(folder_at(f"{tmp_path}/new"), "auto")
    for name in (".lock", "study.log"):
        (tmp_path / name).touch()
    assert not goes_on(folder_at(str(tmp_path)), "auto")
    (tmp_path / "experiment.yaml").touch()
    assert goes_on(folder_at(str(tmp_path)), "auto")
    assert goes_on(folder_at(str(tmp_path)), "must")


def test_two_searches_do_not_write_in_one_folder(tmp_path):
    code = "from decouple_search.study.experiment import held\nfrom pathlib import Path\n"
    code += f"with held(Path({str(tmp_path)!r})): print('in')"
    with held(tmp_path):
        late = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "another search is writing in" in late.stderr
    assert "in" in subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_a_disk_that_keeps_no_locks_is_said(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("decouple_search.study.experiment.fcntl.flock", refuse)
    with (
        pytest.raises(InputError, match=r"--storage: '.*' cannot be locked \(Function not implemented\)"),
        held(tmp_path),
    ):
        pass
