"""The typed config tree (model, data, optim, train, scaling): its keys, defaults, ranges and YAML form.

Dotted names such as `model.alpha` address a field everywhere: on the command line, in YAML, in a search
space and in the leaderboard. Types are checked where text comes in (`command_line.py`), ranges here.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, SupportsIndex

import yaml

from decouplenet.data.places import is_address, read_bytes, shown
from decouplenet.errors import InputError

Backbone = Literal[
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "mobilenet_v2",
    "convnext_tiny",
    "convnext_small",
    "efficientnet_b0",
    "tiny",
]


@dataclass(kw_only=True, slots=True)
class ModelConfig:
    """The network: backbone and head (paper, Fig. 1)."""

    backbone: Backbone = "resnet101"
    """Feature extractor, of torchvision's under its name, or tiny for small synthetic images."""
    pretrained: bool | str = True
    """ImageNet weights: true (torchvision's own, downloaded once), false, or a .pth or .safetensors file."""
    head: Literal["decouplenet", "wildcat", "gap", "gmp"] = "decouplenet"
    """DecoupleNet, or a baseline: WILDCAT, or a linear layer after average (gap) or max (gmp) pooling."""
    maps_per_class: int = 4
    """m: maps that the group convolution learns for each class (section 2.1)."""
    upsampling: Literal["none", "bilinear", "transposed"] = "transposed"
    """How features become one map a class before the group convolution (section 2.1, Table 4)."""
    attention: Literal["none", "arch1", "arch2", "joint"] = "arch1"
    """Attention from the class maps (arch1), the backbone features (arch2), both in one model, or none."""
    k_pos: int | float = 0.2
    """k+ of Eq. 3: an int is a number of pixels, a float in (0, 1] a share of the map's pixels."""
    k_neg: int | float = 0.2
    """k- of Eq. 3, like k+; 0 switches the negative term off."""
    alpha: float = 0.7
    """Weight of the k- lowest pixels in Eq. 3."""

    def __post_init__(self) -> None:
        """Check ranges, and that the weights can be."""
        tiny_weights = self.backbone == "tiny" and self.pretrained
        _require(not tiny_weights, "model.pretrained", self.pretrained, "false: there are no weights for tiny")
        _require(self.maps_per_class >= 1, "model.maps_per_class", self.maps_per_class, "at least 1")
        check_k("model.k_pos", self.k_pos, zero_allowed=False)
        check_k("model.k_neg", self.k_neg, zero_allowed=True)


