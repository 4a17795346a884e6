"""What a trial asks Tune for."""

from types import SimpleNamespace

import pytest

from decouple_search.ray_tune.resources import trial_resources, workers_of
from decouplenet.config import ScalingConfig


@pytest.mark.parametrize(
    ("gpus", "worker"),
    [(0.0, {"CPU": 2.0}), (None, {"CPU": 2.0}), (0.5, {"CPU": 2.0, "GPU": 0.5})],
)
def test_a_trial_asks_for_a_bundle_per_worker_and_nothing_for_itself(gpus, worker):
    scaling = ScalingConfig(workers_per_trial=3, cpus_per_worker=2, gpus_per_worker=gpus, placement_strategy="SPREAD")
    resources = trial_resources(scaling)
    assert resources.bundles == [worker] * 3
    assert resources.head_bundle_is_empty
    assert resources.strategy == "SPREAD"


@pytest.mark.parametrize("workers", [1, 4])
def test_workers_of(workers):
    scaling = ScalingConfig(workers_per_trial=workers, gpus_per_worker=0.0)
    assert workers_of(SimpleNamespace(placement_group_factory=trial_resources(scaling))) == workers
