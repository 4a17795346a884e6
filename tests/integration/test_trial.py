"""The Trainable by itself, outside Tune, on a real gang."""

import os
import signal

import pytest

from decouple_search.ray_tune.trainable import UNSHARED, DecoupleTrial
from decouplenet.dotted_keys import flatten

pytestmark = pytest.mark.ray


@pytest.fixture
def trial(ray_cluster, config):
    """A trial of one worker, and a function that makes its config with keys changed."""

    def proposed(**keys):
        settings = {"scaling__cpus_per_worker": 0.5, "scaling__gpus_per_worker": 0.0} | keys
        goals = [["val_map", "max"], ["latency_ms", "min"]]
        return {"trial": 0, "config": flatten(config(**settings).to_dict()), "since": None, "objectives": goals}

    trial = DecoupleTrial(config=proposed())
    yield trial, proposed
    trial.stop()


def test_what_ends_a_trial_and_what_does_not(trial, tmp_path):
    trial, proposed = trial
    first = trial.train()
    assert (first["epoch"], first["should_checkpoint"], first["done"]) == (1, True, False)
    assert first["latency_ms"] > 0
    assert first["parameters"] > 0
    trial.save_checkpoint(str(tmp_path))
    # NaN ends the trial, with the reason; the gang goes on with the next.
    trial.reset(proposed(optim__lr=1e30))
    ended = trial.train()
    assert (ended["done"], "val_map" in ended) == (True, False)
    assert "the loss is nan" in ended["failed"]
    # A gang that is lost between two trials is replaced: Tune would not start a trial again that does not run yet.
    before = trial._gang.seats
    os.kill(before[0].pid, signal.SIGKILL)
    trial.reset(proposed())
    assert trial._gang.seats != before
    # From a checkpoint it goes on as if it had never stopped.
    trial.load_checkpoint(str(tmp_path))
    assert trial.train()["epoch"] == 2
    assert trial.train()["done"]
    # So it does where the search before this one left it.
    trial.reset(proposed() | {"since": str(tmp_path)})
    assert trial.train()["epoch"] == 2
    trial.reset(proposed() | {"since": str(tmp_path / "deleted")})  # as there is a newer one, that Tune gives
    assert trial.train()["epoch"] == 1
    # On a machine that does not share the search's folder nothing is trained.
    config = proposed()
    trial.stop()
    trial.setup(config, shared=str(tmp_path / "experiment.yaml"))
    ended = trial.train()
    assert ended["done"]
    assert "experiment.yaml' is not there on " in ended[UNSHARED]
    assert trial._gang is None
