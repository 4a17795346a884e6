"""The trial step with a user's own backbone, head and loss, before any training."""

from pathlib import Path

import pytest
import torch
from torch import nn

from decouplenet import extension_check
from decouplenet.command_line import parse_config
from decouplenet.errors import InputError
from decouplenet.extension_check import check_extensions
from decouplenet.registration import register_backbone, register_head, register_loss

pytestmark = pytest.mark.usefixtures("registries")
SMALL = {"model.backbone": "tiny", "model.pretrained": False, "data.image_size": 32}


def mean_head(channels, num_classes, config):
    """A head that works."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


class BrokenHead(nn.Module):
    """A head with a mistake."""

    def __init__(self, channels, num_classes, config):
        super().__init__()
        self.linear = nn.Linear(channels, num_classes)

    def forward(self, features):
        """B×D×H×W -> B×C, if the axes were right."""
        return self.linear(features.mean((2, 4)))


def half(logits, targets, ignored=None):
    return (logits - targets).square().masked_fill(ignored, 0).sum() / 2


def check(**keys):
    check_extensions(parse_config(SMALL | {key.replace("__", "."): value for key, value in keys.items()}))


def test_built_in_parts_are_not_tried(monkeypatch):
    monkeypatch.setattr(extension_check, "build_model", lambda *arguments: pytest.fail("a network was built"))
    check(model__head="wildcat", train__loss="asl")


def test_extensions_that_work_pass():
    pretrained, shapes = [], []

    @register_backbone("shallow")
    def shallow(value):
        pretrained.append(value)
        return nn.Conv2d(3, 6, 3, stride=2), 6

    @register_loss("half")
    def counted_half(logits, targets, ignored=None):
        shapes.append((logits.shape, targets.shape, ignored.shape, ignored.dtype))
        return half(logits, targets, ignored)

    register_head("mean")(mean_head)
    check(model__backbone="shallow", model__head="mean", train__loss="half", model__pretrained=True)
    assert set(pretrained) == {False}  # weights are read elsewhere
    assert shapes == [((2, 3), (2, 3), (2, 3), torch.bool)]
    check(model__head="mean")
    check(train__loss="half")


def test_a_mistake_in_a_head_is_named_with_its_line():
    register_head("broken")(BrokenHead)
    register_loss("half")(half)
    with pytest.raises(InputError) as error:
        check(model__head="broken", train__loss="half")
    lines = Path(__file__).read_text().splitlines()
    number = next(number for number, line in enumerate(lines, 1) if "features.mean((2, 4))" in line)
    message = str(error.value)
    assert message.startswith("a step with model.head 'broken' and train.loss 'half' on images of 32 px failed (Index")
    assert message.endswith(f"; {__file__}:{number})")


def test_an_input_error_of_a_network_stays_as_it_is():
    register_head("few")(lambda channels, num_classes, config: mean_head(channels, 1, config))
    with pytest.raises(InputError, match=r"^model.head: 'few' gives logits of \(2, 1\), not \(2, 3\)$"):
        check(model__head="few")


def test_a_mistake_of_the_gradient_is_refused():
    register_loss("detached")(lambda logits, targets, ignored=None: logits.detach().sum())
    with pytest.raises(InputError, match="the gradient with train.loss 'detached' on images of 32 px failed"):
        check(train__loss="detached")


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda logits, targets, ignored=None: logits.sum(1) * 0, r"gives \[0.0, 0.0\]; it must give a finite"),
        (lambda logits, targets, ignored=None: (logits.sum() * 0 + 3).reshape(1), r"gives \[3.0\]; it must give"),
        (lambda logits, targets, ignored=None: logits.sum() * float("nan"), "gives nan; it must give a finite scalar"),
        (lambda logits, targets, ignored=None: logits.sum() * 0 + float("inf"), "gives inf; it must give a finite"),
        (lambda logits, targets, ignored=None: 0.5, "gives 0.5; it must give a finite scalar tensor"),
    ],
    ids=["per image", "a list", "nan", "infinite", "no tensor"],
)
def test_a_loss_that_is_no_finite_scalar_is_refused(loss, message):
    register_loss("mine")(loss)
    with pytest.raises(InputError, match=message):
        check(train__loss="mine")


def two_arguments(logits, targets):
    return (logits - targets).sum()


def test_a_loss_with_too_few_arguments_is_named():
    register_loss("short")(two_arguments)
    message = (
        r"^train.loss: 'short' failed \(TypeError: two_arguments\(\) takes 2 positional arguments .*:two_arguments\)$"
    )
    with pytest.raises(InputError, match=message):
        check(train__loss="short")


def test_an_error_inside_torch_is_not_said_to_be_at_torchs_own_line():
    layers = nn.Conv2d(8, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)
    register_head("narrow")(lambda channels, num_classes, config: nn.Sequential(*layers))
    with pytest.raises(InputError, match=r"^a step with model.head 'narrow' on .* failed \(RuntimeError: ") as error:
        check(model__head="narrow")
    assert ".py" not in str(error.value)


def test_what_is_no_module_is_refused_as_a_head():
    register_head("none")(lambda channels, num_classes, config: None)
    with pytest.raises(InputError, match="^model.head: 'none' made NoneType; it must make an nn.Module$"):
        check(model__head="none")


def test_a_backbone_with_other_channels_than_it_says_is_refused():
    register_backbone("wrong")(lambda pretrained: (nn.Conv2d(3, 8, 1), 16))
    message = (
        r"^model.backbone: 'wrong' says that it has 16 channels, and gives features of shape \(2, 8, 32, 32\); they"
    )
    with pytest.raises(InputError, match=message):
        check(model__backbone="wrong")
