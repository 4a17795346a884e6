"""Which machine Ray's autoscaler launches first: spot, and when it turns to on-demand."""

import copy

import pytest

from tests.cluster.files import CLOUDS, load


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
