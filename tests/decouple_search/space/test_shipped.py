"""The spaces that come with the program: their folder in a checkout and in a wheel, and what `--space` means."""

from pathlib import Path

import pytest

from decouple_search.space import shipped
from decouple_search.space.shipped import shipped_folder, shipped_spaces, space_file
from decouple_search.space.yaml_file import load_space
from decouplenet.errors import InputError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_checkout_has_its_spaces_beside_the_packages():
    assert shipped_folder() == ROOT / "search_spaces"
    assert shipped_spaces().keys() == {file.stem for file in (ROOT / "search_spaces").glob("*.yaml")}
    assert {"demo", "paper_search"} <= shipped_spaces().keys()
    assert all(load_space(file).name == name for name, file in shipped_spaces().items())


def test_a_wheel_has_its_spaces_inside_the_package(tmp_path, monkeypatch):
    folder = tmp_path / "decouple_search" / "search_spaces"
    folder.mkdir(parents=True)
    (folder / "demo.yaml").touch()
    unrelated = tmp_path / "search_spaces"
    unrelated.mkdir()
    (unrelated / "demo.yaml").touch()
    monkeypatch.setattr(shipped, "__file__", str(tmp_path / "decouple_search" / "space" / "shipped.py"))
    assert shipped_folder() == folder
    (folder / "demo.yaml").unlink()
    (unrelated / "demo.yaml").unlink()
    with pytest.raises(InputError, match="has no folder search_spaces; install decouple-search anew"):
        shipped_folder()


@pytest.mark.parametrize(
    "text", ["demo", "search_spaces/demo.yaml", "./search_spaces/demo.yaml", str(ROOT / "search_spaces" / "demo.yaml")]
)
def test_a_shipped_space_by_its_name_or_path(elsewhere, text):
    assert space_file(text) == str(ROOT / "search_spaces" / "demo.yaml")


def test_a_file_goes_before_a_shipped_space(elsewhere):
    (elsewhere / "search_spaces").mkdir()
    for name in ("demo", "search_spaces/demo.yaml"):
        (elsewhere / name).touch()
        assert space_file(name) == name


def test_a_folder_with_a_space_s_name_does_not_hide_the_space(elsewhere):
    (elsewhere / "demo").mkdir()
    assert space_file("demo") == str(ROOT / "search_spaces" / "demo.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/demo.yaml",
        "demo.yaml",
        "mine.yml",
        "mine/demo",
        "mine/",
        "search_spaces/mine.yaml",
        "deep/search_spaces/demo.yaml",
    ],
)
def test_an_address_or_a_path_to_nothing_stays_as_it_is(elsewhere, text):
    assert space_file(text) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "dmo",
            r"space 'dmo': .* shipped space; did you mean 'demo'\? valid: demo, heads, modern, .*search_spaces'\)$",
        ),
        (
            "xyz",
            r"space 'xyz': neither a file nor a shipped space; valid: demo, heads, [\w, ]+ \(in '.*search_spaces'\)$",
        ),
    ],
)
def test_an_unknown_name_is_refused_with_the_shipped_names(elsewhere, text, message):
    with pytest.raises(InputError, match=message):
        space_file(text)
