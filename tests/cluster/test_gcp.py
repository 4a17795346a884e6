"""cluster/gcp.yaml through Ray's own code, whose requests are held against Google's published schemas."""

import copy
import itertools
import json

import pytest
import yaml

from tests.cluster.files import fill, prepared


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
