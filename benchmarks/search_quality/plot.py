"""A plot of the anytime curves: the best value so far by epochs, median and quartiles, a panel for each table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search_quality.arms import place
from benchmarks.search_quality.figures import by_task
from benchmarks.search_quality.runs import Record

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#888888", "#000000", "#dd8844", "#44aa99")
COLUMNS, PANEL_HEIGHT = 2, 420


def plot(records: Sequence[Record], file: Path) -> None:
    """Write the plot as an HTML file that needs nothing else."""
    from plotly.subplots import make_subplots

    tasks = by_task(records)
    titles = [f"{table}, {slots} slots" for table, slots in sorted(tasks)]
    rows = -(-len(tasks) // COLUMNS)
    figure = make_subplots(rows=rows, cols=min(COLUMNS, len(tasks)), subplot_titles=titles)
    named: set[str] = set()
    for panel, task in enumerate(sorted(tasks)):
        for arm in sorted(tasks[task], key=place):
            for trace in _traces(arm, tasks[task][arm], named=arm not in named):
                figure.add_trace(trace, row=panel // COLUMNS + 1, col=panel % COLUMNS + 1)
            named.add(arm)
    figure.update_xaxes(type="log", title="epochs trained")
    figure.update_yaxes(title="share of the best value")
    figure.update_layout(height=PANEL_HEIGHT * rows, template="plotly_white")
    figure.write_html(file, include_plotlyjs=True)


def _traces(arm: str, records: Sequence[Record], *, named: bool) -> list[Any]:
    """The band between the quartiles, and the median's line, which is in the legend once."""
    import plotly.graph_objects as go

    colour = COLOURS[place(arm)[1] % len(COLOURS)]
    epochs, low, middle, high = quantile_curves(records)
    around = {"x": [*epochs, *epochs[::-1]], "y": [*high, *low[::-1]], "fill": "toself", "fillcolor": colour}
    band = go.Scatter(**around, opacity=0.2, line={"width": 0}, hoverinfo="skip", legendgroup=arm, showlegend=False)
    line = {"color": colour, "shape": "hv"}
    median = go.Scatter(x=epochs, y=middle, mode="lines", line=line, name=arm, legendgroup=arm, showlegend=named)
    return [band, median]


def quantile_curves(records: Sequence[Record]) -> tuple[list[int], list[float], list[float], list[float]]:
    """Epochs, and the first quartile, median and third quartile of the best value's share there."""
    budget = max(record.run.budget for record in records)
    first = max(record.steps[0].epochs for record in records)  # from where on all searches have a value
    epochs = sorted({round(each) for each in np.geomspace(first, max(budget, first), 60)})
    values = np.array([[_share(record, epoch) for epoch in epochs] for record in records])
    low, middle, high = (np.quantile(values, q, axis=0).tolist() for q in (0.25, 0.5, 0.75))
    return epochs, low, middle, high


def _share(record: Record, epochs: int) -> float:
    return max(step.best for step in record.steps if step.epochs <= epochs) / record.best
