"""A search as one HTML page that needs nothing else: history, learning curves, importances, parameters, leaderboard."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
import plotly.graph_objects as go
from optuna.trial import FrozenTrial, TrialState

from decouple_search.results.tables import parameters_of, state_of
from decouple_search.storage.folder import replace_text
from decouple_search.study.record import curve, ended_trials, trial_name

COLOURS = {"COMPLETE": "#1f77b4", "PRUNED": "#bbbbbb", "FAIL": "#d62728"}
STYLE = """
body { font: 15px system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; color: #222 }
table { border-collapse: collapse; font-size: 13px } td, th { padding: .2em .7em; text-align: right }
tr:nth-child(even) { background: #f4f4f4 } .wide { overflow-x: auto }
"""


def write_report(
    file: Path,
    study: optuna.Study,
    name: str,
    objectives: Mapping[str, str],
    summary: Mapping[str, Any],
    rows: Sequence[Mapping[str, str]],
) -> None:
    """Write the page.

    Args:
        file: where.
        study: the search's.
        name: of the search.
        objectives: each with max or min, the first first.
        summary: what summary.json holds.
        rows: the leaderboard's.
    """
    trials = [trial for trial in ended_trials(study) if "objectives" in trial.user_attrs and state_of(trial) != "FAIL"]
    metric, mode = next(iter(objectives.items()))
    figures = [history(trials, metric, mode), curves(trials, metric), importances(study, metric)]
    figures += [parallel(trials, metric), *pareto(trials, list(objectives), summary)]
    parts, script = [], True
    for figure in figures:
        if figure is not None:
            parts.append(figure.to_html(full_html=False, include_plotlyjs=script, config={"displaylogo": False}))
            script = False  # plotly's own, once
    facts = "".join(f"<tr><th>{_text(key)}</th><td>{_text(value)}</td></tr>" for key, value in summary.items())
    page = (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{_text(name)}</title><style>{STYLE}</style>"
        f"<h1>{_text(name)}</h1><table>{facts}</table>{''.join(parts)}<h2>Leaderboard</h2>{_table(rows)}</html>\n"
    )
    replace_text(file, page)


def history(trials: Sequence[FrozenTrial], metric: str, mode: str) -> go.Figure | None:
    """Each trial's best value, in the order in which they were asked for, and the best so far."""
    if not trials:
        return None
    figure, best, so_far = go.Figure(), None, []
    for trial in trials:
        value = trial.user_attrs["objectives"][0]
        best = value if best is None else (max if mode == "max" else min)(best, value)
        so_far.append(best)
    for state, colour in COLOURS.items():
        mine = [trial for trial in trials if state_of(trial) == state]
        if mine:
            figure.add_scatter(
                x=[trial.number for trial in mine],
                y=[trial.user_attrs["objectives"][0] for trial in mine],
                mode="markers",
                marker={"color": colour},
                name=state,
                text=[trial_name(trial.number) for trial in mine],
            )
    figure.add_scatter(x=[trial.number for trial in trials], y=so_far, mode="lines", name="best so far")
    return figure.update_layout(title="Trials", xaxis_title="trial", yaxis_title=metric)


def curves(trials: Sequence[FrozenTrial], metric: str) -> go.Figure | None:
    """The first objective by epoch, a line a trial."""
    figure = go.Figure()
    for trial in trials:
        told = curve(trial)
        figure.add_scatter(
            x=list(told),
            y=list(told.values()),
            mode="lines+markers",
            line={"color": COLOURS[state_of(trial)], "width": 1},
            marker={"size": 4},
            name=trial_name(trial.number),
            showlegend=False,
        )
    return figure.update_layout(title="Learning curves", xaxis_title="epoch", yaxis_title=metric) if trials else None


def importances(study: optuna.Study, metric: str) -> go.Figure | None:
    """How much of the first objective's differences each parameter explains, by Optuna; of 8 whole trials at least."""
    whole = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(whole) < 8:
        return None
    try:
        target = None if len(study.directions) == 1 else (lambda trial: trial.values[0])
        told = optuna.importance.get_param_importances(study, target=target)
    except (ValueError, RuntimeError, ZeroDivisionError):  # all trials alike
        return None
    names = list(reversed(told))
    figure = go.Figure(go.Bar(x=[told[name] for name in names], y=names, orientation="h"))
    return figure.update_layout(title=f"Importance for {metric} (PED-ANOVA)", xaxis_title="share")


def parallel(trials: Sequence[FrozenTrial], metric: str) -> go.Figure | None:
    """All parameters of all trials; a parameter that is absent is drawn at the lowest place."""
    if len(trials) < 2:
        return None
    values = [parameters_of(trial) for trial in trials]
    keys = dict.fromkeys(key for point in values for key in point)
    logs = {key for trial in trials for key, of in trial.distributions.items() if getattr(of, "log", False)}
    dimensions = [_dimension(key, [point.get(key) for point in values], log=key in logs) for key in keys]
    told = [trial.user_attrs["objectives"][0] for trial in trials]
    dimensions.append({"label": metric, "values": told})
    line = {"color": told, "colorscale": "Viridis", "showscale": True}
    return go.Figure(go.Parcoords(line=line, dimensions=dimensions)).update_layout(title="Parameters", margin_t=110)


def _dimension(key: str, values: Sequence[Any], *, log: bool) -> dict[str, Any]:
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numbers) < sum(v is not None for v in values) or not numbers:
        choices = sorted({str(v) for v in values})
        places = [choices.index(str(v)) for v in values]
        return {"label": key, "values": places, "tickvals": list(range(len(choices))), "ticktext": choices}
    drawn = [min(numbers) if v is None else v for v in values]
    return {"label": f"log10 {key}" if log else key, "values": [math.log10(v) if log else v for v in drawn]}


def pareto(trials: Sequence[FrozenTrial], metrics: Sequence[str], summary: Mapping[str, Any]) -> list[go.Figure]:
    """The first objective against each other one, the Pareto set marked."""
    front = set(summary.get("pareto", []))
    figures = []
    for i, metric in enumerate(metrics[1:], start=1):
        figure = go.Figure()
        for name, marked in (("Pareto set", True), ("others", False)):
            mine = [trial for trial in trials if (trial_name(trial.number) in front) == marked]
            figure.add_scatter(
                x=[trial.user_attrs["objectives"][i] for trial in mine],
                y=[trial.user_attrs["objectives"][0] for trial in mine],
                mode="markers",
                text=[trial_name(trial.number) for trial in mine],
                name=name,
            )
        figures.append(figure.update_layout(title=metric, xaxis_title=metric, yaxis_title=metrics[0]))
    return figures


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    if not rows:
        return "<p>no trial has ended</p>"
    head = "".join(f"<th>{_text(name)}</th>" for name in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{_text(short(cell))}</td>' for cell in row.values())}</tr>" for row in rows)
    return f"<div class='wide'><table><tr>{head}</tr>{body}</table></div>"


def short(cell: str) -> str:
    """A number with four digits after the point; what is none as it is."""
    try:
        return cell if cell.isdigit() else f"{float(cell):.4g}"
    except ValueError:
        return cell


def _text(value: Any) -> str:
    return html.escape(str(value))
