"""The files of cluster/ that `ray up` takes, as tests read them."""

import copy
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
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
    return (ROOT / "cluster" / f"{name}.yaml").read_text()


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


def market(kind):
    """A node type's machine without what makes it spot, and whether that is there."""
    machine = copy.deepcopy(kind["node_config"])
    found = [machine.pop("InstanceMarketOptions", {}).get("MarketType") == "spot"]
    scheduling = machine.get("scheduling", {})
    found += [scheduling.pop("provisioningModel", None) == "SPOT", scheduling.pop("preemptible", False)]
    scheduling.pop("instanceTerminationAction", None)
    arm = machine.get("azure_arm_parameters", {})
    found += [arm.pop("priority", None) == "Spot"]
    for key in ("evictionPolicy", "billingProfile"):
        arm.pop(key, None)
    return machine, any(found)
