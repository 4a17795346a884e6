"""Seconds a trial that are not training: Ray's documented nested pattern beside the warm gang, in one run.

    python -m benchmarks.turnover [--json FILE]

The nested pattern is the one of Ray's documentation: a Tune function trainable that starts a `TorchTrainer`, whose
`TuneReportCallback` passes the reports on. Both train the same configurations with the same engine, two workers a
trial, one trial at a time, each in a Ray of its own:

- `trivial`: an epoch on 40 images of 16 px;
- `tiny`: two epochs on 320 images of 48 px.

A trial's overhead is the wall time from one trial's last epoch to the next one's, less what that epoch took to train
and evaluate. The first trial's is the time from the start of the search to the beginning of its first step.
Takes 6 to 10 minutes on 2 cores, nearly all of it the nested pattern's.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TRAININGS = {
    "trivial": {"data.synthetic_images": 50, "data.image_size": 16, "train.epochs": 1},
    "tiny": {"data.synthetic_images": 400, "data.image_size": 48, "train.epochs": 2},
}
TRIALS = {"nested": {"trivial": 4, "tiny": 3}, "gang": {"trivial": 20, "tiny": 10}}
WORKERS = 2


def config_of(training: str, cache: str) -> dict[str, Any]:
    """A complete dotted configuration."""
    from decouplenet.config import Config, flatten, nest

    keys = {"model.backbone": "tiny", "model.pretrained": False, "data.cache": cache, "train.batch_size": 16}
    keys |= {"scaling.workers_per_trial": WORKERS, "scaling.gpus_per_worker": 0.0}
    return flatten(Config.from_dict(nest(keys | TRAININGS[training])).to_dict())


def train_nested(loop_config: dict[str, Any]) -> None:
    """The loop of a Ray Train worker: the engine, and a report an epoch."""
    import ray.train
    import torch

    from decouplenet.config import Config, nest
    from decouplenet.data.opened import open_data
    from decouplenet.engine import Engine

    torch.set_num_threads(1)
    context = ray.train.get_context()
    config = Config.from_dict(nest(loop_config))
    engine = Engine(config, open_data(config.data), rank=context.get_world_rank(), world=context.get_world_size())
    for _ in range(config.train.epochs):
        measured = engine.train_epoch() | engine.evaluate()
        seconds = measured["train_seconds"] + measured["eval_seconds"]
        ray.train.report({"busy": seconds, "ended": time.time()})


def nested_trial(config: dict[str, Any]) -> None:
    """Ray's documented pattern: a trial that runs a trainer of its own."""
    import ray.train
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    TorchTrainer(
        train_nested,
        train_loop_config=config["config"],
        scaling_config=ray.train.ScalingConfig(num_workers=WORKERS, resources_per_worker={"CPU": 1}),
        run_config=ray.train.RunConfig(
            name=f"trial-{config['trial']}", storage_path=config["storage"], callbacks=[TuneReportCallback()]
        ),
    ).fit()


class Epochs:
    """A Tune callback that notes when each epoch ended, and what it took; made where Ray is."""

    @staticmethod
    def make() -> Any:
        """The callback, and the list that it fills with (trial, ended, busy seconds)."""
        from ray.tune import Callback

        noted: list[tuple[str, float, float]] = []

        class Note(Callback):
            def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any) -> None:
                busy = result["busy"] if "busy" in result else result["train_seconds"] + result["eval_seconds"]
                noted.append((trial.trial_id, result.get("ended", time.time()), busy))

        return Note(), noted


def nested_arm(base: dict[str, Any], count: int, folder: Path) -> tuple[Any, Any, dict[str, Any], list[Any]]:
    """Trainable, parameters, options of Tune and callbacks of Ray's pattern, as its documentation has them."""
    from ray import tune

    proposed = {"trial": tune.grid_search(list(range(count))), "config": base, "storage": str(folder)}
    return nested_trial, proposed, {"max_concurrent_trials": 1}, []


def gang_arm(base: dict[str, Any], count: int, folder: Path) -> tuple[Any, Any, dict[str, Any], list[Any]]:
    """The same of a search of ours, with what it does between trials: the study, TensorBoard, old checkpoints."""
    from ray import tune

    import decouple_search.search  # noqa: F401 - its settings of Tune
    from decouple_search.ray_tune.callbacks.retention import Retention
    from decouple_search.ray_tune.callbacks.tensorboard import TensorBoardRuns
    from decouple_search.ray_tune.searcher import StudySearcher
    from decouple_search.ray_tune.trainable import DecoupleTrial
    from decouple_search.samplers.registry import make_sampler
    from decouple_search.space.yaml_file import load_space
    from decouple_search.storage.checkpoints import Checkpoints
    from decouple_search.storage.folder import folder_at
    from decouple_search.study.record import open_study, trial_name

    folder.mkdir()
    (folder / "space.yaml").write_text("search: {optim.lr: {float: [0.001, 0.01], log: true}}")
    space = load_space(folder / "space.yaml")
    study = open_study(folder / "study.log", space)

    def prepare(number: int) -> None:
        study.sampler = make_sampler("gp", space, base["train.epochs"], 0, number)

    searcher = StudySearcher(study, space, base, trials=count, room=lambda: 1, prepare=prepare)
    workers = [{"CPU": 1}] * WORKERS
    trainable = tune.with_resources(DecoupleTrial, tune.PlacementGroupFactory([{}, *workers]))

    def name(trial: Any) -> str:
        return trial_name(trial.config["trial"])

    options = {"search_alg": searcher, "num_samples": count, "reuse_actors": True}
    options |= {"trial_name_creator": name, "trial_dirname_creator": name}
    boards = TensorBoardRuns(folder / "tensorboard", ("optim.lr",), "val_map")
    return trainable, None, options, [boards, Retention(Checkpoints(folder_at(str(folder))), 3, "val_map", "max")]


