"""The sections of the config: model, data, optim, train and scaling, with the default and the range of each key.

`config.py` puts them together. `command_line.py` checks types, where text comes in; here are ranges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from decouplenet.config_checks import check_k, require
from decouplenet.config_facts import Facts, config_key
from decouplenet.extensions import BACKBONES, FORMATS, HEADS, LOSSES

EpochMeasure = Literal[
    "val_map",
    "val_map_plain",
    "val_p_c",
    "val_r_c",
    "val_f1_c",
    "val_f1_c_harmonic",
    "val_p_o",
    "val_r_o",
    "val_f1_o",
    "val_loss",
    "train_loss",
    "images_per_second",
]
"""A measure of an epoch by which epochs can be compared."""
POOLING_HEADS = ("decouplenet", "wildcat")
"""Heads with several maps per class and the pooling of Eq. 3."""


@dataclass(kw_only=True, slots=True)
class ModelConfig:
    """The network: backbone and head (paper, Fig. 1)."""

    FACTS: ClassVar[Facts] = Facts(bound=True)

    backbone: str = config_key("resnet101", names=BACKBONES.names)
    """Feature extractor: a network of torchvision by its name, or tiny for small synthetic images."""
    pretrained: bool | str = config_key(True, bound=False)
    """ImageNet weights: true (torchvision's, downloaded once), false, or a .pth or .safetensors file."""
    head: str = config_key("decouplenet", names=HEADS.names)
    """DecoupleNet, another head (docs/heads.md), or a linear layer after average (gap) or max (gmp) pooling."""
    maps_per_class: int = config_key(4, heads=POOLING_HEADS)
    """m: maps that the group convolution learns for each class (section 2.1)."""
    upsampling: Literal["none", "bilinear", "transposed"] = config_key("transposed", heads=("decouplenet",))
    """How features become one map per class before the group convolution (section 2.1, Table 4)."""
    attention: Literal["none", "arch1", "arch2", "joint"] = config_key("arch1", heads=("decouplenet",))
    """Attention from the class maps (arch1), from the backbone features (arch2), from both (joint), or none."""
    k_pos: int | float = config_key(0.2, heads=POOLING_HEADS, changeable=True)
    """k+ of Eq. 3: an int is a number of pixels, a float in (0, 1] is a share of the map's pixels."""
    k_neg: int | float = config_key(0.2, heads=POOLING_HEADS, changeable=True)
    """k- of Eq. 3, given like k+; 0 switches the negative term off."""
    alpha: float = config_key(0.7, heads=POOLING_HEADS, changeable=True)
    """Weight of the k- lowest pixels in Eq. 3, from 0."""

    def __post_init__(self) -> None:
        """Check ranges, and that there are such weights."""
        tiny_weights = self.backbone == "tiny" and self.pretrained is True
        require(not tiny_weights, "model.pretrained", self.pretrained, "false or a file: tiny has no ImageNet weights")
        require(self.maps_per_class >= 1, "model.maps_per_class", self.maps_per_class, "at least 1")
        require(self.alpha >= 0, "model.alpha", self.alpha, "at least 0")
        check_k("model.k_pos", self.k_pos, zero_allowed=False)
        check_k("model.k_neg", self.k_neg, zero_allowed=True)


@dataclass(kw_only=True, slots=True)
class DataConfig:
    """Where the images and labels are, and how they are read."""

    FACTS: ClassVar[Facts] = Facts(bound=True, measured=True)

    format: str = config_key("synthetic", names=FORMATS.names)
    """Format of the labels: COCO's JSON, NUS-WIDE's lists, VOC's XML, a csv or parquet table, or drawn scenes."""
    train_annotations: str | None = config_key(None, path=True)
    """Labels of the training images: a JSON, a folder of NUS-WIDE's lists, a VOC image list, or a table."""
    train_images: str | None = config_key(None, path=True)
    """Folder or address of the training images."""
    val_annotations: str | None = config_key(None, path=True)
    """Labels of the validation images, in the same format. Without them a share of train is held out."""
    val_images: str | None = config_key(None, path=True)
    """Folder or address of the validation images (default: train_images)."""
    test_annotations: str | None = config_key(None, path=True)
    """Labels of the test images, in the same format. Read by evaluate --split test, and once at a search's end."""
    test_images: str | None = config_key(None, path=True)
    """Folder or address of the test images (default: train_images)."""
    classes: list[str] | str | None = config_key(None, path=True, searchable=False)
    """The classes in their order: a list, or a file with one name per line (default: those of the training labels)."""
    image_size: int = config_key(448, images_only=True)
    """Images are warped to a square; this is its side in pixels."""
    holdout: float = 0.1
    """Share of the training images that is held out for validation without val_annotations; 0 trains on all images."""
    folds: int = config_key(0, searchable=False)
    """Parts of the training images for a cross-validation; one of them is for validation. 0 for none."""
    fold: int = config_key(0, searchable=False)
    """Number of the part that is for validation, from 0 to folds - 1."""
    suffix: str | None = None
    """Suffix of image names without one, such as .jpg (default: found where only one file has the name)."""
    crowd: bool = True
    """Whether an object marked iscrowd gives its image the label."""
    difficult: Literal["ignore", "positive", "negative"] = "ignore"
    """voc: how a class counts in an image whose only objects of that class are marked difficult."""
    drop_unlabelled: bool = False
    """Whether to leave out images without a label."""
    unknown: Literal["ignore", "negative", "positive"] = "ignore"
    """table: how a label counts that is neither present nor absent (-1, blank, u): not at all, as absent or present."""
    rows: Literal["image", "label"] = config_key("image", searchable=False)
    """table: whether a row is an image, or one label or object of an image."""
    path_column: str | None = None
    """table: column of the image paths (default: found by its name)."""
    label_column: str | None = None
    """table: column of the labels (default: found by its name; without one, each 0/1 column is a class)."""
    label_columns: list[str] | str | None = config_key(None, searchable=False)
    """table: the 0/1 columns, one per class: names, patterns ('is_*'), or 'after NAME' for all after a column."""
    split_column: str | None = None
    """table: column with train, val or test (default: found by its name); none for a table without splits."""
    splits: dict[str, Any] | None = config_key(None, searchable=False)
    """table: the values of the split column, such as {train: [0, 1, 2], val: [3], test: [4]} (default: usual words)."""
    label_separator: str | None = None
    """table: text between labels (default: found; a list such as ['cat', 'dog'] needs none)."""
    exif: bool = True
    """Whether to turn photos upright, as their EXIF orientation says."""
    background: str = "white"
    """Colour behind transparent pixels: a name, or #rrggbb."""
    max_pixels: int = 178_956_970
    """Maximum number of pixels that are decoded of an image. A JPEG is decoded at a lower resolution if it can be."""
    broken: Literal["fail", "skip"] = "fail"
    """What to do with images that cannot be decoded: end the run, or leave them out and list them."""
    broken_share: float = 0.01
    """Largest share of a split that broken skip may leave out."""
    flip: bool = config_key(True, augmentation=True, changeable=True)
    """Random horizontal flip in training."""
    randaugment: int = config_key(0, augmentation=True, changeable=True, images_only=True)
    """RandAugment: random changes per image in training; 0 for none."""
    randaugment_magnitude: float = config_key(9.0, augmentation=True, changeable=True, images_only=True)
    """RandAugment: strength of the changes, up to 10."""
    cutout: float = config_key(0.0, augmentation=True, changeable=True, images_only=True)
    """Cutout: side of a grey square in each training image, as a share of the image's side; 0 for none."""
    workers: int = config_key(2, bound=False, of_machine=True)
    """Threads per worker that decode and load images."""
    cache: str = config_key("~/.cache/decouplenet", bound=False, of_machine=True)
    """Folder for decoded images and synthetic scenes, so that each image is decoded once; none decodes every time."""
    synthetic_images: int = 1600
    """Number of synthetic scenes; a fifth of them are for validation."""
    synthetic_seed: int = 0
    """Seed of the synthetic scenes."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(self.image_size >= 8, "data.image_size", self.image_size, "at least 8")
        require(0 <= self.holdout < 1, "data.holdout", self.holdout, "in [0, 1)")
        require(self.folds == 0 or self.folds >= 2, "data.folds", self.folds, "at least 2, or 0 for none")
        require(0 <= self.fold < max(1, self.folds), "data.fold", self.fold, "from 0 to data.folds - 1")
        if self.background != "white":
            from decouplenet.data.images.background import rgb_of  # Pillow is not on the path of --help

            rgb_of(self.background)  # which refuses what is no colour
        require(self.max_pixels >= 1, "data.max_pixels", self.max_pixels, "at least 1")
        require(0 <= self.broken_share <= 1, "data.broken_share", self.broken_share, "in [0, 1]")
        require(self.randaugment >= 0, "data.randaugment", self.randaugment, "at least 0")
        strong = 0 <= self.randaugment_magnitude <= 10
        require(strong, "data.randaugment_magnitude", self.randaugment_magnitude, "in [0, 10]")
        require(0 <= self.cutout < 1, "data.cutout", self.cutout, "in [0, 1)")
        require(self.workers >= 1, "data.workers", self.workers, "at least 1")
        require(self.synthetic_images >= 50, "data.synthetic_images", self.synthetic_images, "at least 50")
        require(self.synthetic_seed >= 0, "data.synthetic_seed", self.synthetic_seed, "at least 0")


@dataclass(kw_only=True, slots=True)
class OptimConfig:
    """The optimiser and its schedule."""

    FACTS: ClassVar[Facts] = Facts()

    name: Literal["sgd", "adamw"] = config_key("sgd", bound=True)
    """SGD with momentum, or AdamW."""
    lr: float = config_key(0.01, changeable=True)
    """Peak learning rate of the head."""
    backbone_lr_scale: float = config_key(0.1, changeable=True, images_only=True)
    """The backbone's learning rate as a multiple of lr."""
    momentum: float = config_key(0.9, changeable=True)
    """Momentum of SGD."""
    weight_decay: float = config_key(1e-4, changeable=True)
    """Weight decay."""
    schedule: Literal["cosine", "onecycle", "constant"] = "cosine"
    """Course of the learning rate over the whole training."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(self.lr > 0, "optim.lr", self.lr, "above 0")
        require(self.backbone_lr_scale >= 0, "optim.backbone_lr_scale", self.backbone_lr_scale, "at least 0")
        require(0 <= self.momentum < 1, "optim.momentum", self.momentum, "in [0, 1)")
        require(self.weight_decay >= 0, "optim.weight_decay", self.weight_decay, "at least 0")


@dataclass(kw_only=True, slots=True)
class TrainConfig:
    """One training."""

    FACTS: ClassVar[Facts] = Facts()

    epochs: int = config_key(12, searchable=False)
    """Epochs of a full training. In a search, no trial trains longer."""
    batch_size: int = config_key(50, bound=True, measured=True, changeable=True)
    """Images per step, over all workers."""
    precision: Literal["fp32", "bf16", "fp16", "auto"] = config_key("fp32", measured=True, images_only=True)
    """fp32, or automatic mixed precision in bfloat16 or float16 (with loss scaling); auto chooses by the device."""
    strategy: Literal["ddp", "deepspeed"] = config_key("ddp", searchable=False)
    """How several workers train one model: torch's data parallel, or DeepSpeed with ZeRO."""
    zero_stage: Literal[0, 1, 2, 3] = config_key(1, images_only=True)
    """State that deepspeed splits over the workers: 0 none, 1 the optimiser's, 2 also gradients, 3 also weights."""
    deepspeed_config: str | None = None
    """JSON file (or its content) with more DeepSpeed settings. A setting that contradicts a config key is an error."""
    accumulation: int = config_key(1, images_only=True)
    """Micro-batches into which a worker splits its share of a batch: less memory, the same batch."""
    clip_norm: float = 0.0
    """Largest norm of the gradient over all weights; 0 for no clipping."""
    ema_decay: float = 0.0
    """Decay per step of a moving average of the weights, which is evaluated and saved in their place; 0 for none."""
    compile: bool = config_key(False, images_only=True)
    """Compile the network with torch.compile. A test at the start leaves it out if steps get no faster, and says so."""
    loss: str = config_key("bce", names=LOSSES.names)
    """Binary cross-entropy (section 2.2), the asymmetric loss, or a ranking loss: WARP's or LSEP's."""
    asl_gamma_pos: float = config_key(0.0, changeable=True)
    """asl: focusing exponent of positives; the higher it is, the less easy positives count."""
    asl_gamma_neg: float = config_key(4.0, changeable=True)
    """asl: focusing exponent of negatives; the higher it is, the less easy negatives count."""
    asl_margin: float = config_key(0.05, changeable=True)
    """asl: probability below which a negative does not count."""
    freeze_backbone: bool = config_key(False, bound=True, searchable=False)
    """Train the head alone, on feature maps that the pretrained backbone computes once: many times faster."""
    head_epochs: int = config_key(0, bound=True, images_only=True)
    """Epochs that the head is trained alone first, on such maps; then the whole network at the backbone's rate."""
    map_share: float = config_key(1.0, bound=True, searchable=False)
    """Share of the images whose feature maps such a head is trained and measured on: with its share of each class."""
    objective: EpochMeasure = config_key("val_map", searchable=False)
    """The measure by which a training chooses its best epoch: the lowest loss, or the highest of any other measure."""
    seed: int = config_key(0, bound=True)
    """Seed of the weights, of the order of the images and of their augmentation."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(self.epochs >= 1, "train.epochs", self.epochs, "at least 1")
        require(0 < self.map_share <= 1, "train.map_share", self.map_share, "above 0 and at most 1")
        require(self.head_epochs >= 0, "train.head_epochs", self.head_epochs, "at least 0")
        require(self.batch_size >= 2, "train.batch_size", self.batch_size, "at least 2 (batch normalisation)")
        require(self.accumulation >= 1, "train.accumulation", self.accumulation, "at least 1")
        require(self.clip_norm >= 0, "train.clip_norm", self.clip_norm, "at least 0")
        require(0 <= self.ema_decay < 1, "train.ema_decay", self.ema_decay, "in [0, 1)")
        require(self.asl_gamma_pos >= 0, "train.asl_gamma_pos", self.asl_gamma_pos, "at least 0")
        require(self.asl_gamma_neg >= 0, "train.asl_gamma_neg", self.asl_gamma_neg, "at least 0")
        require(0 <= self.asl_margin < 1, "train.asl_margin", self.asl_margin, "in [0, 1)")
        whole = self.strategy != "deepspeed" or self.zero_stage < 3
        require(whole or not self.compile, "train.compile", self.compile, "false with train.zero_stage 3")
        require(self.seed >= 0, "train.seed", self.seed, "at least 0")


@dataclass(kw_only=True, slots=True)
class ScalingConfig:
    """The workers of a training, and their resources."""

    FACTS: ClassVar[Facts] = Facts(searchable=False, of_machine=True, measured=True)

    workers_per_trial: int = 1
    """Workers that train one configuration together."""
    min_workers_per_trial: int | None = None
    """Workers that are enough for a trial after machines are lost. Left out: the trial waits for all its workers."""
    cpus_per_worker: float = config_key(1, hardware=True)
    """CPU cores of a worker."""
    gpus_per_worker: float | None = config_key(None, hardware=True)
    """GPUs of a worker; a fraction lets several workers share a GPU. Left out: 1 if there are GPUs, else 0."""
    placement_strategy: Literal["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"] = config_key("PACK", hardware=True)
    """Where the workers of a trial run, by Ray's names: close together, apart, all on one machine, each on another."""
    hang_timeout: float = 600
    """Seconds without progress after which a trial's workers are replaced, and the trial restarts."""

    def __post_init__(self) -> None:
        """Check ranges."""
        require(self.workers_per_trial >= 1, "scaling.workers_per_trial", self.workers_per_trial, "at least 1")
        minimum = self.min_workers_per_trial
        valid = minimum is None or 1 <= minimum <= self.workers_per_trial
        require(valid, "scaling.min_workers_per_trial", minimum, "from 1 to scaling.workers_per_trial")
        require(self.cpus_per_worker > 0, "scaling.cpus_per_worker", self.cpus_per_worker, "above 0")
        gpus = self.gpus_per_worker or 0
        require(
            0 <= gpus <= 1, "scaling.gpus_per_worker", gpus, "from 0 to 1: a worker trains on one GPU or a share of it"
        )
        require(self.hang_timeout > 0, "scaling.hang_timeout", self.hang_timeout, "above 0")
