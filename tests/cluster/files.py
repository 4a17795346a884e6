"""The files of cluster/ that `ray up` takes, as tests read them."""

import copy
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "cluster"
CLOUDS = ("aws", "gcp", "azure")
FILES = (*CLOUDS, "local")
TOKEN = "~/.ray/auth_token"  # noqa: S105
LOCK = "~/decouple_search/requirements.lock"
FILLED = {
    "sg-CHANGE-ME": "OUR-GROUP",
    "CHANGE-ME-head": "search-head",
    "CHANGE-ME-worker": "search-worker",
    "CHANGE-ME": "my-project",
    "reachable: &reachable false": "reachable: &reachable true",
}
"""What a user puts in place of the values that are marked."""


def text_of(name):
    return (FOLDER / f"{name}.yaml").read_text()


def load(name):
    return yaml.safe_load(text_of(name))


def fill(name):
    """The text of a file, with every value that is marked filled in."""
    text = text_of(name)
    for old, new in FILLED.items():
        text = text.replace(old, new)
    return text


def prepared(config):
    from ray.autoscaler._private.util import prepare_config

    return prepare_config(copy.deepcopy(config))


def kinds_of(config):
    """The head's node type, and those of the workers by name."""
    kinds = dict(config["available_node_types"])
    return kinds.pop(config["head_node_type"]), kinds