@dataclass(kw_only=True, slots=True)
class DataConfig:
    """Where the images and labels are and how they are read."""

    format: Literal["synthetic", "coco", "nuswide", "voc", "table"] = "synthetic"
    """How labels are written: COCO instances JSON, NUS-WIDE's lists, VOC's XML, a csv or parquet table, or drawn."""
    train_annotations: str | None = None
    """Labels of the training images: a JSON, a folder of NUS-WIDE's lists, a VOC image list, or a table."""
    train_images: str | None = None
    """Folder or address of the training images."""
    val_annotations: str | None = None
    """Labels of the validation images, in the same form; without it a share of train is held out."""
    val_images: str | None = None
    """Folder or address of the validation images (default: train_images)."""
    image_size: int = 448
    """Images are warped to a square of this many pixels a side."""
    holdout: float = 0.1
    """Share of the training images kept for validation when there is no val_annotations; 0 trains on all of them."""
    crowd: bool = True
    """Whether an object marked iscrowd gives its image the label."""
    difficult: Literal["ignore", "positive", "negative"] = "ignore"
    """voc: what an object marked difficult, the only one of its class in an image, says of that class there."""
    drop_unlabelled: bool = False
    """Whether images without any label are left out."""
    path_column: str | None = None
    """table: column of the image paths (default: found by its name)."""
    label_column: str | None = None
    """table: column of the labels (default: found by its name; without one, each 0/1 column is a class)."""
    split_column: str | None = None
    """table: column that says train, val or test (default: found by its name)."""
    label_separator: str | None = None
    """table: what stands between labels (default: found; a list such as ['cat', 'dog'] is read as one)."""
    flip: bool = True
    """Random horizontal flip in training."""
    randaugment: int = 0
    """RandAugment: random changes an image in training; 0 for none."""
    randaugment_magnitude: float = 9.0
    """RandAugment: how strong the changes are, up to 10."""
    cutout: float = 0.0
    """Side of a square that is painted over in training, as a share of the image's; 0 for none."""
    workers: int = 2
    """Threads a worker decodes and loads with."""
    cache: str = "~/.cache/decouplenet"
    """Folder for decoded images (each is decoded once) and synthetic scenes; none decodes every time."""
    synthetic_images: int = 1600
    """Number of synthetic scenes; a fifth of them is val."""
    synthetic_seed: int = 0
    """Seed of the synthetic scenes."""

    def __post_init__(self) -> None:
        """Check ranges."""
        _require(self.image_size >= 8, "data.image_size", self.image_size, "at least 8")
        _require(0 <= self.holdout < 1, "data.holdout", self.holdout, "in [0, 1)")
        _require(self.randaugment >= 0, "data.randaugment", self.randaugment, "at least 0")
        strong = 0 <= self.randaugment_magnitude <= 10
        _require(strong, "data.randaugment_magnitude", self.randaugment_magnitude, "in [0, 10]")
        _require(0 <= self.cutout < 1, "data.cutout", self.cutout, "in [0, 1)")
        _require(self.workers >= 1, "data.workers", self.workers, "at least 1")
        _require(self.synthetic_images >= 50, "data.synthetic_images", self.synthetic_images, "at least 50")
        _require(self.synthetic_seed >= 0, "data.synthetic_seed", self.synthetic_seed, "at least 0")


@dataclass(kw_only=True, slots=True)
class OptimConfig:
    """The optimiser and its schedule."""

    name: Literal["sgd", "adamw"] = "sgd"
    """SGD with momentum, or AdamW."""
    lr: float = 0.01
    """Peak learning rate of the head."""
    backbone_lr_scale: float = 0.1
    """The backbone learns at lr times this."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 1e-4
    """Weight decay."""
    schedule: Literal["cosine", "onecycle", "constant"] = "cosine"
    """Learning rate over the whole training, step by step."""

    def __post_init__(self) -> None:
        """Check ranges."""
        _require(self.lr > 0, "optim.lr", self.lr, "above 0")
        _require(self.backbone_lr_scale >= 0, "optim.backbone_lr_scale", self.backbone_lr_scale, "at least 0")
        _require(0 <= self.momentum < 1, "optim.momentum", self.momentum, "in [0, 1)")
        _require(self.weight_decay >= 0, "optim.weight_decay", self.weight_decay, "at least 0")


@dataclass(kw_only=True, slots=True)
class TrainConfig:
    """One training."""

    epochs: int = 12
    """Epochs of a full training; in a search, the most that a trial may train."""
    batch_size: int = 50
    """Images a step, over all workers."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """fp32, or automatic mixed precision in bfloat16 or float16 (with loss scaling)."""
    strategy: Literal["ddp", "deepspeed"] = "ddp"
    """How several workers train one model: torch's data parallel, or DeepSpeed with ZeRO."""
    zero_stage: Literal[0, 1, 2, 3] = 1
    """What deepspeed splits over the workers: 0 nothing, 1 optimiser state, 2 gradients too, 3 weights too."""
    deepspeed_config: str | None = None
    """JSON file (or its content) of further DeepSpeed settings; one that contradicts a key of ours is an error."""
    accumulation: int = 1
    """Parts that a worker takes its share of a batch in, one after the other: less memory, the same batch."""
    clip_norm: float = 0.0
    """Largest norm of the gradient over all weights; 0 does not clip."""
    ema_decay: float = 0.0
    """Decay a step of a moving average of the weights, which is measured and saved in their place; 0 for none."""
    compile: bool = False
    """torch.compile the network; a trial of it at the start leaves it out, and says so, where steps get no faster."""
    loss: Literal["bce", "asl", "warp"] = "bce"
    """Binary cross-entropy (section 2.2), the asymmetric loss, or WARP's ranking loss, over all classes."""
    asl_gamma_pos: float = 0.0
    """asl: how much less positives count that are found already."""
    asl_gamma_neg: float = 4.0
    """asl: how much less negatives count that are ruled out already."""
    asl_margin: float = 0.05
    """asl: probability below which a negative does not count."""
    seed: int = 0
    """Seed of the weights, the order of the images and their augmentation."""

    def __post_init__(self) -> None:
        """Check ranges."""
        _require(self.epochs >= 1, "train.epochs", self.epochs, "at least 1")
        _require(self.batch_size >= 2, "train.batch_size", self.batch_size, "at least 2 (batch normalisation)")
        _require(self.accumulation >= 1, "train.accumulation", self.accumulation, "at least 1")
        _require(self.clip_norm >= 0, "train.clip_norm", self.clip_norm, "at least 0")
        _require(0 <= self.ema_decay < 1, "train.ema_decay", self.ema_decay, "in [0, 1)")
        _require(self.asl_gamma_pos >= 0, "train.asl_gamma_pos", self.asl_gamma_pos, "at least 0")
        _require(self.asl_gamma_neg >= 0, "train.asl_gamma_neg", self.asl_gamma_neg, "at least 0")
        _require(0 <= self.asl_margin < 1, "train.asl_margin", self.asl_margin, "in [0, 1)")
        whole = self.strategy != "deepspeed" or self.zero_stage < 3
        _require(whole or not self.compile, "train.compile", self.compile, "false with train.zero_stage 3")
        _require(self.seed >= 0, "train.seed", self.seed, "at least 0")


