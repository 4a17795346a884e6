"""torch.compile is used only where it is faster and does not fail; the trial changes nothing else."""

import time

import pytest
import torch
from torch import nn

from decouplenet.compiling import try_compiled
from decouplenet.data.opened import open_data
from decouplenet.engine import Engine


class Sleeper(nn.Module):
    """A network that is slow either compiled or uncompiled."""

    def __init__(self, slow_compiled):
        super().__init__()
        self.slow_compiled = slow_compiled
        self.layers = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2))

    def forward(self, images):
        """Images B×3×H×W to logits B×2."""
        if torch.compiler.is_compiling() == self.slow_compiled:
            time.sleep(0.02)
        return self.layers(images).mean((2, 3))


@pytest.fixture(autouse=True)
def quick_compiler(monkeypatch):
    """Use torch.compile without its code generator, which takes half a minute."""

    def compile_module(self, **options):
        self._compiled_call_impl = torch.compile(self._call_impl, backend="eager", **options)

    monkeypatch.setattr(nn.Module, "compile", compile_module)
    yield
    torch.compiler.reset()  # compiled code keeps references to the networks


@pytest.mark.parametrize(("slow_compiled", "verdict"), [(True, "not used"), (False, "used")])
def test_compilation_is_used_only_if_steps_get_faster(slow_compiled, verdict):
    torch.manual_seed(0)
    network = Sleeper(slow_compiled)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    tried = try_compiled(network, torch.randn(2, 3, 8, 8), "fp32", 1)
    assert tried.is_faster is not slow_compiled
    assert tried.note.startswith(f"train.compile: {verdict}; a step takes ")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(weight.grad is None for weight in network.parameters())


def test_a_compiler_that_fails_is_not_used_and_its_reason_is_reported(monkeypatch):
    def broken(graph, inputs):
        raise RuntimeError("no C++ compiler\nlook here")

    def compile_module(self, **options):
        self._compiled_call_impl = torch.compile(self._call_impl, backend=broken, **options)

    monkeypatch.setattr(nn.Module, "compile", compile_module)
    tried = try_compiled(Sleeper(True), torch.randn(2, 3, 8, 8), "fp32", 1)
    assert not tried.is_faster
    assert tried.note.startswith("train.compile: not used, because it fails (")
    assert "no C++ compiler" in tried.note
    assert "\n" not in tried.note


@pytest.mark.parametrize("is_faster", [True, False])
def test_training_and_resuming_give_the_same_result_with_and_without_compilation(config, monkeypatch, is_faster):
    import decouplenet.compiling

    tried = []

    def trial(network, images, precision, world):
        network.compile()
        tried.append(tuple(images.shape))
        return decouplenet.compiling.Trial(is_faster, "a note")

    monkeypatch.setattr(decouplenet.compiling, "try_compiled", trial)
    data = open_data(config().data)
    plain, compiled = Engine(config(), data), Engine(config(train__compile=True), data)
    assert compiled.note == ""
    first = compiled.train_epoch()["train_loss"]
    assert first == pytest.approx(plain.train_epoch()["train_loss"], rel=1e-5)
    assert compiled.note == "a note"
    resumed = Engine(config(train__compile=True), data)
    resumed.load_state(compiled.state())
    assert resumed.train_epoch()["train_loss"] == pytest.approx(plain.train_epoch()["train_loss"], rel=1e-5)
    assert resumed.evaluate()["val_loss"] == pytest.approx(plain.evaluate()["val_loss"], rel=1e-5)
    assert tried == [(16, 3, 32, 32)] * 2


@pytest.mark.slow
def test_the_real_compiler(config, monkeypatch):
    monkeypatch.undo()
    data = open_data(config().data)
    engine = Engine(config(train__compile=True), data)
    assert engine.train_epoch()["train_loss"] == pytest.approx(
        Engine(config(), data).train_epoch()["train_loss"], rel=1e-4
    )
    assert "because it fails" not in engine.note
    assert "a step takes" in engine.note
