"""The files of cluster/ that `ray up` takes: Ray accepts them, they are safe, and their set-up works."""

import copy
import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.cluster.files import CLOUDS, FILES, LOCK, ROOT, TOKEN, kinds_of, load, market, prepared, text_of


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


# --- the environment of a machine


class Machine:
    """A home folder in which the commands of a file run as Ray runs them over SSH; Python and uv only take notes."""

    def __init__(self, home):
        self.home, self.notes = home, home / "notes"
        tools = home / "tools"
        for folder in (tools, home / ".ray", home / "decouple_search"):
            folder.mkdir(parents=True)
        (home / ".ray" / "auth_token").write_text("secret")
        (home / "decouple_search" / "requirements.lock").write_text("ray==1\nuv==9 \\\n    --hash=sha256:99\nzarr==1\n")
        note = f'#!/bin/bash\necho "$(basename "$0") $*" >> {self.notes}\n'
        makes = (
            'if [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; cp "$0" "$3/bin/uv"; '
            'printf "#!/bin/bash\\necho $RAY_AUTH_MODE\\n" > "$3/bin/ray"; chmod +x "$3/bin/ray"; fi\n'
            'for file in "$@"; do case $file in /dev/fd/*) cat "$file" >> '
            + str(home / "bootstrap")
            + ";; esac; done\n"
        )
        for tool in ("python3", "python3.11", "sudo"):
            (tools / tool).write_text(note + makes)
            (tools / tool).chmod(0o755)
        self.env = {"HOME": str(home), "PATH": f"{tools}:/usr/bin:/bin"}
        (home / ".profile").write_text(f"export PATH={tools}:/usr/bin:/bin\n")

    def run(self, command):
        """What a command prints; it must succeed."""
        from ray.autoscaler._private.command_runner import _with_interactive

        line = " ".join(_with_interactive(command))
        done = subprocess.run(["/bin/bash", "-c", line], env=self.env, capture_output=True, text=True, cwd=self.home)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def set_up(self, config):
        """Run the setup; what was called for it."""
        self.notes.write_text("")
        for command in config["setup_commands"]:
            self.run(command)
        return self.notes.read_text().splitlines()


def test_setup_installs_lock_once(tmp_path):
    machine, config = Machine(tmp_path), load("aws")
    lock = tmp_path / "decouple_search" / "requirements.lock"
    whole = [
        "python3.11 -m venv .venv",
        "python -m pip install --quiet --require-hashes --requirement /dev/fd/N",
        "uv pip sync --quiet --require-hashes --python .venv/bin/python requirements.lock",
    ]

    def calls():
        found = [re.sub(r"/dev/fd/\d+", "/dev/fd/N", line) for line in machine.set_up(config)]
        return [line for line in found if "ensurepip" not in line]

    assert calls() == whole
    assert (tmp_path / "bootstrap").read_text() == "uv==9 \\\n    --hash=sha256:99\n"
    assert calls() == []
    lock.write_text(lock.read_text() + "zipp==1\n")
    assert calls() == whole
    assert machine.run("ray") == "token"  # both for Ray's own commands and for who logs in
    assert (tmp_path / ".bashrc").read_text().count("RAY_AUTH_MODE") == 1
    assert (tmp_path / ".ray" / "auth_token").stat().st_mode & 0o077 == 0


# --- which machine is launched first


def wanted(config, gpus, **availabilities):
    """How many machines of each type Ray's autoscaler launches for trials that need a GPU each."""
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
    from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
    from ray.autoscaler.v2.utils import ResourceRequestUtil

    settings = AutoscalingConfig(copy.deepcopy(config), skip_content_hash=True)
    one = ResourceRequestUtil.make({"CPU": 1, "GPU": 1})
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=settings.get_node_type_configs(),
        max_num_nodes=settings.get_max_num_nodes(),
        resource_requests=ResourceRequestUtil.group_by_count([one] * gpus),
        **availabilities,
    )
    return {launch.instance_type: launch.count for launch in ResourceDemandScheduler(None).schedule(request).to_launch}


@pytest.mark.parametrize("name", CLOUDS)
def test_spot_before_on_demand(name):
    config = load(name)
    assert wanted(config, 3) == {"gpu_spot": 3}
    config["available_node_types"]["gpu_spot"]["max_workers"] = 2
    assert wanted(config, 3) == {"gpu_spot": 2, "gpu_on_demand": 1}


def test_ray_asks_again_for_spot_that_was_refused():
    # Why the files say what to do then. When this fails, Ray has learned to turn to the other type: tell the files.
    from ray.autoscaler.v2.instance_manager.subscribers.cloud_resource_monitor import CloudResourceMonitor
    from ray.core.generated.instance_manager_pb2 import Instance, InstanceUpdateEvent

    def after(status):
        monitor = CloudResourceMonitor()
        monitor.notify([InstanceUpdateEvent(new_instance_status=status, instance_type="gpu_spot")])
        return wanted(
            load("aws"),
            1,
            cloud_resource_availabilities=monitor.get_resource_availabilities(),
            recoverable_resource_availabilities=monitor.get_recoverable_resource_availabilities(),
        )

    assert after(Instance.ALLOCATION_FAILED) == {"gpu_spot": 1}
    assert after(Instance.ALLOCATION_TIMEOUT) == {"gpu_on_demand": 1}
