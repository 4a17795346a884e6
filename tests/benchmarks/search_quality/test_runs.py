"""Records are kept in a file, so that what was run is not run again; failures are records too."""

import pytest

from benchmarks.search_quality import runs
from benchmarks.search_quality.replay import Step
from benchmarks.search_quality.runs import Limits, Record, Run, execute, read_records, run_all
from tests.benchmarks.search_quality.lines import Lines

RUNS = [Run("lines", 2, "random", seed, 40) for seed in range(3)]


@pytest.fixture
def executed(monkeypatch):
    """The runs that were executed, in this process."""
    done = []

    def here(wanted, tables, limits):
        for run in wanted:
            done.append(run)
            yield execute(run, tables[run.table], limits)

    monkeypatch.setattr(runs, "_executed", here)
    return done


def test_a_record_survives_its_file(tmp_path):
    record = Record(run=RUNS[0], best=0.7, steps=[Step(1, 2.5, 0.3)], trials=4, suggest_seconds=0.5)
    failed = Record(run=RUNS[1], error="broken")
    (tmp_path / "a").write_text(f"{record.to_json()}\n{failed.to_json()}\n")
    assert read_records([tmp_path / "a"]) == [record, failed]


def test_what_was_run_is_not_run_again(tmp_path, executed):
    out, said = tmp_path / "out.jsonl", []
    first = run_all(RUNS[:2], {"lines": Lines()}, Limits(), out, said.append)
    assert executed == RUNS[:2]
    assert said == first
    second = run_all(RUNS, {"lines": Lines()}, Limits(), out, said.append)
    assert executed == RUNS
    assert [record.run for record in second] == RUNS
    assert [record.trials for record in read_records([out])] == [record.trials for record in second]


def test_a_run_that_failed_is_tried_again_and_its_success_counts(tmp_path, executed):
    out = tmp_path / "out.jsonl"
    out.write_text(Record(run=RUNS[0], error="broken").to_json() + "\n")
    run_all(RUNS[:1], {"lines": Lines()}, Limits(), out, lambda record: None)
    assert executed == RUNS[:1]
    (record,) = read_records([out])
    assert record.error is None
    out.write_text(out.read_text() + Record(run=RUNS[0], error="broken").to_json() + "\n")
    assert read_records([out]) == [record]


def test_a_search_ends_once_it_has_found_the_best():
    found = execute(RUNS[0], Lines(best=0.2), Limits())
    assert found.best == 0.2
    assert found.steps[-1].best >= 0.995 * 0.2
    assert found.steps[-1].epochs < 40
    assert execute(RUNS[0], Lines(best=9.0), Limits()).steps[-1].epochs == 40


def test_failures_are_said():
    table = Lines()
    assert "weights" in execute(Run("lines", 2, "ifBO", 0, 40), table, Limits()).error
    error = execute(Run("lines", 2, "SMAC3", 0, 40), table, Limits(pythons=("/no/python",))).error
    assert error == "--peers-python: '/no/python' cannot be started"


def test_runs_go_through_a_pool_of_processes():
    (record,) = run_all(RUNS[:1], {"lines": Lines()}, Limits(processes=2), None, lambda record: None)
    assert record.steps == execute(RUNS[0], Lines(), Limits()).steps
