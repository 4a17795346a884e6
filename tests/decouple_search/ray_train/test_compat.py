"""The contract with Ray Train: one test per name of `compat.py`, which says what a new version of Ray broke."""

from types import SimpleNamespace

import pytest
import ray
import ray.train
import ray.train.collective
from ray._common.usage import usage_constants
from ray.train import PreemptionInfo
from ray.train.v2._internal.constants import CHECKPOINT_MANAGER_SNAPSHOT_FILENAME
from ray.train.v2._internal.exceptions import CheckpointManagerInitializationError
from ray.train.v2._internal.execution.checkpoint.checkpoint_manager import CheckpointManager
from ray.train.v2.api import config, train_fn_utils
from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError
from ray.train.v2.torch.torch_trainer import TorchTrainer

from decouple_search.ray_train import compat
from decouplenet.errors import InputError


def test_api_is_of_version_2():
    parts = {
        config: ("ScalingConfig", "RunConfig", "FailureConfig", "CheckpointConfig", "LoggingConfig"),
        train_fn_utils: ("get_context", "get_checkpoint", "report", "get_preemption_info"),
    }
    for module, names in parts.items():
        for name in names:
            assert getattr(compat.API, name) is getattr(module, name), f"ray.train.{name} is not of version 2"
    assert compat.API.torch.TorchTrainer is TorchTrainer, "ray.train.torch.TorchTrainer is not of version 2"


def test_snapshot():
    assert compat.SNAPSHOT == CHECKPOINT_MANAGER_SNAPSHOT_FILENAME, "Ray Train keeps its list of checkpoints elsewhere"


def test_no_usage_statistics_are_sent():
    assert usage_constants.USAGE_STATS_ENABLED_ENV_VAR == "RAY_USAGE_STATS_ENABLED", "Ray renamed the variable"


def test_cause_of():
    cause = InputError("no image")
    failure = ControllerError(cause)
    assert isinstance(failure, ray.train.TrainingFailedError), "Trainer.fit raises another error for the driver's own"
    assert compat.cause_of(failure) is cause, "ControllerError does not keep what a callback of the driver raised"
    lost = WorkerGroupError("lost", {})
    assert compat.cause_of(lost) is lost, "the failure of workers has a cause in the driver"


def test_worker_failures():
    errors = {1: RuntimeError("x")}
    failure = WorkerGroupError("lost", errors)
    assert isinstance(failure, ray.train.TrainingFailedError), "Trainer.fit raises another error for lost workers"
    assert compat.worker_failures(failure) == errors, "WorkerGroupError does not keep the errors of the workers by rank"
    assert compat.worker_failures(ControllerError(RuntimeError("x"))) == {}, "the driver's error has workers' errors"


@pytest.fixture
def manager(monkeypatch):
    """Ray Train's list of checkpoints, without a storage."""
    monkeypatch.setattr(CheckpointManager, "_maybe_load_state_from_storage", lambda self: None)
    return CheckpointManager(ray.train.CheckpointConfig(), SimpleNamespace())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_snapshot_is_readable(manager, tmp_path):
    file = tmp_path / compat.SNAPSHOT
    file.write_text(manager._save_state())
    assert compat.snapshot_is_readable(file), "Ray Train does not write its version into its list of checkpoints"
    manager._load_state(file.read_text())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("content", ['{"ray_ver', "[]", "{}", '{"ray_version": "0.1"}'])
def test_a_snapshot_that_ray_train_refuses_is_not_readable(manager, tmp_path, content):
    with pytest.raises(CheckpointManagerInitializationError):
        manager._load_state(content)
    file = tmp_path / compat.SNAPSHOT
    file.write_text(content)
    assert not compat.snapshot_is_readable(file), f"Ray Train would fail with {content!r} as its list of checkpoints"


def test_doomed_nodes(monkeypatch):
    monkeypatch.setattr(ray.train, "get_preemption_info", lambda: None)
    assert compat.doomed_nodes() == set(), "no notice is a notice"
    info = PreemptionInfo(deadline_ms=None, preempted_node_to_ranks={"a": [0], "b": [1, 2]})
    monkeypatch.setattr(ray.train, "get_preemption_info", lambda: info)
    assert compat.doomed_nodes() == {"a", "b"}, "PreemptionInfo does not name the machines that will be taken away"


def test_any_on_rank_zero(monkeypatch):
    sent = []
    monkeypatch.setattr(
        ray.train.collective, "broadcast_from_rank_zero", lambda value: sent.append(value) or "rank 0's"
    )
    assert compat.any_on_rank_zero(True) == "rank 0's", "the answer is not what ray.train.collective broadcasts"
    assert sent == [True]
