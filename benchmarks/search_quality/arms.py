"""The searches that are compared, by name: ours, Ray's own, and the peers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from benchmarks.search_quality.peers.peer import NOT_RUN, PEERS
from benchmarks.search_quality.peers.problem import Problem
from benchmarks.search_quality.peers.remote import RemotePeer, python_for
from benchmarks.search_quality.searcher import Searcher
from benchmarks.search_quality.table import Table


def _ours(table: Table, slots: int, seed: int) -> Searcher:
    from benchmarks.search_quality.ours import OurSearch

    return OurSearch(table, slots, seed)


def _ours_with_tpe(table: Table, slots: int, seed: int) -> Searcher:
    from benchmarks.search_quality.ours import OurSearch

    return OurSearch(table, slots, seed, sampler="tpe")


def _ray_optuna(table: Table, slots: int, seed: int) -> Searcher:
    from benchmarks.search_quality.ray_stock import RayStock

    return RayStock(table, slots, seed)


def _ray_random(table: Table, slots: int, seed: int) -> Searcher:
    from benchmarks.search_quality.ray_stock import RayStock

    return RayStock(table, slots, seed, random=True)


def _random(table: Table, slots: int, seed: int) -> Searcher:
    from benchmarks.search_quality.random_search import RandomSearch

    return RandomSearch(table.space, seed)


HERE: dict[str, Callable[[Table, int, int], Searcher]] = {
    "ours": _ours,
    "ours with tpe": _ours_with_tpe,
    "Ray OptunaSearch + ASHA": _ray_optuna,
    "Ray random + ASHA": _ray_random,
    "random": _random,
}
"""Searches that run in this process."""
PEER_NAMES = (*PEERS, *NOT_RUN)
NAMES = (*HERE, *PEER_NAMES)


def is_ours(name: str) -> bool:
    """Whether an arm is a form of our search; all others are peers."""
    return name.startswith("ours")


def place(name: str) -> tuple[bool, int, str]:
    """An arm's place in tables; ours come first. Records may have arms that are not in `NAMES`."""
    return not is_ours(name), NAMES.index(name) if name in NAMES else len(NAMES), name


@contextmanager
def searcher(
    name: str, table: Table, slots: int, seed: int, *, pythons: Sequence[str], time_limit: float
) -> Iterator[Searcher]:
    """A search, with its process if it needs one.

    Args:
        name: a name of `NAMES`.
        table: the table that is searched.
        slots: trials that train at the same time.
        seed: the search's seed.
        pythons: Pythons of the peers' environments.
        time_limit: real seconds that a peer may take to decide, in all.

    Raises:
        PeerError: the peer cannot be run.
    """
    if name in HERE:
        yield HERE[name](table, slots, seed)
        return
    problem = Problem(parameters=table.space.parameters, epochs=table.epochs, slots=slots, seed=seed)
    with RemotePeer(python_for(name, pythons), name, problem, time_limit) as peer:
        yield peer
