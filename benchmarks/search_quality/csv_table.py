"""Tables of real trainings in a csv file: a row has the parameters, `epoch`, `val_map`, and `seconds` if known.

A configuration with several trainings (column `seed`, `trial` or `trial_id`) has their mean curve. From their spread
follow the table's noises.
"""

from __future__ import annotations

import csv
import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.search_quality.table import FloatArray
from decouple_search.space.objective import Objective
from decouple_search.space.parameter import Parameter
from decouple_search.space.space import Space
from decouplenet.errors import InputError

NO_PARAMETERS = ("epoch", "val_map", "seconds", "trial_id", "trial", "seed", "state")
REPEATS = ("seed", "trial", "trial_id")
"""Columns that tell trainings of one configuration apart."""
MISSING = ("", "nan")  # without "none", which is a valid choice of several keys

_Key = tuple[str, ...]
_Training = dict[int, tuple[float, float]]  # val_map and seconds by epoch


class Recorded(NamedTuple):
    """Recorded trainings."""

    space: Space
    """The search space, inferred from the values."""
    points: list[dict[str, Any]]
    """The configurations."""
    curves: FloatArray
    """val_map, configurations × epochs."""
    seconds: FloatArray
    """Duration of each epoch, configurations × epochs; ones if the file has no seconds."""
    noise: float
    """Standard deviation of an epoch's value within a training of a configuration; 0 if there are no repeats."""
    training_noise: float
    """Standard deviation that all epochs of a training have in common; 0 if there are no repeats."""


def read_table(file: Path) -> Recorded:
    """Read a table; skips trainings with a missing epoch or a val_map that is not a number.

    Raises:
        InputError: the file is not such a table, or too few configurations remain.
    """
    try:
        with file.open() as stream:
            rows = list(csv.DictReader(stream))
    except OSError as error:
        raise InputError(f"--table: '{file}' cannot be read ({error.strerror})") from None
    if not rows or not {"epoch", "val_map"} <= rows[0].keys():
        raise InputError(f"--table: '{file}' needs one row per epoch, with epoch, val_map and the parameters")
    # Parameters are the columns with dotted names. If there are none, they are all columns outside NO_PARAMETERS.
    names = [name for name in rows[0] if "." in name] or [name for name in rows[0] if name not in NO_PARAMETERS]
    trainings = _whole(_trainings(file, rows, names), file)
    keys = list(dict.fromkeys(key for key, _ in trainings))
    repeats = [np.array([values for key, values in trainings if key == each]) for each in keys]
    means = np.array([np.mean(each, axis=0) for each in repeats])  # configurations × epochs × (val_map, seconds)
    parsed = [_column(name, [key[i] for key in keys]) for i, name in enumerate(names)]
    columns = [column for column in parsed if column is not None]
    points = [{p.key: column[i] for p, column in columns if column[i] is not None} for i in range(len(keys))]
    parameters = tuple(parameter for parameter, _ in columns)
    space = Space.of_parameters(file.stem, parameters, Objective("val_map", "max"))
    return Recorded(space, points, means[:, :, 0], means[:, :, 1], *_noises(repeats))


def _trainings(file: Path, rows: Sequence[Mapping[str, str]], names: Sequence[str]) -> list[tuple[_Key, _Training]]:
    """The trainings of a file, each with its parameters' texts."""
    grouped: dict[tuple[_Key, _Key], _Training] = defaultdict(dict)
    for number, row in enumerate(rows, start=2):
        key = tuple("" if (row[name] or "").lower() in MISSING else row[name] for name in names)
        repeat = tuple(row[name] or "" for name in REPEATS if name in row and name not in names)
        try:
            seconds = float(row.get("seconds") or "nan")
            grouped[key, repeat][int(float(row["epoch"]))] = (float(row["val_map"] or "nan"), seconds)
        except (ValueError, TypeError):
            raise InputError(f"--table: {file}:{number}: epoch, val_map and seconds must be numbers") from None
    return [(key, training) for (key, _), training in grouped.items()]


def _whole(trainings: Sequence[tuple[_Key, _Training]], file: Path) -> list[tuple[_Key, FloatArray]]:
    """The trainings that have all epochs, as epochs × (val_map, seconds)."""
    counts = sorted(len(training) for _, training in trainings)
    epochs = counts[len(counts) // 2]  # at least half of the trainings have that many epochs
    arrays = [(key, np.array([training[e] for e in sorted(training)][:epochs])) for key, training in trainings]
    whole = [(key, values) for key, values in arrays if len(values) == epochs and np.isfinite(values[:, 0]).all()]
    for _, values in whole:  # a duration that is missing is the mean of the training's others, or 1
        known = np.isfinite(values[:, 1]) & (values[:, 1] > 0)
        values[~known, 1] = values[known, 1].mean() if known.any() else 1.0
    configurations = len({key for key, _ in whole})
    if configurations < 10 or epochs < 2:
        content = f"{configurations} whole configurations of {epochs} epochs"
        raise InputError(f"--table: '{file}' has {content}; at least 10 and 2 are needed")
    return whole


def _noises(repeats: Sequence[FloatArray]) -> tuple[float, float]:
    """The standard deviations within and between trainings of a configuration, pooled over those with repeats.

    A value is the configuration's plus the training's plus the epoch's deviation, as in an analysis of variance.
    """
    several = [each[:, :, 0] for each in repeats if len(each) > 1]
    if not several:
        return 0.0, 0.0
    epochs = several[0].shape[1]
    of_means = statistics.fmean(float(np.var(each.mean(1), ddof=1)) for each in several)
    rest = [each - each.mean(0) - each.mean(1, keepdims=True) + each.mean() for each in several]
    within = statistics.fmean(float((r**2).sum() / ((len(r) - 1) * (epochs - 1))) for r in rest)
    return math.sqrt(within), math.sqrt(max(of_means - within / epochs, 0.0))


def _column(name: str, texts: Sequence[str]) -> tuple[Parameter, list[Any]] | None:
    """Infer a column's parameter; returns it with the values (None if absent), or None for a constant column."""
    present = [text for text in texts if text != ""]
    if len(set(present)) < 2:
        return None
    values: list[Any]
    try:
        numbers = [float(text) for text in present]
    except ValueError:
        numbers = []
    if not numbers or not np.isfinite(numbers).all() or len(set(numbers)) <= 4:  # a few different numbers are choices
        choices = tuple(sorted(set(present)))
        return Parameter(name, "choice", choices), [text if text != "" else None for text in texts]
    low, high = min(numbers), max(numbers)
    # The scale is logarithmic if the median is closer to the geometric than to the arithmetic middle of the range.
    log = low > 0 and high / low >= 8 and statistics.median(numbers) < (math.sqrt(low * high) + (low + high) / 2) / 2
    integers = all(text.lstrip("+-").isdigit() for text in present)
    values = [None if text == "" else (int(text) if integers else float(text)) for text in texts]
    bounds: tuple[Any, Any] = (int(low), int(high)) if integers else (low, high)
    return Parameter(name, "int" if integers else "float", bounds, log=log), values
