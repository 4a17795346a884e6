"""Fixtures of all tests: small data that is drawn here, a small space, and the shared data where there is any."""

import importlib
import sys
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from decouplenet.config import Config
from decouplenet.dotted_keys import nest

SHARED = Path(__file__).parents[2] / "shared" / "data"
SMALL = """
base:
  model: {backbone: tiny, pretrained: false}
  data: {format: synthetic, image_size: 32, synthetic_images: 120, cache: CACHE}
  optim: {name: adamw, backbone_lr_scale: 1.0}
  train: {epochs: 3, batch_size: 16}
search:
  model.maps_per_class: {int: [1, 4], log: true}
  model.attention: {choice: [none, arch1]}
  model.k_neg: {float: [0.05, 1.0], log: true, when: {model.alpha: {gt: 0.3}}}
  model.alpha: {float: [0.0, 1.0]}
  optim.lr: {float: [1e-3, 1e-2], log: true}
start:
  - {model.maps_per_class: 2, model.alpha: 0.1, model.k_neg: 0.2}
scheduler: {name: promotion, grace_epochs: 1, reduction_factor: 3}
trials: 4
"""


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A cache folder that all tests of a session share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def config(cache):
    """Make a config that trains in a second: tiny backbone, 120 scenes of 32 px; keyword `a__b` sets a.b."""

    def make(**keys):
        flat = {
            "model.backbone": "tiny",
            "model.pretrained": False,
            "model.maps_per_class": 2,
            "data.image_size": 32,
            "data.synthetic_images": 120,
            "data.cache": str(cache),
            "optim.lr": 0.05,
            "optim.backbone_lr_scale": 1.0,
            "train.epochs": 3,
            "train.batch_size": 16,
        }
        return Config.from_dict(nest(flat | {key.replace("__", "."): value for key, value in keys.items()}))

    return make


@pytest.fixture(scope="session")
def s3():
    """A folder on an S3 of this process, as a URI that says all of it."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    endpoint = "http://127.0.0.1:{1}".format(*server.get_host_and_port())
    keys = {"aws_access_key_id": "user", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=endpoint, **keys).create_bucket(Bucket="bucket")
    yield f"s3://user:secret@bucket/runs?endpoint_override={quote_plus(endpoint)}&scheme=http&region=us-east-1"
    server.stop()


@pytest.fixture(scope="session")
def shared():
    """The folder of real photos, labels and weights; the test is skipped where it is not there."""
    if not SHARED.is_dir():
        pytest.skip("no shared data beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def small_space(cache):
    """The text of a small space."""
    return SMALL.replace("CACHE", str(cache))


@pytest.fixture
def space_file(tmp_path, small_space):
    """A function that writes the small space, with replacements, and gives its path."""

    def write(*replacements):
        text = small_space
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        file = tmp_path / "small.yaml"
        file.write_text(text)
        return file

    return write


@pytest.fixture
def registries(monkeypatch):
    """Extensions that the test registers are forgotten after it."""
    from decouple_search.samplers.registry import EXTENSIONS
    from decouplenet.extensions import KINDS

    for kind in (*KINDS, EXTENSIONS):
        monkeypatch.setattr(kind, "_registered", kind.registered)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """A function that installs a package until the test ends: its module, and the metadata of its entry points."""
    from decouplenet import extensions

    site, modules = tmp_path / "site", []
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def install(module, source, group, **entry_points):
        (site / f"{module}.py").write_text(source)
        metadata = site / f"{module}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in entry_points.items()]
        (metadata / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
        modules.append(module)
        importlib.invalidate_caches()
        extensions._entry_points.cache_clear()

    yield install
    extensions._entry_points.cache_clear()
    for module in modules:
        sys.modules.pop(module, None)
