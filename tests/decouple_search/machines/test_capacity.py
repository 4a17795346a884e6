"""How many workers and trials fit on machines, and on the machines that an autoscaler may add."""

import pytest

from decouple_search.machines.capacity import Capacity, largest_cluster, resolve_gpus
from decouple_search.machines.compat import HEAD_RESOURCE
from decouple_search.machines.manifest import ClusterLimits, MachineType
from decouplenet.config import Config
from decouplenet.dotted_keys import nest
from decouplenet.errors import InputError

HEAD = {"CPU": 8, HEAD_RESOURCE: 1}
GPU_MACHINE = {"CPU": 16, "GPU": 4}


def config_of(workers, cpus, gpus=0, strategy="PACK"):
    scaling = {
        "scaling.workers_per_trial": workers,
        "scaling.cpus_per_worker": cpus,
        "scaling.gpus_per_worker": gpus,
        "scaling.placement_strategy": strategy,
    }
    return Config.from_dict(nest(scaling))


def capacity_of(*need):
    return Capacity(config_of(*need).scaling)


def limits_of(**kinds):
    """A cluster of at most 5 workers; `name=(resources, maximum)`."""
    workers = tuple(MachineType(name, resources, 0, maximum, 0) for name, (resources, maximum) in kinds.items())
    return ClusterLimits(MachineType("head", {"CPU": 8}, 1, 1, 0), workers, 5)


@pytest.mark.parametrize(
    ("need", "machines", "trials"),
    [
        ((1, 1), [{"CPU": 2}], 2),
        ((2, 1), [{"CPU": 2}], 1),
        ((2, 4), [{"CPU": 6}, {"CPU": 6}], 1),
        ((1, 8, 1), [{"CPU": 32, "GPU": 2}, {"CPU": 32}], 2),
        ((1, 1, 0.25), [{"CPU": 64, "GPU": 2}], 8),
        ((1, 1, 0.4), [{"CPU": 64, "GPU": 2}], 4),  # two on each GPU; a fifth would need a fifth of both
        ((4, 0.5), [{"CPU": 2}], 1),
        ((2, 1, 0, "STRICT_PACK"), [{"CPU": 3}, {"CPU": 3}], 2),
        ((2, 1, 0, "SPREAD"), [{"CPU": 3}, {"CPU": 3}], 3),
        ((2, 1, 0, "STRICT_SPREAD"), [{"CPU": 4}, {"CPU": 1}], 1),
        ((2, 1, 0, "STRICT_SPREAD"), [{"CPU": 4}, {"CPU": 2}, {"CPU": 1}], 3),
    ],
)
def test_trials_that_fit_at_the_same_time(need, machines, trials):
    capacity = capacity_of(*need)
    assert capacity.trials(machines) == trials
    assert capacity.require(machines) == trials


@pytest.mark.parametrize(
    ("need", "machines", "message"),
    [
        ((2, 4, 1), [{"CPU": 8, "GPU": 1}], r"2 workers of 4 CPU and 1 GPU, and room for 1 .* \(8 CPU, 1 GPU: 1\)"),
        ((3, 1, 0, "STRICT_PACK"), [{"CPU": 2}, {"CPU": 2}], "3 workers of 1 CPU all on one machine, and room for 4"),
        ((2, 1, 0, "STRICT_SPREAD"), [{"CPU": 8}], "2 workers of 1 CPU each on another machine, and room for 8"),
        ((1, 4), [{"CPU": 2}, {"CPU": 2}], r"1 worker of 4 CPU, and room for 0 is there \(2 × 2 CPU, 0 GPU: 0\)"),
    ],
)
def test_a_trial_that_fits_nowhere_is_refused_with_the_arithmetic(need, machines, message):
    capacity = capacity_of(*need)
    assert capacity.trials(machines) == 0
    with pytest.raises(InputError, match=message):
        capacity.require(machines)


@pytest.mark.parametrize(
    ("need", "machines", "fitting"),
    [
        ((1, 4, 1), [{"CPU": 2}], (1, 2, 0)),  # no GPU anywhere: on CPUs
        ((1, 8, 1), [{"CPU": 16}, {"CPU": 4, "GPU": 1}], (1, 4, 1)),  # a GPU somewhere: with it
        ((2, 4, 1), [{"CPU": 8, "GPU": 1}], (1, 4, 1)),
        ((2, 4), [{"CPU": 6}], (2, 3, 0)),  # fewer CPUs before fewer workers
        ((3, 1, 0, "STRICT_PACK"), [{"CPU": 2}, {"CPU": 2}], (2, 1, 0)),
        ((2, 1, 0, "STRICT_SPREAD"), [{"CPU": 8}], (1, 1, 0)),
        ((1, 1), [{"CPU": 0}], None),
        ((1, 0.5), [{"CPU": 0.25}], None),
    ],
)
def test_the_largest_need_that_fits(need, machines, fitting):
    scaling = capacity_of(*need).largest_fitting(machines)
    assert fitting == (scaling and (scaling.workers_per_trial, scaling.cpus_per_worker, scaling.gpus_per_worker))


