"""One training: it learns, is deterministic, resumes bit for bit, and reports when it cannot continue."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from decouplenet.checkpoint import read_checkpoint, write_checkpoint
from decouplenet.config import OptimConfig
from decouplenet.data.opened import open_data
from decouplenet.engine import Engine
from decouplenet.errors import InputError, TrainingFailed
from decouplenet.frozen import open_training_data
from decouplenet.heads.registry import MODULES
from decouplenet.metrics import multilabel_metrics
from decouplenet.model import build_model
from decouplenet.optim import lr_factor, make_optimizer
from decouplenet.strategies import leave_process_group


def trained(config, epochs, engine=None):
    engine = engine or Engine(config, open_data(config.data))
    measures = []
    for _ in range(epochs):
        measures.append(engine.train_epoch() | engine.evaluate())
    return engine, measures


def same_weights(a, b):
    return all(
        torch.equal(x, y) for x, y in zip(a.model.state_dict().values(), b.model.state_dict().values(), strict=True)
    )


def test_it_learns(config):
    _, measures = trained(config(optim__name="adamw", optim__lr=0.01, train__epochs=6, data__flip=False), 6)
    assert measures[-1]["train_loss"] < 0.8 * measures[0]["train_loss"]
    assert measures[-1]["val_loss"] < measures[0]["val_loss"]


@pytest.mark.parametrize(
    ("name", "precision"), [("sgd", "fp32"), ("adamw", "fp32"), ("sgd", "bf16"), ("adamw", "fp16")]
)
def test_a_resumed_training_equals_an_uninterrupted_one_bit_for_bit(config, tmp_path, name, precision):
    config = config(optim__name=name, train__precision=precision, optim__schedule="onecycle")
    straight, measures = trained(config, 3)
    stopped, _ = trained(config, 1)
    torch.save(stopped.state(), tmp_path / "state.pt")
    torch.rand(7)  # something else uses the generator in between
    resumed = Engine(config, open_data(config.data))
    resumed.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
    resumed, resumed_measures = trained(config, 2, resumed)
    assert resumed.epoch == 3
    assert same_weights(straight, resumed)
    assert resumed_measures[-1]["val_map"] == measures[-1]["val_map"]
    assert resumed_measures[-1]["train_loss"] == measures[-1]["train_loss"]


@pytest.mark.parametrize("head", MODULES)
def test_every_head_trains_and_resumes_bit_for_bit(config, head):
    config = config(model__head=head, optim__name="adamw", optim__lr=1e-3)
    straight, measures = trained(config, 2)
    stopped, _ = trained(config, 1)
    resumed = Engine(config, stopped.data)
    resumed.load_state(stopped.state())
    resumed, rest = trained(config, 1, resumed)
    assert same_weights(straight, resumed)
    assert rest[0]["val_map"] == measures[1]["val_map"]


@pytest.mark.parametrize("head", MODULES)
def test_every_head_trains_on_feature_maps_and_with_split_weights(config, head, tmp_path):
    """Screened, and with ZeRO 3, where each worker has a part of the weights."""
    weights = tmp_path / "tiny.safetensors"
    save_file(build_model(config().model, 3).backbone.state_dict(), weights)
    frozen = config(model__head=head, model__pretrained=str(weights), train__freeze_backbone=True)
    assert Engine(frozen, open_training_data(frozen)).train_epoch()["train_loss"] > 0
    split = config(model__head=head, train__strategy="deepspeed", train__zero_stage=3)
    try:
        _, measures = trained(split, 1)
    finally:
        leave_process_group()
    _, whole = trained(config(model__head=head), 1)
    assert measures[0]["train_loss"] == pytest.approx(whole[0]["train_loss"], rel=1e-3)


def test_a_loaded_state_keeps_the_settings_of_the_loading_engine(config):
    """PBT: a trial takes weights and optimiser state from another trial, and uses its own learning rate."""
    donor, _ = trained(config(optim__lr=0.05, optim__weight_decay=1e-3), 1)
    loaded = Engine(config(optim__lr=0.01, optim__momentum=0.5, optim__schedule="constant"), donor.data)
    loaded.load_state(donor.state())
    assert same_weights(donor, loaded)
    for group in loaded._optimizer.param_groups:
        assert (group["peak_lr"], group["momentum"], group["weight_decay"]) == (0.01, 0.5, 1e-4)
    momentum = [next(iter(e._optimizer.state.values()))["momentum_buffer"] for e in (donor, loaded)]
    assert torch.equal(*momentum)
    assert loaded.train_epoch()["lr"] == 0.01


def test_a_resumed_training_draws_the_same_random_numbers(config, monkeypatch):
    """Dropout depends on the epoch's seed, not on earlier draws."""

    def with_dropout(*arguments):
        model = build_model(*arguments)
        model.backbone.append(torch.nn.Dropout(0.5))
        return model

    monkeypatch.setattr("decouplenet.engine.build_model", with_dropout)
    straight, _ = trained(config(), 2)
    stopped, _ = trained(config(), 1)
    resumed = Engine(config(), open_data(config().data))
    torch.rand(7)
    resumed.load_state(stopped.state())
    trained(None, 1, resumed)
    assert same_weights(straight, resumed)


