"""A checkpoint to measure, alone or in an ensemble. Needs neither Ray nor torch."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from decouplenet.config import Config


class EnsembleMember(NamedTuple):
    """A checkpoint to score with."""

    name: str
    """The user's name for it."""
    folder: Path
    """Its folder on this machine."""
    config: Config
    """The config that says on which data and how it is scored."""
