"""The files around the packages: metadata, lock, citation, CI, pre-commit, changelog, and the drawing of the rooms."""

import ast
import os
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from trove_classifiers import classifiers

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_classifiers_are_known_and_agree_with_the_project():
    assert not set(PROJECT["classifiers"]) - set(classifiers)
    assert "Typing :: Typed" in PROJECT["classifiers"]
    oldest = min(
        tuple(map(int, name.rpartition(" :: ")[2].split("."))) for name in PROJECT["classifiers"] if " :: 3." in name
    )
    assert PROJECT["requires-python"] == f">={'.'.join(map(str, oldest))}"


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert f"\n## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()
    assert f"decouple-search:{PROJECT['version']}" in (ROOT / "cluster" / "kuberay" / "Dockerfile").read_text()


def test_the_citation_names_this_software_and_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["license"] == PROJECT["license"]
    assert {"message", "title", "authors"} <= citation.keys()
    [paper] = citation["references"]
    assert f'"{paper["title"].lower()}"' in " ".join((ROOT / "docs" / "paper.md").read_text().lower().split())
    assert [author["family-names"] for author in paper["authors"]] == ["Liu", "Guo", "Huang", "Scott"]
    assert paper["year"] == 2019


def test_the_changelog_begins_with_what_is_not_released():
    sections = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[0] == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+( - \d{4}-\d\d-\d\d)?", section) for section in sections[1:])


def test_the_workflow_runs_the_script_of_ci_and_may_only_read():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert workflow[True].keys() == {"push", "pull_request"}  # YAML 1.1 reads `on` as true
    assert workflow["permissions"] == {"contents": "read"}
    [job] = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    [python] = [step["with"]["python-version"] for step in job["steps"] if "setup-python" in step.get("uses", "")]
    assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]


def test_the_hooks_of_pre_commit_run_the_pinned_tools():
    [repository] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    lock = (ROOT / "requirements.lock").read_text()
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        tool = re.match(r"\.venv/bin/(\w+) ?", hook["entry"])[1]
        assert tool == "python" or f"\n{tool}==" in lock


def test_the_drawing_of_the_rooms_is_the_layers_that_the_tests_enforce():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    drawing = text[text.index("```\ndecouple_search/") :].partition("\ndecouplenet/")[0].splitlines()[2:]
    drawn = tuple(set(line.partition("#")[0].split()) for line in drawing)
    tree = ast.parse((ROOT / "tests" / "test_rooms.py").read_text())
    [layers] = [
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LAYERS"
    ]
    assert drawn == ast.literal_eval(layers)


def test_the_lock_has_hashes_and_no_address():
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^[\w.-]+(?:\[[\w,-]+\])?==", lock, re.MULTILINE)
    assert len(pins) > 100
    assert lock.count("--hash=sha256:") >= len(pins)
    assert "://" not in lock


@pytest.mark.parametrize("package", ["decouplenet", "decouple_search"])
def test_type_checkers_read_the_packages(package):
    assert (ROOT / package / "py.typed").is_file()
