"""Whole searches, trained for real: our command, and Optuna alone in two processes with the same engine.

    python -m benchmarks.end_to_end [--peers] [--space demo] [--trials 24] [--seeds 10] [--targets 0.8 0.84]
                                    [--out FILE]
    python -m benchmarks.end_to_end --screen auto off --time-budget 600 --space FILE [--seeds 3] [--out FILE]
    python -m benchmarks.end_to_end --report FILE

Seconds count from the start of the command, with all imports and the start of Ray, to the line of the epoch that
reaches a value. Both searches train two trials at a time with one thread each, start from the space's start points,
and read images, or the feature maps of a frozen backbone, from the same cache, which is filled first. Searches run one
after another, ours and the peer's in turn. A search of the demo takes 1 to 3 minutes on 2 cores.

With `--screen`, our command runs with and without screening. Only the epochs of full trials count.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from decouplenet.allocator import allocator_environment
from decouplenet.command_line import CommandParser, flag, run
from decouplenet.errors import InputError

OURS, OPTUNA = "ours", "Optuna alone, two processes"
LINE = re.compile(r"trial (?P<trial>\d+)  epoch (?P<epoch>\d+)/\d+  val_map (?P<value>[0-9.]+)  best ")
"""An epoch of a full trial in the output of `decouple_search.tune`."""


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The benchmark's flags."""

    peers: bool = flag(False)
    """Run Optuna alone, too."""
    screen: list[str] = flag([])
    """Values of tune's --screen: run our command with each of them."""
    time_budget: float | None = flag(None)
    """Seconds after which a search of ours ends."""
    space: str = flag("demo")
    """A space with the objective val_map: the name of a shipped one, or a file."""
    trials: int = flag(24, minimum=1)
    """Trials of each search."""
    seeds: int = flag(10, minimum=1)
    """Searches of each kind."""
    first_seed: int = flag(0, minimum=0)
    """The first search's seed."""
    targets: list[float] = flag([0.8, 0.84])
    """Values that are to be reached."""
    out: str | None = flag(None)
    """File that searches are added to, one line of JSON per search."""
    report: str | None = flag(None)
    """File of --out: print its figures and run nothing."""


