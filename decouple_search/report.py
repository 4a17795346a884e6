"""`python -m decouple_search.report`: the results of a search, as text and as `report.html`, also while it runs.

This module only reads the experiment's folder. `results/html_page.py` makes the page.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from decouple_search.storage.folder import Folder
from decouple_search.storage.opening import folder_at
from decouplenet.command_line import CommandParser, flag, print_line, run
from decouplenet.errors import InputError, one_line

if TYPE_CHECKING:
    import optuna

    from decouple_search.results.tables import LeaderboardRow

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
        "python -m decouple_search.report",
        "Print what a search has found so far, and write report.html into its folder.",
        Flags,
        config_keys=False,
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    flags = parser().given(arguments).flags
    if not flags.experiment:
        raise InputError("no folder is given; name the folder of a search")

    from decouple_search.results.html_page import PAGE, write_page
    from decouple_search.results.tables import LEADERBOARD, SUMMARY
    from decouple_search.study.definition import DEFINITION, JOURNAL, Definition

    with folder_at(flags.experiment) as folder, tempfile.TemporaryDirectory() as scratch:
        definition_file = folder.pull(DEFINITION)
        if definition_file is None:
            raise InputError(f"'{folder.shown}' is no search's folder; give a folder that tune wrote")
        for name in (JOURNAL, LEADERBOARD, SUMMARY):
            folder.pull(name)
        rows = write_page(folder, _study(folder, flags.optuna_storage, Path(scratch)))
        folder.push_file(PAGE)
        metric = Definition.read(definition_file).ordered_objectives[0].metric
        _print(rows, metric, f"{folder.shown}/{PAGE}")
    return 0


def _print(rows: list[LeaderboardRow], metric: str, page: str) -> None:
    from decouple_search.results.html_page import short_number

    counts = {state: sum(row.state == state for row in rows) for state in ("COMPLETE", "PRUNED", "FAIL")}
    print_line(f"{len(rows)} trials: " + ", ".join(f"{count} {state}" for state, count in counts.items()))
    for row in rows[:PRINTED_TRIALS]:
        values = "  ".join(f"{name} {short_number(cell)}" for name, cell in row.parameters.items())
        value = short_number(row.cells.get(metric, ""))
        print_line(f"{row.trial_id}  {row.state:<8}  {row.epochs} epochs  {metric} {value}  {values}")
    print_line(page)


def _study(folder: Folder, url: str | None, scratch: Path) -> optuna.Study:
    """The study, from a copy of its journal: a search may be writing it."""
    import optuna

    from decouple_search.study.definition import JOURNAL
    from decouple_search.study.optuna_storage import load_journal

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        if url:
            return optuna.load_study(study_name=folder.name, storage=url)
        shutil.copyfile(folder.local / JOURNAL, scratch / JOURNAL)
        return load_journal(scratch / JOURNAL)
    except Exception as error:  # a journal and a database raise many kinds
        hint = "" if url else "; give --optuna-storage if it is in a database"
        raise InputError(f"the study of '{folder.shown}' cannot be read ({one_line(error)}){hint}") from None


if __name__ == "__main__":
    sys.exit(run(main))
