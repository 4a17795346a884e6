"""A journal file with damage: what is read from it, what mending leaves, and when it is refused."""

import itertools
import json
import re
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from decouple_search.study import journal as journal_module
from decouple_search.study.journal import read_journal
from decouple_search.study.optuna_storage import STUDY_NAME
from decouplenet.errors import InputError
from tests.decouple_search.study.journals import facts_in, facts_of, optuna_storage, write_journal

ENDS = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING]
NO_RECORDS = [
    b"", b" ", b"\n", b"\0\0\0\0", b"\0" * 70 + b"\n", b"[1]", b"5", b"null", b'"text"', b"{}", b"nonsense",
    b'{"op_code":6}', b'{"op_code":99,"worker_id":"x-1"}', b'{"op_code":4,"worker_id":"x-1"}',
    b'{"op_code":2,"worker_id":"x-1","study_id":0,"user_attr":[]}',
]  # fmt: skip
"""Lines that are no records, or none that Optuna can have written."""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "x").mkdir()
    return tmp_path / "x" / "study.log"


@pytest.fixture
def lines(file):
    """The lines of a journal of four trials."""
    return write_journal(file, ENDS)


def files_of(folder):
    """The files of a folder and what is in them."""
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def side_file(file):
    """The content of the one file beside a journal that was mended."""
    [name] = {each.name for each in file.parent.iterdir()} - {file.name}
    assert re.fullmatch(r"study\.log\.damaged-\d{8}-\d{6}", name)
    return (file.parent / name).read_bytes()


@st.composite
def damaged_tails(draw):
    """Make bytes that follow the whole records of a journal, from the line that was written next."""
    kind = draw(st.sampled_from(["cut", "no record", "garbage"]))
    end = draw(st.sampled_from([b"", b"\n", b"\n\n"]))
    share = draw(st.floats(0, 1, exclude_max=True))
    other = draw(st.binary(max_size=40) if kind == "garbage" else st.sampled_from(NO_RECORDS))
    return lambda following: (following[: int(share * (len(following) - 1))] if kind == "cut" else other) + end


@settings(max_examples=120, deadline=None)
@given(
    ends=st.lists(st.sampled_from(ENDS), max_size=4),
    reports=st.integers(0, 2),
    share=st.floats(0, 1),
    separators=st.lists(st.sampled_from([b"\n", b"\n", b"\n", b"", b"\n\n"]), min_size=1, max_size=9),
    make_tail=damaged_tails(),
)
def test_every_whole_record_before_the_damage_is_kept(ends, reports, share, separators, make_tail):
    with TemporaryDirectory() as scratch:
        (folder := Path(scratch) / "x").mkdir()
        file = folder / "study.log"
        lines = write_journal(file, ends, reports=reports)
        count = 1 + int(share * (len(lines) - 1))
        tail = make_tail(lines[count] if count < len(lines) else lines[0])
        between = itertools.cycle(separators)
        content = b"".join(line.removesuffix(b"\n") + next(between) for line in lines[:count]) + tail
        expected = facts_in(Path(scratch) / "clean.log", b"".join(lines[:count]))
        file.write_bytes(content)

        journal = read_journal(file)
        assert facts_of(journal.storage) == expected
        assert files_of(folder) == {"study.log": content}

        note = journal.mend()
        assert [line.strip() for line in file.read_bytes().splitlines()] == [line.strip() for line in lines[:count]]
        assert facts_of(optuna_storage(file)) == facts_of(read_journal(file).storage) == expected
        beside = b"".join(content for name, content in files_of(folder).items() if name != "study.log")
        assert tail.strip() in beside
        assert bool(note) == bool(beside)
        assert read_journal(file).mend() == ""

        study = optuna.load_study(study_name=STUDY_NAME, storage=optuna_storage(file))
        before = len(study.trials)
        trial = study.ask()
        trial.suggest_float("rate", 0.1, 1, log=True)
        study.tell(trial, 0.25)
        trials = optuna.load_study(study_name=STUDY_NAME, storage=read_journal(file).storage).trials
        assert trials == study.trials
        assert len(trials) == before + (trial.number == before)  # else it is the one that waited


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=60), cut=st.integers(0, 40), end=st.sampled_from([b"", b"\n"]))
def test_a_journal_without_a_whole_record_is_refused_and_left_as_it_is(content, cut, end):
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "study.log"
        [first, *_] = write_journal(file, [])
        for damaged in (content + end, first[:cut] + end):
            assume(damaged.strip())
            file.write_bytes(damaged)
            with pytest.raises(InputError, match=r"study.log: it has no whole record; put back a copy of it"):
                read_journal(file)
            assert files_of(file.parent) == {"study.log": damaged}


