"""Do screened heads rank as full trainings rank them, and what does a head cost either way?

    python -m benchmarks.screening --space FILE [--heads 24] [--full 24] [--epochs 4] [--out FILE]
    python -m benchmarks.screening --report FILE [FILE ...]

Random heads of a space are screened: trained on feature maps of the frozen backbone. Then they are trained in full, as
a search with screening does it, which is after the same training of the head (`--cold`: without it). Two processes,
with one thread each, take the heads in turn; seconds are those of training and evaluation. Both processes together
compute the feature maps anew. With two files of heads that were drawn with the same seed from the same ranges, such as
those of two backbones, `--report` gives the rank correlation of their screened values too.

24 heads on 2,172 photos of 128 px with a MobileNetV2 and a full epoch each take 20 to 30 minutes on 2 cores.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decouplenet.allocator import allocator_environment
from decouplenet.command_line import CommandParser, flag, run
from decouplenet.config import Config
from decouplenet.dotted_keys import nest
from decouplenet.errors import InputError

AT = 64
"""The number of heads over which the time of the feature maps is spread."""
RESAMPLES = 10_000
"""Resamples of the bootstrap interval."""


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The benchmark's flags."""

    space: str = flag("own_data")
    """A space with a pretrained backbone: a shipped one's name or a file."""
    heads: int = flag(24, minimum=1)
    """Random heads that are screened."""
    full: int = flag(24, minimum=0)
    """How many of them are trained in full, too; its epochs are train.epochs of the space."""
    epochs: int = flag(4, minimum=1)
    """Epochs of a screened head."""
    cold: bool = flag(False)
    """Full trainings start from a new head."""
    seed: int = flag(0, minimum=0)
    """Seed of the heads."""
    out: str | None = flag(None)
    """File that records are added to, one line of JSON each; what it has is not measured again."""
    report: list[str] = flag([])
    """Files of --out: print their figures and run nothing."""


@dataclass(frozen=True)
class Record:
    """A measurement."""

    stage: str
    """maps, screen or full."""
    head: int
    """The head's number; 0 for the maps."""
    value: float
    """The best val_map; 0 for the maps."""
    seconds: float


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark, or print the figures of earlier runs."""
    parser = CommandParser(
        "python -m benchmarks.screening", "Screened heads beside full trainings.", Flags, config_keys=False
    )
    flags = parser.given(arguments).flags
    sets = [_read(Path(file)) for file in flags.report] if flags.report else [_measured(flags)]
    for records in sets:
        for line in figures(records):
            print(line)
    if len(sets) == 2:
        print(agreement(*sets))
    return 0


def figures(records: Sequence[Record]) -> Iterator[str]:
    """Lines on how the ranks agree, on regret, and on costs."""
    screened, full = _values(records, "screen"), _values(records, "full")
    both = sorted(screened.keys() & full.keys())
    if len(both) > 2:
        pairs = np.array([[screened[head], full[head]] for head in both])
        low, high = bootstrap(pairs)
        yield f"{len(both)} heads: Spearman {spearman(pairs):.2f} (bootstrap 95 % {low:.2f} to {high:.2f})"
        best, order = pairs[:, 1].max(), np.argsort(-pairs[:, 0], kind="stable")
        lost = [f"{k}: {best - pairs[order[:k], 1].max():.4f}" for k in (1, 3, 5)]
        yield f"best in full {best:.4f}; what the best K by screening lose of it, K = {', '.join(lost)}"
    seconds = {stage: [r.seconds for r in records if r.stage == stage] for stage in ("maps", "screen", "full")}
    maps, each = sum(seconds["maps"]), float(np.mean(seconds["screen"]))
    yield f"feature maps {maps:.0f} s; a screened head {each:.1f} s (median {np.median(seconds['screen']):.1f})"
    if seconds["full"]:
        whole = float(np.mean(seconds["full"]))
        ratio = whole / (each + maps / AT)
        yield f"a full training {whole:.0f} s; with the maps over {AT} heads a screened one costs {1 / ratio:.3f} of it"
        yield f"so {ratio:.1f} heads are screened at the price of a full training"


def agreement(first: Sequence[Record], second: Sequence[Record]) -> str:
    """The rank correlation of two sets of screened values."""
    left, right = _values(first, "screen"), _values(second, "screen")
    pairs = np.array([[left[head], right[head]] for head in sorted(left.keys() & right.keys())])
    low, high = bootstrap(pairs)
    return f"both screens, {len(pairs)} heads: Spearman {spearman(pairs):.2f} (bootstrap 95 % {low:.2f} to {high:.2f})"


def spearman(pairs: NDArray[np.float64]) -> float:
    """Spearman's rank correlation of n pairs, n×2; nan where one side has a single value."""
    from scipy.stats import rankdata

    ranks = rankdata(pairs, axis=0)
    if (np.ptp(ranks, axis=0) == 0).any():
        return math.nan
    return float(np.corrcoef(ranks.T)[0, 1])


