"""The wheel: built from the checkout, and installed where the checkout cannot be imported.

The new environment borrows the dependencies of this one by a path file. Path files inside the borrowed folder do not
count there, so the editable installation of the checkout is not importable.
"""

import csv
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    [file] = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder with the programs of an environment in which the wheel is installed."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip())
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    assert run(python, "-I", "-c", "import decouple_search", check=False).returncode == 1
    uv = Path(sys.executable).with_name("uv")
    run(uv, "pip", "install", "--offline", "--no-cache", "--no-deps", "--python", python, wheel)
    return folder / "bin"


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """An empty working folder, which is the home folder too, and no way from the environment to the checkout."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("PYTHONPATH", "RAY_ADDRESS", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(*command, check=True, **options):
    """Run a command; if it fails although it must not, the test shows its errors."""
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    assert not check or result.returncode == 0, result.stderr
    return result


def test_the_wheel_holds_the_packages_their_types_and_the_spaces_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"decouple_search-{VERSION}.dist-info/METADATA").decode()
    assert {name.partition("/")[0] for name in names} == {
        "decouple_search",
        "decouplenet",
        f"decouple_search-{VERSION}.dist-info",
    }
    assert {"decouple_search/py.typed", "decouplenet/py.typed"} <= names
    spaces = {f"decouple_search/search_spaces/{file.name}" for file in (ROOT / "search_spaces").glob("*.yaml")}
    assert spaces == {name for name in names if name.endswith(".yaml")}
    assert f"\nVersion: {VERSION}\n" in metadata
    assert "\nClassifier: Typing :: Typed\n" in metadata


def test_an_editable_installation_has_no_second_copy_of_the_spaces(tmp_path):
    program = "import sys; from hatchling.build import build_editable; build_editable(sys.argv[1])"
    run(sys.executable, "-c", program, tmp_path, cwd=ROOT)
    [file] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        assert not [name for name in archive.namelist() if name.endswith(".yaml")]


def test_the_packages_are_the_wheel_s(installed, empty):
    program = "import decouplenet, decouple_search; print(decouplenet.__file__); print(decouple_search.__file__)"
    for line in run(installed / "python", "-c", program).stdout.splitlines():
        assert Path(line).is_relative_to(installed.parent)


def test_the_console_command_lists_its_commands_and_its_version(installed, empty):
    assert "usage: decouple-search COMMAND" in run(installed / "decouple-search").stdout
    assert run(installed / "decouple-search", "--version").stdout == f"decouple-search {VERSION}\n"
    usage = run(installed / "decouple-search", "tune", "--help").stdout
    assert usage.startswith("usage: decouple-search tune [flags]")


def test_a_dry_run_plans_the_demo_and_leaves_nothing(installed, empty):
    out = run(installed / "decouple-search", "tune", "--dry-run").stdout
    assert "space      demo: 7 searched" in out
    assert "at a time" in out
    assert not list(empty.iterdir())


def test_a_dry_run_finds_a_shipped_space_by_the_path_that_a_checkout_has(installed, empty):
    shutil.copy(ROOT / "cluster" / "aws.yaml", empty)
    flags = ["--space", "search_spaces/paper_search.yaml", "--cluster", "aws.yaml"]
    out = run(installed / "decouple-search", "tune", "--dry-run", *flags).stdout
    assert "space      paper_search: 7 searched" in out
    assert "gpu_spot" in out


def test_a_mistake_is_a_line_and_exit_code_2(installed, empty):
    result = run(installed / "decouple-search", "tune", "--space", "dmo", "--dry-run", check=False)
    assert result.returncode == 2
    assert "did you mean 'demo'?" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.ray
@pytest.mark.slow
def test_a_search_runs_from_the_wheel(installed, empty, monkeypatch):
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        flags = ["--trials", "2", "--train.epochs", "1", "--storage", empty / "results", "--name", "x"]
        out = run(installed / "decouple-search", "tune", *flags, timeout=540).stdout
    assert "2 trials (2 complete, 0 pruned, 0 failed)" in out
    with (empty / "results" / "x" / "leaderboard.csv").open() as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["COMPLETE", "COMPLETE"]
    assert (empty / "results" / "x" / "best_checkpoint" / "model.safetensors").is_file()
    report = run(installed / "decouple-search", "report", empty / "results" / "x", env=os.environ).stdout
    assert report.startswith("2 trials: 2 COMPLETE")
