"""DeepSpeed in one process: refused settings, memory, imports and output. Training is in test_strategies.py."""

import gc
import json
import subprocess
import sys

import pytest
import torch
from torch._subclasses import FakeTensor

from decouplenet.data.opened import open_data
from decouplenet.engine import Engine
from decouplenet.errors import InputError
from decouplenet.strategies import leave_process_group


def test_settings_that_deepspeed_refuses_are_an_input_error(config, tmp_path):
    file = tmp_path / "ds.json"
    file.write_text(json.dumps({"zero_optimization": {"no_such_setting": 1}}))
    bad = config(train__strategy="deepspeed", train__deepspeed_config=str(file))
    try:
        with pytest.raises(InputError, match=r"DeepSpeed refuses the settings .*no_such_setting"):
            Engine(bad, open_data(bad.data))
    finally:
        leave_process_group()


def tensor_bytes():
    """Bytes of all live tensors. Fake tensors, left by the compiler in other tests, have no storage."""
    gc.collect()
    tensors = (tensor for tensor in gc.get_objects() if issubclass(type(tensor), torch.Tensor))
    storages = (tensor.untyped_storage() for tensor in tensors if not isinstance(tensor, FakeTensor))
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


@pytest.mark.parametrize("stage", [1, 3])
def test_a_closed_engine_leaves_no_memory_behind(config, stage):
    """In a gang, a process makes one engine per trial."""
    zero_config = config(train__strategy="deepspeed", train__zero_stage=stage, model__backbone="resnet18")
    data = open_data(zero_config.data)
    bytes_left = []
    try:
        for _ in range(3):
            engine = Engine(zero_config, data)
            engine.train_epoch()
            size = 4 * sum(value.numel() for value in engine.model.parameters())
            engine.close()
            del engine
            bytes_left.append(tensor_bytes())
        assert bytes_left[2] - bytes_left[0] < size / 10
    finally:
        leave_process_group()


def test_deepspeed_is_imported_only_when_it_is_used():
    code = "import sys, decouplenet.engine, decouplenet.zero\nassert 'deepspeed' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_is_printed_to_stdout(config):
    """A command may write JSON there."""
    code = (
        "from decouplenet.config import Config\nfrom decouplenet.data.opened import open_data\n"
        "from decouplenet.engine import Engine\n"
        f"config = Config.from_dict({config(train__strategy='deepspeed').to_dict()!r})\n"
        "engine = Engine(config, open_data(config.data))\nengine.train_epoch()\nengine.state()"
    )
    finished = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert finished.stdout == ""
