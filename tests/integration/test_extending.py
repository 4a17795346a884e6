"""The examples of docs/extending.md, run as they stand there."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from decouple_search import load_experiment
from decouplenet.errors import InputError
from decouplenet.extensions import KINDS

pytestmark = pytest.mark.ray
GUIDE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()


def block(language, *, holding=""):
    """The code block of the guide in a language that holds a text."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    (code,) = [content for content in blocks if holding in content]
    return code


@pytest.fixture
def run_in(tmp_path, ray_cluster, site_folder):
    """A folder of a user's own, and a function that runs Python there, on the tests' Ray."""
    folder = tmp_path / "mine"
    folder.mkdir()
    environment = os.environ | {"RAY_ADDRESS": ray_cluster, "PYTHONPATH": str(site_folder)}

    def run(*words):
        return subprocess.run(
            [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )

    return folder, run


@pytest.fixture
def unregistered():
    """Forget the extensions that a test registers."""
    before = [(kind, kind.registered) for kind in KINDS]
    yield
    for kind, registered in before:
        kind._registered = registered


@pytest.fixture
def package(run_in, site_folder):
    """The guide's package, installed."""
    folder, run = run_in
    source = folder / "my-extensions"
    source.mkdir()
    (source / "pyproject.toml").write_text(block("toml"))
    (source / "my_extensions.py").write_text(block("python", holding="def thin_cnn"))
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    installed = run("-m", "pip", "install", "--quiet", *offline, "--target", str(site_folder), str(source))
    assert installed.returncode == 0, installed.stderr


def test_a_search_uses_all_five_extensions_of_an_installed_package(package, run_in):
    folder, run = run_in
    for number in range(40):
        labels = folder / "photos" / ["cat", "dog", "cat+dog", "cat+mouse"][number % 4]
        labels.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((32, 32), 10.0 + 10 * (number % 4)).convert("RGB").save(labels / f"{number}.png")
    (folder / "space.yaml").write_text(block("yaml"))
    flags = ["--space", "space.yaml", "--storage", str(folder), "--name", "mine", "--data.cache", str(folder / "cache")]
    checked = run("-m", "decouplenet.data", "check", "--data.format", "folders", "--data.train_images", "photos")
    assert checked.returncode == 0, checked.stdout
    assert "mouse" in checked.stdout
    searched = run("-m", "decouple_search.tune", *flags)
    assert (searched.returncode, searched.stderr) == (0, "")
    assert "budget     4 trials by eager_tpe" in searched.stdout
    with (folder / "mine" / "leaderboard.csv").open() as file:
        rows = {row["trial_id"]: row for row in csv.DictReader(file)}
    assert len(rows) == 4
    first = rows["0000"]
    chosen = [first[key] for key in ("model.backbone", "model.head", "train.loss", "model.maps_per_class")]
    assert chosen == ["thin_cnn", "top_average", "focal", ""]
    assert {row["state"] for row in rows.values()} <= {"COMPLETE", "PRUNED"}
    best = folder / "mine" / "best_checkpoint"
    measured = run("-m", "decouple_search.evaluate", "--checkpoint", str(best))
    assert measured.returncode == 0, measured.stderr


def test_a_decorated_class_of_a_script_is_carried_to_the_workers(run_script, unregistered, tmp_path, cache):
    small = {"data.synthetic_images": 120, "data.cache": str(cache), "train.batch_size": 16}
    script = block("python", holding="mean_linear").replace(
        'name="heads"', f'name="heads", sampler="grid", config={small!r}'
    )
    script = script.replace('"optim.lr": Float(1e-3, 1e-1, log=True)', '"optim.lr": Float(0.01, 0.02, step=0.01)')
    run_script(script)
    leaderboard = load_experiment(tmp_path / "results" / "heads").leaderboard
    assert sorted(leaderboard["model.head"]) == ["decouplenet", "decouplenet", "mean_linear", "mean_linear"]
    assert set(leaderboard["state"]) <= {"COMPLETE", "PRUNED"}


def test_a_mistake_in_an_extension_is_named_before_any_trial(run_script, unregistered, tmp_path, cache):
    small = {"data.synthetic_images": 120, "data.cache": str(cache)}
    broken = block("python", holding="mean_linear").replace("features.mean((2, 3))", "features.mean((2, 4))")
    with pytest.raises(InputError) as error:
        run_script(broken.replace('name="heads"', f'name="heads", config={small!r}'))
    message = str(error.value)
    assert message.startswith("a step with model.head 'mean_linear' on images of 32 px failed (IndexError: ")
    place = re.search(rf"; {re.escape(str(tmp_path))}/script\.py:(\d+)\)$", message)
    assert "features.mean((2, 4))" in broken.splitlines()[int(place[1]) - 1]
    assert not (tmp_path / "results" / "heads").exists()
