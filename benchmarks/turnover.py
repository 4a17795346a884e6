"""Seconds per trial that are not training: Ray's documented nested pattern and the warm gang, in one run.

    python -m benchmarks.turnover [--json FILE]

Ray's documentation describes the nested pattern: a Tune function trainable starts a `TorchTrainer`, and its
`TuneReportCallback` forwards the reports. Both patterns train the same configurations with the same engine, two workers
per trial, one trial at a time, each in a separate Ray:

- `trivial`: one epoch on 40 images of 16 px;
- `tiny`: two epochs on 320 images of 48 px.

A trial's overhead is the wall time between the previous trial's last epoch and its own last epoch, minus the time to
train and evaluate its epochs. For the first trial it is the time from the start of the search to the first step. The
benchmark takes 6 to 10 minutes on 2 cores, nearly all of it for the nested pattern.
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
    from decouplenet.config import Config
    from decouplenet.dotted_keys import flatten, nest

    keys = {"model.backbone": "tiny", "model.pretrained": False, "data.cache": cache, "train.batch_size": 16}
    keys |= {"scaling.workers_per_trial": WORKERS, "scaling.gpus_per_worker": 0.0}
    return flatten(Config.from_dict(nest(keys | TRAININGS[training])).to_dict())


def train_nested(loop_config: dict[str, Any]) -> None:
    """The loop of a Ray Train worker: runs the engine and reports each epoch."""
    import ray.train
    import torch

    from decouplenet.config import Config
    from decouplenet.data.opened import open_data
    from decouplenet.dotted_keys import nest
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
    """Ray's documented pattern: a trial that runs its own trainer."""
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


class EpochRecorder:
    """A Tune callback that records the end and the duration of each epoch; a factory, so that Ray is imported late."""

    @staticmethod
    def make() -> Any:
        """The callback, and the list that it fills with (trial, end time, busy seconds)."""
        from ray.tune import Callback

        records: list[tuple[str, float, float]] = []

        class Recorder(Callback):
            def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any) -> None:
                busy = result["busy"] if "busy" in result else result["train_seconds"] + result["eval_seconds"]
                records.append((trial.trial_id, result.get("ended", time.time()), busy))

        return Recorder(), records


def nested_arm(base: dict[str, Any], count: int, folder: Path) -> tuple[Any, Any, dict[str, Any], list[Any]]:
    """Trainable, parameters, Tune options and callbacks of Ray's pattern, as in its documentation."""
    from ray import tune

    proposed = {"trial": tune.grid_search(list(range(count))), "config": base, "storage": str(folder)}
    return nested_trial, proposed, {"max_concurrent_trials": 1}, []


def gang_arm(base: dict[str, Any], count: int, folder: Path) -> tuple[Any, Any, dict[str, Any], list[Any]]:
    """The same for our search, including its work between trials: study, TensorBoard, deletion of old checkpoints."""
    from ray import tune

    import decouple_search.search_run  # noqa: F401 - applies its settings of Tune
    from decouple_search.ray_tune.callbacks.retention import Retention
    from decouple_search.ray_tune.callbacks.tensorboard import TensorBoardRuns
    from decouple_search.ray_tune.proposals import Proposals
    from decouple_search.ray_tune.searcher import StudySearcher
    from decouple_search.ray_tune.trainable import DecoupleTrial
    from decouple_search.ray_tune.trial_spec import TrialSpec
    from decouple_search.samplers.registry import make_sampler
    from decouple_search.space.yaml_file import load_space
    from decouple_search.storage.checkpoints import Checkpoints
    from decouple_search.storage.opening import folder_at
    from decouple_search.study.optuna_storage import open_study
    from decouple_search.study.record import trial_name

    folder.mkdir()
    (folder / "space.yaml").write_text("search: {optim.lr: {float: [0.001, 0.01], log: true}}")
    space = load_space(folder / "space.yaml")
    study = open_study(folder / "study.log", space)

    def prepare(number: int) -> None:
        study.sampler = make_sampler("gp", space, base["train.epochs"], 0, number)

    searcher = StudySearcher(study, space, base, Proposals(trials=count, slots=lambda: 1, prepare=prepare))
    workers = [{"CPU": 1}] * WORKERS
    trainable = tune.with_resources(DecoupleTrial, tune.PlacementGroupFactory([{}, *workers]))

    def name(trial: Any) -> str:
        return trial_name(TrialSpec.from_tune(trial.config).number)

    options = {"search_alg": searcher, "num_samples": count, "reuse_actors": True}
    options |= {"trial_name_creator": name, "trial_dirname_creator": name}
    boards = TensorBoardRuns(folder / "tensorboard", space.keys, space.metric)
    return trainable, None, options, [boards, Retention(Checkpoints(folder_at(str(folder))), 3, space.objective)]


