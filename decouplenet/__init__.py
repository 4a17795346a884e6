"""DecoupleNet (ICASSP 2019) as a library: model, layers, metrics, data and one training. Does not import Ray.

The public names are imported on first use, so that commands that need only the config start quickly.
"""

from typing import TYPE_CHECKING

from decouplenet.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from decouplenet.config import Config as Config
    from decouplenet.data.image_set import ImageSet as ImageSet
    from decouplenet.layers import spatial_pool as spatial_pool
    from decouplenet.metrics import multilabel_metrics as multilabel_metrics
    from decouplenet.model import DecoupleNet as DecoupleNet
    from decouplenet.model import build_model as build_model
    from decouplenet.registration import register_backbone as register_backbone
    from decouplenet.registration import register_format as register_format
    from decouplenet.registration import register_head as register_head
    from decouplenet.registration import register_loss as register_loss

    __version__: str

_MODULES = {
    "Config": "config",
    "DecoupleNet": "model",
    "ImageSet": "data.image_set",
    "build_model": "model",
    "multilabel_metrics": "metrics",
    "register_backbone": "registration",
    "register_format": "registration",
    "register_head": "registration",
    "register_loss": "registration",
    "spatial_pool": "layers",
}
__all__ = list(_MODULES)
__getattr__, __dir__ = lazy_exports(__name__, _MODULES)
