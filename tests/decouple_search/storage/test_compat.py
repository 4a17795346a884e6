"""The contract with Ray: one test per function of `storage/compat.py`, which says what a new version broke."""

import inspect

from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR
from ray.dashboard.modules.job import job_supervisor

from decouple_search.storage import compat


def test_the_driver_of_a_job_is_recognised_by_the_variable_that_rays_job_supervisor_sets(monkeypatch):
    monkeypatch.delenv(compat.JOB_VARIABLE, raising=False)
    assert not compat.in_job(), "a process without the variable counts as a job's driver"
    monkeypatch.setenv(compat.JOB_VARIABLE, "{}")
    assert compat.in_job(), "a process with the variable does not count as a job's driver"
    assert compat.JOB_VARIABLE == RAY_JOB_CONFIG_JSON_ENV_VAR, (
        "Ray has renamed RAY_JOB_CONFIG_JSON_ENV_VAR, by which a job's driver is recognised"
    )
    source = inspect.getsource(job_supervisor.JobSupervisor._get_driver_env_vars)
    assert "RAY_JOB_CONFIG_JSON_ENV_VAR:" in source, (
        "Ray's job supervisor no longer sets RAY_JOB_CONFIG_JSON_ENV_VAR in the environment of a job's driver"
    )
