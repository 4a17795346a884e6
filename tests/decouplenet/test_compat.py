"""The contract with DeepSpeed and torch: one test per function of `compat.py`, which says what a new version broke."""

import gc
import inspect
import io
import os
import subprocess
import sys
import weakref
from contextlib import redirect_stdout

import pytest
import torch
import torch.distributed as dist
from torch import nn

from decouplenet import compat

CPU = torch.device("cpu")


def test_torch_tells_whether_a_device_computes_bf16():
    assert compat.computes_bf16(CPU) in (True, False)
    assert compat.computes_bf16(torch.device("meta")) is False


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD])
def test_an_optimiser_without_the_compiler_steps_as_torch_s_own(kind):
    stepped = []
    for each in (kind, compat.without_compiler(kind)):
        weight = nn.Parameter(torch.tensor([1.0, -2.0]))
        optimizer = each([weight], lr=0.1, weight_decay=0.01)
        for _ in range(2):
            weight.square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        optimizer.load_state_dict(optimizer.state_dict())
        stepped.append(weight)
    assert torch.equal(*stepped)


def test_an_optimiser_without_the_compiler_does_not_import_it():
    code = (
        "import sys, torch; from decouplenet import compat\n"
        "weight = torch.nn.Parameter(torch.ones(2))\n"
        "optimizer = compat.without_compiler(torch.optim.AdamW)([weight])\n"
        "weight.sum().backward(); optimizer.step(); optimizer.zero_grad()\n"
        "optimizer.load_state_dict(optimizer.state_dict()); print('torch._dynamo' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout == "False\n"


@pytest.fixture
def make_engine(monkeypatch):
    """Make a DeepSpeed engine for a linear layer without bias, 2 to 1, with SGD in a process group of one process."""
    monkeypatch.setenv("LOCAL_RANK", "0")
    compat.import_deepspeed("cpu")
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)

    def make(stage, *, accumulation=1, momentum=0.0, device=CPU):
        network = nn.Linear(2, 1, bias=False)
        nn.init.ones_(network.weight)
        settings = {
            "train_micro_batch_size_per_gpu": 2,
            "gradient_accumulation_steps": accumulation,
            "gradient_clipping": 0.0,
            "zero_optimization": {"stage": stage},
            "zero_allow_untested_optimizer": True,
            "steps_per_print": None,
        }
        optimizer = torch.optim.SGD(network.parameters(), lr=1.0, momentum=momentum)
        return compat.initialize_engine(network, optimizer, settings, device)

    yield make
    if not compat.leave_deepspeed_group() and dist.is_initialized():
        dist.destroy_process_group()


def loss_of(engine, factor=1.0):
    """A loss whose gradient is `factor` for both weights, and the list that gets its own gradient."""
    loss = engine(torch.ones(1, 2)).sum() * factor
    scales = []
    loss.register_hook(lambda gradient: scales.append(float(gradient)))
    return loss, scales


def step(engine, factor=1.0):
    compat.set_last_micro_batch(engine, True)
    compat.backward(engine, loss_of(engine, factor)[0])
    engine.step()


def weights(engine):
    return [value for parameter in engine.module.parameters() for value in parameter.detach().flatten().tolist()]


def test_import_compiles_nothing_and_logs_errors_only():
    output = io.StringIO()
    with redirect_stdout(output):
        deepspeed = compat.import_deepspeed("cpu")
    assert output.getvalue() == "", "importing DeepSpeed prints to stdout"
    source = inspect.getsource(sys.modules["deepspeed.comm.torch"])
    assert "deepspeed.ops.__compatible_ops__" in source, (
        "deepspeed.comm.torch no longer asks deepspeed.ops.__compatible_ops__ whether to compile its all-reduce; "
        "on a CPU the first engine may take a minute to compile it"
    )
    assert deepspeed.ops.__compatible_ops__ == {}, "deepspeed.ops.__compatible_ops__ cannot be replaced"


def test_an_engine_is_on_the_given_device(make_engine, monkeypatch):
    from deepspeed.accelerator import get_accelerator

    indices = []
    monkeypatch.setattr(get_accelerator(), "set_device", indices.append)
    make_engine(1, device=torch.device("cpu", 3))
    assert 3 in indices, "deepspeed.initialize does not take the device from its arguments"
    assert os.environ["LOCAL_RANK"] == "3"


