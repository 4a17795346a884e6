"""Where the study is: a journal file that a killed process wrote, or a database."""

import optuna
import pytest

from decouple_search.study.optuna_storage import STUDY_NAME, load_journal, open_study, reopen_study
from decouplenet.errors import InputError
from tests.decouple_search.study.journals import write_journal


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


@pytest.fixture
def folder(tmp_path):
    """The folder of a study."""
    (tmp_path / "x").mkdir()
    return tmp_path / "x"


def files_of(folder):
    """The files of a folder and what is in them."""
    return {each.name: each.read_bytes() for each in folder.iterdir()}


@pytest.mark.parametrize("damage", ["\n", "[1]\n", '{"op_code":8,"wor\n', "\0\0\0\0\n", "{}", "half a"])
@pytest.mark.parametrize("reopen", [open_study, lambda file, space: reopen_study(file)])
def test_a_damaged_end_is_moved_away_and_said_once(space, folder, capsys, damage, reopen):
    file = folder / "study.log"
    lines = write_journal(file)
    with file.open("a") as stream:
        stream.write(damage)
    (folder / "study.log.lock").symlink_to(file)
    study = reopen(file, space)
    [side] = {each.name for each in folder.iterdir()} - {"study.log"}
    assert capsys.readouterr().out == (
        f"note       study.log: line {len(lines) + 1} was damaged and is now in {side}; "
        f"all {len(lines)} whole records are kept\n"
    )
    assert (folder / side).read_text() == damage.rstrip("\n") + "\n"
    study.tell(study.ask(), 0.75)
    reread = reopen(file, space)
    assert [trial.value for trial in reread.trials] == [trial.value for trial in study.trials] == [0.5, 0.75]
    assert capsys.readouterr().out == ""
    assert {each.name for each in folder.iterdir()} == {"study.log", side}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda lines: lines[0][:40] + b"\n", id="the first record cut off"),
        pytest.param(lambda lines: b"\n\0\0\n" + b"".join(lines), id="damage before the first record"),
        pytest.param(lambda lines: lines[0] + lines[1] + b"[1]\n" + b"".join(lines[3:]), id="damage in the middle"),
    ],
)
def test_a_journal_that_is_refused_is_left_as_it_is(space, folder, content):
    file = folder / "study.log"
    file.write_bytes(content(write_journal(file)))
    (folder / "study.log.lock").write_text("left")
    before = files_of(folder)
    for use in (lambda: open_study(file, space), lambda: reopen_study(file), lambda: load_journal(file)):
        with pytest.raises(InputError, match=r"^x/study\.log(, line \d)?: it (has no whole record|is damaged)"):
            use()
    assert files_of(folder) == before


def test_a_study_that_is_not_there_or_not_complete_is_not_made(folder):
    file = folder / "study.log"
    assert reopen_study(file) is None
    assert files_of(folder) == {}
    lines = write_journal(file)
    for content in (
        b"",
        b"\n\n",
        lines[0],
        lines[0] + b"half a rec\n",
        lines[0].replace(b"decouple_search", b"another"),
    ):
        file.write_bytes(content)
        assert reopen_study(file) is None
        assert files_of(folder) == {"study.log": content}
    url = f"sqlite:///{folder.parent / 'studies.db'}"
    optuna.create_study(storage=url, study_name="another").set_user_attr("runs", 0)
    assert reopen_study(file, url=url, name="x") is None
    assert optuna.get_all_study_names(storage=url) == ["another"]
    assert reopen_study(file, url=url, name="another").study_name == "another"


def test_a_journal_that_is_read_is_not_changed(folder, capsys):
    file = folder / "study.log"
    lines = write_journal(file)
    for end in (b"half a", b"\n\n", b"[1]\n", b"\0\0\n", lines[-1][:-9] + b"\n"):
        file.write_bytes(b"".join(lines) + end)
        (folder / "study.log.lock").touch()
        before = files_of(folder)
        assert [trial.value for trial in load_journal(file).trials] == [0.5]
        assert files_of(folder) == before
    assert capsys.readouterr().out == ""


def test_a_journal_that_cannot_be_mended_is_refused(space, folder):
    file = folder / "study.log"
    file.write_bytes(b"".join(write_journal(file)) + b"half\n")
    (folder / ".study.log.partial").mkdir()  # stands for a folder that cannot be written
    with pytest.raises(InputError, match=rf"^{file}: cannot be used as a study \(.*Is a directory"):
        open_study(file, space)
