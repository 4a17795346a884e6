"""DeepSpeed in one process: what it says, holds and refuses; test_strategies.py has that it trains as DDP does."""

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


def test_what_deepspeed_refuses_is_the_files_fault(config, tmp_path):
    file = tmp_path / "ds.json"
    file.write_text(json.dumps({"zero_optimization": {"no_such_setting": 1}}))
    bad = config(train__strategy="deepspeed", train__deepspeed_config=str(file))
    try:
        with pytest.raises(InputError, match=r"DeepSpeed refuses the settings .*no_such_setting"):
            Engine(bad, open_data(bad.data))
    finally:
        leave_process_group()


def tensor_bytes():
    """Bytes of all tensors that are alive; the compiler's, of other tests, have none."""
    gc.collect()
    tensors = (of for of in gc.get_objects() if issubclass(type(of), torch.Tensor))
    storages = (of.untyped_storage() for of in tensors if not isinstance(of, FakeTensor))
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


@pytest.mark.parametrize("stage", [1, 3])
def test_a_closed_engine_leaves_no_memory_behind(config, stage):
    """In a gang one process makes an engine a trial."""
    made = config(train__strategy="deepspeed", train__zero_stage=stage, model__backbone="resnet18")
    data = open_data(made.data)
    left = []
    try:
        for _ in range(3):
            engine = Engine(made, data)
            engine.train_epoch()
            size = 4 * sum(value.numel() for value in engine.model.parameters())
            engine.close()
            del engine
            left.append(tensor_bytes())
        assert left[2] - left[0] < size / 10
    finally:
        leave_process_group()


def test_deepspeed_is_imported_for_itself_alone():
    code = "import sys, decouplenet.engine, decouplenet.zero\nassert 'deepspeed' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_is_printed_to_stdout(config):
    """Where a command writes JSON."""
    code = (
        "from decouplenet.config import Config\nfrom decouplenet.data.cache import open_data\n"
        "from decouplenet.engine import Engine\n"
        f"config = Config.from_dict({config(train__strategy='deepspeed').to_dict()!r})\n"
        "engine = Engine(config, open_data(config.data))\nengine.train_epoch()\nengine.state()"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout == ""
