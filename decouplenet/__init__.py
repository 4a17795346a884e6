"""DecoupleNet (ICASSP 2019) as a library: model, layers, metrics, data and one training. Does not import Ray.

The public names are imported on first use, so that commands that need only the config start quickly.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decouplenet.config import Config as Config
    from decouplenet.layers import spatial_pool as spatial_pool
    from decouplenet.metrics import multilabel_metrics as multilabel_metrics
    from decouplenet.model import DecoupleNet as DecoupleNet
    from decouplenet.model import build_model as build_model

_MODULES = {
    "Config": "config",
    "DecoupleNet": "model",
    "build_model": "model",
    "multilabel_metrics": "metrics",
    "spatial_pool": "layers",
}
__all__ = ["Config", "DecoupleNet", "build_model", "multilabel_metrics", "spatial_pool"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'decouplenet' has no attribute '{name}'; public: {', '.join(_MODULES)}")
    return getattr(import_module(f"decouplenet.{_MODULES[name]}"), name)
