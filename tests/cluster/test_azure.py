"""cluster/azure.yaml through Ray's own code, whose deployments are held against their own templates."""

from collections import Counter
from types import SimpleNamespace

import pytest
import yaml

from tests.cluster.files import fill, prepared, text_of


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
