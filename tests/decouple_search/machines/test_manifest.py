"""The machines in a cluster's file, and what a plan makes of them: slots, hours, money."""

import pytest
import yaml

from decouple_search.machines.manifest import MachineType, read_cluster
from decouple_search.tune import main
from decouplenet.errors import InputError
from tests.cluster.files import FOLDER


@pytest.fixture
def plan(space_file, capsys):
    """The lines of a dry run of the small space, 4 trials of at most 3 epochs."""

    def plan(*flags):
        assert main(["--space", str(space_file()), "--dry-run", *map(str, flags)]) == 0
        return capsys.readouterr().out

    return plan


def test_a_file_of_ray_up():
    limits = read_cluster(str(FOLDER / "aws.yaml"))
    assert limits.head == MachineType("head", {"CPU": 0}, 0, 0, 0)
    assert limits.machine_types == (
        MachineType("gpu_spot", {"CPU": 4, "GPU": 1}, 0, 8, 10),
        MachineType("gpu_on_demand", {"CPU": 4, "GPU": 1}, 0, 8, 0),
    )
    assert [kind.name for kind in limits.launched([1, 1])] == ["gpu_spot"] * 8  # max_workers of all types


def test_the_two_manifests_of_kuberay_have_the_same_machines():
    job, cluster = (read_cluster(str(FOLDER / "kuberay" / f"{name}.yaml")) for name in ("rayjob", "raycluster"))
    assert job == cluster
    assert job.head.resources == {"CPU": 0, "GPU": 0}
    assert [(kind.resources, kind.minimum, kind.maximum) for kind in job.machine_types] == [
        ({"CPU": 8, "GPU": 1}, 0, 8),
        ({"CPU": 8, "GPU": 1}, 0, 4),
    ]
    assert job.max_workers == 12


@pytest.mark.parametrize(
    ("start_params", "limits", "expected"),
    [
        ({}, {"cpu": "3500m", "nvidia.com/gpu": 2}, {"CPU": 3, "GPU": 2}),  # a worker has whole cores
        ({"num-cpus": "6", "num-gpus": "1"}, {"cpu": "8", "nvidia.com/gpu": 2}, {"CPU": 6, "GPU": 1}),
        ({}, {"cpu": "2", "memory": "1Gi"}, {"CPU": 2, "GPU": 0}),
    ],
)
def test_the_resources_of_a_pod(tmp_path, start_params, limits, expected):
    pod = {"spec": {"containers": [{"resources": {"limits": limits}}]}}
    group = {"groupName": "w", "maxReplicas": 2, "rayStartParams": start_params, "template": pod}
    spec = {"headGroupSpec": {"template": pod}, "workerGroupSpecs": [group]}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"kind": "RayCluster", "spec": spec}))
    assert read_cluster(str(tmp_path / "c.yaml")).machine_types == (MachineType("w", expected, 0, 2, 0),)


def test_hours_and_money_follow_from_the_seconds_and_prices_that_are_given(plan):
    flags = ["--cluster", FOLDER / "aws.yaml", "--trials", 16, "--scheduler", "none", "--epoch-seconds", 360]
    text = plan(*flags, "--prices", "head=0.5, gpu_spot=1, gpu_on_demand=3")
    assert "at a time  8 trials" in text
    assert "machines   8 gpu_spot for 8 trials at a time; 8 workers at most" in text
    assert "hours      0.6 if all slots train all the time, 4.8 GPU-hours" in text  # 48 epochs of a tenth of an hour
    assert "money      5.1, at 8.5 per hour" in text
    text = plan(*flags, "--time-budget", 900, "--max-concurrent", 2, "--prices", "head=0.5,gpu_spot=1")
    assert "machines   2 gpu_spot for 2 trials at a time" in text
    assert "hours      0.25 if all slots train all the time, 0.5 GPU-hours" in text
    assert "money      0.625, at 2.5 per hour" in text
    assert "hours      not known without --epoch-seconds" in plan("--cluster", FOLDER / "gcp.yaml")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--prices", "gpu=1"], "--prices: the cluster has no type 'gpu'; valid: head, gpu_spot, gpu_on_demand"),
        (["--prices", "head"], "--prices: 'head' is not of the form"),
        (["--prices", "head=1", "--epoch-seconds", "1"], "--prices: none is given for gpu_spot"),
        (["--epoch-seconds", "-1"], "--epoch-seconds: -1.0 is out of range"),
        (["--cluster", str(FOLDER.parent / "search_spaces" / "demo.yaml")], "is neither a file of `ray up` nor"),
    ],
)
def test_wrong_prices_and_wrong_files_are_refused(space_file, flags, message):
    with pytest.raises(InputError, match=message):
        main(["--space", str(space_file()), "--dry-run", "--cluster", str(FOLDER / "aws.yaml"), *flags])


@pytest.fixture
def local_file(tmp_path):
    """A function that writes local.yaml with other resources, and gives its path."""

    def write(resources):
        text = (FOLDER / "local.yaml").read_text()
        assert "  resources: {CPU: 8, GPU: 1} #" in text
        (tmp_path / "local.yaml").write_text(text.replace("  resources: {CPU: 8, GPU: 1} #", f"  {resources}#"))
        return str(tmp_path / "local.yaml")

    return write


def test_own_machines_have_what_metadata_says_and_the_head_nothing(local_file):
    limits = read_cluster(local_file("resources: {CPU: 16, GPU: 2} "))
    assert limits.head.resources == {"CPU": 0}
    assert limits.machine_types == (MachineType("worker", {"CPU": 16, "GPU": 2}, 2, 2, 0),)
    assert (limits.max_workers, limits.autoscales) == (2, False)
    assert read_cluster(str(FOLDER / "aws.yaml")).autoscales


def test_a_plan_on_own_machines_counts_their_workers(plan, local_file):
    text = plan("--cluster", local_file("resources: {CPU: 16, GPU: 2} "))
    assert "workers    1 per trial, 1 CPU and 1 GPU each" in text
    assert "at a time  4 trials" in text
    assert "machines   2 worker for 4 trials at a time; 2 workers at most" in text


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        (
            "",
            r"the file does not say what a worker has; give its `resources` \(CPU, GPU\) under `metadata`, or plan on",
        ),
        ("resources: 8 CPU ", "local.yaml' is not a complete cluster file"),
        ("resources: {CPU: many} ", "local.yaml' is not a complete cluster file"),
    ],
)
def test_a_plan_on_own_machines_needs_their_resources(space_file, local_file, resources, message):
    with pytest.raises(InputError, match=message):
        main(["--space", str(space_file()), "--dry-run", "--cluster", local_file(resources)])


def test_an_incomplete_file_is_refused_with_the_missing_part(tmp_path):
    (tmp_path / "c.yaml").write_text("kind: RayJob\nspec: {}\n")
    with pytest.raises(InputError, match=r"c.yaml' is not a complete cluster file \(KeyError\('rayClusterSpec'\)\)"):
        read_cluster(str(tmp_path / "c.yaml"))
