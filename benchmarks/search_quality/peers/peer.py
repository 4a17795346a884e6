"""The peers by name: which modules each needs, and how it is made from a problem."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

from benchmarks.search_quality.peers.problem import Problem
from benchmarks.search_quality.searcher import Searcher


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A search of another package."""

    needs: tuple[str, ...]
    """Distributions that its environment must have, each with its version's beginning, if that matters."""
    module: str
    """The module of `benchmarks.search_quality.peers` that drives it, in its function `make`."""
    options: dict[str, Any] = field(default_factory=dict)
    """Arguments of `make`."""

    def make(self, problem: Problem) -> Searcher:
        """The searcher of a problem, in an environment that has its package."""
        module = importlib.import_module(f"benchmarks.search_quality.peers.{self.module}")
        searcher: Searcher = module.make(problem, **self.options)
        return searcher


def _optuna(**options: Any) -> Peer:
    needs = ("optuna", "torch", "scipy") if options.get("sampler") == "gp" else ("optuna",)
    return Peer(needs=needs, module="optuna_alone", options=options)


def _syne_tune(name: str, **options: Any) -> Peer:
    return Peer(needs=("syne-tune==0.13",), module="syne_tune_gp", options={"name": name, **options})


PEERS = {
    "Optuna TPE + SHA": _optuna(pruner="sha"),
    "Optuna TPE + SHA(1, 3)": _optuna(pruner="sha-1-3"),
    "Optuna TPE + Hyperband": _optuna(pruner="hyperband"),
    "Optuna GP + SHA": _optuna(pruner="sha", sampler="gp"),
    "random + ASHA": _syne_tune("ASHA"),
    "random + ASHA promotion": _syne_tune("ASHA", type="promotion"),
    "MOBSTER promotion": _syne_tune("MOBSTER", type="promotion"),
    "MOBSTER stopping": _syne_tune("MOBSTER", type="stopping"),
    "Hyper-Tune": _syne_tune("HyperTune", type="promotion"),
    "Hyper-Tune 4": _syne_tune("HyperTune", type="promotion", brackets=4),
    "DyHPO": _syne_tune("DyHPO", rung_increment=1),  # as its documentation advises for a grace period of 1
    "ASHA-CQR": Peer(needs=("syne-tune==0.16",), module="syne_tune_asha", options={"name": "ASHACQR"}),
    "ASHA-BOHB": Peer(needs=("syne-tune==0.16",), module="syne_tune_asha", options={"name": "BOHB"}),
    "SMAC3": Peer(needs=("smac",), module="smac_facade"),
    "DEHB": Peer(needs=("DEHB",), module="dehb_search"),
}
"""All peers by name."""
NOT_RUN = {"ifBO": "its network's weights are fetched at run time, and cannot be had offline"}
"""Peers that are not run, and why."""
