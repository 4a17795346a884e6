"""The evaluate command's line."""

import contextlib

import pytest
import yaml

from decouple_search.evaluate import read as read_with
from decouplenet.errors import InputError


def read(flags):
    """What is read of a line whose checkpoints are here."""
    return read_with(flags, contextlib.ExitStack())


@pytest.fixture
def folder(tmp_path, config):
    """A checkpoint folder's config, of a training on a cluster."""
    kept = config(scaling__gpus_per_worker=1.0, scaling__workers_per_trial=2, model__alpha=0.25)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(kept.to_dict()))
    return tmp_path


def test_the_data_are_the_checkpoints_own_unless_flags_say_otherwise(folder):
    [(name, where, config)], own = read(
        ["--checkpoint", str(folder), "--data.image_size", "48", "--model.alpha", "0.25"]
    )
    assert (name, where) == (str(folder), folder)
    assert (config.data.image_size, config.data.synthetic_images, config.model.alpha) == (48, 120, 0.25)
    assert (config.scaling.gpus_per_worker, config.scaling.workers_per_trial) == (None, 2)
    assert (own["split"], own["workers"], own["json"]) == ("val", None, False)
    assert len(read(["--checkpoint", str(folder), str(folder), "--json"])[0]) == 2


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "--checkpoint: not given"),
        (["--checkpoint", "/never"], "--checkpoint: '/never' has no config.yaml"),
        (["--checkpoint", "FOLDER", "--split", "test"], "--split: 'test' is neither val nor train"),
        (["--checkpoint", "FOLDER", "--compare", "pepper"], "--compare: 'pepper' is unknown; valid: paper"),
        (
            ["--checkpoint", "FOLDER", "--thresholds", "a", "--tune-thresholds", "b"],
            "--tune-thresholds: --thr",
        ),
        (["--experiment", "FOLDER"], "--experiment: '.*' has no checkpoints in trials/"),
        (["--checkpoint", "FOLDER", "--workers", "0"], "--workers: 0 is out of range"),
        (["--checkpoint", "FOLDER", "--model.alpha", "0.5"], r"model.alpha: is the checkpoint's own \(0.25 in "),
        (["--checkpoint", "FOLDER", "--train.epochs", "9"], r"train.epochs: is the checkpoint's own \(3 in "),
        (["--checkpoint", "FOLDER", "--data.image_siz", "9"], "unknown .*data.image_size"),
    ],
)
def test_refused(folder, flags, said):
    with pytest.raises(InputError, match=said):
        read([str(folder) if flag == "FOLDER" else flag for flag in flags])