def test_a_trial_keeps_its_minimum_of_workers():
    scaling = {"scaling.workers_per_trial": 4, "scaling.min_workers_per_trial": 2, "scaling.gpus_per_worker": 0}
    capacity = Capacity(Config.from_dict(nest(scaling)).scaling)
    assert capacity.largest_fitting([{"CPU": 1}]) is None
    assert capacity.largest_fitting([{"CPU": 3}]).workers_per_trial == 3


def test_more_than_one_gpu_per_worker_is_refused():
    with pytest.raises(InputError, match="scaling.gpus_per_worker: 2 is out of range; it must be from 0 to 1"):
        config_of(1, 1, 2)


def test_an_autoscaler_first_adds_the_machines_that_take_the_most_workers():
    limits = limits_of(cpu=({"CPU": 64}, 5), gpu=(GPU_MACHINE, 3), spare=({"CPU": 16, "GPU": 1}, 5))
    capacity = capacity_of(1, 2, 1)
    machines = capacity.grown([HEAD, GPU_MACHINE, GPU_MACHINE], limits, head=HEAD_RESOURCE)
    assert [machine.get("GPU", 0) for machine in machines] == [0, 4, 4, 4, 1, 1]
    assert capacity.require(machines) == 14
    assert [machine.resources for machine in capacity.launched(limits)] == machines[1:]
    more_than_the_file_says = [HEAD, *[GPU_MACHINE] * 9]
    assert capacity.grown(more_than_the_file_says, limits, head=HEAD_RESOURCE) == more_than_the_file_says


def test_a_cluster_of_one_type_that_scales_from_zero():
    limits = limits_of(gpu=({"CPU": 4, "GPU": 1}, 2))
    head_alone = [{"CPU": 0, HEAD_RESOURCE: 1}]
    capacity = capacity_of(2, 4, 1)
    assert capacity.require(capacity.grown(head_alone, limits, head=HEAD_RESOURCE)) == 1
    capacity = capacity_of(3, 4, 1)
    with pytest.raises(InputError, match="3 workers of 4 CPU and 1 GPU, and room for 2"):
        capacity.require(capacity.grown(head_alone, limits, head=HEAD_RESOURCE))


def test_a_bundle_has_the_resources_of_one_worker():
    assert capacity_of(2, 4, 0.5).bundles() == [{"CPU": 4.0, "GPU": 0.5}] * 2
    assert capacity_of(1, 2).bundles() == [{"CPU": 2.0}]


def test_fewer_workers_leave_what_each_needs():
    fewer = capacity_of(4, 2, 0.5, "SPREAD").with_workers(2)
    assert fewer.bundles() == [{"CPU": 2.0, "GPU": 0.5}] * 2
    assert fewer.scaling.placement_strategy == "SPREAD"
    assert fewer.scaling.min_workers_per_trial is None


@pytest.mark.parametrize(
    ("given", "machines", "expected"),
    [
        (None, [{"CPU": 2}, GPU_MACHINE], 1.0),
        (None, [{"CPU": 2}], 0.0),
        (0.5, [{"CPU": 2}], 0.5),
        (0, [GPU_MACHINE], 0),
    ],
)
def test_a_worker_has_one_gpu_where_there_are_any_unless_the_config_says_otherwise(given, machines, expected):
    config = resolve_gpus(config_of(1, 1, given), machines)
    assert config.scaling.gpus_per_worker == expected


def test_the_largest_cluster_of_a_file():
    limits = limits_of(cpu=({"CPU": 64}, 5), gpu=(GPU_MACHINE, 3))
    config, machines = largest_cluster(config_of(1, 2, None), limits)
    assert config.scaling.gpus_per_worker == 1.0
    assert machines == [{"CPU": 8}, *[GPU_MACHINE] * 3, *[{"CPU": 64}] * 2]
    with pytest.raises(InputError, match="the file does not say what a worker has"):
        largest_cluster(config_of(1, 1), limits_of(worker=({}, 2)))
