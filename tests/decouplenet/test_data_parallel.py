"""One training on one and on two workers: the same global batches, the same gradients, the same measures."""

import multiprocessing

import pytest
import torch
import torch.distributed as dist
from torch import nn

from decouplenet.data.opened import open_data
from decouplenet.engine import Engine


def freeze_statistics(engine):
    """Let BatchNorm use its running statistics, as each worker's own images make the only difference there is."""
    for module in engine.model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval().train = lambda mode=True, module=module: module


def measure(config, rank, world, *, frozen, epochs=2):
    engine = Engine(config, open_data(config.data), rank=rank, world=world)
    if frozen:
        freeze_statistics(engine)
    measured = [engine.train_epoch() | engine.evaluate() for _ in range(epochs)]
    return measured, {name: tensor.tolist() for name, tensor in engine.model.state_dict().items()}


def worker(rank, config, answers, ports):
    torch.set_num_threads(1)
    store = dist.TCPStore("127.0.0.1", 0 if rank == 0 else ports.get(), 2, is_master=rank == 0, wait_for_workers=False)
    if rank == 0:
        ports.put(store.port)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    answers.put((rank, [measure(config, rank, 2, frozen=frozen) for frozen in (True, False)]))
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def measured(cache):
    """The config that two workers trained, and what each gives with frozen and with its own statistics."""
    from decouplenet.config import Config, nest

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
    frozen, own = zip(by_rank[0], by_rank[1], strict=True)
    return config, frozen, own


def test_two_workers_give_what_one_gives(measured):
    config, ((two, _), _), _ = measured
    one, _ = measure(config, 0, 1, frozen=True)
    for a, b in zip(one, two, strict=True):
        assert b["train_loss"] == pytest.approx(a["train_loss"], rel=1e-5)
        assert b["val_loss"] == pytest.approx(a["val_loss"], rel=1e-5)
        assert b["val_map"] == pytest.approx(a["val_map"], abs=1e-3)  # two scores may change places


def test_batch_statistics_of_half_a_batch_make_a_difference_and_no_more(measured):
    config, _, ((two, _), _) = measured
    one, _ = measure(config, 0, 1, frozen=False)
    assert two[-1]["train_loss"] == pytest.approx(one[-1]["train_loss"], rel=0.05)
    assert two[-1]["train_loss"] != pytest.approx(one[-1]["train_loss"], rel=1e-5)


def test_all_workers_have_the_same_network_after_an_epoch(measured):
    """Its statistics too, so that it is the same whoever measures and saves it."""
    _, frozen, own = measured
    for (_, first), (_, second) in (frozen, own):
        assert first == second
    assert any(name.endswith("running_mean") for name in own[0][1])
