"""DeepSpeed's settings, from the config's keys and the user's file, which must not contradict them."""

import json

import pytest

from decouplenet.deepspeed_config import deepspeed_config
from decouplenet.errors import InputError


@pytest.fixture
def made(config, tmp_path):
    """Make the settings for the content of the user's file and for config keys."""

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


def test_a_file_may_add_settings_and_repeat_those_of_the_keys(made):
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
    ("content", "message"),
    [
        (
            {"zero_optimization": {"stage": 2}},
            r"sets 'zero_optimization.stage' to 2, but it must be 1 \(train.zero_stage\)",
        ),
        ({"train_batch_size": 64}, r"'train_batch_size' to 64, but it must be 16 \(train.batch_size\); remove it"),
        ({"gradient_clipping": 1.0}, r"'gradient_clipping' to 1.0, but it must be 0.0 \(train.clip_norm\)"),
        ({"zero_optimization": [1]}, r"'zero_optimization.stage' to \[1\], but it must be 1"),
        ({"optimizer": {"type": "Adam"}}, r"ds.json sets 'optimizer'; remove it and use optim.name"),
        ({"bf16": {"enabled": True}}, r"sets 'bf16'; remove it and use train.precision"),
        ([1], r"holds a list; give a JSON object"),
        ("[", r"ds.json' is not JSON"),
    ],
)
def test_a_file_that_contradicts_is_refused(made, content, message):
    with pytest.raises(InputError, match=r"train.deepspeed_config: .*" + message):
        made(content)


def test_a_missing_file_is_named(config):
    with pytest.raises(InputError, match=r"train.deepspeed_config: '/no/ds.json' cannot be read"):
        deepspeed_config(config(train__deepspeed_config="/no/ds.json"), 1)
