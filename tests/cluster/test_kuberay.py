"""The Kubernetes manifests, against KubeRay's resource definitions, and as Ray's autoscaler and our parser read them.

The schema restates ray-operator/apis/ray/v1 of KubeRay 1.7 and the parts of Kubernetes' pods that are used.
"""

import copy
import inspect
import re
import shlex
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig, InstanceReconcileConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from ray.core.generated.autoscaler_pb2 import GangResourceRequest
from ray.scripts.scripts import drain_node

from decouple_search.tune import parser
from tests.cluster.files import ROOT

FOLDER = ROOT / "cluster" / "kuberay"
TEXTS = {name: (FOLDER / f"{name}.yaml").read_text() for name in ("raycluster", "rayjob")}
CLUSTER, JOB = (yaml.safe_load(text) for text in TEXTS.values())
SPEC = CLUSTER["spec"]
HEAD, WORKERS = SPEC["headGroupSpec"], SPEC["workerGroupSpecs"]
PODS = [group["template"]["spec"] for group in (HEAD, *WORKERS)]
DOCKERFILE = (FOLDER / "Dockerfile").read_text()

TEXT, WHOLE, YES_NO = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
TEXTS_BY_NAME = {"type": "object", "additionalProperties": TEXT}
QUANTITY = {"anyOf": [WHOLE, {"type": "string", "pattern": r"^\d+(\.\d+)?(m|[kMGT]i?)?$"}]}
QUANTITIES = {"type": "object", "additionalProperties": QUANTITY}


def one_of(*values):
    return {"enum": list(values)}


def many(item):
    return {"type": "array", "items": item}


def closed(*required, **properties):
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


