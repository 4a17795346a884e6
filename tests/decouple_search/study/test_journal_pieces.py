"""The records in the bytes of a journal, the damage between them, and which records may depend on damage."""

import json

import pytest

from decouple_search.study.journal_pieces import first_doubtful, split_journal


def record(writer="a", **entries):
    """A line of a journal without its end."""
    return json.dumps({"op_code": 4, "worker_id": f"{writer}-140", **entries}, separators=(",", ":")).encode()


def kinds_of(content):
    """Each piece of a journal: its line, and the writer of its record or its damaged bytes."""
    return [
        (each.line, each.record["worker_id"][:1] if each.record else each.content) for each in split_journal(content)
    ]


@pytest.mark.parametrize(
    ("content", "pieces"),
    [
        (b"", []),
        (b"\n \r\n\n", []),
        (record("a") + b"\n" + record("b") + b"\n", [(1, "a"), (2, "b")]),
        (record("a") + b"\r\n" + record("b"), [(1, "a"), (2, "b")]),
        (b"\xef\xbb\xbf" + record("a") + b"\n", [(1, "a")]),  # some editors put this mark first; Optuna reads it
        (record("a") + b"\n\n" + record("b") + b"\n\n", [(1, "a"), (3, "b")]),
        (record("a") + record("b") + b" " + record("c") + b"\n", [(1, "a"), (1, "b"), (1, "c")]),
        (record("a") + b"\n" + record("b")[:-1] + b"\n", [(1, "a"), (2, record("b")[:-1])]),
        (record("a")[:9] + record("b") + b"\n", [(1, record("a")[:9]), (1, "b")]),
        (record("a")[:20] + record("b") + b"x\n", [(1, record("a")[:20]), (1, "b"), (1, b"x")]),
        (record("a") + b"\n\0\0\0", [(1, "a"), (2, b"\0\0\0")]),
        (b"\0\0" + record("a") + b"\xff\n", [(1, b"\0\0"), (1, "a"), (1, b"\xff")]),
        (record("a", user_attr={"x": '{"op_code":'}) + b"\n", [(1, "a")]),
        (record("a", user_attr={"x": "größer"}) + record("b"), [(1, "a"), (1, "b")]),
        ('{"op_code":4,"worker_id":"a-1","x":"größer"}'.encode() + record("b"), [(1, "a"), (1, "b")]),
    ],
)
def test_records_and_damage_are_told_apart(content, pieces):
    assert kinds_of(content) == pieces


@pytest.mark.parametrize(
    "line",
    [b"[1]", b"5", b"null", b'"text"', b"{}", b"no JSON", b"[" * 100_000, b'{"op_code":1}', b'{"worker_id":"a-1"}',
     b'{"op_code":true,"worker_id":"a"}', b'{"op_code":"4","worker_id":"a"}', b'{"op_code":4,"worker_id":"a\xff-1"}'],
)  # fmt: skip
def test_json_that_is_no_record_is_damage(line):
    assert kinds_of(record("a") + b"\n" + line + b"\n") == [(1, "a"), (2, line)]
    assert kinds_of(record("a") + line + b"\n") == [(1, "a"), (1, line)]


def test_a_record_keeps_its_bytes_and_its_values():
    spaced = b' {"op_code": 4, "worker_id": "a-1", "value": 0.1}\r'
    [alone] = split_journal(spaced + b"\n")
    assert alone.content == spaced
    joined = split_journal(record("a", value=0.5) + record("b", value="größer") + b"\n")
    assert [each.content for each in joined] == [record("a", value=0.5), record("b", value="größer")]
    assert [each.record["value"] for each in joined] == [0.5, "größer"]
    [_, foreign] = split_journal(record("a") + '{"op_code":4,"worker_id":"b-1","value":"größer"}'.encode())
    assert foreign.record["value"] == "größer"


@pytest.mark.parametrize(
    ("order", "doubtful"),
    [
        ("aaa", None),
        ("aaa.", None),
        ("aaa...", None),
        ("aaa.b", None),  # b came later and never saw what was damaged
        ("aaa.bbb.cc", None),
        ("aaa.a", 3),
        ("aa.ab", 2),
        ("aa.ba", 2),
        ("aa.b.cb", 4),
        ("aa.b.a", 4),
        (".a", 0),  # the first record makes the study
        (".", None),
        ("..", None),
    ],
)
def test_records_of_a_writer_from_before_the_damage_may_depend_on_it(order, doubtful):
    content = b"".join((b"damage" if writer == "." else record(writer)) + b"\n" for writer in order)
    damage = first_doubtful(split_journal(content))
    assert (damage and damage.line - 1) == doubtful


def test_an_empty_line_puts_no_record_in_doubt():
    assert first_doubtful(split_journal(b"\n" + record("a") + b"\n \n\n" + record("a") + b"\n")) is None
