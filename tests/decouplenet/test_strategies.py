"""Two workers: every strategy, stage and precision trains alike, and each resumes from the state of another."""

import copy
import io
import itertools
import multiprocessing
import traceback

import pytest
import torch
import torch.distributed as dist

from decouplenet.config import Config
from decouplenet.data.opened import open_data
from decouplenet.dotted_keys import nest
from decouplenet.engine import Engine
from decouplenet.strategies import leave_process_group
from decouplenet.zero import LossScale

STRATEGIES = ("ddp", 0, 1, 2, 3)
# Settings beside the strategy: plain, mixed precision, mixed precision with all options, and a moving average.
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
    """A state after it was written to a file and read loaded."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def make_engine(config, rank, world):
    return Engine(config, open_data(config.data), rank=rank, world=world)


def scaled_up(state):
    """A state with a loss scale so high that the first steps overflow."""
    state = copy.copy(state)
    if state["scaler"]:
        state["scaler"] = {**state["scaler"], "scale": 2.0**26}
    return state


def train(rank, world, cache, strategy, recipe):
    """Train two epochs. Returns the states and the measures after each."""
    engine = make_engine(make(cache, strategy, recipe), rank, world)
    engine.load_state(scaled_up(saved(engine.state())))
    measured = [engine.train_epoch() | engine.evaluate()]
    states = [saved(engine.state())]
    measured.append(engine.train_epoch() | engine.evaluate())
    states.append(saved(engine.state()))
    engine.close()
    return states, measured


def resume(rank, world, cache, strategy, recipe, state):
    """Train the second epoch from another training's state after the first. Returns the measures."""
    engine = make_engine(make(cache, strategy, recipe), rank, world)
    engine.load_state(state)
    measured = engine.train_epoch() | engine.evaluate()
    engine.close()
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
        resumed[giver, taker, recipe] = resume(rank, 2, cache, taker, recipe, state)
    if rank == 0:
        file = io.BytesIO()  # tensors in shared memory would end with this process
        torch.save((trained, resumed), file)
        answers.put(file.getvalue())
    dist.barrier()
    leave_process_group()


@pytest.fixture(scope="module")
def results(cache):
    """States and measures by (strategy, recipe), and measures of resumed epochs by (giver, taker, recipe)."""
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
def test_zero_trains_like_ddp(results, stage, recipe):
    states, measured, _ = results
    tolerance = {"fp16": 1e-3, "bf16": 5e-2}.get(recipe, 1e-4)
    for ddp, zero in zip(measured["ddp", recipe], measured[stage, recipe], strict=True):
        assert zero["train_loss"] == pytest.approx(ddp["train_loss"], rel=tolerance)
        assert zero["val_loss"] == pytest.approx(ddp["val_loss"], rel=tolerance)
    ddp, zero = states["ddp", recipe][-1], states[stage, recipe][-1]
    assert zero["model"].keys() == ddp["model"].keys()
    assert {name: values.keys() for name, values in zero["optimizer"].items()} == {
        name: values.keys() for name, values in ddp["optimizer"].items()
    }
    for name, value in ddp["model"].items():
        torch.testing.assert_close(zero["model"][name], value, rtol=tolerance, atol=tolerance / 10)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_fp16_overflows_lower_the_loss_scale_and_skip_the_step(results, strategy):
    states, _, _ = results
    scales = [state["scaler"]["scale"] for state in states[strategy, "fp16"]]
    assert scales == [state["scaler"]["scale"] for state in states["ddp", "fp16"]]
    assert scales[0] < 2.0**26


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_state_resumes_under_another_strategy(results, recipe):
    _, measured, resumed = results
    for (giver, taker, resumed_recipe), measures in resumed.items():
        if resumed_recipe == recipe:
            straight = measured[giver, recipe][1]
            tolerance = 2e-3 if recipe == "fp16" else 1e-4
            assert measures["train_loss"] == pytest.approx(straight["train_loss"], rel=tolerance)
            assert measures["val_loss"] == pytest.approx(straight["val_loss"], rel=tolerance)
            assert taker != giver


def test_a_state_of_two_workers_resumes_with_one_worker(results, cache):
    """Also under DeepSpeed, which splits the state differently for another number of workers."""
    states, measured, _ = results
    before, straight = measured[3, "adamw"]
    try:
        alone = [resume(0, 1, str(cache), strategy, "adamw", states[3, "adamw"][0]) for strategy in ("ddp", 3)]
    finally:
        leave_process_group()
    assert alone[1]["train_loss"] == pytest.approx(alone[0]["train_loss"], rel=1e-4)
    for measures in alone:  # not equal: BatchNorm's statistics are over whole batches here
        assert measures["train_loss"] == pytest.approx(straight["train_loss"], rel=0.05)
        assert measures["train_loss"] < before["train_loss"]


def test_the_state_has_the_moving_average_and_the_trained_weights(results):
    states, _, _ = results
    state = states["ddp", "adamw"][-1]
    assert state["trained"].keys() < state["model"].keys()
    different = [name for name, value in state["trained"].items() if not torch.equal(value, state["model"][name])]
    assert len(different) > len(state["trained"]) / 2
    assert states["ddp", "fp32"][-1]["trained"] is None


def test_loss_scale_follows_the_rule_of_torchs_scaler(monkeypatch):
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
    loaded = LossScale()
    loaded.load_state_dict(torchs.state_dict())
    assert loaded.state_dict() == scale.state_dict()