def test_the_schedule_spans_all_epochs(config):
    engine, measures = trained(config(optim__schedule="cosine"), 3)
    steps = len(engine.data.train) // 16
    for epoch, measured in enumerate(measures, start=1):
        assert measured["lr"] == pytest.approx(0.05 * lr_factor("cosine", epoch * steps - 1, 3 * steps))


def test_the_seed_decides_the_weights(config):
    first, _ = trained(config(), 1)
    second, _ = trained(config(), 1)
    other, _ = trained(config(train__seed=1), 1)
    assert same_weights(first, second)
    assert not same_weights(first, other)


def test_an_earlier_training_in_the_process_has_no_effect(config):
    fresh, _ = trained(config(), 1)
    trained(config(model__backbone="tiny", model__head="wildcat", optim__lr=0.2, train__seed=5), 2)
    used, _ = trained(config(), 1)
    assert same_weights(fresh, used)


def test_evaluation_is_multilabel_metrics_of_all_val_images(config):
    engine, measures = trained(config(train__batch_size=17), 1)
    engine.model.eval()
    scores = []
    with torch.inference_mode():
        for batch in engine._val.evaluation():
            scores.append(engine.model(engine._inputs(batch)[0]).sigmoid())
    expected = multilabel_metrics(torch.cat(scores), engine.data.val.targets)
    assert measures[0]["val_map"] == expected["map"]
    assert measures[0]["val_ap"] == expected["ap"]


def test_bf16_trains_nearly_as_fp32(config):
    _, full = trained(config(), 1)
    _, half = trained(config(train__precision="bf16"), 1)
    assert half[0]["train_loss"] == pytest.approx(full[0]["train_loss"], rel=0.05)
    assert half[0]["train_loss"] != full[0]["train_loss"]


def test_a_loss_that_is_not_finite_ends_the_training(config):
    engine = Engine(config(optim__lr=1e30), open_data(config().data))
    with pytest.raises(TrainingFailed, match=r"the loss is (nan|inf) in epoch 1; lower optim.lr"):
        trained(None, 3, engine)


def test_more_pixels_than_the_map_has_is_an_input_error(config):
    with pytest.raises(InputError, match="the map has 16"):
        trained(config(model__k_pos=17), 1)


def test_out_of_gpu_memory_is_a_failed_training(config, monkeypatch):
    engine = Engine(config(), open_data(config().data))

    def exhausted(images):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(engine.model, "forward", exhausted)
    with pytest.raises(TrainingFailed, match="out of GPU memory at train.batch_size 16"):
        engine.train_epoch()


def test_the_backbone_has_its_own_learning_rate(config):
    engine = Engine(config(), open_data(config().data))
    optimizer = make_optimizer(engine.model, OptimConfig(lr=0.1, backbone_lr_scale=0.01))
    backbone, head = optimizer.param_groups
    assert (backbone["peak_lr"], head["peak_lr"]) == (pytest.approx(0.001), 0.1)
    assert len(backbone["params"]) + len(head["params"]) == len(list(engine.model.parameters()))


def test_a_head_that_was_trained_alone_learns_at_the_backbones_rate(config, tmp_path):
    weights = tmp_path / "tiny.pth"
    torch.save(build_model(config().model, 3).backbone.state_dict(), weights)
    keys = {"model__pretrained": str(weights), "optim__lr": 0.1, "optim__backbone_lr_scale": 0.01}
    warm, cold = (Engine(config(train__head_epochs=epochs, **keys), open_data(config().data)) for epochs in (1, 0))
    rates = [[group["peak_lr"] for group in engine._optimizer.param_groups] for engine in (warm, cold)]
    assert rates == [pytest.approx([0.001, 0.001]), pytest.approx([0.001, 0.1])]


