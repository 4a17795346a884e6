"""The figures of a search's page: history, learning curves, importances, parameters, Pareto set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import optuna
import plotly.graph_objects as go
from optuna.trial import TrialState

from decouple_search.space.objective import Objective
from decouple_search.study.record import TrialRecord, search_trials

COLOURS = {"COMPLETE": "#1f77b4", "PRUNED": "#bbbbbb", "FAIL": "#d62728"}
ABSENT = object()
"""Stands for a parameter that a trial lacks. None may be a value."""
MIN_COMPLETE_TRIALS = 8
"""Complete trials that importances need at least."""


def history(trials: Sequence[TrialRecord], objective: Objective, title: str = "Trials") -> go.Figure | None:
    """Each trial's best value, in the order in which they were proposed, and the best value so far."""
    if not trials:
        return None
    figure, best, so_far = go.Figure(), None, []
    for trial in trials:
        value = trial.objectives[0]
        best = value if objective.better(value, than=best) else best
        so_far.append(best)
    for state, colour in COLOURS.items():
        shown = [trial for trial in trials if trial.result == state]
        if shown:
            figure.add_scatter(
                x=[trial.number for trial in shown],
                y=[trial.objectives[0] for trial in shown],
                mode="markers",
                marker={"color": colour},
                name=state,
                text=[trial.name for trial in shown],
            )
    figure.add_scatter(x=[trial.number for trial in trials], y=so_far, mode="lines", name="best so far")
    return figure.update_layout(title=title, xaxis_title="trial", yaxis_title=objective.metric)


def screening(screened: Sequence[TrialRecord], full: Sequence[TrialRecord], objective: Objective) -> list[go.Figure]:
    """The screened trials by themselves, and the value of each beside that of the full trial with its head."""
    figures = [history(screened, objective, title="Screened heads, on feature maps of the frozen backbone")]
    both = [(head, trial) for head in screened for trial in full if head.parameters.items() <= trial.parameters.items()]
    if both:
        figure = go.Figure(
            go.Scatter(
                x=[head.objectives[0] for head, _ in both],
                y=[trial.objectives[0] for _, trial in both],
                mode="markers",
                text=[f"{head.name} screened, {trial.name} in full" for head, trial in both],
            )
        )
        metric = objective.metric
        axes = {"xaxis_title": f"{metric}, screened", "yaxis_title": f"{metric}, in full"}
        figures.append(figure.update_layout(title="Heads that were screened and trained in full", **axes))
    return [figure for figure in figures if figure is not None]


def curves(trials: Sequence[TrialRecord], metric: str) -> go.Figure | None:
    """The first objective by epoch, one line per trial."""
    figure = go.Figure()
    for trial in trials:
        curve = trial.curve
        figure.add_scatter(
            x=list(curve),
            y=list(curve.values()),
            mode="lines+markers",
            line={"color": COLOURS[trial.result], "width": 1},
            marker={"size": 4},
            name=trial.name,
            showlegend=False,
        )
    return figure.update_layout(title="Learning curves", xaxis_title="epoch", yaxis_title=metric) if trials else None


def importances(study: optuna.Study, metric: str) -> go.Figure | None:
    """The share of the first objective's differences that each parameter explains, by Optuna."""
    complete = [trial.frozen for trial in search_trials(study) if trial.frozen.state == TrialState.COMPLETE]
    if len(complete) < MIN_COMPLETE_TRIALS:
        return None
    searched = optuna.create_study(directions=study.directions)  # finalists, trained again and again, would prevail
    searched.add_trials(complete)
    try:
        target = None if len(study.directions) == 1 else (lambda trial: trial.values[0])
        shares = optuna.importance.get_param_importances(searched, target=target)
    except (ValueError, RuntimeError, ZeroDivisionError):  # all trials have the same value
        return None
    names = list(reversed(shares))
    figure = go.Figure(go.Bar(x=[shares[name] for name in names], y=names, orientation="h"))
    return figure.update_layout(title=f"Importance for {metric} (PED-ANOVA)", xaxis_title="share")


def parallel(trials: Sequence[TrialRecord], metric: str) -> go.Figure | None:
    """All parameters of all trials. An absent parameter is drawn at the lowest position."""
    if len(trials) < 2:
        return None
    points = [trial.parameters for trial in trials]
    keys = dict.fromkeys(key for point in points for key in point)
    distributions = [item for trial in trials for item in trial.frozen.distributions.items()]
    log_keys = {key for key, distribution in distributions if getattr(distribution, "log", False)}
    dimensions = [_dimension(key, [point.get(key, ABSENT) for point in points], log=key in log_keys) for key in keys]
    values = [trial.objectives[0] for trial in trials]
    dimensions.append({"label": metric, "values": values})
    line = {"color": values, "colorscale": "Viridis", "showscale": True}
    return go.Figure(go.Parcoords(line=line, dimensions=dimensions)).update_layout(title="Parameters", margin_t=110)


def _dimension(key: str, values: Sequence[Any], *, log: bool) -> dict[str, Any]:
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numbers) < sum(v is not ABSENT for v in values) or not numbers:
        texts = ["absent" if v is ABSENT else "null" if v is None else str(v) for v in values]
        choices = sorted(set(texts))
        positions = [choices.index(text) for text in texts]
        return {"label": key, "values": positions, "tickvals": list(range(len(choices))), "ticktext": choices}
    drawn = [min(numbers) if v is ABSENT else v for v in values]
    return {"label": f"log10 {key}" if log else key, "values": [math.log10(v) if log else v for v in drawn]}


def pareto(trials: Sequence[TrialRecord], front: Sequence[TrialRecord], metrics: Sequence[str]) -> list[go.Figure]:
    """The first objective against each other one; the Pareto set is marked."""
    numbers = {trial.number for trial in front}
    figures = []
    for i, metric in enumerate(metrics[1:], start=1):
        figure = go.Figure()
        for name, in_front in (("Pareto set", True), ("others", False)):
            shown = [trial for trial in trials if (trial.number in numbers) == in_front]
            figure.add_scatter(
                x=[trial.objectives[i] for trial in shown],
                y=[trial.objectives[0] for trial in shown],
                mode="markers",
                text=[trial.name for trial in shown],
                name=name,
            )
        figures.append(figure.update_layout(title=metric, xaxis_title=metric, yaxis_title=metrics[0]))
    return figures
