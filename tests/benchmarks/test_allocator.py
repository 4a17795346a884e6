"""The benchmark of kept memory: both kinds of processes are timed, and get their environment."""

import json
import os

from benchmarks.allocator import in_new_process, main

SMALL = "--model.backbone tiny --data.image_size 32 --train.batch_size 4"


def test_both_kinds_are_timed(capsys, monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "3")
    assert main([*SMALL.split(), "--rounds", "1", "--steps", "2", "--classes", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    result = json.loads(lines[-1])
    assert result["ratio"] > 0
    assert all(len(values) == 1 for values in result["seconds"].values())
    assert [line.partition("  ")[0] for line in lines[:2]] == ["glibc's defaults", "memory is kept"]


def test_a_process_gets_the_variables_and_no_others(config, monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "3")
    monkeypatch.delenv("MALLOC_MMAP_MAX_", raising=False)  # other benchmarks set it
    monkeypatch.setattr("benchmarks.allocator.train", variables_of)
    assert in_new_process({"MALLOC_MMAP_MAX_": "0"}, config(), 3, 1) == (None, "0")
    assert variables_of() == ("3", None)


def variables_of(*_):
    return os.environ.get("MALLOC_ARENA_MAX"), os.environ.get("MALLOC_MMAP_MAX_")
