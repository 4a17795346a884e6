"""Train random configurations of a search space in full, and write what every epoch reached: a table to replay.

    python -m benchmarks.record_table [--space FILE] [--configurations N] [--out FILE] [config keys]

`benchmarks/table.csv` was made by it with its defaults (`benchmarks.search_quality` replays it): 320 configurations of
the demo's space, each trained for 9 epochs on 800 drawn scenes. A row an epoch: the searched parameters under their
dotted names (empty where absent), `epoch`, `val_map`, and `seconds` to train and measure that epoch on one core. Needs
no Ray; under an hour on 2 cores. What is in the file already is kept, so it can be stopped and started again.
"""

from __future__ import annotations

import csv
import multiprocessing
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from decouple_search.space.space import Space
from decouple_search.space.yaml_file import load_space
from decouplenet.command_line import CommandParser, parse_config, print_line, run
from decouplenet.config import Config

DEFAULTS = {"data.synthetic_images": 1000}


def drawn(space: Space, count: int, seed: int) -> list[dict[str, Any]]:
    """Random configurations of a space, the searched keys alone."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    return [space.suggest(study.ask()) for _ in range(count)]


def train(task: tuple[Config, dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of one configuration; none where it cannot be trained."""
    import torch

    from decouplenet.data.opened import open_data
    from decouplenet.engine import Engine
    from decouplenet.errors import TrainingFailed

    config, proposed = task
    torch.set_num_threads(1)
    rows = []
    try:
        engine = Engine(config, open_data(config.data))
        while engine.epoch < config.train.epochs:
            measured = engine.train_epoch() | engine.evaluate()
            seconds = measured["train_seconds"] + measured["eval_seconds"]
            rows.append({**proposed, "epoch": engine.epoch, "val_map": measured["val_map"], "seconds": seconds})
    except TrainingFailed as error:
        print_line(f"left out: {error}")
        return []
    return rows


def shortened(row: dict[str, Any]) -> dict[str, Any]:
    """A row with six digits a number, which is more than two trainings of the same agree in."""
    return {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()}


def recorded(file: Path, epochs: int) -> Iterator[dict[str, str]]:
    """The rows of a file whose configurations were trained to the end."""
    if file.exists():
        with file.open() as stream:
            rows = list(csv.DictReader(stream))
        for i in range(0, len(rows) - epochs + 1, epochs):
            yield from rows[i : i + epochs]


def main(arguments: list[str] | None = None) -> int:
    """Run it; a line a configuration."""
    parser = CommandParser("python -m benchmarks.record_table", "Train random configurations, and keep every epoch.")
    parser.add_argument("--space", type=str, default="search_spaces/demo.yaml", help="search space, a YAML file")
    parser.add_argument("--configurations", type=int, default=320, help="how many")
    parser.add_argument("--out", type=str, default="benchmarks/table.csv", help="file to write")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_config_keys()
    own, keys = parser.given(arguments)
    space = load_space(own["space"], {**DEFAULTS, **keys})
    names = [parameter.key for parameter in space.parameters]
    proposals = drawn(space, own["configurations"], own["seed"])
    tasks = [(parse_config({**space.base, **proposed}), proposed) for proposed in proposals]
    file, epochs = Path(own["out"]), tasks[0][0].train.epochs
    done = list(recorded(file, epochs))
    known = {tuple(row[name] for name in names) for row in done}
    left = [task for task in tasks if tuple(str(shortened(task[1]).get(name, "")) for name in names) not in known]

    from decouplenet.data.opened import open_data

    open_data(tasks[0][0].data)
    with file.open("w", newline="") as stream, multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        writer = csv.DictWriter(stream, [*names, "epoch", "val_map", "seconds"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(done)
        for number, rows in enumerate(pool.imap(train, left), start=len(tasks) - len(left) + 1):
            writer.writerows(map(shortened, rows))
            stream.flush()
            if rows:
                print_line(f"{number}/{len(tasks)}  val_map {max(row['val_map'] for row in rows):.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
