"""The tables of the benchmark by name, and which of them may play a part in choosing our searcher.

table = make_table("lcbench-7593", Sources(lcbench=Path("...")))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.search_quality.csv_table import read_table
from benchmarks.search_quality.functions import FUNCTIONS, FunctionTable
from benchmarks.search_quality.hpo_bench import GridTable
from benchmarks.search_quality.hpo_bench import names as grid_names
from benchmarks.search_quality.lcbench import LCBench, tasks
from benchmarks.search_quality.surrogate import KINDS, SurrogateTable
from benchmarks.search_quality.table import Table
from decouplenet.dotted_keys import nearest
from decouplenet.errors import InputError

RECORDED = Path(__file__).parents[1] / "table.csv"
"""Trainings of the demo."""
CHOSEN_ON = (
    "table-trees",
    "table-gp",
    "lcbench-126026",
    "lcbench-167190",
    "lcbench-189862",
    "hpolib-naval_propulsion",
    "hpobench-segment",
    "levy3",
    "bowl10",
    "crossing5",
    "conditional",
)
"""Tables that our searcher may be chosen and tuned on. A csv file of `--table` belongs to them."""
REPORTED = (
    "lcbench-7593",
    "lcbench-34539",
    "lcbench-126029",
    "lcbench-167185",
    "lcbench-168331",
    "lcbench-189354",
    "lcbench-189906",
    "lcbench-189909",
    "hpolib-protein_structure",
    "hpolib-slice_localization",
    "hpobench-vehicle",
    "nasbench201-imagenet",
    "hartmann6-noise",
    "levy10",
    "bowl20",
    "crossing8-noise",
    "layers",
    "grid60",
)
"""Tables that play no part in choosing."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where tables come from."""

    table: Path = RECORDED
    """A csv file of trainings; its tables are `<stem>-trees` and `<stem>-gp`."""
    lcbench: Path | None = None
    """The folder of LCBench's surrogate; None if it is not there."""

    @property
    def recorded(self) -> tuple[str, ...]:
        """The names of the csv file's tables."""
        return tuple(f"{self.table.stem}-{kind}" for kind in KINDS)


def known_names(sources: Sources) -> list[str]:
    """The names of all tables that the sources have."""
    lcbench = [f"lcbench-{task}" for task in tasks(sources.lcbench)] if sources.lcbench else []
    return [*sources.recorded, *FUNCTIONS, *lcbench, *grid_names()]


def chosen_names(words: Sequence[str], sources: Sources) -> tuple[list[str], list[str]]:
    """The tables that words stand for, and those left out for want of their source.

    Args:
        words: `chosen`, `reported`, `all`, or names.
        sources: where tables come from.

    Raises:
        InputError: an unknown name.
    """
    groups = {"chosen": _with_file(sources), "reported": REPORTED, "all": (*_with_file(sources), *REPORTED)}
    names = list(dict.fromkeys(name for word in words for name in groups.get(word, (word,))))
    missing = [name for name in names if name.startswith("lcbench-") and sources.lcbench is None]
    valid = known_names(sources)
    for name in names:
        if name not in valid and name not in missing:
            raise InputError(f"--tables: unknown '{name}'; {nearest(name, [*groups, *valid])}")
    return [name for name in names if name not in missing], missing


def _with_file(sources: Sources) -> tuple[str, ...]:
    """The tables that are chosen on, with the tables of the given csv file in place of the recorded ones."""
    if sources.table == RECORDED:
        return CHOSEN_ON
    return (*sources.recorded, *CHOSEN_ON[len(KINDS) :])


def make_table(name: str, sources: Sources | None = None) -> Table:
    """Make a table by its name. Takes up to half a minute: surrogates are fitted, and best values searched.

    Raises:
        InputError: an unknown name, or its source is missing.
    """
    sources = sources or Sources()
    if name in sources.recorded:
        return SurrogateTable(read_table(sources.table), name.rpartition("-")[2], name)
    if name in FUNCTIONS:
        return FunctionTable(name)
    if name in grid_names():
        return GridTable(name)
    if name.startswith("lcbench-"):
        if sources.lcbench is None:
            raise InputError(f"table {name} needs --lcbench DIR, the folder of the surrogate")
        return LCBench(sources.lcbench, name.removeprefix("lcbench-"))
    raise InputError(f"--tables: unknown '{name}'; {nearest(name, known_names(sources))}")
