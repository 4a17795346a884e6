"""Carries the extensions that were registered in this process to the processes that train.

An extension of an installed package is found in every process by its entry point. One that was only registered by a
decorator, in a script or a notebook, has to travel: a module that workers can import by its name, code of `__main__`
whole.
"""

from __future__ import annotations

import pickle
from typing import Any

import ray
from ray import cloudpickle

from decouplenet.errors import InputError, one_line
from decouplenet.extensions import KINDS


def pack_extensions() -> bytes:
    """The registered extensions of this process; empty if there are none.

    Raises:
        InputError: an extension holds something that cannot leave this process.
    """
    carried = [
        (kind.group, name, _packed(f"{kind.key}: '{name}'", extension))
        for kind in KINDS
        for name, extension in kind.registered.items()
    ]
    return cloudpickle.dumps(carried) if carried else b""


def _packed(what: str, extension: Any) -> bytes:
    try:
        content: bytes = cloudpickle.dumps(extension)
    except Exception as error:  # pickling runs the user's own code
        raise InputError(
            f"{what} cannot be sent to the workers ({one_line(error)}); put it into a module that they can import"
        ) from error
    return content


def unpack_extensions(packed: bytes) -> None:
    """Register extensions that `pack_extensions` packed in another process of the same command.

    Raises:
        InputError: an extension's module is not on this machine.
    """
    kinds = {kind.group: kind for kind in KINDS}
    for group, name, content in pickle.loads(packed) if packed else ():  # noqa: S301 - from this command's own driver
        try:
            kinds[group].adopt(name, pickle.loads(content))  # noqa: S301
        except (ImportError, AttributeError) as error:  # no module, or an older version of it
            raise InputError(
                f"{kinds[group].key}: '{name}' cannot be imported on {ray.util.get_node_ip_address()} "
                f"({one_line(error)}); install its package on every machine, or submit its folder with the job"
            ) from error
