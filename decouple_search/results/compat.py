"""Uses of TensorBoard that rely on more than its documentation promises: event writer, protos, HParams summaries.

The public API of the HParams plugin needs TensorFlow.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import summary_v2 as hp
from tensorboard.summary.writer.event_file_writer import EventFileWriter


class EventWriter:
    """Writes event files.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._writer = EventFileWriter(str(folder))

    def hyperparameters(self, values: Mapping[str, Any], metric_tag: str, name: str) -> None:
        """Write hyperparameters by name, and the tag of the scalar that the HParams tab shows with them."""
        names = [hp.HParam(key) for key in values]
        self._add(hp.hparams_config_pb(names, [hp.Metric(metric_tag)]), step=0)
        self._add(hp.hparams_pb(dict(values), trial_id=name), step=0)
        self._writer.flush()

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write scalars by tag."""
        self._add(Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]), step)
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()

    def _add(self, summary: Summary, step: int) -> None:
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