@dataclass(frozen=True)
class Search:
    """A whole search."""

    arm: str
    seed: int
    seconds: float = 0.0
    """From the start of the command to its end."""
    epochs: list[tuple[float, float]] = field(default_factory=list)
    """Seconds from the start and value of each epoch of all trials."""

    def first(self, target: float) -> float:
        """Seconds until a value reaches a target; infinite if none does."""
        return min((seconds for seconds, value in self.epochs if value >= target), default=np.inf)

    def best(self, seconds: float = np.inf) -> float:
        """The best value within some seconds; 0 before the first."""
        return max((value for at, value in self.epochs if at <= seconds), default=0.0)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark, or print the figures of an earlier run."""
    parser = CommandParser("python -m benchmarks.end_to_end", "Whole searches.", Flags, config_keys=False)
    flags = parser.given(arguments).flags
    for line in figures(_read(flags.report) if flags.report else list(_run(flags)), flags.targets):
        print(line)
    return 0


def figures(searches: Sequence[Search], targets: Sequence[float]) -> Iterator[str]:
    """Lines of seconds to each target, and of best values at the same seconds."""
    arms = {arm: [each for each in searches if each.arm == arm] for arm in dict.fromkeys(s.arm for s in searches)}
    longest = max(each.seconds for each in searches)
    marks = [*(mark for mark in (30.0, 45.0, 60.0, 90.0, 120.0, 200.0, 300.0, 450.0) if mark < longest), np.inf]
    for arm, of_arm in arms.items():
        low, middle, high = np.quantile([each.seconds for each in of_arm], [0.25, 0.5, 0.75])
        epochs = np.median([len(each.epochs) for each in of_arm])
        yield f"{arm}, {len(of_arm)} times: {middle:.0f} s (quartiles {low:.0f} and {high:.0f}), {epochs:.0f} epochs"
        for target in targets:
            at = np.sort([each.first(target) for each in of_arm])
            found = int(np.isfinite(at).sum())
            median = at[(len(at) - 1) // 2 : len(at) // 2 + 1].mean()
            said = f"{median:.0f} s" if np.isfinite(median) else "not reached by half"
            yield f"  to {target:g}: {said}, {found} of {len(at)}"
        best = "  ".join(
            f"{'end' if np.isinf(mark) else f'{mark:.0f} s'} {np.mean([each.best(mark) for each in of_arm]):.4f}"
            for mark in marks
        )
        yield f"  mean best value at {best}"
    yield from _sooner(arms.get(arm_of("auto"), []), arms.get(arm_of("off"), []))


def _sooner(screening: Sequence[Search], without: Sequence[Search]) -> Iterator[str]:
    """Per seed, how much sooner a search with screening reaches the best value of the search without."""
    for off in without:
        for auto in (each for each in screening if each.seed == off.seed):
            best, at = off.best(), auto.first(off.best())
            reached = f"after {at:.0f} s, {off.first(best) / at:.1f} times sooner" if np.isfinite(at) else "never"
            yield f"seed {off.seed}: {off.arm} has {best:.4f} after {off.first(best):.0f} s; {auto.arm} {reached}"


def arm_of(screen: str) -> str:
    """The name of our command with a value of --screen."""
    return f"screen {screen}"


def _read(file: str) -> list[Search]:
    if not Path(file).is_file():
        raise InputError(f"--report: no file '{file}'")
    rows = [json.loads(line) for line in Path(file).read_text().splitlines()]
    return [
        Search(row["arm"], row["seed"], row["seconds"], [(at, value) for at, value in row["epochs"]]) for row in rows
    ]


def _run(flags: Flags) -> Iterator[Search]:
    with tempfile.TemporaryDirectory() as folder:
        _fill_cache(flags.space)
        for seed in range(flags.first_seed, flags.first_seed + flags.seeds):
            arms = [arm_of(value) for value in flags.screen] or [OURS]
            for arm in [*arms, OPTUNA] if flags.peers else arms:
                search = (_optuna if arm == OPTUNA else _ours)(flags, seed, Path(folder), arm)
                if flags.out:
                    with Path(flags.out).open("a") as file:
                        file.write(json.dumps(asdict(search)) + "\n")
                print(f"{arm}, seed {seed}: {search.best():.4f} in {search.seconds:.0f} s", file=sys.stderr, flush=True)
                yield search


def _fill_cache(space: str) -> None:
    from decouple_search.space.shipped import space_file
    from decouple_search.space.yaml_file import load_space
    from decouplenet.config import Config
    from decouplenet.dotted_keys import nest
    from decouplenet.frozen import open_training_data

    open_training_data(Config.from_dict(nest(load_space(space_file(space)).base)))


def _ours(flags: Flags, seed: int, folder: Path, arm: str) -> Search:
    """A search by our command, with a value of --screen if the arm names one."""
    command = ["-m", "decouple_search.tune", "--space", flags.space, "--trials", str(flags.trials), "--seed", str(seed)]
    command += ["--time-budget", str(flags.time_budget)] if flags.time_budget else []
    command += ["--screen", arm.removeprefix(arm_of(""))] if arm != OURS else []
    search, start = Search(arm, seed), time.perf_counter()
    process = _python([*command, "--storage", str(folder), "--name", f"{arm.replace(' ', '-')}-{seed}"])
    for line in _lines(process):
        if found := LINE.search(line):
            search.epochs.append((time.perf_counter() - start, float(found["value"])))
    return _ended(search, [process], start)


def _optuna(flags: Flags, seed: int, folder: Path, arm: str) -> Search:
    """A search by Optuna in two processes on one journal."""
    from benchmarks.optuna_process import open_journal
    from decouple_search.space.shipped import space_file
    from decouple_search.space.yaml_file import load_space

    search, start = Search(arm, seed), time.perf_counter()
    journal = str(folder / f"optuna-{seed}.log")
    study = open_journal(journal, seed)
    for point in load_space(space_file(flags.space)).checked_start():
        study.enqueue_trial(point)
    module = ["-m", "benchmarks.optuna_process", journal, flags.space, str(flags.trials)]
    # They train in their own processes, with the memory that a gang's worker has.
    processes = [_python([*module, str(2 * seed + number)], allocator_environment()) for number in range(2)]

    def follow(process: subprocess.Popen[str]) -> None:
        for line in _lines(process):
            search.epochs.append((time.perf_counter() - start, json.loads(line)["value"]))

    threads = [threading.Thread(target=follow, args=(process,)) for process in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _ended(search, processes, start)


def _python(arguments: Sequence[str], variables: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"} | (variables or {})
    command = [sys.executable, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)  # noqa: S603 - this project


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    yield from process.stdout


def _ended(search: Search, processes: Sequence[subprocess.Popen[str]], start: float) -> Search:
    for process in processes:
        if process.wait():
            raise RuntimeError(f"{search.arm}, seed {search.seed}: a process ended with code {process.returncode}")
    if not search.epochs:
        raise RuntimeError(f"{search.arm}, seed {search.seed}: no epoch was read from its output")
    return Search(search.arm, search.seed, time.perf_counter() - start, search.epochs)


if __name__ == "__main__":
    sys.exit(run(main))
