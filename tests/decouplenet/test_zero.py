"""DeepSpeed's settings: made from the config's keys and the user's file, which may not contradict them."""

import gc
import json
import subprocess
import sys

import pytest
import torch

from decouplenet.data.cache import open_data
from decouplenet.engine import Engine
from decouplenet.errors import InputError
from decouplenet.strategies import leave_process_group
from decouplenet.zero import deepspeed_config


@pytest.fixture
def made(config, tmp_path):
    """The settings for a file's content, and further keys."""

    def make(content, **keys):
        file = tmp_path / "ds.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        keys = {"train__strategy": "deepspeed", "train__deepspeed_config": str(file)} | keys
        return deepspeed_config(config(**keys), 2)

    return make


def test_settings_follow_from_the_keys(config):
    keys = {"train__batch_size": 24, "train__accumulation": 3, "train__clip_norm": 0.5, "train__zero_stage": 2}
    settings = deepspeed_config(config(**keys), 2)
    assert settings["zero_optimization"]["stage"] == 2
    assert settings["train_micro_batch_size_per_gpu"] == 4
    assert settings["gradient_accumulation_steps"] == 3
    assert settings["gradient_clipping"] == 0.5


def test_a_file_adds_to_them_and_may_agree(made):
    content = {
        "train_batch_size": 16,
        "gradient_accumulation_steps": "auto",
        "wall_clock_breakdown": True,
        "zero_optimization": {"stage": 3, "overlap_comm": True, "reduce_bucket_size": 1000},
    }
    settings = made(content, train__zero_stage=3)
    assert settings["wall_clock_breakdown"] is True
    assert settings["zero_optimization"] == {
        "stage": 3,
        "overlap_comm": True,
        "reduce_bucket_size": 1000,
        "allgather_bucket_size": 50_000_000,
    }
    assert settings["gradient_accumulation_steps"] == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"zero_optimization": {"stage": 2}}, r"sets 'zero_optimization.stage' to 2, and it is 1 by train.zero_stage"),
        ({"train_batch_size": 64}, r"'train_batch_size' to 64, and it is 16 by train.batch_size; take it out"),
        ({"gradient_clipping": 1.0}, r"'gradient_clipping' to 1.0, and it is 0.0 by train.clip_norm"),
        ({"zero_optimization": [1]}, r"'zero_optimization.stage' to \[1\], and it is 1"),
        ({"optimizer": {"type": "Adam"}}, r"ds.json sets 'optimizer'; take it out, and use optim.name"),
        ({"bf16": {"enabled": True}}, r"sets 'bf16'; take it out, and use train.precision"),
        ([1], r"holds a list; an object is needed"),
        ("[", r"ds.json' is not JSON"),
    ],
)
def test_a_file_that_contradicts_is_refused(made, content, said):
    with pytest.raises(InputError, match=r"train.deepspeed_config: .*" + said):
        made(content)


def test_a_file_that_is_not_there_is_named(config):
    with pytest.raises(InputError, match=r"train.deepspeed_config: '/no/ds.json' cannot be read"):
        deepspeed_config(config(train__deepspeed_config="/no/ds.json"), 1)


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
    """Bytes of all tensors that are alive."""
    gc.collect()
    storages = (of.untyped_storage() for of in gc.get_objects() if issubclass(type(of), torch.Tensor))
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
