"""docs/reference.md against the code, and the links of all documents."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from decouple_search.__main__ import COMMANDS
from decouple_search.ray_train.request import FLAGS
from decouple_search.results.best_checkpoint import BEST_CHECKPOINT
from decouple_search.results.html_page import PAGE
from decouple_search.results.tables import BEST_CONFIG, LEADERBOARD, SUMMARY
from decouple_search.space.yaml_file import KEYS as SPACE_KEYS
from decouple_search.study.definition import DEFINITION, JOURNAL
from decouple_search.tune import parser
from decouplenet.checkpoint_files import CHECKPOINT_FILES, STATE
from decouplenet.config import FACTS, KEYS, Config
from decouplenet.dotted_keys import flatten

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference.md"
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", ROOT / "cluster" / "README.md"]
DOCUMENTS += sorted((ROOT / "docs").glob("*.md"))


def rows(section):
    """The rows of the first table below a heading of the reference: cells without their marks."""
    text = REFERENCE.read_text().partition(f"\n{section}\n")[2]
    assert text, f"no heading '{section}'"
    lines = re.search(r"^\|.*?(?=\n\n|\Z)", text, re.MULTILINE | re.DOTALL)[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def anchors(document):
    """The anchors of a document's headings, as GitHub makes them."""
    seen, text = {}, re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        seen[anchor] = seen.get(anchor, -1) + 1
        yield f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor


def test_the_reference_is_what_the_code_says():
    """In a process of its own, since other tests register extensions in this one."""
    result = subprocess.run([sys.executable, "docs/reference.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_reference_that_is_out_of_date_is_noticed(tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    monkeypatch.setattr(reference, "REFERENCE", tmp_path / "reference.md")
    monkeypatch.setattr(sys, "argv", ["reference.py", "--check"])
    assert reference.main() == 1
    assert "run: python docs/reference.py" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["reference.py"])
    assert reference.main() == 0
    monkeypatch.setattr(sys, "argv", ["reference.py", "--check"])
    assert reference.main() == 0
    (tmp_path / "reference.md").write_text((tmp_path / "reference.md").read_text() + " ")
    assert reference.main() == 1


def test_the_tables_of_keys_have_every_key_its_default_and_its_facts():
    listed = {
        cells[0].strip("`"): cells
        for section in dict.fromkeys(key.rpartition(".")[0] for key in KEYS)
        for cells in rows(f"### Keys of {section}")
    }
    assert list(listed) == list(KEYS)
    for key, default in flatten(Config().to_dict()).items():
        shown = {"True": "true", "False": "false", "None": ""}.get(str(default), str(default))
        assert listed[key][2].strip("`") == shown, key
        assert ("search" in listed[key][3].split(", ")) == FACTS[key].searchable, key
        assert ("train" in listed[key][3].split(", ")) != FACTS[key].bound, key
        assert ("tune" in listed[key][3].split(", ")) == FACTS[key].of_machine, key
    assert listed["model.head"][1].startswith("`decouplenet`, `wildcat`, `gap`, `gmp`, ")
    assert listed["model.k_pos"][1] == "integer or number"


def test_the_tables_of_flags_have_every_flag_of_every_command():
    assert [cells[0] for cells in rows("## Commands")] == [f"[`{name}`](#{name})" for name in COMMANDS]
    assert [cells[0].strip("`") for cells in rows("### tune")] == parser().flag_names
    assert all(rows(f"### {command}") for command in COMMANDS)


def test_the_reference_names_every_file_and_every_key_of_a_space():
    files = {name.rstrip("/") for cells in rows("## Experiment folder") for name in re.findall(r"`([^`]+)`", cells[0])}
    assert files >= {LEADERBOARD, BEST_CONFIG, SUMMARY, PAGE, DEFINITION, JOURNAL, BEST_CHECKPOINT}
    files = {name for cells in rows("### Training folder") for name in re.findall(r"`([^`]+)`", cells[0])}
    assert FLAGS in files
    assert [cells[0].strip("`") for cells in rows("### Checkpoints")] == [*CHECKPOINT_FILES, STATE]
    assert [cells[0].strip("`") for cells in rows("## Search spaces")] == list(SPACE_KEYS)


def test_every_dependency_has_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[>=]", dependency)[0] for dependency in project["dependencies"]}
    assert {name for cells in rows("## What it builds on") for name in cells[0].split(", ")} == names


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))
def test_the_links_of_a_document_lead_somewhere(document):
    text = re.sub(r"```.*?```|`[^`\n]*`", "", document.read_text(), flags=re.DOTALL)
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert not dead
