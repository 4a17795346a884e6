"""Uses of Ray that rely on more than its documentation promises: how to recognise the driver of a Ray job."""

from __future__ import annotations

import os

JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Ray's job supervisor sets this variable in the environment of a job's driver."""


def in_job() -> bool:
    """Whether this process is the driver of a Ray job."""
    return JOB_VARIABLE in os.environ
