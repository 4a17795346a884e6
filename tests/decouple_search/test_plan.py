"""The plan of a search in words, and the bytes that it needs."""

import pytest

from decouple_search.plan import checkpoint_bytes, describe, disk_use, epochs_in_all
from decouple_search.space.yaml_file import load_space
from decouple_search.stopping.scheduler import Scheduler
from decouple_search.tune import read
from decouplenet.command_line import parse_config
from decouplenet.data.opened import open_data
from decouplenet.engine import Engine


def test_the_planned_checkpoint_is_the_largest_that_is_written(space_file, config):
    space = load_space(space_file())
    planned = checkpoint_bytes(space, parse_config(space.base), 15)
    engine = Engine(
        config(model__maps_per_class=4, model__attention="arch1", optim__name="adamw"), open_data(config().data)
    )
    engine.train_epoch()
    state = engine.state()
    moments = [tensor for entry in state["optimizer"].values() for tensor in entry.values()]
    written = sum(tensor.numel() * 4 for tensor in [*state["model"].values(), *moments])
    assert written == pytest.approx(planned, rel=0.05)


def test_an_averaged_network_makes_the_planned_checkpoint_larger(space_file):
    space = load_space(space_file())
    plain = checkpoint_bytes(space, parse_config(space.base), 15)
    averaged = checkpoint_bytes(space, parse_config({**space.base, "train.ema_decay": 0.9}), 15)
    assert averaged == plain * 4 / 3  # weights, two moments, and the mean of the weights


@pytest.mark.parametrize(
    ("scheduler", "least"),
    [(Scheduler("none"), 12), (Scheduler("asha", reduction_factor=3), round(4 + 4 / 3 * 2)), (Scheduler("pbt"), 12)],
)
def test_epochs_in_all(config, scheduler, least):
    assert epochs_in_all(config(), scheduler, 4) == (least, 12)


def test_the_plan_has_the_space_the_budget_and_the_workers(space_file, tmp_path):
    flags = ["--time-budget", "60", "--epoch-budget", "9", "--patience", "2", "--storage", str(tmp_path)]
    request = read(["--space", str(space_file()), *flags])
    lines = describe(request, request.config, 2).splitlines()
    assert lines[0] == "space      small: 5 searched, max val_map"
    assert any("model.k_neg" in line and "when model.alpha gt 0.3" in line for line in lines)
    assert "start      1 point given, tried first" in lines
    assert "data       synthetic, 32 px" in lines
    limits = "4 trials or 60 s or 9 epochs or 2 without a better one"
    assert f"budget     {limits} by gp, at most 3 epochs each; asha rungs at epochs 1" in lines
    assert "           between 7 and 12 epochs in all" in lines
    assert "workers    1 per trial, 1 CPU each" in lines
    assert lines[-1] == "at a time  2 trials"


def test_the_disk_use_grows_with_the_kept_checkpoints(space_file, tmp_path):
    def disk(*flags):
        request = read(["--space", str(space_file()), "--storage", str(tmp_path), *flags])
        return disk_use(request, request.config, 1)

    checkpoint = disk().partition("up to ")[2].partition(" each")[0]
    assert (
        disk().splitlines()[0] == f"disk       checkpoints up to {checkpoint} each, {at_any_time(disk())} at any time"
    )
    assert disk("--keep-checkpoints", "1") != disk("--keep-checkpoints", "4")
    assert disk().splitlines()[1].startswith("           decoded images 369 KB in ")
    assert "decoded" not in disk("--data.cache", "none")


def at_any_time(text):
    """The size of all checkpoints in the text."""
    return text.partition("each, ")[2].partition(" at any time")[0]
