"""The plan of a search in words, and the bytes that it needs."""

from dataclasses import replace

import pytest
from torch import nn

from decouple_search.machines.timing import DataSize, ScreenSeconds
from decouple_search.plan import checkpoint_bytes, describe, disk_use, timed_heads
from decouple_search.space.yaml_file import load_space
from decouple_search.tune import read
from decouplenet.command_line import parse_config
from decouplenet.data.opened import open_data
from decouplenet.engine import Engine
from decouplenet.extensions import HEADS

SCENES = DataSize(96, 24, 15)
"""The data of the small space."""


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


def test_the_planned_checkpoint_is_that_of_the_largest_searched_head(space_file, monkeypatch):
    def planned(heads, **keys):
        # Each `m` costs WILDCAT more than DecoupleNet, whose maps share an upsampling.
        choice = f"model.head: {{choice: {heads}}}\n  train.seed: {{choice: [0, 1]}}"
        space = load_space(space_file(("model.maps_per_class: {int: [1, 4], log: true}", choice)), keys)
        return checkpoint_bytes(space, parse_config(space.base), 15)

    maps = {"model.maps_per_class": 16}
    alone = {head: planned(f"[{head}]", **maps) for head in ("gap", "wildcat", "decouplenet")}
    assert planned("[gap, wildcat]", **maps) == alone["wildcat"] > alone["gap"]
    assert planned("[gap, wildcat, decouplenet]", **maps) == max(alone.values())
    monkeypatch.setitem(HEADS._registered, "mine", lambda channels, classes, config: nn.Linear(10**6, classes))
    assert planned("[mine, gap]", **maps) > 4 * 15 * 10**6


def test_the_planned_checkpoint_counts_searched_optimisers_and_averages(space_file):
    space = load_space(space_file())

    def planned(key, spec, *replacements):
        file = space_file(("model.attention: {choice: [none, arch1]}", f"{key}: {spec}"), *replacements)
        searched = load_space(file)
        return checkpoint_bytes(searched, parse_config(searched.base), 15)

    fixed = {"model.attention": "arch1"}
    adamw = checkpoint_bytes(load_space(space_file(), fixed), parse_config({**space.base, **fixed}), 15)
    assert planned("optim.name", "{choice: [sgd, adamw]}", ("name: adamw, ", "")) == adamw
    assert planned("optim.name", "{choice: [sgd]}") == adamw * 2 / 3
    assert planned("train.ema_decay", "{float: [0.0, 0.99]}") == adamw * 4 / 3


def test_the_plan_has_the_space_the_budget_and_the_workers(space_file, tmp_path):
    flags = ["--time-budget", "60", "--epoch-budget", "9", "--patience", "2", "--storage", str(tmp_path)]
    request = read(["--space", str(space_file()), *flags])
    lines = describe(request, request.config, 2).splitlines()
    assert lines[0] == "space      small: 5 searched, max val_map"
    assert any("model.k_neg" in line and "when model.alpha gt 0.3" in line for line in lines)
    assert "start      1 point given, tried first" in lines
    assert "data       synthetic, 32 px" in lines
    limits = "4 trials or 60 s or 9 epochs or 2 without a better one"
    assert f"budget     {limits} by gp, at most 3 epochs each; promotion rung at epoch 1" in lines
    assert "           7 epochs in all" in lines
    assert "workers    1 per trial, 1 CPU each" in lines
    assert lines[-1] == "at a time  2 trials"
    for scheduler, epochs in (("none", "12"), ("asha", "between 7 and 12")):
        request = read(["--space", str(space_file()), "--scheduler", scheduler, "--storage", str(tmp_path)])
        assert f"           {epochs} epochs in all" in describe(request, request.config, 2).splitlines()


def test_the_disk_use_grows_with_the_kept_checkpoints(space_file, tmp_path):
    def disk(*flags):
        request = read(["--space", str(space_file()), "--storage", str(tmp_path), *flags])
        return disk_use(request, request.config, 1, SCENES)

    checkpoint = disk().partition("up to ")[2].partition(" each")[0]
    assert (
        disk().splitlines()[0] == f"disk       checkpoints up to {checkpoint} each, {at_any_time(disk())} at any time"
    )
    assert disk("--keep-checkpoints", "1") != disk("--keep-checkpoints", "4")
    assert disk().splitlines()[1].startswith("           decoded images 369 KB in ")
    assert "decoded" not in disk("--data.cache", "none")


def test_paused_trials_keep_their_checkpoints(space_file, tmp_path):
    request = read(["--space", str(space_file()), "--storage", str(tmp_path), "--trials", "4"])
    stopping = replace(request, scheduler=replace(request.scheduler, name="asha"))
    sizes = [at_any_time(disk_use(each, each.config, 1, SCENES)) for each in (request, stopping)]
    pausing, stopped = (float(size.split()[0]) for size in sizes)
    # Besides the four best ones and the exported one: those of the running trial, and of at most four paused ones.
    assert pausing / stopped == pytest.approx((3 + 1 + 3 * 5) / (3 + 1 + 3), rel=0.02)


