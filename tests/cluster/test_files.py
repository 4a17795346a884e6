"""The files of cluster/ that `ray up` takes: Ray accepts them, and they are safe."""

import copy
import json
import re
from pathlib import Path

import pytest

from tests.cluster.files import CLOUDS, FILES, LOCK, ROOT, TOKEN, kinds_of, load, prepared, text_of


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


@pytest.mark.parametrize("name", FILES)
def test_ray_accepts_file(name):
    from ray.autoscaler._private.util import validate_config

    validate_config(prepared(load(name)))


@pytest.mark.parametrize("name", FILES)
def test_ray_ignores_nothing_of_file(name):
    import ray

    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    # Among others a top-level `min_workers`, which Ray drops without a word.
    assert set(load(name)) <= set(schema["properties"])


@pytest.mark.parametrize("name", FILES)
def test_limits(name):
    config = prepared(load(name))
    kinds = config["available_node_types"].values()
    assert config["idle_timeout_minutes"] > 0
    assert config["max_workers"] > 0
    assert all(0 <= kind["min_workers"] <= kind["max_workers"] <= config["max_workers"] for kind in kinds)
    assert sum(kind["min_workers"] for kind in kinds) <= config["max_workers"]


@pytest.mark.parametrize("name", CLOUDS)
def test_head_is_for_drivers_alone(name):
    head, _ = kinds_of(load(name))
    assert not market(head)[1]
    assert head["resources"] == {"CPU": 0}
    assert head["max_workers"] == 0


@pytest.mark.parametrize("name", CLOUDS)
def test_workers_are_spot_with_on_demand_twin(name):
    _, workers = kinds_of(load(name))
    spot = [kind for kind in workers.values() if market(kind)[1]]
    assert len(spot) * 2 == len(workers)
    assert all(kind["min_workers"] == 0 for kind in workers.values())
    assert all(kind["resources"]["CPU"] > 0 and kind["resources"]["GPU"] > 0 for kind in workers.values())
    for kind in spot:
        twins = [other for other in workers.values() if not market(other)[1] and market(other)[0] == market(kind)[0]]
        assert [twin["resources"] for twin in twins] == [kind["resources"]]
        assert kind["priority"] > twins[0]["priority"]


@pytest.mark.parametrize("name", CLOUDS)
def test_image_is_pinned_and_same_for_all(name):
    images = {
        "aws": lambda kind: kind["ImageId"],
        "gcp": lambda kind: kind["disks"][0]["initializeParams"]["sourceImage"],
        "azure": lambda kind: kind["azure_arm_parameters"]["imageVersion"],
    }
    pins = {"aws": r"ami-[0-9a-f]{17}", "gcp": r"projects/[^/]+/global/images/[^/]+-v\d{8}", "azure": r"[\d.]{10,}"}
    found = {images[name](kind["node_config"]) for kind in load(name)["available_node_types"].values()}
    assert len(found) == 1
    assert re.fullmatch(pins[name], found.pop())


@pytest.mark.parametrize("name", FILES)
def test_mounted_files_exist(name):
    mounts = load(name)["file_mounts"]
    assert mounts[TOKEN] == TOKEN
    assert mounts[LOCK] == "requirements.lock"
    assert all((ROOT / source).is_file() for target, source in mounts.items() if target != TOKEN)


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_open_to_world(name):
    assert "0.0.0.0" not in text_of(name)  # noqa: S104
    assert "::/0" not in text_of(name)


@pytest.mark.parametrize("name", FILES)
def test_ray_starts_with_token_and_dashboard_on_loopback(name):
    config = load(name)
    starts = [
        [command for command in config[key] if "ray start" in command]
        for key in ("head_start_ray_commands", "worker_start_ray_commands")
    ]
    assert [len(commands) for commands in starts] == [1, 1]
    (head,), (worker,) = starts
    for command in (head, worker):
        assert command.index("export RAY_AUTH_MODE=token;") < command.index("ray start")
        assert "ulimit -n 65536;" in command
    assert "--dashboard-host=127.0.0.1" in head
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in head
    assert "--address=$RAY_HEAD_IP:6379" in worker


def test_local_head_is_for_drivers_alone():
    (start,) = [command for command in load("local")["head_start_ray_commands"] if "ray start" in command]
    assert "--num-cpus=0 --num-gpus=0" in start


def test_environment_is_same_everywhere():
    keys = ("setup_commands", "head_setup_commands", "worker_setup_commands", "file_mounts")
    ours = [{key: load(name)[key] for key in keys} for name in FILES]
    assert ours == [ours[0]] * len(FILES)
    assert ours[0]["head_setup_commands"] == ours[0]["worker_setup_commands"] == []


@pytest.mark.parametrize("name", FILES)
def test_values_to_change_are_marked_at_top(name):
    lines = text_of(name).splitlines()
    start = lines.index(next(line for line in lines if line.startswith("metadata:")))
    end = lines.index(next(line for line in lines if line.startswith("cluster_name:")))
    left = [number for number, line in enumerate(lines) if "change-me" in line.lower()]
    assert left
    assert all(start < number < end and "# CHANGE" in lines[number] for number in left)
