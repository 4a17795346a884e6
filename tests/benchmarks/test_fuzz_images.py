"""Damaged images of every format are decoded, or refused in one line; what ends otherwise is reported."""

import json

import pytest

from benchmarks import fuzz_images
from benchmarks.fuzz_images import Case, Outcome, main, make_case, make_samples, run_case


@pytest.fixture(scope="module")
def samples():
    return make_samples()


def test_damaged_images_are_decoded_or_refused_in_one_line(tmp_path, capsys):
    assert main(["--files", "600", "--json", str(tmp_path / "fuzz.json")]) == 0
    assert "0 failures" in capsys.readouterr().out
    found = json.loads((tmp_path / "fuzz.json").read_text())
    kinds = [sum(counts.get(kind, 0) for counts in found["counts"].values()) for kind in ("decoded", "refused")]
    assert sum(kinds) == 600
    assert min(kinds) > 100
    assert len(found["counts"]) > 30


def test_the_images_are_whole_before_they_are_damaged(samples):
    no_photos = {"BUFR", "GRIB", "HDF5", "MPEG", "PDF", "WMF", "EPS"}
    refused = {s.name for s in samples if run_case(Case(s, s.content, 8, True), 0).kind != "decoded"}
    assert {name.partition(" ")[0] for name in refused} <= no_photos
    assert len({sample.format for sample in samples}) >= 45


def test_a_case_depends_on_its_number_alone(samples):
    assert make_case(samples, 1, 7) == make_case(samples, 1, 7)
    assert make_case(samples, 1, 7).content != make_case(samples, 1, 8).content


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("escapes"),
        KeyboardInterrupt(),
        fuzz_images.InputError("photo: has <_io.BytesIO object at 0x7f00>; replace it"),
        fuzz_images.InputError("photo: two\nlines; replace it"),
        fuzz_images.InputError("photo: no advice"),
    ],
)
def test_errors_and_improper_messages_are_failures(samples, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(fuzz_images, "decode", fail)
    assert run_case(make_case(samples, 0, 0), 0).kind == "failed"


def test_a_crash_and_a_case_that_hangs_are_reported(monkeypatch, tmp_path, capsys):
    """The third case ends its process, the fifth does not end."""
    worker = """
import json, os, sys, threading
first = int(sys.argv[-1].partition("=")[2])
for number in range(first, 6):
    if number == 2:
        os.abort()
    if number == 4:
        threading.Event().wait()  # for ever
    print(json.dumps([number, "decoded", ""]), flush=True)
"""
    monkeypatch.setattr(fuzz_images, "WORKER", ("-c", worker))
    monkeypatch.setattr(fuzz_images, "SECONDS", 1.0)
    monkeypatch.setattr(fuzz_images, "START_SECONDS", 3.0)
    found = list(fuzz_images.outcomes(0, 6))
    assert [outcome.number for outcome in found] == list(range(6))
    assert [outcome.kind for outcome in found] == ["decoded", "decoded", "failed", "decoded", "failed", "decoded"]
    assert found[2] == Outcome(2, "failed", "the process ended with -6")
    assert found[4] == Outcome(4, "failed", "takes over 1 s")
    assert main(["--files", "6", "--save", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "failure: seed 0, case 2, " in out
    assert "2 failures" in out
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0-2", "0-4"]
