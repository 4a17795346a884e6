"""The typed config tree: its sections, what spans two of them, and facts about each key.

A dotted name such as `model.alpha` addresses a field everywhere: on the command line, in YAML, in a search space and
in the leaderboard.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, get_type_hints

from decouplenet.config_checks import check_k, require
from decouplenet.config_facts import Facts, facts_of
from decouplenet.config_sections import (
    POOLING_HEADS,
    DataConfig,
    EpochMeasure,
    ModelConfig,
    OptimConfig,
    ScalingConfig,
    TrainConfig,
)
from decouplenet.dotted_keys import flatten, nearest, nest
from decouplenet.errors import InputError
from decouplenet.heads.settings import OWN_LOSS, HeadConfig

__all__ = [
    "FACTS",
    "FOR_HEAD",
    "KEYS",
    "POOLING_HEADS",
    "SECTIONS",
    "Config",
    "DataConfig",
    "EpochMeasure",
    "HeadConfig",
    "ModelConfig",
    "OptimConfig",
    "ScalingConfig",
    "TrainConfig",
    "check_k",
    "check_keys",
]


@dataclass(kw_only=True, slots=True)
class Config:
    """Everything that decides a training's result, and what it runs on."""

    model: ModelConfig = field(default_factory=ModelConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    scaling: ScalingConfig = field(default_factory=ScalingConfig)

    def __post_init__(self) -> None:
        """Check what spans two sections."""
        self.check_batch(self.scaling.workers_per_trial, "scaling.workers_per_trial")
        own_loss = self.model.head in OWN_LOSS
        need = f"bce with model.head {self.model.head}, which has a loss of its own"
        require(self.train.loss == "bce" or not own_loss, "train.loss", self.train.loss, need)
        if self.train.freeze_backbone or self.train.head_epochs:
            self._check_maps()

    def _check_maps(self) -> None:
        """Refuse what a training on the feature maps of a frozen backbone cannot do."""
        frozen, of_pixels = self.train.freeze_backbone, bool(self.data.randaugment or self.data.cutout)
        for key, value, refused, need in (
            ("model.pretrained", self.model.pretrained, not self.model.pretrained, "true or a weight file"),
            ("data.cache", self.data.cache, self.data.cache == "none", "a folder, for the feature maps"),
            ("data.randaugment and data.cutout", "one above 0", frozen and of_pixels, "0, as maps are computed once"),
            ("train.compile", self.train.compile, frozen and self.train.compile, "false: only the head is trained"),
            ("train.head_epochs", self.train.head_epochs, frozen and self.train.head_epochs, "0: no other epochs are"),
        ):
            if refused:
                by = "train.freeze_backbone true" if frozen else f"train.head_epochs {self.train.head_epochs}"
                raise InputError(f"{key}: {value}, with {by}; it must be {need}")

    def for_head(self, epochs: int) -> Config:
        """The config of a training of the head alone, on the feature maps of the frozen backbone.

        Raises:
            InputError: the backbone has no pretrained weights, or there is no cache folder.
        """
        return Config.from_dict(nest(flatten(self.to_dict()) | FOR_HEAD | {"train.epochs": epochs}))

    def check_batch(self, workers: int, key: str) -> None:
        """Refuse a number of workers, given by `key`, if a worker would have fewer than 2 images per micro-batch."""
        micro_batches, batch = self.train.accumulation, self.train.batch_size
        also = f" and train.accumulation {micro_batches}" if micro_batches > 1 else ""
        minimum = 2 * workers * micro_batches
        need = f"at least 2 per worker and micro-batch: {minimum} with {key} {workers}{also}"
        require(batch >= minimum, "train.batch_size", batch, need)

    @classmethod
    def from_dict(cls, nested: Mapping[str, Any]) -> Config:
        """Build a config from `{section: {field: value}}`; fields that are left out keep their defaults.

        Raises:
            InputError: an unknown key or a value out of range.
        """
        flat = flatten(nested)
        check_keys(flat)
        values: dict[str, dict[str, Any]] = {}
        for key, value in flat.items():
            section, _, name = key.rpartition(".")
            values.setdefault(section, {})[name] = value
        made = {section: SECTIONS[section](**fields_) for section, fields_ in values.items()}
        heads = {section.removeprefix("head."): made.pop(section) for section in list(made) if "." in section}
        return cls(**made, head=HeadConfig(**heads))

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """All fields as `{section: {field: value}}`."""
        return asdict(self)

    def in_use(self) -> dict[str, dict[str, Any]]:
        """As `to_dict`, without the settings of heads that the network does not have. Files of configs hold this."""
        sections = self.to_dict()
        head = sections.pop("head")
        own = {name: head[name] for name in head.keys() & {self.model.head}}
        return sections | ({"head": own} if own else {})


SECTIONS: dict[str, Any] = {
    "model": ModelConfig,
    **{f"head.{name}": settings for name, settings in get_type_hints(HeadConfig).items()},
    "data": DataConfig,
    "optim": OptimConfig,
    "train": TrainConfig,
    "scaling": ScalingConfig,
}
FACTS: dict[str, Facts] = {
    f"{name}.{f.name}": facts_of(section, f) for name, section in SECTIONS.items() for f in fields(section)
}
"""The facts of every key, by its dotted name."""
KEYS: tuple[str, ...] = tuple(FACTS)
FOR_HEAD: dict[str, Any] = {
    "data.randaugment": 0,
    "data.cutout": 0.0,
    "train.compile": False,
    "train.strategy": "ddp",
    "train.freeze_backbone": True,
    "train.head_epochs": 0,
}
"""The keys, besides `train.epochs`, by which a training of the head alone differs from one of the whole network."""


def check_keys(keys: Iterable[str], where: str = "config") -> None:
    """Refuse an unknown key, naming the nearest valid one.

    Raises:
        InputError: at the first unknown key.
    """
    for key in keys:
        if key not in KEYS:
            raise InputError(f"{where}: unknown key '{key}'; {nearest(key, KEYS)}")
