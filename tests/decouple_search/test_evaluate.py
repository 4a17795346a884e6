"""The `evaluate` command's line: what it reads, and what it refuses before Ray starts."""

import contextlib

import pytest
import yaml

from decouple_search.evaluate import read
from decouplenet.errors import InputError


def read_line(*flags):
    """The checkpoints and the flags of a line whose checkpoints are on this machine."""
    return read(list(flags), contextlib.ExitStack())


@pytest.fixture
def folder(tmp_path, config):
    """A checkpoint folder's config, of a training on a cluster."""
    trained = config(scaling__gpus_per_worker=1.0, scaling__workers_per_trial=2, model__alpha=0.25)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(trained.to_dict()))
    return tmp_path


def test_a_checkpoint_is_measured_by_its_own_config_unless_data_keys_say_otherwise(folder):
    [member], flags = read_line("--checkpoint", str(folder), "--data.image_size", "48", "--model.alpha", "0.25")
    config = member.config
    assert (member.name, member.folder) == (str(folder), folder)
    assert (config.data.image_size, config.data.synthetic_images, config.model.alpha) == (48, 120, 0.25)
    assert (config.scaling.gpus_per_worker, config.scaling.workers_per_trial) == (None, 2)
    assert (flags.split, flags.workers, flags.json) == ("val", None, False)


def test_several_checkpoints(folder):
    assert len(read_line("--checkpoint", str(folder), str(folder), "--json")[0]) == 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--checkpoint: not given"),
        (["--checkpoint", "/never"], "--checkpoint: '/never' has no config.yaml"),
        (["--checkpoint", "FOLDER", "--split", "dev"], "--split: 'dev' is neither val, train nor test"),
        (["--checkpoint", "FOLDER", "--compare", "pepper"], "--compare: 'pepper' is unknown; valid: paper"),
        (
            ["--checkpoint", "FOLDER", "--thresholds", "a", "--tune-thresholds", "b"],
            "--tune-thresholds: --thr",
        ),
        (["--checkpoint", "FOLDER", "--compare", "paper", "--thresholds", "a"], "--thresholds: the paper's measures"),
        (["--checkpoint", "FOLDER", "--tune-thresholds", "FOLDER"], "--tune-thresholds: '.*' cannot be written"),
        (["--experiment", "FOLDER"], "--experiment: '.*' has no checkpoints in trials/"),
        (["--checkpoint", "FOLDER", "--workers", "0"], "--workers: 0 is out of range"),
        (["--checkpoint", "FOLDER", "--model.alpha", "0.5"], r"model.alpha: is the checkpoint's own \(0.25 in "),
        (["--checkpoint", "FOLDER", "--train.epochs", "9"], r"train.epochs: is the checkpoint's own \(3 in "),
        (["--checkpoint", "FOLDER", "--data.image_siz", "9"], "unknown .*data.image_size"),
    ],
)
def test_wrong_flags_are_refused(folder, flags, message):
    with pytest.raises(InputError, match=message):
        read_line(*(str(folder) if flag == "FOLDER" else flag for flag in flags))
