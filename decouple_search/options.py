"""The flags of `tune`, and a search as the user asked for it. Needs neither Ray nor torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from decouple_search.samplers.registry import SAMPLERS
from decouple_search.space.space import Space
from decouple_search.stopping.scheduler import SCHEDULERS, Scheduler
from decouple_search.storage.folder import Folder
from decouple_search.study.definition import RESUME_MODES, Definition
from decouplenet.command_line import flag
from decouplenet.config import Config

DEMO = Path(__file__).parent.parent / "search_spaces" / "demo.yaml"
"""The space that is searched by default."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command's own flags."""

    space: str = flag(str(DEMO))
    """Search space, a YAML file."""
    trials: int | None = flag(None, minimum=1)
    """Trials in all; default: the space's own number."""
    time_budget: float | None = flag(None, minimum=1)
    """Stop after this many seconds."""
    epoch_budget: int | None = flag(None, minimum=1)
    """Stop after this many epochs over all trials."""
    patience: int | None = flag(None, minimum=1)
    """Stop after this many trials in a row without a better one."""
    resume: str = flag("auto", names=RESUME_MODES)
    """Whether to resume a search of that name; default: auto."""
    warm_start: str | None = flag(None)
    """Experiment whose trials are imported."""
    optuna_storage: str | None = flag(None)
    """URL of a database for the study."""
    storage: str = flag("results")
    """Folder or URI that experiments are kept in."""
    name: str | None = flag(None)
    """The experiment's folder; default: space and time."""
    workers_per_trial: int | None = flag(None)
    """Short form of --scaling.workers_per_trial."""
    max_concurrent: int | None = flag(None, minimum=1)
    """Trials that may run at the same time; default: all that fit."""
    sampler: str | None = flag(None, names=SAMPLERS)
    """How configurations are proposed; default: the space's own sampler."""
    scheduler: str | None = flag(None, names=SCHEDULERS)
    """When trials are stopped; default: the space's own scheduler."""
    seed: int = flag(0)
    """Seed of the sampler."""
    max_failures: int = flag(2, minimum=0)
    """How often a trial restarts after a lost or hung worker."""
    keep_checkpoints: int | None = flag(None, minimum=1)
    """Ended trials whose best checkpoint stays on disk; default: the space's own number, or 3."""
    retrain_best: bool = flag(False)
    """Then train the winner in full, with the held-out images."""
    dry_run: bool = flag(False)
    """Print the plan and start nothing."""
    cluster: str | None = flag(None)
    """File of `ray up` or KubeRay: the machines that may be added."""
    epoch_seconds: float | None = flag(None, minimum=0)
    """Seconds per epoch of a trial, for the plan's hours."""
    prices: str | None = flag(None)
    """Prices per hour by type of machine, for the plan: head=0.10,gpu_spot=0.35."""


@dataclass(frozen=True, kw_only=True)
class SearchRequest:
    """A search as the user asked for it, checked without Ray."""

    folder: Folder
    """The folder to write. A search in it is resumed."""
    space: Space
    """The searched space."""
    config: Config
    """The base configuration."""
    scheduler: Scheduler
    """When trials are stopped."""
    sampler: str
    """How configurations are proposed: a name of `SAMPLERS`."""
    trials: int
    """Trials in all."""
    keep_checkpoints: int
    """Ended trials whose best checkpoint stays on disk."""
    options: Options
    """The command's flags."""

    @property
    def definition(self) -> Definition:
        """The definition of the search. A resumed search must have the same one."""
        return Definition.from_search(self.space, self.config, self.scheduler, grid=self.sampler == "grid")