@given(st.sampled_from(["constant", "cosine", "onecycle"]), st.integers(1, 500), st.data())
def test_schedules_stay_between_0_and_the_peak(schedule, steps, data):
    step = data.draw(st.integers(0, steps - 1))
    assert 0 <= lr_factor(schedule, step, steps) <= 1


def test_schedules_begin_and_end_as_documented():
    assert lr_factor("cosine", 0, 100) == 1
    assert lr_factor("cosine", 50, 100) == pytest.approx(0.5)
    assert lr_factor("onecycle", 0, 100) == pytest.approx(1 / 25)
    assert lr_factor("onecycle", 30, 100) == pytest.approx(1)
    assert lr_factor("onecycle", 99, 100) < 0.002
    assert lr_factor("constant", 99, 100) == 1
    factors = [lr_factor("cosine", i, 50) for i in range(50)]
    assert factors == sorted(factors, reverse=True)


def test_a_checkpoint_gives_the_same_logits_and_names(config, tmp_path):
    config = config(model__pretrained=False, model__attention="joint")
    engine, measures = trained(config, 1)
    write_checkpoint(tmp_path / "c", engine.state()["model"], config, measures[0], engine.data.train.class_names)
    reloaded = read_checkpoint(tmp_path / "c")
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(reloaded.model(images), engine.model.eval()(images))
    assert reloaded.config == config
    assert reloaded.class_names == engine.data.train.class_names
    assert reloaded.metrics["val_map"] == measures[0]["val_map"]
    assert sorted(f.name for f in (tmp_path / "c").iterdir()) == [
        "config.yaml",
        "metrics.json",
        "model.safetensors",
    ]


def test_a_folder_that_is_not_a_checkpoint_is_refused(tmp_path, config):
    with pytest.raises(InputError, match=r"has no model.safetensors"):
        read_checkpoint(tmp_path)
    engine = Engine(config(), open_data(config().data))
    write_checkpoint(
        tmp_path / "c",
        engine.state()["model"],
        config(model__maps_per_class=3),
        {},
        engine.data.train.class_names,
    )
    with pytest.raises(InputError, match="does not fit its config.yaml"):
        read_checkpoint(tmp_path / "c")


def test_real_photos_and_weights_train(shared, cache, config):
    mini = shared / "coco-mini"
    config = config(
        data__format="coco",
        data__train_annotations=str(mini / "annotations" / "instances_val.json"),
        data__train_images=str(mini / "images"),
        data__image_size=64,
        model__backbone="mobilenet_v2",
        model__pretrained=str(shared / "weights" / "mobilenet_v2-b0353104.pth"),
        optim__lr=0.01,
        train__batch_size=32,
    )
    engine, measures = trained(config, 1)
    assert len(engine.data.train) + len(engine.data.val) == 727
    assert math.isfinite(measures[0]["train_loss"])
    assert measures[0]["val_map"] > 0.06  # chance is 0.044


@pytest.mark.parametrize("keys", [{}, {"train__ema_decay": 0.9, "train__accumulation": 2}])
def test_an_interrupted_epoch_resumes_without_a_difference(config, tmp_path, keys, monkeypatch):
    def with_dropout(*arguments):
        model = build_model(*arguments)
        model.backbone.append(torch.nn.Dropout(0.5))
        return model

    monkeypatch.setattr("decouplenet.engine.build_model", with_dropout)
    straight, measures = trained(config(**keys), 2)
    first, _ = trained(config(**keys), 1)
    answers = iter([False, False, True])
    assert first.train_epoch(lambda: next(answers)) == {}
    assert (first.epoch, first.step) == (1, 3)
    torch.save(first.state(), tmp_path / "state.pt")
    resumed = Engine(config(**keys), first.data)
    resumed.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
    measured = resumed.train_epoch(lambda: False)
    assert (resumed.epoch, resumed.step) == (2, 0)
    assert same_weights(straight, resumed)
    assert measured["train_loss"] == pytest.approx(measures[-1]["train_loss"], rel=1e-6)
    assert measured["lr"] == measures[-1]["lr"]
