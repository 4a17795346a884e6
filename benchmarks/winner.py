"""Does the winner of a search hold? Its best value, and what fresh seeds give for its pick and for the finalists'.

    python -m benchmarks.winner [--space demo] [--trials 24] [--seeds 5] [--finalists 3] [--fresh-seeds 3]
                                [--storage DIR]

Each search runs with finalists. Its own pick is the trial with the best value of any epoch, that of the finalists is
their winner. Both are then trained here in full with further seeds, the same for both, that took no part in any choice.
A search of the demo, with all that follows, takes 2 to 4 minutes on 2 cores.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.screening import trained
from decouplenet.command_line import CommandParser, flag, run
from decouplenet.errors import InputError, TrainingFailed

FRESH = 10_000
"""The first seed that takes no part in choosing; a search and its finalists draw theirs elsewhere."""


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The benchmark's flags."""

    space: str = flag("demo")
    """A shipped space's name or a file, with the objective val_map."""
    trials: int = flag(24, minimum=1)
    """Trials of each search."""
    seeds: int = flag(5, minimum=1)
    """Searches, each with its own seed."""
    first_seed: int = flag(0, minimum=0)
    """The first search's seed."""
    finalists: int = flag(3, minimum=1)
    """Finalists of each search."""
    fresh_seeds: int = flag(3, minimum=2)
    """Seeds of each finalist, and further seeds by which both picks are judged."""
    storage: str | None = flag(None)
    """Folder that keeps the searches; default: a temporary one."""


@dataclass(frozen=True)
class Pick:
    """A search's two picks. Values are those of the best epoch."""

    claim: float
    """The best value of the search."""
    own: float
    """The mean of the search's own pick over seeds that took no part in choosing."""
    winner: float
    """The mean of the finalists' pick over the same seeds."""
    same: bool
    """Whether both are the same trial."""
    expected: float
    """What the finalists' seeds promise of the winner: their mean."""


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark."""
    parser = CommandParser("python -m benchmarks.winner", "Does the winner hold?", Flags, config_keys=False)
    flags, picks = parser.given(arguments).flags, []
    with TemporaryDirectory() as temporary:
        folder = Path(flags.storage or temporary)
        for seed in range(flags.first_seed, flags.first_seed + flags.seeds):
            _search(flags, seed, folder)
            picks.append(_judged(folder / f"winner-{seed}", flags))
            print(f"seed {seed}: {_words(picks[-1])}", flush=True)
    for line in figures(picks):
        print(line)
    return 0


def _words(pick: Pick) -> str:
    trial = "the same trial" if pick.same else "another trial"
    return (
        f"claim {pick.claim:.4f}, fresh seeds give its pick {pick.own:.4f}; finalists pick {trial}, "
        f"promise {pick.expected:.4f}, fresh seeds give {pick.winner:.4f}"
    )


def figures(picks: Sequence[Pick]) -> Iterator[str]:
    """Lines of means over all searches."""
    means = {
        name: statistics.fmean(getattr(pick, name) for pick in picks) for name in ("claim", "own", "expected", "winner")
    }
    yield f"{len(picks)} searches: the claim is {means['claim'] - means['own']:.4f} above what fresh seeds give"
    yield f"the finalists' promise is {means['expected'] - means['winner']:.4f} above what fresh seeds give"
    yield f"fresh seeds give the search's pick {means['own']:.4f}, the finalists' pick {means['winner']:.4f}"


def _search(flags: Flags, seed: int, folder: Path) -> None:
    options = {
        "--space": flags.space,
        "--trials": flags.trials,
        "--seed": seed,
        "--finalists": flags.finalists,
        "--seeds": flags.fresh_seeds,
        "--storage": folder,
        "--name": f"winner-{seed}",
    }
    command = [sys.executable, "-m", "decouple_search.tune", *(str(word) for pair in options.items() for word in pair)]
    ended = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 - this project
    if ended.returncode:
        raise TrainingFailed(f"the search with seed {seed} ended with code {ended.returncode}: {ended.stderr[-500:]}")


def _judged(folder: Path, flags: Flags) -> Pick:
    from decouple_search.api import load_experiment
    from decouple_search.study.ranking import best_trial, search_best
    from decouplenet.dotted_keys import flatten

    experiment = load_experiment(folder)
    verdict = experiment.summary.verdict if experiment.summary else None
    own = search_best(experiment.study, experiment.objectives)
    winner = best_trial(experiment.study, experiment.objectives)
    if verdict is None or not verdict.finalists or own is None or winner is None or experiment.best_config is None:
        raise InputError(f"'{folder}' has no finalists that were trained")
    base = flatten(experiment.best_config.to_dict())
    points = [base | trial.parameters for trial in {own.number: own, winner.number: winner}.values()]
    jobs = [point | {"train.seed": FRESH + i} for point in points for i in range(flags.fresh_seeds)]
    with ProcessPoolExecutor(2) as pool:
        values = list(pool.map(best_value, jobs))
    means = [statistics.fmean(values[i : i + flags.fresh_seeds]) for i in range(0, len(values), flags.fresh_seeds)]
    promised = verdict.finalists[0].mean
    assert own.best_value is not None and promised is not None  # noqa: S101, PT018 - both have values
    return Pick(own.best_value, means[0], means[-1], own.number == winner.number, promised)


def best_value(point: dict[str, Any]) -> float:
    """Train a configuration, by dotted keys, in full; returns the best val_map of its epochs."""
    from decouplenet.config import Config
    from decouplenet.dotted_keys import nest

    return trained(Config.from_dict(nest(point)))[0]


if __name__ == "__main__":
    sys.exit(run(main))
