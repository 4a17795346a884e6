"""A trial's resources: a placement group with a bundle for the trial itself and one per worker."""

from __future__ import annotations

from ray import tune

from decouple_search.machines.capacity import Capacity
from decouple_search.ray_tune.compat import Trial, bundles_of
from decouplenet.config import ScalingConfig


def trial_resources(scaling: ScalingConfig) -> tune.PlacementGroupFactory:
    """An empty bundle for the trial, which only waits for its gang, and one bundle per worker."""
    return tune.PlacementGroupFactory([{}, *Capacity(scaling).bundles()], strategy=scaling.placement_strategy)


def workers_of(trial: Trial) -> int:
    """The workers that one of Tune's trials has or waits for."""
    return sum(bool(bundle) for bundle in bundles_of(trial))
