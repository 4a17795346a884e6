"""A checkpoint measured on all workers: the best one on the validation images, the winner's once on the test images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from decouple_search.evaluation.member import EnsembleMember
from decouple_search.evaluation.scoring import score_all
from decouplenet.checkpoint_files import CONFIG
from decouplenet.config import Config, DataConfig
from decouplenet.data.formats import BUILT_IN, load_splits
from decouplenet.metrics import multilabel_metrics
from decouplenet.yaml_text import load_yaml


def has_test_images(config: DataConfig) -> bool:
    """Whether the data name test images that are not the validation images."""
    if config.test_annotations is None and config.format in set(BUILT_IN) - {"table"}:
        return False  # nothing needs to be read
    _, val, test = load_splits(config, test=True)
    return test is not None and len(test) > 0 and test.paths != val.paths


def measure_split(checkpoint: Path, split: str) -> tuple[int, dict[str, Any]]:
    """Measure a checkpoint on images of its own config, on all workers of the connected Ray.

    Args:
        checkpoint: the checkpoint's folder.
        split: val or test.

    Returns:
        The number of images; `multilabel_metrics` of them, and `loss` (BCE).

    Raises:
        InputError: the images cannot be read.
        TrainingFailed: a worker was lost too often, or scores are not finite.
    """
    config = Config.from_dict(load_yaml(checkpoint / CONFIG))
    scored = score_all([EnsembleMember("the best checkpoint", checkpoint, config)], split=split, workers=None)
    images = scored.images
    metrics = multilabel_metrics(scored.scores[0], images.targets, ignored=images.ignored)
    return len(images), metrics | {"loss": scored.losses[0]}


def measure_on_test(checkpoint: Path) -> tuple[int, dict[str, float | int]] | None:
    """Measure a checkpoint on the test images of its own config; needs a connected Ray.

    Args:
        checkpoint: the checkpoint's folder.

    Returns:
        The number of test images, and the measures without those per class; None if there are no test images.

    Raises:
        InputError: the test images cannot be read.
        TrainingFailed: a worker was lost too often, or scores are not finite.
    """
    if not has_test_images(Config.from_dict(load_yaml(checkpoint / CONFIG)).data):
        return None
    count, metrics = measure_split(checkpoint, "test")
    return count, {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