RESOURCES = closed("requests", "limits", requests=QUANTITIES, limits=QUANTITIES)
CONTAINER_SECURITY = closed(
    allowPrivilegeEscalation=YES_NO, privileged=YES_NO, capabilities=closed(drop=many(TEXT), add=many(TEXT))
)
CONTAINER = closed(
    "name",
    "image",
    name=TEXT,
    image=TEXT,
    securityContext=CONTAINER_SECURITY,
    resources=RESOURCES,
    lifecycle=closed(preStop=closed(exec=closed("command", command=many(TEXT)))),
    ports=many(closed("containerPort", name={"type": "string", "maxLength": 15}, containerPort=WHOLE)),
    volumeMounts=many(closed("name", "mountPath", name=TEXT, mountPath=TEXT, readOnly=YES_NO)),
)
POD = closed(
    "containers",
    serviceAccountName=TEXT,
    automountServiceAccountToken=YES_NO,
    restartPolicy=one_of("Always", "OnFailure", "Never"),
    terminationGracePeriodSeconds=WHOLE,
    securityContext=closed(
        runAsNonRoot=YES_NO,
        runAsUser=WHOLE,
        runAsGroup=WHOLE,
        fsGroup=WHOLE,
        seccompProfile=closed("type", type=one_of("RuntimeDefault", "Localhost", "Unconfined")),
    ),
    nodeSelector=TEXTS_BY_NAME,
    tolerations=many(
        closed(
            key=TEXT,
            operator=one_of("Exists", "Equal"),
            value=TEXT,
            effect=one_of("NoSchedule", "PreferNoSchedule", "NoExecute"),
        )
    ),
    containers={"type": "array", "minItems": 1, "items": CONTAINER},
    volumes=many(closed("name", name=TEXT, emptyDir=closed(medium=one_of("Memory"), sizeLimit=QUANTITY))),
)
TEMPLATE = closed("spec", metadata=closed(labels=TEXTS_BY_NAME, annotations=TEXTS_BY_NAME), spec=POD)
GROUP = {"rayStartParams": TEXTS_BY_NAME, "template": TEMPLATE, "resources": TEXTS_BY_NAME, "labels": TEXTS_BY_NAME}
CLUSTER_SPEC = closed(
    "headGroupSpec",
    rayVersion=TEXT,
    authOptions=closed(mode=one_of("disabled", "token"), secretName=TEXT, enableK8sTokenAuth=YES_NO),
    enableInTreeAutoscaling=YES_NO,
    autoscalerOptions=closed(
        version=one_of("v1", "v2"),
        idleTimeoutSeconds=WHOLE,
        upscalingMode=one_of("Default", "Aggressive", "Conservative"),
        env=many(closed("name", name=TEXT, value=TEXT)),
        resources=RESOURCES,
        securityContext=CONTAINER_SECURITY,
    ),
    headGroupSpec=closed(
        "template", serviceType=one_of("ClusterIP", "NodePort", "LoadBalancer"), enableIngress=YES_NO, **GROUP
    ),
    workerGroupSpecs=many(
        closed(
            "groupName",
            "minReplicas",
            "maxReplicas",
            "template",
            groupName=TEXT,
            priority={"type": "integer"},
            replicas=WHOLE,
            minReplicas=WHOLE,
            maxReplicas=WHOLE,
            idleTimeoutSeconds=WHOLE,
            numOfHosts=WHOLE,
            **GROUP,
        )
    ),
)
JOB_SPEC = closed(
    entrypoint=TEXT,
    submissionMode=one_of("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
    backoffLimit=WHOLE,
    shutdownAfterJobFinishes=YES_NO,
    ttlSecondsAfterFinished=WHOLE,
    activeDeadlineSeconds=WHOLE,
    entrypointNumCpus={"type": "number"},
    entrypointNumGpus={"type": "number"},
    runtimeEnvYAML=TEXT,
    rayClusterSpec=CLUSTER_SPEC,
)


def validate(manifest):
    kind = manifest["kind"]
    spec = {"RayCluster": CLUSTER_SPEC, "RayJob": JOB_SPEC}[kind]
    metadata = closed("name", name={"type": "string", "pattern": "^[a-z]([a-z0-9-]{0,40}[a-z0-9])?$"})
    whole = closed(
        *("apiVersion", "kind", "metadata", "spec"),
        **{"apiVersion": one_of("ray.io/v1"), "kind": one_of(kind), "metadata": metadata, "spec": spec},
    )
    Draft202012Validator(whole).validate(manifest)


@pytest.mark.parametrize("manifest", [CLUSTER, JOB], ids=["raycluster", "rayjob"])
def test_the_manifests_are_what_kuberay_takes(manifest):
    validate(manifest)


@pytest.mark.parametrize(
    ("place", "key"),
    [
        ((), "clusterSpec"),
        (("rayClusterSpec",), "authOption"),
        (("rayClusterSpec", "autoscalerOptions"), "idleTimeout"),
        (("rayClusterSpec", "headGroupSpec", "template", "spec"), "serviceAccount_name"),
        (("rayClusterSpec", "workerGroupSpecs", 0), "minReplica"),
        (("rayClusterSpec", "workerGroupSpecs", 0, "template", "spec", "containers", 0), "volumeMount"),
    ],
)
def test_a_misspelt_key_would_be_seen(place, key):
    manifest = copy.deepcopy(JOB)
    at = manifest["spec"]
    for step in place:
        at = at[step]
    at[key] = {}
    with pytest.raises(ValidationError, match=f"'{key}' was unexpected"):
        validate(manifest)


def test_the_job_runs_on_what_the_cluster_is():
    assert JOB["spec"]["rayClusterSpec"] == SPEC


@pytest.mark.parametrize("name", TEXTS)
def test_what_must_be_changed_is_listed_once_and_marked(name):
    head = TEXTS[name][: TEXTS[name].index("apiVersion:")]
    listed = re.findall(r"^#   (\w+)  +\S", head[head.index("# CHANGE") :], re.MULTILINE)
    marked = re.findall(r"^ *(?:- name: \S+ )?(?:.*[{ ])?(\w+):.*# CHANGE$", TEXTS[name], re.MULTILINE)
    assert sorted(listed) == sorted(set(marked))
    assert marked.count("nodeSelector") == marked.count("maxReplicas") == 2


def test_every_pod_runs_our_image_and_the_ray_of_the_lock():
    images = {container["image"] for pod in PODS for container in pod["containers"]}
    assert len(images) == 1
    assert re.fullmatch(r"[\w./-]+:\d[\w.-]+", images.pop())
    assert f"\nray=={SPEC['rayVersion']} " in (ROOT / "requirements.lock").read_text()


def test_nobody_reaches_it_without_a_token_and_a_port_forward():
    assert SPEC["authOptions"] == {"mode": "token"}
    assert HEAD["serviceType"] == "ClusterIP"
    assert "enableIngress" not in HEAD
    assert not re.search("hostNetwork|hostPort|NodePort|LoadBalancer", "".join(TEXTS.values()))


def test_no_container_is_root_or_may_become_it():
    for pod in PODS:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["serviceAccountName"]
    for part in [SPEC["autoscalerOptions"], *(container for pod in PODS for container in pod["containers"])]:
        context = part["securityContext"]
        assert (context["allowPrivilegeEscalation"], context["privileged"]) == (False, False)
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} <= set(part["resources"]["requests"])
        assert part["resources"]["requests"] == part["resources"]["limits"]
    assert [pod.get("automountServiceAccountToken", True) for pod in PODS] == [True, False, False]


def test_shared_memory_is_there_and_within_the_limit():
    for pod in PODS:
        (container,) = pod["containers"]
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        (volume,) = pod["volumes"]
        assert mounted[volume["name"]] == "/dev/shm"  # noqa: S108 - Ray's object store is there
        size = volume["emptyDir"]["sizeLimit"]
        assert int(size.removesuffix("Gi")) * 2 <= int(container["resources"]["limits"]["memory"].removesuffix("Gi"))


def autoscaling():
    """The cluster as Ray's autoscaler reads it."""
    return _derive_autoscaling_config_from_ray_cr(CLUSTER | {"metadata": {"name": "a", "namespace": "b"}})


