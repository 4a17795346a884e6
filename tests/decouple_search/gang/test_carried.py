"""Extensions that are carried from the process that registered them to the processes that train."""

import functools
import importlib
import sys
import threading

import pytest
import ray

from decouple_search.gang.carried import pack_extensions, unpack_extensions
from decouplenet.errors import InputError
from decouplenet.extensions import BACKBONES, FORMATS, HEADS, KINDS, LOSSES

pytestmark = pytest.mark.usefixtures("registries")


def forget_extensions():
    """Empty the registries, as those of a new process are."""
    for kind in KINDS:
        kind._registered.clear()


def make_scaled(factor):
    """A loss that no module has."""

    def scaled(logits, targets, ignored=None):
        return factor * (logits - targets)

    return scaled


def test_without_extensions_nothing_is_carried():
    assert pack_extensions() == b""
    unpack_extensions(b"")
    assert not any(kind.registered for kind in KINDS)


def test_a_function_of_a_script_is_carried_whole():
    LOSSES.register("scaled", make_scaled(3))
    packed = pack_extensions()
    forget_extensions()
    assert "scaled" not in LOSSES.names()
    unpack_extensions(packed)
    assert LOSSES.get("scaled")(5, 1) == 12


def test_extensions_of_every_kind_are_carried_under_their_names():
    kept = {BACKBONES: "thin", HEADS: "mean", LOSSES: "focal", FORMATS: "folders"}
    assert set(kept) == set(KINDS)
    for factor, (kind, name) in enumerate(kept.items()):
        kind.register(name, make_scaled(factor))
    LOSSES.register("square", make_scaled(9))
    packed = pack_extensions()
    forget_extensions()
    unpack_extensions(packed)
    assert {kind: list(kind.registered) for kind in KINDS} == {
        **{kind: [name] for kind, name in kept.items()},
        LOSSES: ["focal", "square"],
    }
    assert [kind.get(name)(1, 0) for kind, name in kept.items()] == [0, 1, 2, 3]


def test_a_process_may_get_the_same_extensions_several_times():
    LOSSES.register("scaled", make_scaled(3))
    packed = pack_extensions()
    unpack_extensions(packed)
    unpack_extensions(packed)
    assert LOSSES.get("scaled")(5, 1) == 12


@pytest.fixture
def module(install):
    """An imported module of the user's."""
    install("user_losses", "def square(logits, targets, ignored=None):\n    return logits ** 2\n", "tests.none")
    return importlib.import_module("user_losses")


def test_a_function_of_a_module_is_imported_by_its_name(module):
    LOSSES.register("square", module.square)
    packed = pack_extensions()
    assert b"user_losses" in packed
    forget_extensions()
    unpack_extensions(packed)
    assert LOSSES.get("square") is module.square


def test_a_module_that_is_not_on_a_machine_is_an_input_error(module, monkeypatch):
    LOSSES.register("square", module.square)
    packed = pack_extensions()
    forget_extensions()
    monkeypatch.setattr(sys, "path", [place for place in sys.path if not place.endswith("/site")])
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "10.0.0.7")
    del sys.modules["user_losses"]
    message = r"^train.loss: 'square' cannot be imported on 10.0.0.7 \(No module named 'user_losses'\); install its "
    with pytest.raises(InputError, match=message):
        unpack_extensions(packed)


def test_a_partial_function_may_arrive_several_times():
    LOSSES.register("scaled", functools.partial(max, 3))
    packed = pack_extensions()
    unpack_extensions(packed)
    unpack_extensions(packed)
    assert LOSSES.get("scaled")(1) == 3


def test_an_older_module_on_a_machine_is_an_input_error(module, monkeypatch):
    LOSSES.register("square", module.square)
    packed = pack_extensions()
    monkeypatch.delattr(module, "square")
    with pytest.raises(InputError, match="^train.loss: 'square' cannot be imported on .*attribute 'square'"):
        unpack_extensions(packed)


def test_what_cannot_leave_the_process_is_an_input_error():
    lock = threading.Lock()
    LOSSES.register("locked", lambda logits, targets, ignored=None: lock)
    with pytest.raises(InputError, match="^train.loss: 'locked' cannot be sent to the workers .*lock.*; put it into"):
        pack_extensions()
