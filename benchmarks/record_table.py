"""Train random configurations of a search space in full and record every epoch in a table, which can be replayed.

    python -m benchmarks.record_table [--space FILE] [--configurations N] [--repeated N] [--out FILE] [config keys]

This script with its defaults created `benchmarks/table.csv`, which `benchmarks.search_quality` replays: 320
configurations of the demo's space, each trained for 9 epochs on 800 synthetic scenes, and the first 20 of them with two
further seeds, which say how much of a value is luck. The table has one row per epoch: the searched parameters under
their dotted names (empty if absent), `seed`, `epoch`, `val_map`, and the `seconds` to train and evaluate that epoch on
one core. The script needs no Ray and takes a quarter of an hour on 2 cores. It keeps the rows that are already in the
file, so you can stop it and start it again.
"""

from __future__ import annotations

import csv
import multiprocessing
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decouple_search.space.space import Space
from decouple_search.space.yaml_file import load_space
from decouplenet.command_line import CommandParser, flag, parse_config, print_line, run
from decouplenet.config import Config

DEFAULTS = {"data.synthetic_images": 1000}
SEEDS = (0, 1, 2)
"""Of repeated configurations; the others have the first."""


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The script's own flags."""

    space: str = flag("search_spaces/demo.yaml")
    """Search space, a YAML file."""
    configurations: int = flag(320)
    """Number of configurations."""
    repeated: int = flag(20)
    """Number of configurations, the first ones, that are trained with two further seeds."""
    out: str = flag("benchmarks/table.csv")
    """Csv file to write."""
    seed: int = flag(0)
    """Seed of the random configurations."""


def draw_configurations(space: Space, count: int, seed: int) -> list[dict[str, Any]]:
    """Random configurations of a space; only the searched keys."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    return [space.suggest(study.ask()) for _ in range(count)]


def train(task: tuple[Config, dict[str, Any]]) -> list[dict[str, Any]]:
    """Train a configuration and return its rows, with the columns given for it; no rows if the training fails."""
    import torch

    from decouplenet.data.opened import open_data
    from decouplenet.engine import Engine
    from decouplenet.errors import TrainingFailed

    config, training = task
    torch.set_num_threads(1)
    rows = []
    try:
        engine = Engine(config, open_data(config.data))
        while engine.epoch < config.train.epochs:
            measured = engine.train_epoch() | engine.evaluate()
            seconds = measured["train_seconds"] + measured["eval_seconds"]
            rows.append({**training, "epoch": engine.epoch, "val_map": measured["val_map"], "seconds": seconds})
    except TrainingFailed as error:
        print_line(f"skipped: {error}")
        return []
    return rows


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    """A row with six digits per number; two trainings of the same configuration agree in fewer digits."""
    return {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()}


def recorded_rows(file: Path, epochs: int) -> Iterator[dict[str, str]]:
    """The rows of the file that belong to completely trained configurations."""
    if file.exists():
        with file.open() as stream:
            rows = list(csv.DictReader(stream))
        for i in range(0, len(rows) - epochs + 1, epochs):
            yield from rows[i : i + epochs]


def main(arguments: list[str] | None = None) -> int:
    """Run the script; prints one line per configuration."""
    description = "Train random configurations and record every epoch."
    line = CommandParser("python -m benchmarks.record_table", description, Flags).given(arguments)
    flags = line.flags
    space = load_space(flags.space, {**DEFAULTS, **line.keys})
    names = [*space.keys, "seed"]
    proposals = draw_configurations(space, flags.configurations, flags.seed)
    seeded = [(proposed, SEEDS[0]) for proposed in proposals]
    seeded += [(proposed, seed) for proposed in proposals[: flags.repeated] for seed in SEEDS[1:]]
    tasks = [
        (parse_config({**space.base, **proposed, "train.seed": seed}), {**proposed, "seed": seed})
        for proposed, seed in seeded
    ]
    file, epochs = Path(flags.out), tasks[0][0].train.epochs
    done = list(recorded_rows(file, epochs))
    done_values = {tuple(row[name] for name in names) for row in done}
    remaining = [
        task for task in tasks if tuple(str(rounded(task[1]).get(name, "")) for name in names) not in done_values
    ]

    from decouplenet.data.opened import open_data

    open_data(tasks[0][0].data)
    with file.open("w", newline="") as stream, multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        writer = csv.DictWriter(stream, [*names, "epoch", "val_map", "seconds"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(done)
        for number, rows in enumerate(pool.imap(train, remaining), start=len(tasks) - len(remaining) + 1):
            writer.writerows(map(rounded, rows))
            stream.flush()
            if rows:
                print_line(f"{number}/{len(tasks)}  val_map {max(row['val_map'] for row in rows):.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