def run_arm(arm: str, folder: Path) -> dict[str, Any]:
    """Measure one pattern in this process, in a separate Ray."""
    os.environ |= {"RAY_AIR_NEW_OUTPUT": "0", "RAY_USAGE_STATS_ENABLED": "0"}  # verbose=0 alone still prints tables
    import ray
    from ray import tune

    ray.init(num_cpus=WORKERS + 2, include_dashboard=False, log_to_driver=False, logging_level="error")
    figures: dict[str, Any] = {}
    for training, count in TRIALS[arm].items():
        base = config_of(training, str(folder / "cache"))
        recorder, records = EpochRecorder.make()
        make = nested_arm if arm == "nested" else gang_arm
        trainable, search, tune_options, callbacks = make(base, count, folder / f"{arm}-{training}")
        run_config = tune.RunConfig(
            name=training, storage_path=str(folder / arm), callbacks=[recorder, *callbacks], verbose=0
        )
        started = time.time()
        tune_config = tune.TuneConfig(**tune_options)
        results = tune.Tuner(trainable, param_space=search, tune_config=tune_config, run_config=run_config).fit()
        wall = time.time() - started
        if results.errors:
            raise SystemExit(f"{arm}, {training}: {results.errors[0]}")
        figures[training] = overheads(records, started) | {"trials": count, "wall_seconds": wall}
    ray.shutdown()
    return figures


def overheads(records: list[tuple[str, float, float]], started: float) -> dict[str, Any]:
    """Seconds to the first step, and the overhead of each later trial in seconds.

    Args:
        records: trial, end time and busy seconds of each epoch, in order.
        started: start time of the search.
    """
    ends, busy = {}, {}
    for trial, ended, seconds in records:
        ends[trial] = ended
        busy[trial] = busy.get(trial, 0.0) + seconds
    order = list(ends)
    first = records[0][1] - records[0][2] - started
    later = [ends[b] - ends[a] - busy[b] for a, b in itertools.pairwise(order)]
    return {"first_step_seconds": first, "overhead_seconds": statistics.median(later), "overheads": later}


def main() -> None:
    """Run both arms, each in a separate process, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
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
            subprocess.run(command, check=True)  # noqa: S603 - runs this file
            measured[arm] = json.loads((folder / f"{arm}.json").read_text())
    report = compare(measured)
    show(report)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


def prepare(folder: Path) -> None:
    """Draw and decode the images and import the shared modules, so that no arm pays for the first read."""
    import ray.train.torch
    import ray.tune  # noqa: F401

    from decouplenet.config import Config
    from decouplenet.data.opened import open_data
    from decouplenet.dotted_keys import nest
    from decouplenet.engine import Engine

    for training in TRAININGS:
        config = Config.from_dict(nest(config_of(training, str(folder / "cache"))))
        Engine(config, open_data(config.data))


def compare(measured: dict[str, Any]) -> dict[str, Any]:
    """The figures of both arms, with the ratios of nested to gang."""
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

    table = Table(title=f"{WORKERS} workers per trial, one trial at a time")
    for heading in ("training", "pattern", "trials", "first step, s", "overhead per trial, s", "smallest to largest"):
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
