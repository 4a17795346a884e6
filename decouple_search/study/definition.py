"""The folder of a search: the definition that made it, and whether a search may resume in it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from decouple_search.space.objective import Objective
from decouple_search.space.space import Space
from decouple_search.stopping.scheduler import Scheduler
from decouple_search.storage.folder import Folder
from decouplenet.atomic_files import replace_file
from decouplenet.config import FACTS, Config
from decouplenet.data.places import shown
from decouplenet.dotted_keys import flatten
from decouplenet.errors import InputError
from decouplenet.yaml_text import dump_yaml, load_yaml

DEFINITION = "experiment.yaml"
"""The file of the definition. A folder that has it is a search's."""
JOURNAL = "study.log"
"""The file of the Optuna study, unless it is in a database."""
LEFTOVERS = {JOURNAL, f"{JOURNAL}.lock"}
"""Files, beside hidden ones, of a search that was killed before it had a trial."""
RESUME_MODES = ("auto", "must", "never")


@dataclass(frozen=True)
class Definition:
    """The settings that decide the trials of a search. A search resumes only with the same definition."""

    search: dict[str, str]
    """The searched keys, and their values in words."""
    objectives: dict[str, str]
    """The objectives in order, each with max or min."""
    scheduler: dict[str, Any]
    """The scheduler and its options."""
    sampler: dict[str, Any]
    """`grid`: whether the sampler is grid. Other samplers may take turns."""
    fixed: dict[str, Any]
    """The values of the fixed config keys."""

    @classmethod
    def from_search(cls, space: Space, config: Config, scheduler: Scheduler, *, grid: bool) -> Definition:
        """The definition of a search.

        Args:
            space: the searched space.
            config: the base configuration.
            scheduler: the scheduler.
            grid: whether the sampler is grid.
        """
        return cls(
            search={parameter.key: str(parameter) for parameter in space.parameters},
            objectives=dict(space.objectives),
            scheduler=vars(scheduler),
            sampler={"grid": grid},
            fixed={
                key: value
                for key, value in without_secrets(config).items()
                if key not in space.keys and _is_defining(key)
            },
        )

    @classmethod
    def read(cls, file: Path) -> Definition:
        """The definition in a file. A config key that is newer than the file had its default.

        Raises:
            InputError: the file cannot be read.
        """
        content = load_yaml(file)
        parts: dict[str, Any] = {field.name: content.get(field.name) or {} for field in fields(cls)}
        defaults = flatten(Config().to_dict())
        newer = {key: value for key, value in defaults.items() if key not in parts["search"] and _is_defining(key)}
        return cls(**parts | {"fixed": newer | parts["fixed"]})

    def write(self, folder: Path) -> None:
        """Write the definition into a search's folder."""
        replace_file(folder / DEFINITION, dump_yaml(asdict(self)))

    @property
    def grid(self) -> bool:
        """Whether the sampler is grid."""
        return bool(self.sampler.get("grid"))

    @property
    def ordered_objectives(self) -> tuple[Objective, ...]:
        """The objectives."""
        return tuple(Objective(metric, mode) for metric, mode in self.objectives.items())  # type: ignore[arg-type]

    def differences(self, other: Definition) -> list[str]:
        """The differences from another definition, in words: `there` is this one, `here` is the other."""
        before, now = self._settings(), other._settings()
        return [
            f"{name}: {before.get(name, 'absent')} there, {now.get(name, 'absent')} here"
            for name in sorted({*before, *now}, key=lambda name: (" " in name, name))  # config keys first
            if before.get(name) != now.get(name)
        ]

    def _settings(self) -> dict[str, Any]:
        """All settings by name. A config key is either searched or fixed, and has the same name in both cases."""
        parts: dict[str, dict[str, Any]] = {field.name: getattr(self, field.name) for field in fields(self)}
        keys = parts.pop("search") | parts.pop("fixed")
        return keys | {f"{part} {key}": value for part, content in parts.items() for key, value in content.items()}


def _is_defining(key: str) -> bool:
    """Whether a config key belongs to the definition of a search."""
    return not FACTS[key].of_machine


def is_resuming(folder: Folder, resume: str) -> bool:
    """Whether a search resumes in a folder; otherwise it starts there.

    Args:
        folder: the experiment's folder.
        resume: auto, must or never.

    Raises:
        InputError: `resume` is unknown, or does not fit the folder.
    """
    if resume not in RESUME_MODES:
        raise InputError(f"--resume: '{resume}' is unknown; valid: {', '.join(RESUME_MODES)}")
    names = {name for name in folder.names() if not name.startswith(".")}
    if names <= LEFTOVERS and not folder.local.is_file():
        if resume == "must":
            raise InputError(f"--resume must: there is no '{folder.shown}'; give the --storage and --name of a search")
        return False
    if resume == "never":
        raise InputError(f"--name: '{folder.shown}' is there already; give another --name, or --resume auto")
    if DEFINITION not in names:
        raise InputError(f"--name: '{folder.shown}' is there already and is no search's folder; give another --name")
    return True


def check_same(folder: Folder, definition: Definition) -> None:
    """Refuse to resume in the folder of a search with another definition.

    Raises:
        InputError: all differences.
    """
    if differences := Definition.read(folder.local / DEFINITION).differences(definition):
        raise InputError(
            f"--name: '{folder.shown}' was made by another search ({'; '.join(differences)}); give another --name"
        )


def without_secrets(config: Config) -> dict[str, Any]:
    """A config's dotted keys. Addresses are without the access keys that they may hold and that may change."""
    return {key: shown(value) if isinstance(value, str) else value for key, value in flatten(config.to_dict()).items()}
