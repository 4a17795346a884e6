"""The decorators that add a user's own backbone, head, loss or data format, and what each has to be.

Imports neither torch nor Ray.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from decouplenet.config import Config, DataConfig, ModelConfig
from decouplenet.extensions import BACKBONES, FORMATS, HEADS, LOSSES, Extensions

if TYPE_CHECKING:
    from torch import Tensor, nn

    from decouplenet.data.image_set import ImageSet

BackboneFactory = Callable[["bool | str"], "tuple[nn.Module, int]"]
"""From `model.pretrained` (true, false, or a weight file): a network B×3×S×S -> B×D×H×W, and D."""
HeadFactory = Callable[[int, int, ModelConfig], "nn.Module"]
"""From D channels, C classes and the config: a module, features B×D×H×W -> logits B×C. Heat maps need a method
`class_maps`, features -> B×C×H×W, too. A method `see_labels` gets the training labels, N×C of 0 and 1, at the start."""
LossFunction = Callable[["Tensor", "Tensor", "Tensor | None"], "Tensor"]
"""From logits B×C, targets B×C, and booleans B×C of pairs that do not count (or None): the sum over all pairs."""
FormatReader = Callable[[DataConfig, Callable[[str], None]], "tuple[ImageSet, ImageSet | None]"]
"""From the config, and a function to call with each fault in the data: the training images, and the validation
images if the data names some."""

_Factory = TypeVar("_Factory", bound=Callable[..., Any])


def register_backbone(name: str) -> Callable[[_Factory], _Factory]:
    """Decorator: add a backbone under a name of `model.backbone`. It decorates a `BackboneFactory`."""
    return _registering(BACKBONES, name)


def register_head(name: str) -> Callable[[_Factory], _Factory]:
    """Decorator: add a head under a name of `model.head`. It decorates a `HeadFactory`; a module's class is one."""
    return _registering(HEADS, name)


def register_loss(name: str) -> Callable[[_Factory], _Factory]:
    """Decorator: add a loss under a name of `train.loss`. It decorates a `LossFunction`."""
    return _registering(LOSSES, name)


def register_format(name: str) -> Callable[[_Factory], _Factory]:
    """Decorator: add a reader of labels under a name of `data.format`. It decorates a `FormatReader`."""
    return _registering(FORMATS, name)


def _registering(kind: Extensions[Any], name: str) -> Callable[[_Factory], _Factory]:
    def register(factory: _Factory) -> _Factory:
        kind.register(name, factory)
        return factory

    return register


def own_parts(config: Config) -> list[str]:
    """The extensions that a config's training uses besides its data format, in words."""
    chosen = ((BACKBONES, config.model.backbone), (HEADS, config.model.head), (LOSSES, config.train.loss))
    return [f"{kind.key} '{name}'" for kind, name in chosen if name not in kind.builtin]
