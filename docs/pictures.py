"""Draws the learning curves of a search, by default into its folder: `python docs/pictures.py DIR [FILE.svg]`.

docs/pictures/result.svg was made like this:

    make search ARGS='--name first'
    .venv/bin/python docs/pictures.py results/first docs/pictures/result.svg

docs/pictures/trial.svg is drawn by hand, with the same font and colours.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from decouple_search import Experiment, load_experiment
from decouple_search.stopping.scheduler import Scheduler
from decouple_search.study.definition import DEFINITION, Definition
from decouple_search.study.record import ended_trials

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 800, 420, 76, 654, 44, 364
"""The size of the picture, and the edges of the plot in it."""
STYLE = """<style>
  text { font: 14px sans-serif; fill: #1f2328; text-anchor: middle }
  text.left { text-anchor: start } text.right { text-anchor: end } text.best { font-weight: bold }
  .page { fill: #ffffff; stroke: #d0d7de } .grid { stroke: #d0d7de }
  .curve { fill: none; stroke-width: 1.5; stroke-linejoin: round } .curve.best { stroke-width: 4 }
  path.rung { stroke: #bc4c00; stroke-dasharray: 4 4 } text.rung { fill: #bc4c00 }
  .curve.stopped { stroke: #8c959f } .dot { fill: #8c959f; stroke: #ffffff }
  .curve.complete { stroke: #218bff } .curve.best { stroke: #0550ae } text.best { fill: #0550ae }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .page { fill: #0d1117; stroke: #3d444d } .grid { stroke: #3d444d }
    path.rung { stroke: #f0883e } text.rung { fill: #f0883e }
    .curve.stopped { stroke: #768390 } .dot { fill: #768390; stroke: #0d1117 }
    .curve.complete { stroke: #388bfd } .curve.best { stroke: #a5d6ff } text.best { fill: #a5d6ff }
  }
</style>"""
KINDS = ("stopped", "complete", "best")
"""The kinds of curves, in the order in which they are drawn."""


class Curve(NamedTuple):
    """The learning curve of a trial."""

    trial: str
    values: Mapping[int, float]
    """The objective by epoch; not empty."""
    kind: str
    """One of `KINDS`."""


def curves_of(experiment: Experiment) -> list[Curve]:
    """The curves of all trials that reported an epoch."""
    best = experiment.rows[0].cells["trial_id"]
    trials = [trial for trial in ended_trials(experiment.study) if trial.curve]
    kinds = ["best" if trial.name == best else KINDS[trial.result == "COMPLETE"] for trial in trials]
    return [Curve(trial.name, trial.curve, kind) for trial, kind in zip(trials, kinds, strict=True)]


def ticks(values: Sequence[float]) -> list[float]:
    """Round numbers at equal distances; the first and the last enclose the values."""
    low, high = min(values), max(values)
    unit = 10.0 ** math.floor(math.log10((high - low) or 1))
    step = next(step for step in (unit / 5, unit / 2, unit, 2 * unit) if high - low <= 8 * step)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(k * step, 9) for k in range(first, max(last, first + 1) + 1)]


def draw(curves: Sequence[Curve], rungs: Sequence[int], metric: str, description: str) -> str:
    """The SVG of at least one curve, with a description for screen readers."""
    epochs = max(max(curve.values) for curve in curves)
    marks = ticks([value for curve in curves for value in curve.values.values()])

    def x(epoch: int) -> float:
        return round(LEFT + (RIGHT - LEFT) * (epoch - 0.5) / (epochs - 0.5), 1)

    def y(value: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (value - marks[0]) / (marks[-1] - marks[0]), 1)

    def text(x: float, y: float, content: str, style: str = "") -> str:
        return f'<text class="{style}" x="{x}" y="{y + 5}">{escape(content, quote=False)}</text>'

    stopped = sum(curve.kind == "stopped" for curve in curves)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"',
        '  role="img" aria-labelledby="title desc">',
        f'<title id="title">Learning curves of the {len(curves)} trials of a search</title>',
        f'<desc id="desc">{escape(description, quote=False)}</desc>',
        STYLE,
        f'<rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="12"/>',
        text((LEFT + RIGHT) / 2, HEIGHT - 18, "epoch"),
        f'<text transform="translate(26 {(TOP + BOTTOM) / 2}) rotate(-90)">{escape(metric)}</text>',
        text(RIGHT + 40, BOTTOM - 60, f"{len(curves) - stopped} complete", "left"),
        text(RIGHT + 40, BOTTOM - 36, f"{stopped} ended early", "left"),
        f'<path class="curve complete" d="M{RIGHT + 10} {BOTTOM - 60}h22"/>',
        f'<circle class="dot" cx="{RIGHT + 21}" cy="{BOTTOM - 36}" r="5"/>',
    ]
    parts += [f'<path class="grid" d="M{LEFT} {y(mark)}H{RIGHT}"/>' for mark in marks]
    parts += [text(LEFT - 8, y(mark), f"{mark:g}", "right") for mark in marks]
    parts += [text(x(epoch), BOTTOM + 16, str(epoch)) for epoch in range(1, epochs + 1, math.ceil(epochs / 20))]
    parts += [f'<path class="rung" d="M{x(rung)} {TOP}V{BOTTOM}"/>' for rung in rungs]
    parts += [text(x(rung), TOP - 12, "rung", "rung") for rung in rungs]
    for curve in sorted(curves, key=lambda curve: KINDS.index(curve.kind)):
        points = [(x(epoch), y(value)) for epoch, value in sorted(curve.values.items())]
        path = " ".join(f"{across},{down}" for across, down in points)
        parts.append(f'<polyline class="curve {curve.kind}" points="{path}"/>')
        if curve.kind == "stopped":
            parts.append(f'<circle class="dot" cx="{points[-1][0]}" cy="{points[-1][1]}" r="5"/>')
        if curve.kind == "best":
            parts.append(text(points[-1][0] + 10, points[-1][1] - 18, "best", "left best"))
            parts.append(text(points[-1][0] + 10, points[-1][1], f"trial {curve.trial}", "left best"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def main(folder: str, picture: str | None = None) -> None:
    """Draw the search in a folder."""
    experiment, definition = load_experiment(folder), Definition.read(Path(folder) / DEFINITION)
    curves, metric, name = curves_of(experiment), experiment.objectives[0].metric, Path(folder).name
    rungs = Scheduler(**definition.scheduler).rungs(max(max(curve.values) for curve in curves))
    stopped = sum(curve.kind == "stopped" for curve in curves)
    description = (
        f"{metric} by epoch. {stopped} of {len(curves)} trials ended before the last epoch. "
        f"The best is trial {experiment.rows[0].cells['trial_id']}. "
        f"Made by: make search ARGS='--name {name}'; .venv/bin/python docs/pictures.py results/{name}"
    )
    file = Path(picture or Path(folder) / "learning_curves.svg")
    file.write_text(draw(curves, rungs, metric, description))
    print(file)


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3 or sys.argv[1].startswith("-"):
        sys.exit("usage: python docs/pictures.py DIR [FILE.svg]")
    main(*sys.argv[1:])