@dataclass(kw_only=True, slots=True)
class ScalingConfig:
    """What one training runs on."""

    workers_per_trial: int = 1
    """Workers that train one configuration together."""
    min_workers_per_trial: int | None = None
    """Workers that a trial goes on with, if no more fit once machines are lost; left out, it waits for all of them."""
    cpus_per_worker: float = 1
    """CPU cores of a worker."""
    gpus_per_worker: float | None = None
    """GPUs of a worker; a fraction lets several share one. Left out: 1 where there are GPUs, else 0."""
    placement_strategy: Literal["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"] = "PACK"
    """Workers of a trial close together, apart, all on one machine, or each on another (Ray's names)."""
    hang_timeout: float = 600
    """Seconds after which workers that get nothing done are given up, and the trial starts again."""

    def __post_init__(self) -> None:
        """Check ranges."""
        _require(self.workers_per_trial >= 1, "scaling.workers_per_trial", self.workers_per_trial, "at least 1")
        least = self.min_workers_per_trial
        enough = least is None or 1 <= least <= self.workers_per_trial
        _require(enough, "scaling.min_workers_per_trial", least, "from 1 to scaling.workers_per_trial")
        _require(self.cpus_per_worker > 0, "scaling.cpus_per_worker", self.cpus_per_worker, "above 0")
        gpus = self.gpus_per_worker or 0
        _require(
            0 <= gpus <= 1, "scaling.gpus_per_worker", gpus, "from 0 to 1: a worker trains on one GPU or a share of it"
        )
        _require(self.hang_timeout > 0, "scaling.hang_timeout", self.hang_timeout, "above 0")


