"""A run in TensorBoard: the hyperparameters of a training, and its measures by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from decouple_search.results.compat import EventWriter

GROUPS = {"val_": "val", "train_": "train"}
"""TensorBoard's group of a measure, by the start of its name."""
OTHER_MEASURES = ("lr", "images_per_second")
"""Measures that a run shows in the group train."""


class TensorBoardRun:
    """A folder with event files.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._writer = EventWriter(folder)

    def hyperparameters(self, values: Mapping[str, Any], metric: str, name: str) -> None:
        """Show parameters by their dotted names in the HParams tab, with the objective. None is the text `null`.

        Left out, it would look as if the trial lacked the parameter.
        """
        shown = {key: "null" if value is None else value for key, value in values.items()}
        self._writer.hyperparameters(shown, tag_of(metric), name)

    def epoch(self, epoch: int, measures: Mapping[str, float]) -> None:
        """Write the measures of an epoch."""
        shown = {tag_of(name): value for name, value in measures.items() if _is_shown(name)}
        self._writer.scalars(shown, step=epoch)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


def tag_of(name: str) -> str:
    """TensorBoard's tag of a measure: `val_map` is `val/map`."""
    for prefix, group in GROUPS.items():
        if name.startswith(prefix):
            return f"{group}/{name.removeprefix(prefix)}"
    return f"train/{name}"


def _is_shown(name: str) -> bool:
    return name.startswith(tuple(GROUPS)) or name in OTHER_MEASURES
