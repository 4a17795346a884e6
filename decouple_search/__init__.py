"""Distributed hyperparameter search and scaling of DecoupleNet, on Ray.

The public names are imported on first use: importing the package imports neither torch nor Ray.

The API, the commands and the order of a search are at the top; each folder is a room with one concern. A room imports
only rooms below it: ray_tune | ray_train > results > samplers | evaluation > study > stopping | machines > gang >
storage > space.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from decouplenet.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from decouple_search.api import TrainedModel as TrainedModel
    from decouple_search.api import evaluate as evaluate
    from decouple_search.api import load_experiment as load_experiment
    from decouple_search.api import search as search
    from decouple_search.api import train as train
    from decouple_search.results.experiment import Experiment as Experiment
    from decouple_search.samplers.registry import register_sampler as register_sampler
    from decouple_search.space.domain import Choice as Choice
    from decouple_search.space.domain import Float as Float
    from decouple_search.space.domain import Int as Int
    from decouple_search.space.space import Space as Space

    __version__: str

_MODULES = {
    "Choice": "space.domain",
    "Experiment": "results.experiment",
    "Float": "space.domain",
    "Int": "space.domain",
    "Space": "space.space",
    "TrainedModel": "api",
    "evaluate": "api",
    "load_experiment": "api",
    "register_sampler": "samplers.registry",
    "search": "api",
    "train": "api",
}
__all__ = list(_MODULES)
__getattr__, __dir__ = lazy_exports(__name__, _MODULES)


class _Package(ModuleType):
    """Keeps the functions `train` and `evaluate` where the import system would set the commands' modules."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _MODULES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
