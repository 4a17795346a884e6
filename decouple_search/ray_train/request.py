"""A training as the user asked for it, checked without Ray. This module imports no Ray."""

from __future__ import annotations

from dataclasses import dataclass

from decouple_search.storage.folder import Folder
from decouplenet.config import Config

FLAGS = "flags.yaml"
"""The file, in a training's folder, of the flags that a resumed training takes."""


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """A training as the user asked for it. It was checked without Ray."""

    folder: Folder
    """The folder to write. It has a config.yaml if the training resumes."""
    config: Config
    """The configuration to train."""
    min_workers: int
    """Workers that are enough."""
    max_workers: int
    """Workers that are wanted."""
    max_failures: int
    """How often the workers may restart after a loss."""
    cluster: str | None = None
    """The cluster file, for the machines that its autoscaler may add."""

    @property
    def is_elastic(self) -> bool:
        """Whether the number of workers follows the cluster."""
        return self.min_workers < self.max_workers
