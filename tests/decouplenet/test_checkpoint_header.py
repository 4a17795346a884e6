"""The small files of a checkpoint, read without torch."""

import json
import subprocess
import sys

import pytest

from decouplenet.checkpoint_files import CONFIG, METRICS, WEIGHTS
from decouplenet.checkpoint_header import read_header
from decouplenet.errors import InputError
from decouplenet.yaml_text import dump_yaml


@pytest.fixture
def folder(tmp_path, config):
    import numpy as np
    from safetensors.numpy import save_file

    save_file({"weight": np.zeros(1000, np.float32)}, tmp_path / WEIGHTS)
    (tmp_path / CONFIG).write_text(dump_yaml(config().to_dict()))
    (tmp_path / METRICS).write_text(json.dumps({"class_names": ["cat", "dog"], "epoch": 3}))
    return tmp_path


def test_a_header_has_config_classes_and_metrics(folder, config):
    header = read_header(folder)
    assert header.config == config()
    assert header.class_names == ("cat", "dog")
    assert header.metrics == {"epoch": 3}


def test_weights_that_were_cut_off_are_damaged(folder):
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[:-100])
    with pytest.raises(InputError, match=f"{WEIGHTS}: is damaged .*; give another checkpoint"):
        read_header(folder)


def test_it_imports_no_torch(folder):
    code = (
        "import sys, pathlib; from decouplenet.checkpoint_header import read_header\n"
        f"read_header(pathlib.Path({str(folder)!r})); print('torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
