"""One training on one and on two workers: the same global batches, gradients and measures."""

import multiprocessing
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
from torch import nn

from decouplenet.config import HeadConfig, OptimConfig
from decouplenet.data.opened import open_data
from decouplenet.engine import Engine
from decouplenet.heads.registry import MODULES
from decouplenet.heads.settings import MlDecoderSettings, Query2LabelSettings


def freeze_statistics(engine):
    """Make BatchNorm use its running statistics: its batch statistics are the only difference between the workers."""
    for module in engine.model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval().train = lambda mode=True, module=module: module


def measure(config, rank, world, *, frozen, epochs=2):
    engine = Engine(config, open_data(config.data), rank=rank, world=world)
    if frozen:
        freeze_statistics(engine)
    measured = [engine.train_epoch() | engine.evaluate() for _ in range(epochs)]
    return measured, {name: tensor.tolist() for name, tensor in engine.model.state_dict().items()}


def with_head(config, head):
    """The config with another head, without dropout, whose masks depend on the rank."""
    settings = HeadConfig(query2label=Query2LabelSettings(dropout=0.0), ml_decoder=MlDecoderSettings(dropout=0.0))
    return replace(config, model=replace(config.model, head=head), head=settings, optim=OptimConfig(lr=1e-3))


def worker(rank, config, answers, ports):
    torch.set_num_threads(1)
    store = dist.TCPStore("127.0.0.1", 0 if rank == 0 else ports.get(), 2, is_master=rank == 0, wait_for_workers=False)
    if rank == 0:
        ports.put(store.port)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    results = [measure(config, rank, 2, frozen=frozen) for frozen in (True, False)]
    heads = {head: measure(with_head(config, head), rank, 2, frozen=True, epochs=1) for head in MODULES}
    answers.put((rank, [*results, heads]))
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def measured(cache):
    """The config that two workers trained, and the results of both with frozen and with batch statistics."""
    from decouplenet.config import Config
    from decouplenet.dotted_keys import nest

    keys = {"model.backbone": "tiny", "model.pretrained": False, "model.attention": "joint", "data.image_size": 32}
    keys |= {"data.synthetic_images": 120, "data.cache": str(cache), "optim.lr": 0.02, "train.batch_size": 16}
    config = Config.from_dict(nest(keys | {"optim.backbone_lr_scale": 1.0, "train.epochs": 2}))
    spawn = multiprocessing.get_context("spawn")
    answers, ports = spawn.Queue(), spawn.Queue()
    processes = [spawn.Process(target=worker, args=(rank, config, answers, ports)) for rank in (0, 1)]
    for process in processes:
        process.start()
    by_rank = dict(answers.get(timeout=120) for _ in processes)
    for process in processes:
        process.join()
    frozen, unfrozen, heads = zip(by_rank[0], by_rank[1], strict=True)
    return config, frozen, unfrozen, heads


def test_two_workers_give_the_same_result_as_one(measured):
    config, ((two_workers, _), _), _, _ = measured
    one_worker, _ = measure(config, 0, 1, frozen=True)
    for a, b in zip(one_worker, two_workers, strict=True):
        assert b["train_loss"] == pytest.approx(a["train_loss"], rel=1e-5)
        assert b["val_loss"] == pytest.approx(a["val_loss"], rel=1e-5)
        assert b["val_map"] == pytest.approx(a["val_map"], abs=1e-3)  # two scores may change places


def test_batch_statistics_of_half_a_batch_make_only_a_small_difference(measured):
    config, _, ((two_workers, _), _), _ = measured
    one_worker, _ = measure(config, 0, 1, frozen=False)
    assert two_workers[-1]["train_loss"] == pytest.approx(one_worker[-1]["train_loss"], rel=0.05)
    assert two_workers[-1]["train_loss"] != pytest.approx(one_worker[-1]["train_loss"], rel=1e-5)


def test_all_workers_have_the_same_network_after_an_epoch(measured):
    """Including BatchNorm's statistics, so that any worker can evaluate and save it."""
    _, frozen, unfrozen, _ = measured
    for (_, first), (_, second) in (frozen, unfrozen):
        assert first == second
    assert any(name.endswith("running_mean") for name in unfrozen[0][1])


@pytest.mark.parametrize("head", MODULES)
def test_two_workers_train_every_head_as_one_does(measured, head):
    config, _, _, (first, second) = measured
    assert first[head][1] == second[head][1], "the same weights"
    ([two_workers], _), ([one_worker], _) = first[head], measure(with_head(config, head), 0, 1, frozen=True, epochs=1)
    assert two_workers["train_loss"] == pytest.approx(one_worker["train_loss"], rel=1e-4)
    assert two_workers["val_loss"] == pytest.approx(one_worker["val_loss"], rel=1e-3)
