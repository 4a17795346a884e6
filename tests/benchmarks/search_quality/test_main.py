"""The command's flags."""

import pytest

from benchmarks.search_quality.__main__ import main
from decouplenet.errors import InputError


def test_a_run_is_printed_kept_and_printed_again(tmp_path, capsys):
    out, plot = str(tmp_path / "out.jsonl"), tmp_path / "plot.html"
    flags = ["--tables", "grid60", "--slots", "2", "--seeds", "2", "--arms", "random", "ifBO", "--budget", "30"]
    assert main([*flags, "--processes", "1", "--out", out, "--plot", str(plot)]) == 0
    printed = capsys.readouterr()
    assert "grid60: 3 parameters, 60 configurations without order" in printed.out
    assert "2 not run: its network's weights are fetched at run time, and cannot be had offline" in printed.out
    assert "grid60, 2 slots, random, seed 1: " in printed.err
    assert plot.stat().st_size > 1000
    assert main(["--report", out]) == 0
    again = capsys.readouterr().out
    assert again in printed.out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--slots", "1", "many"], "--slots: .* is not list"),
        (["--arms", "none"], "--arms: unknown 'none'; valid: ours, ours with tpe, Ray OptunaSearch"),
        (["--report", "/no/file"], "--report: no file '/no/file'"),
        (["--tables", "bowl11"], "unknown 'bowl11'"),
    ],
)
def test_wrong_flags_are_refused(flags, message):
    with pytest.raises(InputError, match=message):
        main(flags)
