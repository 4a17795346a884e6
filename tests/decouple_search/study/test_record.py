"""The study: a journal file or a database, opened after whatever happened to its writer."""

import pytest

from decouple_search.space.yaml_file import load_space
from decouple_search.study.record import STUDY_NAME, open_study
from decouplenet.errors import InputError


@pytest.fixture
def space(space_file):
    return load_space(space_file())


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


def test_a_databases_password_is_not_said(space, tmp_path):
    for url in ("nothing://user:secret@host/x", f"sqlite://user:secret@{tmp_path}/none/x.db"):
        with pytest.raises(InputError, match="cannot be used") as raised:
            open_study(tmp_path / "study.log", space, url=url, name="x")
        assert "secret" not in str(raised.value)
