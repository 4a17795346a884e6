"""Mixed precision by name: what `auto` takes on a device, and what a device only emulates."""

import pytest
import torch

from decouplenet import compat
from decouplenet.data.opened import open_data
from decouplenet.engine import Engine
from decouplenet.precision import on_device, precision_note

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")


@pytest.fixture
def devices(monkeypatch):
    """A function that sets whether devices compute bf16."""
    return lambda computes: monkeypatch.setattr(compat, "computes_bf16", lambda device: computes)


@pytest.mark.parametrize(
    ("computes", "device", "taken"),
    [(True, CPU, "bf16"), (False, CPU, "fp32"), (True, GPU, "bf16"), (False, GPU, "fp16")],
)
def test_auto_takes_what_the_device_is_made_for(devices, config, computes, device, taken):
    devices(computes)
    assert on_device(config(train__precision="auto"), device).train.precision == taken


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_precision_that_is_given_stays(devices, config, precision):
    devices(False)
    given = config(train__precision=precision)
    assert on_device(given, CPU) is given


def test_an_emulated_precision_is_noted(devices):
    devices(False)
    assert precision_note("fp32", CPU) == "" == precision_note("bf16", GPU)
    assert precision_note("bf16", CPU).startswith("train.precision bf16: this CPU only emulates it")
    devices(True)
    assert precision_note("bf16", CPU) == ""


def test_an_engine_trains_and_keeps_what_auto_took(devices, config):
    devices(False)
    given = config(train__precision="auto")
    engine = Engine(given, open_data(given.data))
    plain = Engine(config(train__precision="fp32"), open_data(given.data))
    assert engine.config.train.precision == "fp32"
    assert engine.train_epoch()["train_loss"] == plain.train_epoch()["train_loss"]
    assert engine.evaluate()["val_loss"] == plain.evaluate()["val_loss"]
