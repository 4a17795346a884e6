"""LCBench by YAHPO Gym's surrogate: learning curves of a tabular network on 35 OpenML tasks.

The surrogate's files are given with `--lcbench DIR`: `model.onnx` and `encoding.json`. It needs onnxruntime.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search_quality.table import DRAWS, FloatArray, Table, draw_configs
from decouple_search.space.objective import Objective
from decouple_search.space.parameter import Parameter
from decouple_search.space.space import Space
from decouplenet.errors import InputError

EPOCHS = 50
PARAMETERS = (  # in the order of the model's inputs, which the epoch precedes
    Parameter("batch_size", "int", (16, 512), log=True),
    Parameter("learning_rate", "float", (1e-4, 0.1), log=True),
    Parameter("momentum", "float", (0.1, 0.99)),
    Parameter("weight_decay", "float", (1e-5, 0.1)),
    Parameter("num_layers", "int", (1, 5)),
    Parameter("max_units", "int", (64, 1024), log=True),
    Parameter("max_dropout", "float", (0.0, 1.0)),
)
TIME, ACCURACY = 0, 1
"""Outputs of the model: seconds since the start, and accuracy on validation data in per cent."""
COARSE, FINE = 10, 200
"""The best of random draws: each of them at every COARSE-th epoch, the FINE best of them at all."""
ROWS = 10_000
"""Rows of a call; the model's layers take 4 kB per row."""


class LCBench(Table):
    """An OpenML task of LCBench; the value is the accuracy on validation data, from 0 to 1.

    The surrogate is all there is, so `best` is the best of its random draws.

    Args:
        folder: the folder of the surrogate.
        task: id of the OpenML task.

    Raises:
        InputError: the folder or onnxruntime is missing, or the task is unknown.
    """

    def __init__(self, folder: Path, task: str) -> None:
        self._file, self._code = folder / "model.onnx", _code(folder, task)
        self.name, self.epochs = f"lcbench-{task}", EPOCHS
        self.space = Space.of_parameters(self.name, PARAMETERS, Objective("val_map", "max"))
        self._session: Any = None
        self._cache: dict[tuple[Any, ...], FloatArray] = {}
        self.best = self._best()
        self.about = f"surrogate of YAHPO Gym, {EPOCHS} epochs; best of {DRAWS} random draws {self.best:.4f}"

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_session": None, "_cache": {}}  # a session cannot be pickled

    def curve(self, config: Mapping[str, Any]) -> FloatArray:
        """Accuracy after each epoch."""
        return self._outputs(config)[:, ACCURACY] / 100

    def seconds(self, config: Mapping[str, Any]) -> FloatArray:
        """The duration of each epoch, at least a thousandth of the mean: the modelled time is not quite monotonic."""
        time = self._outputs(config)[:, TIME]
        durations = np.diff(time, prepend=0.0)
        return np.maximum(durations, 1e-3 * max(float(time[-1]), 1e-3) / EPOCHS)

    def _outputs(self, config: Mapping[str, Any]) -> FloatArray:
        """The model's outputs for all epochs, epochs × 6."""
        key = tuple(config[parameter.key] for parameter in PARAMETERS)
        if key not in self._cache:
            self._cache[key] = self._predict([config], np.arange(1, EPOCHS + 1))[0]
        return self._cache[key]

    def _best(self) -> float:
        configs = draw_configs(self.space, DRAWS)
        coarse = self._predict(configs, np.arange(COARSE, EPOCHS + 1, COARSE))[:, :, ACCURACY].max(1)
        finalists = [configs[i] for i in np.argsort(coarse)[-FINE:]]
        fine = self._predict(finalists, np.arange(1, EPOCHS + 1))[:, :, ACCURACY]
        return float(max(fine.max(), coarse.max())) / 100

    def _predict(self, configs: Sequence[Mapping[str, Any]], epochs: Any) -> FloatArray:
        """The model's outputs, configurations × epochs × 6; a configuration's whole curve is one call."""
        if self._session is None:
            self._session = _session(self._file)
        rows = np.array([[config[parameter.key] for parameter in PARAMETERS] for config in configs], np.float32)
        inputs = np.empty((len(configs), len(epochs), 1 + len(PARAMETERS)), np.float32)
        inputs[:, :, 0], inputs[:, :, 1:] = epochs, rows[:, None]
        flat = inputs.reshape(-1, inputs.shape[-1])
        outputs = []
        for start in range(0, len(flat), ROWS):
            part = flat[start : start + ROWS]
            feeds = {"x_cat": np.full((len(part), 1), self._code, np.int32), "x_cont": part}
            outputs.append(self._session.run(None, feeds)[0])
        return np.concatenate(outputs).astype(np.float64).reshape(len(configs), len(epochs), -1)


def tasks(folder: Path) -> list[str]:
    """The ids of all tasks of a folder.

    Raises:
        InputError: there is no such folder.
    """
    return [task for task in _encoding(folder) if task.isdigit()]


def _encoding(folder: Path) -> dict[str, int]:
    try:
        text = (folder / "encoding.json").read_text()
    except OSError as error:
        raise InputError(f"--lcbench: '{folder}' is not the folder of the surrogate ({error.strerror})") from None
    encoding: dict[str, int] = json.loads(text)["OpenML_task_id"]
    return encoding


def _code(folder: Path, task: str) -> int:
    encoding = _encoding(folder)
    if task not in encoding:
        raise InputError(f"--tables: LCBench has no task '{task}'; valid: {', '.join(tasks(folder))}")
    return encoding[task]


def _session(file: Path) -> Any:
    try:
        import onnxruntime  # type: ignore[import-not-found]
    except ImportError:
        raise InputError("--lcbench needs onnxruntime; pip install onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