def test_ray_reads_machines_from_it_and_keeps_none_without_work():
    config = autoscaling()
    head, *groups = config["available_node_types"].values()
    assert (head["resources"]["CPU"], head["resources"].get("GPU")) == (0, None)
    assert [group["min_workers"] for group in groups] == [0, 0]
    assert all(group["max_workers"] > 0 for group in groups)
    assert groups[0]["resources"] == groups[1]["resources"]
    assert groups[0]["resources"]["GPU"] > 0
    assert config["idle_timeout_minutes"] == 5


@pytest.mark.parametrize(("availability", "first"), [({}, "spot"), ({"spot": 0.5}, "on-demand")])
def test_spot_comes_first_and_on_demand_where_there_is_none(availability, first):
    assert (SPEC["enableInTreeAutoscaling"], SPEC["autoscalerOptions"]["version"]) == (True, "v2")
    config = AutoscalingConfig(autoscaling(), skip_content_hash=True)
    trial = [ResourceRequestUtil.make({"CPU": 1, "GPU": 1})]
    reply = ResourceDemandScheduler(None).schedule(
        SchedulingRequest(
            disable_launch_config_check=True,
            node_type_configs=dict(reversed(config.get_node_type_configs().items())),  # of equals the first is taken
            max_num_nodes=config.get_max_num_nodes(),
            gang_resource_requests=[GangResourceRequest(requests=trial)],
            recoverable_resource_availabilities=availability,
        )
    )
    assert [(launch.instance_type, launch.count) for launch in reply.to_launch] == [(first, 1)]


def test_the_wait_for_spot_is_one_that_ray_knows():
    (variable,) = SPEC["autoscalerOptions"]["env"]
    assert f'"{variable["name"]}"' in inspect.getsource(InstanceReconcileConfig)
    assert int(variable["value"]) < InstanceReconcileConfig().allocate_status_timeout_s


def test_groups_are_on_the_nodes_that_they_are_named_after():
    head, spot, on_demand = (pod["nodeSelector"] for pod in PODS)
    assert head == on_demand != spot
    assert [group["groupName"] for group in WORKERS] == ["spot", "on-demand"]
    assert "nvidia.com/gpu" in {taint["key"] for taint in PODS[1]["tolerations"]}


@pytest.mark.parametrize("worker", [1, 2])
def test_a_worker_that_ends_says_so_first(worker):
    (container,) = PODS[worker]["containers"]
    _, _, script = container["lifecycle"]["preStop"]["exec"]["command"]
    drain, wait = script.split(" && ")
    words = shlex.split(drain)
    given = drain_node.make_context("drain-node", words[2:]).params
    assert (words[:2], given["node_id"]) == (["ray", "drain-node"], None)
    assert given["reason"] == "DRAIN_NODE_REASON_PREEMPTION"  # of these `train` hears
    assert wait == f"sleep {given['deadline_remaining_seconds']}"
    assert given["deadline_remaining_seconds"] < PODS[worker]["terminationGracePeriodSeconds"]


def test_a_head_that_ends_lets_the_search_end():
    (container,) = PODS[0]["containers"]
    _, _, script = container["lifecycle"]["preStop"]["exec"]["command"]
    pattern, seconds = re.fullmatch(r"pkill -TERM -f '(\S+)' && sleep (\d+)", script).groups()
    assert re.search(pattern, JOB["spec"]["entrypoint"])
    assert not re.search(pattern, script)  # not itself
    assert int(seconds) < PODS[0]["terminationGracePeriodSeconds"]


def test_the_search_outlives_submitter_and_head_and_the_cluster_does_not_outlive_it():
    spec = JOB["spec"]
    assert spec["submissionMode"] == "HTTPMode"
    assert spec["backoffLimit"] > 0
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] > 0
    assert "activeDeadlineSeconds" not in spec


def test_the_entrypoint_is_a_search_that_can_be_run_again():
    python, flag, module, *arguments = shlex.split(JOB["spec"]["entrypoint"])
    assert (python, flag, module) == ("python", "-m", "decouple_search.tune")
    line = parser().given(arguments)
    assert line.flags.name
    assert "://" in line.flags.storage
    assert line.keys == {}
    in_image = Path(line.flags.cluster)
    assert ROOT / in_image.relative_to("/app") == FOLDER / "rayjob.yaml"


def test_the_image_is_pinned_and_has_what_the_pods_need():
    (base,) = re.findall(r"^FROM (\S+)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base)
    installs = re.findall(r"pip install [^\n]*--requirement [^\n]*", DOCKERFILE)
    assert len(installs) == 2
    assert all("--require-hashes" in line for line in installs)
    sources = [word for line in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()]
    assert "cluster" in sources
    assert all((ROOT / source).exists() for source in sources)
    assert re.search("WORKDIR /app\n", DOCKERFILE)
    user, group = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)[-1]
    for pod in PODS:
        assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]) == (int(user), int(group))


@pytest.mark.parametrize("name", TEXTS)
def test_the_operator_is_pinned(name):
    assert re.search(r"helm install .* --version \d+\.\d+\.\d+$", TEXTS[name], re.MULTILINE)
