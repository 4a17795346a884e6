"""`python -m decouple_search.report`: what a search found, as text and as `report.html`; also while it runs.

Only reads the experiment folder; `report_page.py` draws.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decouple_search.storage.folder import Folder, folder_at
from decouple_search.study.experiment import DEFINITION, JOURNAL
from decouplenet.command_line import CommandParser, print_line, run
from decouplenet.config import load_yaml
from decouplenet.errors import InputError

if TYPE_CHECKING:
    import optuna

TABLES = ("leaderboard.csv", "summary.json")
PAGE = "report.html"
TOP = 5
"""Trials that are printed."""


def parser() -> CommandParser:
    """The command's flags."""
    parser = CommandParser(
        "python -m decouple_search.report", "Print what a search found by now, and write report.html into its folder."
    )
    parser.add_argument("experiment", type=str, nargs="?", default=None, help="the search's folder or URI")
    parser.add_argument("--optuna-storage", type=str | None, default=None, help="URL of the study's database")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    own, _ = parser().given(arguments)
    if not own["experiment"]:
        raise InputError("no folder is given; name the folder of a search")
    with folder_at(own["experiment"]) as folder, tempfile.TemporaryDirectory() as scratch:
        if folder.pull(DEFINITION) is None:
            raise InputError(f"'{folder.shown}' is no search's folder; give one that tune wrote")
        for name in (JOURNAL, *TABLES):
            folder.pull(name)
        study = _study(folder, own["optuna_storage"], Path(scratch))
        rows = report(folder, study)
        if folder.remote:
            folder.write(PAGE, (folder.local / PAGE).read_bytes())
    from decouple_search.results.html_page import short  # plotly takes a while to import

    counts = {state: sum(row["state"] == state for row in rows) for state in ("COMPLETE", "PRUNED", "FAIL")}
    print_line(f"{len(rows)} trials: " + ", ".join(f"{count} {state}" for state, count in counts.items()))
    for row in rows[:TOP]:
        values = {name: cell for name, cell in row.items() if "." in name and cell}
        told = "  ".join(f"{name} {short(cell)}" for name, cell in values.items())
        print_line(
            f"{row['trial_id']}  {row['state']:<8}  {row['epochs']} epochs  val_map {short(row['val_map'])}  {told}"
        )
    print_line(f"{folder.shown}/{PAGE}")
    return 0


def report(search: Folder, study: optuna.Study) -> list[dict[str, str]]:
    """Write `report.html` from a study and the tables of its folder, on this machine.

    Returns:
        The leaderboard's rows.

    Raises:
        InputError: no trial has ended yet, or the page cannot be written.
    """
    from decouple_search.results.html_page import write_report

    folder = search.local
    try:
        with (folder / "leaderboard.csv").open() as file:
            rows = list(csv.DictReader(file))
    except OSError:
        raise InputError(f"'{search.shown}' has no leaderboard.csv; no trial has ended yet") from None
    there = folder / "summary.json"  # written at the end
    summary: dict[str, Any] = json.loads(there.read_text()) if there.is_file() else {"trials": len(rows)}
    try:
        write_report(folder / PAGE, study, folder.name, load_yaml(folder / DEFINITION)["objectives"], summary, rows)
    except OSError as error:
        raise InputError(f"'{folder / PAGE}' cannot be written ({error.strerror})") from None
    return rows


def _study(folder: Folder, url: str | None, scratch: Path) -> optuna.Study:
    """The study, from a copy of its journal: a search may be writing it."""
    import optuna

    from decouple_search.study.record import STUDY_NAME, journal

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        if url:
            return optuna.load_study(study_name=folder.name, storage=url)
        shutil.copyfile(folder.local / JOURNAL, scratch / JOURNAL)
        return optuna.load_study(study_name=STUDY_NAME, storage=journal(scratch / JOURNAL))
    except Exception as error:  # of many kinds, a database's too
        reason = " ".join(str(error).split())[:200]
        hint = "" if url else "; give --optuna-storage if it is in a database"
        raise InputError(f"the study of '{folder.shown}' cannot be read ({reason}){hint}") from None


if __name__ == "__main__":
    sys.exit(run(main))
