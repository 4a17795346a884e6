"""A search as one HTML page that needs no network: figures, facts and the leaderboard; also while the search runs."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from decouple_search.results.figures import curves, history, importances, parallel, pareto, screening
from decouple_search.results.tables import LEADERBOARD, SUMMARY, LeaderboardRow, read_leaderboard
from decouple_search.results.verdict import Verdict
from decouple_search.space.objective import Objective
from decouple_search.storage.folder import Folder
from decouple_search.study.definition import DEFINITION, Definition
from decouple_search.study.ranges import edge_notes
from decouple_search.study.ranking import measured_trials, pareto_set
from decouple_search.study.record import screened_trials
from decouplenet.atomic_files import replace_file
from decouplenet.errors import InputError

PAGE = "report.html"
STYLE = """
body { font: 15px system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; color: #222 }
table { border-collapse: collapse; font-size: 13px } td, th { padding: .2em .7em; text-align: right }
tr:nth-child(even) { background: #f4f4f4 } .wide { overflow-x: auto }
"""


def write_page(search: Folder, study: optuna.Study) -> list[LeaderboardRow]:
    """Write `report.html` from a study and the tables in its folder on this machine.

    Args:
        search: the search's folder.
        study: the search's study.

    Returns:
        The leaderboard's rows.

    Raises:
        InputError: no trial has ended yet, or the page cannot be written.
    """
    folder = search.local
    try:
        rows = read_leaderboard(folder / LEADERBOARD)
    except OSError:
        raise InputError(f"'{search.shown}' has no {LEADERBOARD}; no trial has ended yet") from None
    summary = folder / SUMMARY  # written when the search ends
    objectives = Definition.read(folder / DEFINITION).ordered_objectives
    if summary.is_file():
        facts = json.loads(summary.read_text())
    else:
        full = sum(not row.is_screened for row in rows)
        heads = {"screened": len(rows) - full} if full < len(rows) else {}
        facts = {"trials": full, **heads, **Verdict.of(study, objectives).to_dict()}
    try:
        replace_file(folder / PAGE, render(study, folder.name, objectives, facts, rows))
    except OSError as error:
        raise InputError(f"'{folder / PAGE}' cannot be written ({error.strerror})") from None
    return rows


def render(
    study: optuna.Study,
    name: str,
    objectives: Sequence[Objective],
    facts: Mapping[str, Any],
    rows: Sequence[LeaderboardRow],
) -> str:
    """The page.

    Args:
        study: the search's study.
        name: the search's name.
        objectives: the search's objectives.
        facts: shown in a table at the top.
        rows: the leaderboard's rows.
    """
    trials, first = measured_trials(study), objectives[0]
    metrics = [objective.metric for objective in objectives]
    figures = [history(trials, first), curves(trials, first.metric), importances(study, first.metric)]
    figures += [parallel(trials, first.metric), *pareto(trials, pareto_set(study, objectives), metrics)]
    figures += screening([trial for trial in screened_trials(study) if trial.measured], trials, first)
    parts, script = [], True
    for figure in figures:
        if figure is not None:
            parts.append(figure.to_html(full_html=False, include_plotlyjs=script, config={"displaylogo": False}))
            script = False  # plotly's own script, once
    verdict = Verdict.from_dict(facts)
    shown = {key: value for key, value in facts.items() if key not in verdict.to_dict()}
    notes = "".join(f"<p>note: {_text(note)}</p>" for note in edge_notes(study))
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{_text(name)}</title><style>{STYLE}</style>"
        f"<h1>{_text(name)}</h1>{_facts(shown)}{notes}{_verdict(verdict, first.metric)}{''.join(parts)}"
        f"<h2>Leaderboard</h2>{_table(rows)}</html>\n"
    )


def _facts(facts: Mapping[str, Any]) -> str:
    lines = "".join(f"<tr><th>{_text(key)}</th><td>{_text(value)}</td></tr>" for key, value in facts.items())
    return f"<table>{lines}</table>"


def _verdict(verdict: Verdict, metric: str) -> str:
    """The finalists and the test images; empty where there are none."""
    lines = "".join(f"<p>{_text(line)}</p>" for line in verdict.lines(metric))
    finalists = [
        LeaderboardRow({name: "" if value is None else str(value) for name, value in vars(each).items()})
        for each in verdict.finalists or ()
    ]
    table = f"<h2>Finalists</h2>{_table(finalists)}" if finalists else ""
    test = f"<h2>Test images</h2>{_facts(verdict.test.to_dict())}" if verdict.test else ""
    return f"{lines}{table}{test}"


def _table(rows: Sequence[LeaderboardRow]) -> str:
    if not rows:
        return "<p>no trial has ended</p>"
    head = "".join(f"<th>{_text(name)}</th>" for name in rows[0].cells)
    body = "".join(
        f"<tr>{''.join(f'<td>{_text(short_number(cell))}</td>' for cell in row.cells.values())}</tr>" for row in rows
    )
    return f"<div class='wide'><table><tr>{head}</tr>{body}</table></div>"


def short_number(cell: str) -> str:
    """A number with four significant digits; any other text as it is."""
    try:
        return cell if cell.isdigit() else f"{float(cell):.4g}"
    except ValueError:
        return cell


def _text(value: Any) -> str:
    return html.escape(str(value))
