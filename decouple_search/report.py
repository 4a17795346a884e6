"""`python -m decouple_search.report`: the results of a search, as text and as `report.html`, also while it runs.

This module only reads the experiment's folder. `results/html_page.py` makes the page.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from decouple_search.storage.opening import folder_at
from decouplenet.command_line import CommandParser, command_name, flag, print_line, run
from decouplenet.errors import InputError
from decouplenet.wording import counted

if TYPE_CHECKING:
    from decouple_search.results.experiment import Experiment

PRINTED_TRIALS = 5


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The command's own flags."""

    experiment: str | None = flag(None, positional=True)
    """The search's folder or URI."""
    optuna_storage: str | None = flag(None)
    """URL of the study's database."""


def parser() -> CommandParser[Flags]:
    """The command's flags."""
    return CommandParser(
        command_name("report", "decouple_search.report"),
        "Print what a search has found so far, and write report.html into its folder.",
        Flags,
        config_keys=False,
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    flags = parser().given(arguments).flags
    if not flags.experiment:
        raise InputError("no folder is given; name the folder of a search")

    from decouple_search.results.experiment import read_experiment  # Optuna takes a second to import
    from decouple_search.results.html_page import PAGE, write_page

    with folder_at(flags.experiment) as folder:
        experiment = read_experiment(folder, flags.optuna_storage)
        write_page(folder, experiment.study)
        folder.push_file(PAGE)
    _print(experiment, f"{folder.shown}/{PAGE}")
    return 0


def _print(experiment: Experiment, page: str) -> None:
    from decouple_search.results.html_page import short_number
    from decouple_search.results.verdict import Verdict
    from decouple_search.study.ranges import edge_notes

    rows, metric = [row for row in experiment.rows if not row.is_screened], experiment.objectives[0].metric
    screened = len(experiment.rows) - len(rows)
    heads = f"; {counted(screened, 'head')} screened" if screened else ""
    counts = {state: sum(row.state == state for row in rows) for state in ("COMPLETE", "PRUNED", "FAIL")}
    states = ", ".join(f"{count} {state}" for state, count in counts.items())
    print_line(f"{counted(len(rows), 'trial')}: {states}{heads}")
    for row in rows[:PRINTED_TRIALS]:
        values = "  ".join(f"{name} {short_number(cell)}" for name, cell in row.parameters.items())
        value = short_number(row.cells.get(metric, ""))
        print_line(f"{row.trial_id}  {row.state:<8}  {row.epochs} epochs  {metric} {value}  {values}")
    for note in edge_notes(experiment.study):
        print_line(f"note       {note}")
    summary = experiment.summary  # written when the search ends
    verdict = summary.verdict if summary else Verdict.of(experiment.study, experiment.objectives)
    for line in verdict.lines(metric):
        print_line(line)
    print_line(page)


if __name__ == "__main__":
    sys.exit(run(main))
