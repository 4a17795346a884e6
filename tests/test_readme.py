"""The README against the code: every key, flag and dependency is in its tables, and nothing else."""

import re
import tomllib
from pathlib import Path

from decouple_search.tune import parser
from decouplenet.config import KEYS, SECTIONS, Config
from decouplenet.config_facts import attribute_docs
from decouplenet.dotted_keys import flatten

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_table_of_keys_is_the_config():
    rows = re.findall(rf"^\| `((?:{'|'.join(SECTIONS)})\.\w+)` \| ([^|]*) \| (.*) \|$", README, re.MULTILINE)
    assert [key for key, *_ in rows] == list(KEYS)
    defaults = flatten(Config().to_dict())
    docs = {
        f"{name}.{field}": doc for name, section in SECTIONS.items() for field, doc in attribute_docs(section).items()
    }
    for key, default, meaning in rows:
        shown = {"True": "true", "False": "false", "None": ""}.get(str(defaults[key]), str(defaults[key]))
        assert default.strip() == shown, key
        assert meaning == " ".join(docs[key].split()), key


def test_every_flag_is_in_the_table():
    table = README[README.index("| flag |") : README.index("| key |")]
    assert set(re.findall(r"`(--[\w-]+)", table)) >= {"--config", *parser().flag_names}


def test_every_dependency_has_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[>=]", dependency)[0] for dependency in project["dependencies"]}
    table = README[README.index("| package |") :]
    listed = {
        name for row in re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)[1:] for name in row.strip().split(", ")
    }
    assert listed == names


def test_the_lock_has_hashes_and_no_address():
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^[\w.-]+(?:\[[\w,-]+\])?==", lock, re.MULTILINE)
    assert len(pins) > 100
    assert lock.count("--hash=sha256:") >= len(pins)
    assert "://" not in lock
