"""Where the study is: a journal file that a killed process wrote, or a database."""

import pytest

from decouple_search.study.optuna_storage import STUDY_NAME, load_journal, open_study
from decouplenet.errors import InputError


def test_a_journal_of_a_killed_process_opens_without_its_half_line_and_its_lock(space, tmp_path):
    file = tmp_path / "study.log"
    study = open_study(file, space)
    space.suggest(study.ask())
    complete = file.read_bytes()
    file.write_bytes(complete + b'{"op_code": 6, "worker_id": "half a')
    (tmp_path / "study.log.lock").symlink_to(file)
    reopened = open_study(file, space)
    reopened.tell(0, 0.5)
    assert reopened.study_name == STUDY_NAME
    assert [trial.value for trial in open_study(file, space).trials] == [0.5]
    assert [trial.value for trial in load_journal(file).trials] == [0.5]


def test_a_study_in_a_database(space, tmp_path):
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    study = open_study(tmp_path / "study.log", space, url=url, name="x")
    study.tell(study.ask(), 0.5)
    assert not (tmp_path / "study.log").exists()
    assert open_study(tmp_path / "study.log", space, url=url, name="x").best_value == 0.5
    with pytest.raises(InputError, match="--optuna-storage: 'nothing://x' cannot be used"):
        open_study(tmp_path / "study.log", space, url="nothing://x", name="x")


def test_an_error_does_not_show_a_databases_password(space, tmp_path):
    for url in ("nothing://user:secret@host/x", f"sqlite://user:secret@{tmp_path}/none/x.db"):
        with pytest.raises(InputError, match="cannot be used") as raised:
            open_study(tmp_path / "study.log", space, url=url, name="x")
        assert "secret" not in str(raised.value)
