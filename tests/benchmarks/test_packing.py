"""The benchmark of packing: packed heads are the same heads, and both kinds are timed."""

import json

import torch

from benchmarks.packing import heads_of, main, train_in_turn, train_packed
from decouplenet.engine import Engine
from decouplenet.step_time import random_data

SMALL = "--model.backbone tiny --model.pretrained no.pth --data.image_size 32 --train.batch_size 4"


def test_packed_heads_are_those_that_are_trained_in_turn(config, tmp_path):
    base = config(model__pretrained="no such file.pth", data__cache=str(tmp_path), train__batch_size=4)
    configs = heads_of(base, 3)
    data = random_data(configs[0], 5, 12)
    packed, in_turn = ([Engine(each, data) for each in configs] for _ in range(2))
    before = [engine.model.state_dict()["upsample.weight"].clone() for engine in packed[:1]]
    train_packed(packed, data)
    train_in_turn(in_turn)
    assert not torch.equal(before[0], packed[0].model.state_dict()["upsample.weight"])
    for left, right in zip(packed, in_turn, strict=True):
        for name, weight in left.model.state_dict().items():
            assert torch.equal(weight, right.model.state_dict()[name]), name


def test_both_kinds_are_timed(capsys):
    assert main([*SMALL.split(), "--heads", "2", "--images", "8", "--rounds", "1", "--classes", "3"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["heads"] == 2
    assert min(result["seconds"].values()) > 0