def run_arm(arm: str, folder: Path) -> dict[str, Any]:
    """One pattern's figures, in this process and a Ray of its own."""
    os.environ |= {"RAY_AIR_NEW_OUTPUT": "0", "RAY_USAGE_STATS_ENABLED": "0"}  # verbose=0 leaves tables otherwise
    import ray
    from ray import tune

    ray.init(num_cpus=WORKERS + 2, include_dashboard=False, log_to_driver=False, logging_level="error")
    figures: dict[str, Any] = {}
    for training, count in TRIALS[arm].items():
        base = config_of(training, str(folder / "cache"))
        note, noted = Epochs.make()
        make = nested_arm if arm == "nested" else gang_arm
        trainable, search, tune_options, callbacks = make(base, count, folder / f"{arm}-{training}")
        run_config = tune.RunConfig(
            name=training, storage_path=str(folder / arm), callbacks=[note, *callbacks], verbose=0
        )
        began = time.time()
        tune_config = tune.TuneConfig(**tune_options)
        results = tune.Tuner(trainable, param_space=search, tune_config=tune_config, run_config=run_config).fit()
        wall = time.time() - began
        if results.errors:
            raise SystemExit(f"{arm}, {training}: {results.errors[0]}")
        figures[training] = overheads(noted, began) | {"trials": count, "wall_seconds": wall}
    ray.shutdown()
    return figures


def overheads(noted: list[tuple[str, float, float]], began: float) -> dict[str, Any]:
    """Seconds to the first step, and of each later trial what was not training.

    Args:
        noted: trial, end and busy seconds of each epoch, in order.
        began: when the search began.
    """
    ends, busy = {}, {}
    for trial, ended, seconds in noted:
        ends[trial] = ended
        busy[trial] = busy.get(trial, 0.0) + seconds
    order = list(ends)
    first = noted[0][1] - noted[0][2] - began
    later = [ends[b] - ends[a] - busy[b] for a, b in itertools.pairwise(order)]
    return {"first_step_seconds": first, "overhead_seconds": statistics.median(later), "overheads": later}


def main() -> None:
    """Run both arms, each in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--arm", choices=TRIALS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.arm:
        figures = run_arm(arguments.arm, arguments.folder)
        (arguments.folder / f"{arguments.arm}.json").write_text(json.dumps(figures))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepare(folder)
        measured = {}
        for arm in TRIALS:
            command = [sys.executable, "-m", "benchmarks.turnover", "--arm", arm, "--folder", scratch]
            subprocess.run(command, check=True)  # noqa: S603 - this file itself
            measured[arm] = json.loads((folder / f"{arm}.json").read_text())
    report = compare(measured)
    show(report)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def prepare(folder: Path) -> None:
    """Draw and decode the images, and import what both arms import, so that neither is the first to read it."""
    import ray.train.torch
    import ray.tune  # noqa: F401

    from decouplenet.config import Config, nest
    from decouplenet.data.opened import open_data
    from decouplenet.engine import Engine

    for training in TRAININGS:
        config = Config.from_dict(nest(config_of(training, str(folder / "cache"))))
        Engine(config, open_data(config.data))


def compare(measured: dict[str, Any]) -> dict[str, Any]:
    """The figures of both arms, with the ratios nested over gang."""
    ratios = {
        training: {
            name: measured["nested"][training][name] / measured["gang"][training][name]
            for name in ("first_step_seconds", "overhead_seconds")
        }
        for training in TRAININGS
    }
    return {"workers": WORKERS, **measured, "ratio": ratios}


def show(report: dict[str, Any]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{WORKERS} workers a trial, one trial at a time")
    for heading in ("training", "pattern", "trials", "first step, s", "overhead a trial, s", "smallest to largest"):
        table.add_column(heading, justify="left" if heading in ("training", "pattern") else "right")
    for training in TRAININGS:
        for arm in TRIALS:
            row = report[arm][training]
            spread = f"{min(row['overheads']):.2f} to {max(row['overheads']):.2f}"
            seconds = f"{row['first_step_seconds']:.2f}", f"{row['overhead_seconds']:.3f}"
            table.add_row(training, arm, str(row["trials"]), *seconds, spread)
        ratio = report["ratio"][training]
        seconds = f"{ratio['first_step_seconds']:.1f}", f"{ratio['overhead_seconds']:.0f}"
        table.add_row(training, "nested / gang", "", *seconds, "", end_section=True)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
