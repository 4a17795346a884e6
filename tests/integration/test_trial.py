"""The Trainable by itself, outside Tune, on a real gang."""

import os
import signal

import pytest

from decouple_search.ray_tune.trainable import DecoupleTrial
from decouple_search.ray_tune.trial_spec import TrialSpec
from decouple_search.ray_tune.tune_result import from_tune
from decouple_search.space.objective import Objective
from decouplenet.dotted_keys import flatten

pytestmark = pytest.mark.ray


@pytest.fixture
def make_spec(config):
    """Make the specification of a trial of one worker, with config keys changed, as Tune carries it."""

    def make(*, checkpoint=None, **keys):
        settings = {"scaling__cpus_per_worker": 0.5, "scaling__gpus_per_worker": 0.0} | keys
        return TrialSpec(
            number=0,
            config=flatten(config(**settings).to_dict()),
            objectives=(Objective("val_map", "max"), Objective("latency_ms", "min")),
            checkpoint=checkpoint,
        ).to_tune()

    return make


@pytest.fixture
def trial(ray_cluster, make_spec):
    trial = DecoupleTrial(config=make_spec())
    yield trial
    trial.stop()


def test_a_slot_trains_one_configuration_after_another(trial, make_spec, tmp_path):
    carried = trial.train()
    first = from_tune(carried)
    assert (first.epoch, carried["should_checkpoint"], carried["done"]) == (1, True, False)
    assert first.measures["latency_ms"] > 0
    assert first.measures["parameters"] > 0
    assert first.config == make_spec()["config"]
    trial.save_checkpoint(str(tmp_path))
    # NaN ends the trial, with the reason. The gang trains the next one.
    trial.reset(make_spec(optim__lr=1e30))
    carried = trial.train()
    failed = from_tune(carried)
    assert (carried["done"], failed.measures) == (True, {})
    assert "the loss is nan" in failed.failure
    # A gang that is lost between two trials is replaced: Tune would not restart a trial that does not run yet.
    locations = trial._gang.locations
    os.kill(locations[0].pid, signal.SIGKILL)
    trial.reset(make_spec())
    assert trial._gang.locations != locations
    # It resumes from a checkpoint that Tune restores.
    trial.load_checkpoint(str(tmp_path))
    assert from_tune(trial.train()).epoch == 2
    assert trial.train()["done"]
    # It resumes from the checkpoint of an earlier run of the search.
    trial.reset(make_spec(checkpoint=str(tmp_path)))
    assert from_tune(trial.train()).epoch == 2
    # That checkpoint may be deleted, because the trial has a newer one. Tune then restores the newer one.
    trial.reset(make_spec(checkpoint=str(tmp_path / "deleted")))
    assert from_tune(trial.train()).epoch == 1
    # On a machine that does not share the search's folder nothing is trained.
    trial.stop()
    trial.setup(make_spec(), shared_file=str(tmp_path / "experiment.yaml"))
    carried = trial.train()
    assert carried["done"]
    assert "experiment.yaml' is not there on " in from_tune(carried).missing_folder
    assert trial._gang is None
