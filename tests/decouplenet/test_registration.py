"""The decorators that register extensions, the built-in names, and the extensions that a config uses."""

import pytest

import decouplenet
from decouple_search.samplers.registry import EXTENSIONS, SAMPLERS
from decouplenet.baselines import BASELINES
from decouplenet.command_line import parse_config
from decouplenet.data import formats
from decouplenet.errors import InputError
from decouplenet.extensions import BACKBONES, FORMATS, HEADS, KINDS, LOSSES
from decouplenet.heads.registry import MODULES
from decouplenet.losses import BUILT_IN as BUILT_IN_LOSSES
from decouplenet.registration import own_parts

pytestmark = pytest.mark.usefixtures("registries")
DECORATORS = [
    ("register_backbone", BACKBONES, "model.backbone"),
    ("register_head", HEADS, "model.head"),
    ("register_loss", LOSSES, "train.loss"),
    ("register_format", FORMATS, "data.format"),
]


def plain(*arguments):
    return arguments


@pytest.mark.parametrize(("decorator", "kind", "key"), DECORATORS)
def test_a_decorator_registers_a_function_under_its_key_and_returns_it(decorator, kind, key):
    register = getattr(decouplenet, decorator)
    assert register("plain")(plain) is plain
    assert kind.get("plain") is plain
    assert {each.key for each in KINDS if "plain" in each.names()} == {key}


@pytest.mark.parametrize(("decorator", "kind", "key"), DECORATORS)
def test_a_decorator_refuses_a_built_in_name(decorator, kind, key):
    with pytest.raises(ValueError, match=f"{key}: '{kind.builtin[0]}' is a name of the project itself"):
        getattr(decouplenet, decorator)(kind.builtin[0])(plain)


def test_a_class_may_be_decorated():
    @decouplenet.register_head("network")
    class Network:
        """A head."""

    assert HEADS.get("network") is Network


def test_the_built_in_names_are_those_that_the_project_implements():
    assert set(HEADS.builtin) == {"decouplenet", *BASELINES, *MODULES}
    assert set(LOSSES.builtin) == set(BUILT_IN_LOSSES)
    assert set(FORMATS.builtin) == set(formats.BUILT_IN)
    assert set(EXTENSIONS.builtin) == set(SAMPLERS)
    for kind in (*KINDS, EXTENSIONS):
        assert len(set(kind.builtin)) == len(kind.builtin)


@pytest.mark.parametrize(("decorator", "kind", "key"), DECORATORS)
def test_a_registered_name_is_valid_in_a_config(decorator, kind, key):
    with pytest.raises(InputError, match=f"^here: {key}: plain is not one of '{kind.builtin[0]}', "):
        parse_config({key: "plain"}, "here")
    getattr(decouplenet, decorator)("plain")(plain)
    section, _, name = key.partition(".")
    assert parse_config({key: "plain"}).to_dict()[section][name] == "plain"
    with pytest.raises(InputError, match=f"{key}: plane is not one of .*, 'plain'; did you mean 'plain'"):
        parse_config({key: "plane"})


@pytest.mark.parametrize(("decorator", "kind", "key"), DECORATORS)
def test_the_name_of_an_entry_point_is_valid_in_a_config(install, decorator, kind, key):
    install("user_parts", "", kind.group, packaged="user_parts:nothing")
    assert parse_config({key: "packaged"})
    with pytest.raises(
        InputError, match=f"{key}: package is not one of '{kind.builtin[0]}', .*, 'packaged'; did you mean 'packaged'"
    ):
        parse_config({key: "package"})


def test_the_extensions_that_a_training_uses():
    assert own_parts(parse_config({})) == []
    for decorator, _, _ in DECORATORS:
        getattr(decouplenet, decorator)("plain")(plain)
    assert own_parts(parse_config({"data.format": "plain"})) == []
    assert own_parts(parse_config({"model.head": "plain"})) == ["model.head 'plain'"]
    everything = {"model.backbone": "plain", "model.head": "plain", "train.loss": "plain"}
    assert own_parts(parse_config(everything)) == ["model.backbone 'plain'", "model.head 'plain'", "train.loss 'plain'"]