def test_gradients_accumulate_until_the_last_micro_batch(make_engine):
    engine = make_engine(1, accumulation=2)
    for last in (False, True):
        compat.set_last_micro_batch(engine, last)
        assert engine.is_gradient_accumulation_boundary() is last, (
            "set_gradient_accumulation_boundary does not decide which micro-batch is the last"
        )
        compat.backward(engine, loss_of(engine)[0])
    engine.step()
    message = "a step does not take the sum of the micro-batches' gradients"
    assert weights(engine) == pytest.approx([-1.0, -1.0]), message


def test_backward_does_not_divide_by_the_number_of_micro_batches(make_engine):
    engine = make_engine(1, accumulation=4)
    loss, scales = loss_of(engine)
    compat.set_last_micro_batch(engine, True)
    compat.backward(engine, loss)
    assert scales == [1.0], "DeepSpeedEngine.backward(scale_wrt_gas=False) scales the loss"


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_the_loss_scale_multiplies_the_loss_and_divides_the_step(make_engine, stage):
    engine = make_engine(stage)
    loss, scales = loss_of(engine)
    compat.set_loss_scale(engine, 8.0)
    compat.set_last_micro_batch(engine, True)
    compat.backward(engine, loss)
    assert scales == [8.0], f"override_loss_scale of ZeRO's stage {stage} does not scale the loss in backward"
    engine.step()
    parameters = list(engine.module.parameters())
    import deepspeed

    message = f"ZeRO's stage {stage} does not divide the gradients by the loss scale"
    with deepspeed.zero.GatheredParameters(parameters):
        assert weights(engine) == pytest.approx([0.0, 0.0]), message


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_step_that_overflows_is_not_applied_and_leaves_no_state(make_engine, stage):
    engine = make_engine(stage, momentum=0.9)
    assert not compat.has_optimizer_state(engine), "global_steps or skipped_steps do not start at 0"
    compat.set_loss_scale(engine, 1.0)
    step(engine, factor=float("inf"))
    assert not compat.was_step_applied(engine), "was_step_applied is True after an overflow"
    assert not compat.has_optimizer_state(engine), "a skipped step does not count in skipped_steps"
    step(engine)
    assert compat.was_step_applied(engine), "was_step_applied is False after a step with finite gradients"
    assert compat.has_optimizer_state(engine), "an applied step does not count in global_steps"


def test_state_that_is_created_first_is_linked_for_all_groups(make_engine):
    """Without it, DeepSpeed misses the state of the second group."""
    import deepspeed
    from deepspeed.utils import safe_get_full_optimizer_state

    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    groups = [{"params": list(layer.parameters())} for layer in network]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    settings = {"train_micro_batch_size_per_gpu": 2, "zero_optimization": {"stage": 1}, "steps_per_print": None}
    settings["zero_allow_untested_optimizer"] = True
    engine, *_ = deepspeed.initialize(model=network, optimizer=optimizer, config=settings)
    compat.create_optimizer_state(optimizer)
    step(engine)
    for parameter in network.parameters():
        momentum = safe_get_full_optimizer_state(parameter, "momentum_buffer")
        assert momentum is not None, "DeepSpeed does not link the optimiser state of every parameter group"
        assert momentum.shape == parameter.shape
        assert momentum.abs().sum() > 0, "DeepSpeed links weights to other optimiser state than it steps with"


def test_a_freed_engine_of_stage_3_lets_its_weights_go(make_engine):
    engine = make_engine(3)
    step(engine)
    for name in ("parameter_offload", "destroy"):
        assert hasattr(engine.optimizer, name), f"ZeRO's stage 3 optimizer has no '{name}'"
    weight = weakref.ref(next(engine.module.parameters()).ds_tensor)
    engine.destroy()
    compat.free_stage_3(engine, engine.module)
    del engine
    gc.collect()
    assert weight() is None, "DeepSpeed keeps the weights of a destroyed engine of stage 3"


def test_leaving_deepspeeds_group_leaves_torchs(make_engine):
    make_engine(1)
    assert compat.leave_deepspeed_group(), "DeepSpeed has not joined the process group of its engine"
    assert not dist.is_initialized(), "deepspeed.comm.destroy_process_group leaves torch's process group"
    assert not compat.leave_deepspeed_group(), "deepspeed.comm.is_initialized is True after the group was destroyed"


def test_the_grad_scalers_state_has_the_key_of_the_growth_tracker():
    state = torch.amp.GradScaler("cpu").state_dict()
    expected = {"scale", "growth_factor", "backoff_factor", "growth_interval", compat.GROWTH_TRACKER}
    assert state.keys() == expected, "the state of torch.amp.GradScaler has other keys"