@pytest.mark.parametrize(
    ("spec", "sizes", "shown"),
    [
        ("{choice: [16, 64]}", [16, 64], "16 to 64 px"),
        ("{int: [16, 64], step: 16}", [16, 32, 48, 64], "16 to 64 px"),
        ("{int: [16, 64]}", [64, 63, 62, 61], "16 to 64 px"),  # four trials have at most four sizes
        ("{choice: [16, 64], when: {model.alpha: {gt: 0.5}}}", [16, 64, 32], "16 to 64 px"),  # else it is the base's
    ],
)
def test_the_cache_has_each_searched_image_size(space_file, tmp_path, spec, sizes, shown):
    file = space_file(("model.attention: {choice: [none, arch1]}", f"data.image_size: {spec}"))
    request = read(["--space", str(file), "--storage", str(tmp_path)])
    pixels = sum(120 * 3 * size**2 for size in sizes)
    assert f"decoded images {pixels / 1e6:.3g} MB in " in disk_use(request, request.config, 1, SCENES)
    assert f"data       synthetic, {shown}" in describe(request, request.config, 1)


def test_the_cache_of_1600_scenes_of_64_and_448_px(space_file, tmp_path):
    sizes = "data.image_size: {choice: [64, 448]}"
    file = space_file(("model.attention: {choice: [none, arch1]}", sizes), ("120", "1600"))
    request = read(["--space", str(file), "--storage", str(tmp_path)])
    assert "decoded images 983 MB in " in disk_use(request, request.config, 1, DataSize(1280, 320, 15))


def test_the_disk_use_of_unknown_data_has_the_checkpoints_and_the_reason(space_file, tmp_path):
    request = read(["--space", str(space_file()), "--storage", str(tmp_path)])
    eighty = disk_use(request, request.config, 1, DataSize(96, 24, 80)).splitlines()
    unknown = disk_use(request, request.config, 0, "nobody knows").splitlines()
    assert unknown == [
        f"{eighty[0]} (for 80 classes, as their number is not known)",
        "           decoded images not known, as nobody knows",
    ]


def at_any_time(text):
    """The size of all checkpoints in the text."""
    return text.partition("each, ")[2].partition(" at any time")[0]


def test_the_plan_has_the_screened_heads_and_their_feature_maps(space_file, tmp_path):
    scale = ("  optim.lr:", "  optim.backbone_lr_scale: {float: [0.01, 1.0]}\n  optim.lr:")
    file = space_file(("pretrained: false", "pretrained: weights.pth"), scale)

    def plan(*flags, images=120):
        request = read(["--space", str(file), "--storage", str(tmp_path), *flags])
        disk = disk_use(request, request.config, 1, DataSize(images - 24, 24, 15))
        return (*describe(request, request.config, 2).splitlines(), *disk.splitlines())

    lines = plan("--screen", "12")
    assert "screen     12 heads for 4 epochs each, on feature maps of tiny" in lines
    assert "           only full trials can judge optim.backbone_lr_scale" in lines
    assert "           a full trial trains its head first in the same way, for 4 epochs" in lines
    assert lines[-1].startswith("           feature maps 492 KB in ")  # 120 · 4 · 4 · 128 · 2 bytes
    assert "           its seconds are not known, as they are not timed" in lines
    assert not any("feature maps" in line or "screen" in line for line in plan())
    many = plan("--screen", "auto", images=10**7)
    assert any(line.startswith("screen     at most 128 heads, while they are worth it (auto), for 4 ") for line in many)
    assert many[-1].startswith("           feature maps 16 GB in ")
    assert many[-1].endswith(", of 3906250 images")


@pytest.mark.parametrize(("heads", "shown"), [((36.4, 98.0), "36 to 98 s per head"), ((5.25, 5.25), "5.2 s per head")])
def test_the_plan_has_the_seconds_of_screening(space_file, tmp_path, heads, shown):
    file = space_file(("pretrained: false", "pretrained: weights.pth"))
    request = read(["--space", str(file), "--storage", str(tmp_path), "--screen", "12"])
    lines = describe(request, request.config, 2, ScreenSeconds(60.0, heads, 400.0)).splitlines()
    assert f"           about 60 s for the maps, {shown}, 400 s per full trial" in lines
    total = 60 + 12 * sum(heads) / 2 / 2
    assert f"           about {total:.0f} s for 12 heads, 2 at a time; timed on noise" in lines


def test_each_searched_upsampling_is_timed(space_file, tmp_path):
    kinds = ("  optim.lr:", "  model.upsampling: {choice: [none, transposed]}\n  optim.lr:")
    file = space_file(("pretrained: false", "pretrained: weights.pth"), kinds)
    request = read(["--space", str(file), "--storage", str(tmp_path), "--screen", "12"])
    heads = timed_heads(request, request.config)
    assert {head.model.upsampling for head in heads} >= {"none", "transposed"}
    assert all(head.train.freeze_backbone and head.train.epochs == 4 for head in heads)


def test_each_searched_head_is_timed_and_decouplenet_with_each_upsampling(space_file, tmp_path):
    searched = "  model.head: {choice: [gap, decouplenet, csra]}\n"
    searched += "  model.upsampling: {choice: [none, bilinear], when: {model.head: decouplenet}}\n  optim.lr:"
    file = space_file(("pretrained: false", "pretrained: weights.pth"), ("  optim.lr:", searched))
    request = read(["--space", str(file), "--storage", str(tmp_path), "--screen", "12"])
    timed = [(each.model.head, each.model.upsampling) for each in timed_heads(request, request.config)]
    assert timed[0][0] == "gap"
    assert timed[-1][0] == "csra"
    assert {upsampling for head, upsampling in timed if head == "decouplenet"} >= {"none", "bilinear"}


def test_the_maps_of_a_frozen_backbone_are_those_of_all_images(space_file, tmp_path):
    file = space_file(("pretrained: false", "pretrained: w.pth"), ("epochs: 3", "epochs: 3, freeze_backbone: true"))
    request = read(["--space", str(file), "--storage", str(tmp_path)])
    assert "feature maps 492 KB in " in disk_use(request, request.config, 1, SCENES)
