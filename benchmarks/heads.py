"""Which head is best? Every head at its default settings: screened on feature maps, and the best trained in full.

    python -m benchmarks.heads --space FILE [--heads NAME ...] [--rates 1e-3 3e-3 1e-2] [--seeds 3] [--epochs 4]
                               [--full 5] [--out FILE]
    python -m benchmarks.heads --report FILE

Each head is screened with each learning rate and the first seed, and then with its best rate and the other seeds. The
best heads and DecoupleNet are trained in full at their rates: for train.epochs of the space, with all seeds, after the
same training of the head. Two processes with one thread each take the trainings in turn. `python -m benchmarks.step
--model.head NAME` gives the cost of a step.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from benchmarks.screening import trained
from decouplenet.allocator import allocator_environment
from decouplenet.command_line import CommandParser, flag, run
from decouplenet.config import Config
from decouplenet.dotted_keys import nest
from decouplenet.errors import InputError
from decouplenet.extensions import HEADS

OURS = "decouplenet"


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The benchmark's flags."""

    space: str = flag("own_data")
    """A space with a pretrained backbone, of which the base counts: a shipped one's name or a file."""
    heads: list[str] = flag([], names=HEADS.builtin)
    """Heads; default: all."""
    rates: list[float] = flag([1e-3, 3e-3, 1e-2])
    """Learning rates."""
    seeds: int = flag(3, minimum=1)
    """Trainings of each head at its best rate."""
    epochs: int = flag(4, minimum=1)
    """Epochs of a screened head."""
    full: int = flag(5, minimum=0)
    """Heads that are trained in full, besides DecoupleNet."""
    out: str | None = flag(None)
    """File that records are added to, one line of JSON each; what it has is not measured again."""
    report: str | None = flag(None)
    """File of --out: print its figures and run nothing."""


@dataclass(frozen=True)
class Training:
    """A training to do."""

    stage: str
    """screen or full."""
    head: str
    rate: float
    seed: int


@dataclass(frozen=True)
class Record:
    """A training and what came of it."""

    training: Training
    value: float
    """The best val_map."""
    seconds: float


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark, or print the figures of earlier runs."""
    parser = CommandParser("python -m benchmarks.heads", "All heads beside one another.", Flags, config_keys=False)
    flags = parser.given(arguments).flags
    records = _read(flags.report) if flags.report else _measured(flags)
    for line in figures(records):
        print(line)
    return 0


def figures(records: Sequence[Record]) -> Iterator[str]:
    """A row per head, the best screened first: mean and standard deviation at its best rate, and mean seconds."""
    heads = dict.fromkeys(record.training.head for record in records)
    yield "| head | rate | screened | seconds | in full | seconds |"
    yield "|---|---|---|---|---|---|"
    for head in sorted(heads, key=lambda head: -_mean(_at_best(records, head))):
        screened = _at_best(records, head)
        full = [r for r in records if (r.training.head, r.training.stage) == (head, "full")]
        rate = f"{screened[0].training.rate:g}"
        yield f"| {head} | {rate} | {_cell(screened)} | {_seconds(screened)} | {_cell(full)} | {_seconds(full)} |"


def _at_best(records: Sequence[Record], head: str) -> list[Record]:
    """The screened trainings of a head at the rate that was best with the first seed."""
    screened = [r for r in records if (r.training.head, r.training.stage) == (head, "screen")]
    first = [r for r in screened if r.training.seed == 0]
    rate = max(first, key=lambda r: r.value).training.rate
    return [r for r in screened if r.training.rate == rate]


def _mean(records: Sequence[Record]) -> float:
    return statistics.fmean(record.value for record in records)


def _cell(records: Sequence[Record]) -> str:
    if not records:
        return "-"
    spread = f" ± {statistics.stdev(record.value for record in records):.4f}" if len(records) > 1 else ""
    return f"{_mean(records):.4f}{spread}"


def _seconds(records: Sequence[Record]) -> str:
    return f"{statistics.fmean(record.seconds for record in records):.1f}" if records else "-"


def _read(file: str) -> list[Record]:
    if not Path(file).is_file():
        raise InputError(f"--report: no file '{file}'")
    rows = [json.loads(line) for line in Path(file).read_text().splitlines()]
    return [Record(Training(**row["training"]), row["value"], row["seconds"]) for row in rows]


def _measured(flags: Flags) -> list[Record]:
    """Measure what the file of --out does not have."""
    heads = flags.heads or list(HEADS.builtin)
    records = _read(flags.out) if flags.out and Path(flags.out).exists() else []
    os.environ.update(allocator_environment())  # as in a search's gangs
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:

        def carry_out(trainings: Sequence[Training]) -> None:
            known = {record.training for record in records}
            jobs = [(each, pool.submit(trained, _config(flags, each))) for each in trainings if each not in known]
            for training, job in jobs:
                record = Record(training, *job.result())
                records.append(record)
                if flags.out:
                    with Path(flags.out).open("a") as file:
                        file.write(json.dumps(asdict(record)) + "\n")
                print(f"{training}: {record.value:.4f} in {record.seconds:.1f} s", file=sys.stderr, flush=True)

        carry_out([Training("screen", head, rate, 0) for head in heads for rate in flags.rates])
        rates = {head: _at_best(records, head)[0].training.rate for head in heads}
        carry_out([Training("screen", head, rates[head], seed) for head in heads for seed in range(1, flags.seeds)])
        best = sorted(heads, key=lambda head: -_mean(_at_best(records, head)))[: flags.full]
        if flags.full and OURS in heads and OURS not in best:
            best.append(OURS)
        carry_out([Training("full", head, rates[head], seed) for head in best for seed in range(flags.seeds)])
    return records


def _config(flags: Flags, training: Training) -> Config:
    from decouple_search.space.shipped import space_file
    from decouple_search.space.yaml_file import load_space

    keys = {"model.head": training.head, "optim.lr": training.rate, "train.seed": training.seed}
    config = Config.from_dict(nest(load_space(space_file(flags.space)).base | keys))
    if training.stage == "screen":
        return config.for_head(flags.epochs)
    return replace(config, train=replace(config.train, head_epochs=flags.epochs))


if __name__ == "__main__":
    sys.exit(run(main))
