"""The files of cluster/ that `ray up` takes: Ray accepts them, and what they launch is what they say.

AWS is driven through the real command against a made-up EC2; Google's and Azure's clients are replaced below Ray's own
code, and what it asks of them is held against their published schemas.
"""

import copy
import itertools
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
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


# --- what the files say


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


# --- AWS


@pytest.fixture(scope="module")
def aws(tmp_path_factory):
    """`ray up` on a made-up AWS: its client, our security group, what it launched, and what went over SSH."""
    import boto3
    from moto.server import ThreadedMotoServer

    home = tmp_path_factory.mktemp("aws")
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    env = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:{1}".format(*server.get_host_and_port()),
        "AWS_ACCESS_KEY_ID": "user",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_EC2_METADATA_DISABLED": "true",
        "RAY_USAGE_STATS_ENABLED": "0",
        "HOME": str(home),
    }
    before = {key: os.environ.get(key) for key in env}
    os.environ |= env
    ec2, iam = boto3.client("ec2", region_name="us-west-2"), boto3.client("iam", region_name="us-west-2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = ec2.create_security_group(GroupName="decouple-search", Description="ours", VpcId=vpc)["GroupId"]
    ssh = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "203.0.113.7/32"}]}
    inside = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[ssh, inside])
    for profile in ("search-head", "search-worker"):
        iam.create_instance_profile(InstanceProfileName=profile)

    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("secret")
    (home / "aws.yaml").write_text(fill("aws").replace("OUR-GROUP", group))
    tools, sent = home / "tools", home / "sent"
    for folder in (tools, sent):
        folder.mkdir()
    (tools / "ssh").write_text(f'#!/bin/bash\nprintf "%s\\n" "$*" >> {home}/ssh.log\n')
    (tools / "rsync").write_text(f'#!/bin/bash\ncp "${{@: -2:1}}" "{sent}/$(basename "${{@: -1}}")"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    done = subprocess.run(
        [Path(sys.executable).with_name("ray"), "up", "-y", "--no-config-cache", home / "aws.yaml"],
        cwd=ROOT,
        env=os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    yield SimpleNamespace(ec2=ec2, group=group, launched=instances(ec2), log=(home / "ssh.log").read_text(), sent=sent)
    server.stop()
    for key, value in before.items():
        if value is None:
            del os.environ[key]
        else:
            os.environ[key] = value


def instances(ec2):
    """All machines there are."""
    found = ec2.describe_instances()["Reservations"]
    return [machine for reservation in found for machine in reservation["Instances"]]


def check_machine(machine, group, size, profile, spot):
    assert machine["InstanceType"] == size
    assert machine["ImageId"] == load("aws")["metadata"]["image"]
    assert machine["IamInstanceProfile"]["Arn"].endswith(f"/{profile}")
    assert [one["GroupId"] for one in machine["SecurityGroups"]] == [group]
    assert (machine.get("InstanceLifecycle") == "spot") == spot


def test_ray_up_launches_head_and_nothing_else(aws):
    (head,) = aws.launched
    check_machine(head, aws.group, "m7i.large", "search-head", spot=False)


def test_only_own_address_gets_to_ssh(aws):
    groups = aws.ec2.describe_security_groups()["SecurityGroups"]
    ranges = {
        one["GroupId"]: [r["CidrIp"] for rule in one["IpPermissions"] for r in rule["IpRanges"]] for one in groups
    }
    assert ranges[aws.group] == ["203.0.113.7/32"]
    assert "0.0.0.0/0" not in itertools.chain(*ranges.values())
    assert not [one["GroupName"] for one in groups if one["GroupName"].startswith("ray-autoscaler")]


def test_head_gets_lock_and_token_and_starts_ray_with_them(aws):
    assert (aws.sent / "auth_token").read_text() == "secret"
    assert (aws.sent / "requirements.lock").read_bytes() == (ROOT / "requirements.lock").read_bytes()
    assert aws.log.index("pip sync") < aws.log.index("ray start --head")
    (line,) = [line for line in aws.log.splitlines() if "ray start --head" in line]
    assert "RAY_AUTH_MODE=token" in line
    assert "RAY_enable_autoscaler_v2=1" in line
    assert '{"CPU":0}' in line
    assert "nightly" not in aws.log
    assert "ray-wheels" not in aws.log


def test_head_passes_lock_and_token_on(aws):
    passed = json.loads((aws.sent / "ray_bootstrap_config.yaml").read_text())
    assert passed["file_mounts"] == {path: path for path in (LOCK, TOKEN)}
    assert any("pip sync" in command for command in passed["worker_setup_commands"])
    assert any("RAY_AUTH_MODE=token" in command for command in passed["worker_start_ray_commands"])


@pytest.mark.parametrize(("kind", "spot"), [("gpu_spot", True), ("gpu_on_demand", False)])
def test_autoscaler_launches_worker(aws, kind, spot):
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    config = json.loads((aws.sent / "ray_bootstrap_config.yaml").read_text())  # all that the autoscaler on the head has
    worker = config["available_node_types"][kind]
    assert {key: worker["resources"][key] for key in ("CPU", "GPU")} == {"CPU": 4, "GPU": 1}
    tags = {"ray-node-type": "worker", "ray-user-node-type": kind, "ray-launch-config": "any"}
    before = {machine["InstanceId"] for machine in instances(aws.ec2)}
    AWSNodeProvider(config["provider"], config["cluster_name"]).create_node(worker["node_config"], tags, 1)
    (machine,) = [one for one in instances(aws.ec2) if one["InstanceId"] not in before]
    check_machine(machine, aws.group, "g6.xlarge", "search-worker", spot)


def test_unchanged_aws_file_is_refused(aws, capsys):
    from ray.autoscaler._private.aws.config import bootstrap_aws

    with pytest.raises(AssertionError):
        bootstrap_aws(prepared(load("aws")))
    assert "SecurityGroupIds" in capsys.readouterr().err


# --- Google Cloud


class Google:
    """Answers Google's clients, and keeps what they asked for."""

    def __init__(self):
        from google.auth.credentials import AnonymousCredentials

        self.credentials, self.asked = AnonymousCredentials(), []
        self.policy = {"bindings": []}

    def request(self, uri, method="GET", body=None, headers=None, **_):
        """What httplib2 calls."""
        import httplib2

        path = uri.partition("?")[0].partition("googleapis.com/")[2]
        self.asked.append((method, path, json.loads(body) if body else None))
        project = path.endswith("/projects/my-project")
        answers = {
            path.endswith(":getIamPolicy"): self.policy,
            "/serviceAccounts/" in path: {"email": path.rpartition("/")[2], "projectId": "my-project"},
            project: {
                "projectId": "my-project",
                "name": "my-project",
                "lifecycleState": "ACTIVE",
                "commonInstanceMetadata": {"fingerprint": "x"},
            },
        }
        answer = answers.get(True, {"name": "operation", "status": "DONE"})
        return httplib2.Response({"status": "200", "content-type": "application/json"}), json.dumps(answer).encode()


@pytest.fixture
def gcp(monkeypatch, tmp_path):
    """The file after Ray's bootstrap, the client of Compute Engine, and what was asked of Google."""
    from googleapiclient import discovery
    from ray.autoscaler._private.gcp import config as ray_gcp

    monkeypatch.setenv("HOME", str(tmp_path))
    google = Google()
    crm, iam, compute = (
        discovery.build(service, "v1", http=google, static_discovery=True)
        for service in ("cloudresourcemanager", "iam", "compute")
    )
    monkeypatch.setattr(ray_gcp, "construct_clients_from_provider_config", lambda _: (crm, iam, compute, None))
    return ray_gcp.bootstrap_gcp(prepared(yaml.safe_load(fill("gcp")))), compute, google


def unknown(value, schema, schemas, where="Instance"):
    """Places in a request where it is not what Google's schema has there."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"]]
    kind = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}[schema["type"]]
    if kind is str and schema.get("format") == "int64":
        return []
    if not isinstance(value, kind):
        return [where]
    if kind is list:
        return [place for item in value for place in unknown(item, schema["items"], schemas, f"{where}[]")]
    if kind is dict and "properties" in schema:
        known = schema["properties"]
        bad = [f"{where}.{key}" for key in value if key not in known]
        good = [unknown(item, known[key], schemas, f"{where}.{key}") for key, item in value.items() if key in known]
        return [*bad, *itertools.chain(*good)]
    return []


@pytest.mark.parametrize(("kind", "spot"), [("head", False), ("gpu_spot", True), ("gpu_on_demand", False)])
def test_google_is_asked_for_machine(gcp, monkeypatch, kind, spot):
    from ray.autoscaler._private.gcp.node import GCPCompute

    config, compute, google = gcp
    machine = copy.deepcopy(config["head_node"]) if kind == "head" else {}
    machine |= config["available_node_types"][kind]["node_config"]
    monkeypatch.setattr(GCPCompute, "get_new_authorized_http", lambda *_: google)
    maker = GCPCompute(compute, "my-project", config["provider"]["availability_zone"], config["cluster_name"])
    maker.create_instance(machine, {"ray-node-name": f"ray-{kind}".replace("_", "-")}, wait_for_operation=False)
    method, path, body = google.asked[-1]
    assert (method, path) == ("POST", "compute/v1/projects/my-project/zones/us-central1-a/instances")
    assert unknown(body, {"$ref": "Instance"}, compute._schema.schemas) == []
    size = "n2-standard-2" if kind == "head" else "g2-standard-8"
    assert body["machineType"] == f"zones/us-central1-a/machineTypes/{size}"
    assert (body.get("scheduling", {}).get("provisioningModel") == "SPOT") == spot
    assert kind == "head" or body["scheduling"]["onHostMaintenance"] == "TERMINATE"  # or Google refuses a GPU
    network = "projects/my-project/regions/us-central1/subnetworks/decouple-search"
    assert [one["subnetwork"] for one in body["networkInterfaces"]] == [network]
    account = "ray-autoscaler-sa-v1" if kind == "head" else "decouple-search"
    (service,) = body["serviceAccounts"]
    assert service["email"] == f"{account}@my-project.iam.gserviceaccount.com"
    assert service["scopes"] == ["https://www.googleapis.com/auth/cloud-platform"]


def test_bootstrap_takes_no_other_network(gcp):
    assert not [path for _, path, _ in gcp[2].asked if "subnetworks" in path]


# --- Azure


@pytest.fixture
def azure(monkeypatch, tmp_path):
    """A function that runs Ray's bootstrap over a file and launches a machine of each type.

    It gives the deployments that were asked for: the network's, and the machines' by node type.
    """
    from unittest.mock import MagicMock

    from azure.core.exceptions import ResourceNotFoundError
    from ray.autoscaler._private._azure import config as ray_config
    from ray.autoscaler._private._azure import node_provider

    monkeypatch.setenv("HOME", str(tmp_path))
    names = ("msi", "nsg", "subnet")
    outputs = {name: {"value": f"id-of-{name}"} for name in names}

    def launch(text, subnet=None):
        client = MagicMock(spec_set=("deployments", "resource_groups", "resources", "providers"))
        asked = {}

        def deploy(resource_group_name, deployment_name, parameters):
            asked[deployment_name] = parameters["properties"]
            done = MagicMock()
            done.result.return_value = SimpleNamespace(properties=SimpleNamespace(outputs=outputs))
            return done

        client.deployments = SimpleNamespace(begin_create_or_update=deploy)
        client.resource_groups = SimpleNamespace(create_or_update=MagicMock())
        found = MagicMock(properties={"subnets": [{"properties": subnet}]})
        client.resources = SimpleNamespace(
            list_by_resource_group=lambda *_: [SimpleNamespace(id="id-of-vnet")] if subnet else [],
            get_by_id=lambda name, _: found if name == "id-of-vnet" else throw(ResourceNotFoundError(name)),
            begin_delete_by_id=lambda *_: throw(AssertionError("nothing is to be deleted")),
        )
        for module in (ray_config, node_provider):
            monkeypatch.setattr(module, "ResourceManagementClient", lambda *_: client)
        for service in ("ComputeManagementClient", "NetworkManagementClient", "DefaultAzureCredential"):
            monkeypatch.setattr(node_provider, service, MagicMock())
        monkeypatch.setattr(node_provider, "get_cloud_from_metadata_requests", lambda: "unknown")

        config = ray_config.bootstrap_azure(prepared(yaml.safe_load(text)))
        provider = node_provider.AzureNodeProvider(config["provider"], config["cluster_name"])
        for kind, content in config["available_node_types"].items():
            tags = {"ray-node-type": "head" if kind == "head" else "worker", "ray-node-name": kind}
            provider.create_node(content["node_config"], tags, 1)
        network = asked.pop("ray-config")
        return network, {name.partition("-")[0]: machine for name, machine in asked.items()}

    return launch


def throw(error):
    raise error


def values_of(deployment):
    return {key: content["value"] for key, content in deployment["parameters"].items()}


def test_azure_is_asked_for_machines(azure):
    _, machines = azure(fill("azure"))
    assert set(machines) == {"head", "gpu_spot", "gpu_on_demand"}
    for kind, machine in machines.items():
        values, declared = values_of(machine), machine["template"]["parameters"]
        assert set(values) <= set(declared)
        assert {key for key, content in declared.items() if "defaultValue" not in content} <= set(values)
        types = {"string": str, "securestring": str, "int": int, "bool": bool, "object": dict, "array": list}
        assert [key for key in values if not isinstance(values[key], types[declared[key]["type"]])] == []
        assert values["vmSize"] == ("Standard_D2s_v5" if kind == "head" else "Standard_NC24ads_A100_v4")
        assert values.get("priority", "Regular") == ("Spot" if kind == "gpu_spot" else "Regular")
        assert values["msi"] == "id-of-msi"


def test_azure_identity_is_ours(azure):
    network, _ = azure(fill("azure"))
    values = values_of(network)
    assert values["msiName"] == "decouple-search"
    assert not values["createMsi"]


def test_azure_file_as_it_is_has_no_public_address(azure):
    _, machines = azure(text_of("azure"))
    assert not any(values_of(machine)["provisionPublicIp"] for machine in machines.values())


def test_azure_head_is_reached_through_our_group_alone(azure):
    network, machines = azure(
        fill("azure"), subnet={"networkSecurityGroup": {"id": "ours"}, "natGateway": {"id": "out"}}
    )
    assert Counter(kind for kind, machine in machines.items() if values_of(machine)["provisionPublicIp"]) == {"head": 1}
    resources = network["template"]["resources"]
    (subnet,) = next(one for one in resources if one["type"].endswith("/virtualNetworks"))["properties"]["subnets"]
    assert subnet["properties"]["networkSecurityGroup"] == {"id": "ours"}
    assert subnet["properties"]["natGateway"] == {"id": "out"}
    cluster = values_of(network)["clusterId"]
    assert f"NET=ray-{cluster};" in text_of("azure")  # the network's name that Ray looks for
