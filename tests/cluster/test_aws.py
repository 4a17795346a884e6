"""cluster/aws.yaml, driven through the real `ray up` against a made-up EC2."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cluster.files import LOCK, ROOT, TOKEN, fill, load, prepared


@pytest.fixture(scope="module")
def environment():
    """Changes environment variables until the module's last test has ended."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def aws(tmp_path_factory, environment):
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
    for key, value in env.items():
        environment.setenv(key, value)
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
