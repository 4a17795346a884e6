"""Two workers train the same under every strategy, stage and precision, and go on from each other's state."""

import copy
import io
import itertools
import multiprocessing
import traceback

import pytest
import torch
import torch.distributed as dist

from decouplenet.config import Config, nest
from decouplenet.data.opened import open_data
from decouplenet.engine import Engine
from decouplenet.strategies import leave_process_group
from decouplenet.zero import LossScale

STRATEGIES = ("ddp", 0, 1, 2, 3)
# Settings beside the strategy: the plain one, mixed precision with every option on, and a moving average.
RECIPES = {
    "fp32": {"optim.lr": 0.02},
    "bf16": {"optim.lr": 0.02, "train.precision": "bf16"},
    "fp16": {"train.precision": "fp16", "train.clip_norm": 0.5, "train.accumulation": 3},
    "adamw": {"optim.name": "adamw", "optim.lr": 1e-3, "train.clip_norm": 0.5, "train.ema_decay": 0.9},
}


def make(cache, strategy, recipe):
    keys = {"model.backbone": "tiny", "model.pretrained": False, "model.attention": "joint", "data.image_size": 32}
    keys |= {"data.synthetic_images": 120, "data.cache": cache, "train.batch_size": 16, "train.epochs": 2}
    keys |= (
        {"train.strategy": "ddp"}
        if strategy == "ddp"
        else {
            "train.strategy": "deepspeed",
            "train.zero_stage": strategy,
        }
    )
    return Config.from_dict(nest(keys | {"optim.backbone_lr_scale": 1.0} | RECIPES[recipe]))


def saved(state):
    """A state as it comes back from a file."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def engine(config, rank, world):
    return Engine(config, open_data(config.data), rank=rank, world=world)


def scaled_up(state):
    """So high a loss scale that the first steps overflow."""
    state = copy.copy(state)
    if state["scaler"]:
        state["scaler"] = {**state["scaler"], "scale": 2.0**26}
    return state


def train(rank, world, cache, strategy, recipe):
    """An epoch, its state, another epoch; the states and the measures."""
    of = engine(make(cache, strategy, recipe), rank, world)
    of.load_state(scaled_up(saved(of.state())))
    measured = [of.train_epoch() | of.evaluate()]
    states = [saved(of.state())]
    measured.append(of.train_epoch() | of.evaluate())
    states.append(saved(of.state()))
    of.close()
    return states, measured


def go_on(rank, world, cache, strategy, recipe, state):
    """The second epoch, from another training's state after the first."""
    of = engine(make(cache, strategy, recipe), rank, world)
    of.load_state(state)
    measured = of.train_epoch() | of.evaluate()
    of.close()
    return measured


def worker(rank, cache, answers, ports):
    try:
        measure(rank, cache, answers, ports)
    except BaseException:
        answers.put(f"rank {rank}: {traceback.format_exc()}")
        raise


def measure(rank, cache, answers, ports):
    torch.set_num_threads(1)
    store = dist.TCPStore("127.0.0.1", 0 if rank == 0 else ports.get(), 2, is_master=rank == 0, wait_for_workers=False)
    if rank == 0:
        ports.put(store.port)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    trained = {key: train(rank, 2, cache, *key) for key in itertools.product(STRATEGIES, RECIPES)}
    resumed = {}
    for (giver, taker), recipe in itertools.product((("ddp", 3), (3, 1), (2, 0), (1, "ddp")), RECIPES):
        state = trained[giver, recipe][0][0]
        resumed[giver, taker, recipe] = go_on(rank, 2, cache, taker, recipe, state)
    if rank == 0:
        file = io.BytesIO()  # tensors themselves would end with this process
        torch.save((trained, resumed), file)
        answers.put(file.getvalue())
    dist.barrier()
    leave_process_group()


