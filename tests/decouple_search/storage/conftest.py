"""Fixtures of the tests of object storage: a folder on S3, and short times between renewals and copies."""

import shutil

import pytest

from decouple_search.storage import lease, mirror
from decouple_search.storage.opening import open_folder


@pytest.fixture
def short_seconds(monkeypatch):
    """Renew, copy and wait a hundred times as often."""
    monkeypatch.setattr(lease, "RENEWAL_SECONDS", 0.05)
    monkeypatch.setattr(lease, "SILENCE_SECONDS", 0.5)
    monkeypatch.setattr(mirror, "COPY_SECONDS", 0.05)


@pytest.fixture
def remote_folder(s3, request):
    """An empty folder on S3, of this test alone."""
    with open_folder(s3, request.node.name) as folder:
        folder.local.mkdir(parents=True)
        yield folder
    shutil.rmtree(folder.local.parent, ignore_errors=True)  # a test may have kept it