@dataclass(kw_only=True, slots=True)
class Config:
    """Everything that decides a training's result, and what it runs on."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    scaling: ScalingConfig = field(default_factory=ScalingConfig)

    def __post_init__(self) -> None:
        """Check what spans two sections."""
        self.check_batch(self.scaling.workers_per_trial, "scaling.workers_per_trial")

    def check_batch(self, workers: int, key: str) -> None:
        """Refuse a number of workers, given by `key`, that leaves one with fewer than 2 images at a time."""
        parts, batch = self.train.accumulation, self.train.batch_size
        also = f" and train.accumulation {parts}" if parts > 1 else ""
        least = 2 * workers * parts
        need = f"at least 2 for each worker at a time: {least} with {key} {workers}{also}"
        _require(batch >= least, "train.batch_size", batch, need)

    @classmethod
    def from_dict(cls, nested: Mapping[str, Any]) -> Config:
        """Build from `{section: {field: value}}`; fields that are left out keep their defaults.

        Raises:
            InputError: an unknown key or a value out of range.
        """
        check_keys(flatten(nested))
        return cls(**{name: SECTIONS[name](**values) for name, values in nested.items()})

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """All fields as `{section: {field: value}}`."""
        return asdict(self)


SECTIONS: dict[str, Any] = {
    "model": ModelConfig,
    "data": DataConfig,
    "optim": OptimConfig,
    "train": TrainConfig,
    "scaling": ScalingConfig,
}
KEYS: tuple[str, ...] = tuple(f"{name}.{f.name}" for name, section in SECTIONS.items() for f in fields(section))


def check_k(key: str, k: int | float, *, zero_allowed: bool) -> None:
    """Refuse a k+ or k- that is neither a number of pixels nor a share of them (Eq. 3)."""
    if isinstance(k, SupportsIndex):
        _require(k >= (0 if zero_allowed else 1), key, k, "a number of pixels or a share in (0, 1]")
    else:
        _require(0 < k <= 1 or (zero_allowed and k == 0), key, k, "a number of pixels or a share in (0, 1]")


def flatten(nested: Mapping[str, Any]) -> dict[str, Any]:
    """`{"model": {"alpha": 1}}` to `{"model.alpha": 1}`; a key that is dotted already stays."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{key}": v for key, v in flatten(value).items()}
        else:
            flat[name] = value
    return flat


def nest(flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """`{"model.alpha": 1}` to `{"model": {"alpha": 1}}`."""
    nested: dict[str, dict[str, Any]] = {}
    for key, value in flat.items():
        section, _, name = key.partition(".")
        nested.setdefault(section, {})[name] = value
    return nested


def check_keys(keys: Iterable[str], where: str = "config") -> None:
    """Refuse a key that is none of ours, naming the nearest valid one.

    Raises:
        InputError: at the first unknown key.
    """
    for key in keys:
        if key not in KEYS:
            raise InputError(f"{where}: unknown key '{key}'; {nearest(key, KEYS)}")


def nearest(name: object, valid: Iterable[str]) -> str:
    """The hint for a misspelt name: the nearest valid one, or all of them when none is near."""
    name, valid = str(name), list(valid)
    tails = {v.rpartition(".")[2]: v for v in valid}
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.6)
    close = close or [tails[t] for t in difflib.get_close_matches(name.rpartition(".")[2], tails, n=1, cutoff=0.6)]
    return f"did you mean '{close[0]}'?" if close else f"valid: {', '.join(valid)}"


def load_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a YAML file, here or at an address (`s3://...`), that holds a mapping.

    Raises:
        InputError: the file cannot be read, is not YAML (with the line) or holds something else.
    """
    try:
        content = read_bytes(os.fspath(path) if is_address(os.fspath(path)) else Path(path))
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{shown(os.fspath(path))}: cannot be read ({reason}); give the path of a YAML file") from None
    return parse_yaml(content, shown(os.fspath(path)))


def parse_yaml(content: bytes, where: str) -> dict[str, Any]:
    """The mapping in a YAML file's content; `where` is its name in errors, which are as `load_yaml`'s."""
    try:
        loaded = yaml.load(content.decode("utf-8"), Loader=_Loader)  # noqa: S506 - _Loader is a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{where}{line}: not valid YAML ({getattr(error, 'problem', error)})") from None
    except ValueError as error:  # not UTF-8, or a date that is none
        raise InputError(f"{where}: not valid YAML ({error})") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise InputError(f"{where}: holds a {type(loaded).__name__}; a mapping of keys to values is needed")
    return loaded


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, that also reads 1e-4 (no dot) as a number, as YAML 1.2 does."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def _require(holds: bool, key: str, value: object, need: str) -> None:
    if not holds:
        raise InputError(f"{key}: {value} is out of range; it must be {need}")