@pytest.mark.parametrize("damage", [line for line in NO_RECORDS if line.strip()])
def test_damage_that_records_of_the_same_process_follow_is_refused(file, lines, damage):
    file.write_bytes(b"".join(lines[:4]) + damage.rstrip(b"\n") + b"\n" + b"".join(lines[5:]))
    before = files_of(file.parent)
    with pytest.raises(InputError) as raised:
        read_journal(file)
    assert str(raised.value) == (
        "x/study.log, line 5: it is damaged, and the records after it may depend on it; put back a copy of the file, "
        f"or cut the file before that line (whole records that this gives up: {len(lines) - 5})"
    )
    assert files_of(file.parent) == before


def test_damage_in_the_first_record_is_refused(file, lines):
    file.write_bytes(lines[0][:-9] + b"\n" + b"".join(lines[1:]))
    with pytest.raises(InputError, match=r"^x/study.log, line 1: it is damaged, .* or start anew with another --name$"):
        read_journal(file)


def test_records_of_another_process_after_damage_are_kept(file, lines):
    """An earlier version of this program wrote into a damaged journal before it refused it."""
    damaged = b"".join(lines) + b"half a rec\n"
    foreign = write_journal(file.with_name("other.log"), [])[0]
    file.with_name("other.log").unlink()
    expected = facts_in(file, b"".join(lines))
    file.write_bytes(damaged + foreign + foreign)
    journal = read_journal(file)
    assert facts_of(journal.storage) == expected
    assert f"line {len(lines) + 1} was damaged and is now" in journal.mend()
    assert file.read_bytes() == b"".join(lines) + foreign + foreign
    assert side_file(file) == b"half a rec\n"
    assert facts_of(optuna_storage(file)) == expected


@pytest.mark.parametrize(
    ("damage", "note", "beside"),
    [
        (b"", "", None),
        (b"half a rec\n", "line {next} was damaged and is", b"half a rec\n"),
        (b"half a rec", "line {next} was damaged and is", b"half a rec\n"),
        (b"\n", "line {next} was damaged and is", b"\n"),
        (b"[1]\n\0\0\0", "2 lines from line {next} on were damaged and are", b"[1]\n\0\0\0\n"),
    ],
)
def test_the_note_names_the_lines_and_the_file_that_has_them_now(file, lines, damage, note, beside):
    file.write_bytes(b"".join(lines) + damage)
    told = read_journal(file).mend()
    if not note:
        assert (told, files_of(file.parent)) == ("", {"study.log": b"".join(lines)})
        return
    assert re.fullmatch(
        rf"study\.log: {note.format(next=len(lines) + 1)} now in study\.log\.damaged-[\d-]+; "
        rf"all {len(lines)} whole records are kept",
        told,
    )
    assert side_file(file) == beside


def test_joined_records_are_taken_apart_and_their_line_is_kept_beside(file, lines):
    joined = lines[2].rstrip(b"\n") + lines[3]
    file.write_bytes(b"".join(lines[:2]) + joined + b"".join(lines[4:]))
    assert "line 3 was damaged and is now" in read_journal(file).mend()
    assert file.read_bytes() == b"".join(lines)
    assert side_file(file) == joined


def test_a_record_that_lacks_only_the_end_of_its_line_is_kept(file, lines):
    file.write_bytes(b"".join(lines).rstrip(b"\n"))
    assert read_journal(file).mend() == ""
    assert files_of(file.parent) == {"study.log": b"".join(lines)}


def test_a_second_damage_gets_a_file_of_its_own(file, lines, monkeypatch):
    class Noon:
        @staticmethod
        def now():
            return datetime(2025, 7, 5, 12)

    monkeypatch.setattr(journal_module, "datetime", Noon)
    for damage in (b"first\n", b"second\n"):
        with file.open("ab") as stream:
            stream.write(damage)
        read_journal(file).mend()
    beside = files_of(file.parent)
    assert beside.pop("study.log") == b"".join(lines)
    assert beside == {
        "study.log.damaged-20250705-120000": b"first\n",
        "study.log.damaged-20250705-120000-2": b"second\n",
    }


def test_a_disk_that_cannot_be_written_is_left_as_it_is(file, lines, monkeypatch):
    file.write_bytes(b"".join(lines) + b"half\n")
    before = files_of(file.parent)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal_module.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        read_journal(file).mend()
    assert files_of(file.parent) == before


def test_a_study_that_is_only_read_takes_no_new_trial(file, lines):
    study = optuna.load_study(study_name=STUDY_NAME, storage=read_journal(file).storage)
    with pytest.raises(PermissionError, match="only read"):
        study.ask()
    assert file.read_bytes() == b"".join(lines)


def test_values_are_read_as_optuna_reads_them(file, lines):
    assert facts_of(read_journal(file).storage) == facts_of(optuna_storage(file))
    names = {trial.params.get("separator", "-") for trial in optuna_storage(file).get_all_trials(0)}
    assert None in names
    assert json.loads(lines[0])["study_name"] == STUDY_NAME