@pytest.fixture(scope="module")
def results(cache):
    """States by (strategy, recipe), measures by the same, and measures by (giver, taker, recipe)."""
    open_data(make(str(cache), "ddp", "fp32").data)
    spawn = multiprocessing.get_context("spawn")
    answers, ports = spawn.Queue(), spawn.Queue()
    processes = [spawn.Process(target=worker, args=(rank, str(cache), answers, ports)) for rank in (0, 1)]
    for process in processes:
        process.start()
    answer = answers.get(timeout=240)
    if isinstance(answer, str):
        for process in processes:
            process.kill()
        pytest.fail(answer)
    trained, resumed = torch.load(io.BytesIO(answer), weights_only=True)
    for process in processes:
        process.join()
    states, measured = ({key: both[i] for key, both in trained.items()} for i in (0, 1))
    return states, measured, resumed


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("stage", STRATEGIES[1:])
def test_zero_trains_as_ddp_does(results, stage, recipe):
    states, measured, _ = results
    tolerance = {"fp16": 1e-3, "bf16": 5e-2}.get(recipe, 1e-4)
    for one, other in zip(measured["ddp", recipe], measured[stage, recipe], strict=True):
        assert other["train_loss"] == pytest.approx(one["train_loss"], rel=tolerance)
        assert other["val_loss"] == pytest.approx(one["val_loss"], rel=tolerance)
    one, other = states["ddp", recipe][-1], states[stage, recipe][-1]
    assert other["model"].keys() == one["model"].keys()
    assert {name: of.keys() for name, of in other["optimizer"].items()} == {
        name: of.keys() for name, of in one["optimizer"].items()
    }
    for name, value in one["model"].items():
        torch.testing.assert_close(other["model"][name], value, rtol=tolerance, atol=tolerance / 10)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_fp16_overflows_lower_the_loss_scale_and_skip_the_step(results, strategy):
    states, _, _ = results
    scales = [state["scaler"]["scale"] for state in states[strategy, "fp16"]]
    assert scales == [state["scaler"]["scale"] for state in states["ddp", "fp16"]]
    assert scales[0] < 2.0**26


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_state_goes_on_under_another_strategy(results, recipe):
    _, measured, resumed = results
    for (giver, taker, of), again in resumed.items():
        if of == recipe:
            straight = measured[giver, recipe][1]
            assert again["train_loss"] == pytest.approx(straight["train_loss"], rel=2e-3 if of == "fp16" else 1e-4)
            assert again["val_loss"] == pytest.approx(straight["val_loss"], rel=2e-3 if of == "fp16" else 1e-4)
            assert taker != giver


def test_a_state_of_two_workers_goes_on_with_one(results, cache):
    """Under DeepSpeed too, where the parts of the state are cut anew."""
    states, measured, _ = results
    before, straight = measured[3, "adamw"]
    try:
        alone = [go_on(0, 1, str(cache), strategy, "adamw", states[3, "adamw"][0]) for strategy in ("ddp", 3)]
    finally:
        leave_process_group()
    assert alone[1]["train_loss"] == pytest.approx(alone[0]["train_loss"], rel=1e-4)
    for again in alone:  # with BatchNorm's statistics over whole batches
        assert again["train_loss"] == pytest.approx(straight["train_loss"], rel=0.05)
        assert again["train_loss"] < before["train_loss"]


def test_the_moving_average_is_measured_and_the_weights_go_on(results):
    states, _, _ = results
    state = states["ddp", "adamw"][-1]
    assert state["trained"].keys() < state["model"].keys()
    apart = [name for name, value in state["trained"].items() if not torch.equal(value, state["model"][name])]
    assert len(apart) > len(state["trained"]) / 2
    assert states["ddp", "fp32"][-1]["trained"] is None


def test_loss_scale_keeps_the_rule_of_torchs_scaler(monkeypatch):
    monkeypatch.setattr(LossScale, "INTERVAL", 3)
    scale, torchs = LossScale(), torch.amp.GradScaler("cpu", growth_interval=3)
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    for finite in (True, False, True, True, True, True, False, False, True):
        weight.grad = None
        (torchs.scale(weight.sum()) * (1.0 if finite else float("inf"))).backward()
        torchs.step(optimizer)
        torchs.update()
        scale.update(finite=finite)
        assert scale.state_dict() == torchs.state_dict()
    again = LossScale()
    again.load_state_dict(torchs.state_dict())
    assert again.state_dict() == scale.state_dict()