def bootstrap(pairs: NDArray[np.float64]) -> tuple[float, float]:
    """The interval that holds 95 % of Spearman's correlation over resamples of the pairs."""
    rng = np.random.default_rng(0)
    drawn = [spearman(pairs[rng.integers(len(pairs), size=len(pairs))]) for _ in range(RESAMPLES)]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _values(records: Sequence[Record], stage: str) -> dict[int, float]:
    return {record.head: record.value for record in records if record.stage == stage}


def _read(file: Path) -> list[Record]:
    if not file.is_file():
        raise InputError(f"--report: no file '{file}'")
    return [Record(**json.loads(line)) for line in file.read_text().splitlines()]


def _measured(flags: Flags) -> list[Record]:
    """Measure what the file of --out does not have."""
    configs = _configs(flags)
    records = _read(Path(flags.out)) if flags.out and Path(flags.out).exists() else []
    known = {(record.stage, record.head) for record in records}
    os.environ.update(allocator_environment())  # as in a search's gangs
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        jobs: list[Future[Record]] = []
        if ("maps", 0) not in known:
            with tempfile.TemporaryDirectory() as empty:
                began = time.perf_counter()
                for each in [pool.submit(_open_maps, configs[0].for_head(1), empty) for _ in range(2)]:
                    each.result()
                records.append(_kept(flags, Record("maps", 0, 0.0, time.perf_counter() - began)))
        for head, config in enumerate(configs):
            if ("screen", head) not in known:
                jobs.append(pool.submit(_train, "screen", head, config.for_head(flags.epochs)))
        for head, config in enumerate(configs[: flags.full]):
            if ("full", head) not in known:
                first = 0 if flags.cold else flags.epochs
                jobs.append(
                    pool.submit(_train, "full", head, replace(config, train=replace(config.train, head_epochs=first)))
                )
        for job in jobs:
            record = _kept(flags, job.result())
            print(
                f"{record.stage} {record.head}: {record.value:.4f} in {record.seconds:.1f} s",
                file=sys.stderr,
                flush=True,
            )
            records.append(record)
    return records


def _kept(flags: Flags, record: Record) -> Record:
    if flags.out:
        with Path(flags.out).open("a") as file:
            file.write(json.dumps(asdict(record)) + "\n")
    return record


def _configs(flags: Flags) -> list[Config]:
    """The configs of random heads. Keys that cannot be screened have the values of the base."""
    from decouple_search.space.shipped import space_file
    from decouple_search.space.yaml_file import load_space

    space = load_space(space_file(flags.space))
    if space.heads is None:
        raise InputError(f"--space: '{flags.space}' searches nothing that can be screened")
    others: dict[str, Any] = {key: space.default(key) for key in space.keys if key not in space.heads.keys}
    rng = np.random.default_rng(flags.seed)
    return [Config.from_dict(nest(space.base | others | space.heads.draw(rng))) for _ in range(flags.heads)]


def _open_maps(config: Config, cache: str) -> None:
    """Compute the feature maps in an empty folder, beside the other process; images come from the usual cache."""
    import torch

    from decouplenet.frozen import open_training_data

    torch.set_num_threads(1)
    maps = Path(cache)
    usual = Path(config.data.cache).expanduser()
    usual.mkdir(parents=True, exist_ok=True)
    for file in usual.glob("pixels-*"):
        if not (maps / file.name).exists() and not file.name.endswith(".lock"):
            (maps / file.name).symlink_to(file.resolve())
    open_training_data(replace(config, data=replace(config.data, cache=cache)))


def _train(stage: str, head: int, config: Config) -> Record:
    return Record(stage, head, *trained(config))


def trained(config: Config) -> tuple[float, float]:
    """Train a configuration in this process, with one thread: its best val_map and the seconds, without reading."""
    import torch

    from decouplenet.engine import Engine
    from decouplenet.frozen import open_training_data
    from decouplenet.head_start import needs_head, trained_head

    torch.set_num_threads(1)
    data = open_training_data(config)
    maps = open_training_data(config.for_head(config.train.head_epochs)) if config.train.head_epochs else None
    began, best = time.perf_counter(), 0.0
    engine = Engine(config, data)
    if maps is not None and needs_head(engine):
        engine = Engine(config, data, head=trained_head(engine, maps))
    for _ in range(config.train.epochs):
        engine.train_epoch()
        best = max(best, float(engine.evaluate()["val_map"]))
    engine.close()
    return best, time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(run(main))
