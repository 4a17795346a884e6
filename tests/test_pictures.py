"""The README's pictures: what a code host and a screen reader need; and the script that draws the learning curves."""

import importlib.util
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from decouple_search import Experiment
from decouple_search.results.tables import LeaderboardRow
from decouple_search.space.objective import Objective

DOCS = Path(__file__).parents[1] / "docs"
PICTURES = [DOCS / "pictures" / "trial.svg", DOCS / "pictures" / "result.svg"]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def pictures():
    spec = importlib.util.spec_from_file_location("pictures", DOCS / "pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def experiment():
    """Four trials: one complete, one stopped after each of the rungs 1 and 3, and one that failed at once."""
    study = optuna.create_study(direction="maximize")
    curves = [{1: 0.3}, {1: 0.5, 2: 0.6, 3: 0.55}, {epoch: 0.4 + 0.05 * epoch for epoch in range(1, 10)}]
    for curve in curves:
        state = TrialState.COMPLETE if len(curve) == 9 else TrialState.PRUNED
        study.add_trial(create_trial(state=state, value=max(curve.values()), intermediate_values=curve))
    study.add_trial(create_trial(state=TrialState.FAIL))
    return Experiment(
        folder="results/first",
        objectives=(Objective("val_map", "max"),),
        rows=(LeaderboardRow({"trial_id": "0002"}),),
        best_config=None,
        best_checkpoint=None,
        study=study,
        summary=None,
    )


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_picture_has_a_title_and_a_description(picture):
    root = ET.parse(picture).getroot()  # noqa: S314 (our own file)
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    described = {element.get("id"): element for element in root}
    for name in ("title", "desc"):
        assert described[name].tag == SVG + name
        assert described[name].text.strip()
    assert root.get("aria-labelledby").split() == ["title", "desc"]


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_picture_runs_nothing_and_loads_nothing(picture):
    elements = list(ET.parse(picture).iter())  # noqa: S314
    assert not {element.tag.removeprefix(SVG) for element in elements} & {"script", "image", "foreignObject", "a"}
    attributes = [(name, value) for element in elements for name, value in element.attrib.items()]
    assert not [name for name, _ in attributes if name.startswith("on")]
    assert all(value.startswith("#") for name, value in attributes if name.rpartition("}")[2] == "href")
    text = picture.read_text()
    assert all(target.startswith("#") for target in re.findall(r"url\(\s*['\"]?(.)", text))
    assert "@import" not in text
    assert "@font-face" not in text
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_picture_is_small_and_has_colours_for_light_and_dark(picture):
    assert picture.stat().st_size < 60_000
    [light, dark] = picture.read_text().partition("@media (prefers-color-scheme: dark)")[::2]
    for style in (light, dark):
        assert re.search(r"\btext { .*fill: #", style)
        assert re.search(r"\.page { fill: #", style)


def test_the_picture_of_a_result_names_the_commands_that_made_it():
    description = ET.parse(PICTURES[1]).find(f"{SVG}desc").text  # noqa: S314
    assert "make search ARGS='--name first'" in description
    assert "docs/pictures.py results/first" in description


def test_each_trial_with_an_epoch_has_a_curve(pictures, experiment):
    curves = pictures.curves_of(experiment)
    assert [(curve.trial, curve.kind) for curve in curves] == [
        ("0000", "stopped"),
        ("0001", "stopped"),
        ("0002", "best"),
    ]
    root = ET.fromstring(pictures.draw(curves, [1, 3], "val_map", "a <search>"))  # noqa: S314
    assert root.find(f"{SVG}desc").text == "a <search>"
    lines = {line.get("class"): line for line in root.iter(f"{SVG}polyline")}
    assert len(list(root.iter(f"{SVG}polyline"))) == 3
    assert [len(line.get("points").split()) for line in root.iter(f"{SVG}polyline")] == [1, 3, 9]
    shown = [text.text for text in root.iter(f"{SVG}text")]
    assert {"epoch", "val_map", "1 complete", "2 ended early", "best", "trial 0002"} <= set(shown)
    assert shown.count("rung") == 2
    points = [tuple(map(float, point.split(","))) for point in lines["curve best"].get("points").split()]
    assert points == sorted(points)
    assert [down for _, down in points] == sorted((down for _, down in points), reverse=True)
    assert all(
        pictures.LEFT <= across <= pictures.RIGHT and pictures.TOP <= down <= pictures.BOTTOM for across, down in points
    )


def test_a_stopped_trial_ends_in_a_dot_at_its_rung(pictures, experiment):
    root = ET.fromstring(pictures.draw(pictures.curves_of(experiment), [1, 3], "val_map", "search"))  # noqa: S314
    ends = [line.get("points").split()[-1] for line in root.iter(f"{SVG}polyline") if "stopped" in line.get("class")]
    dots = [f"{dot.get('cx')},{dot.get('cy')}" for dot in root.iter(f"{SVG}circle")]
    assert set(ends) <= set(dots)
    assert len(dots) == len(ends) + 1  # the legend has one too
    rungs = [line.get("d") for line in root.iter(f"{SVG}path") if line.get("class") == "rung"]
    assert [rung.split()[0][1:] for rung in rungs] == [end.split(",")[0] for end in ends]


@pytest.mark.parametrize("values", [[0.21, 0.86], [0.5], [3.0, 127.0], [-0.4, 0.4], [0.1, 0.3]], ids=str)
def test_the_ticks_enclose_the_values(pictures, values):
    marks = pictures.ticks(values)
    assert marks[0] <= min(values) <= max(values) <= marks[-1]
    assert marks[0] < marks[-1]
    assert 2 <= len(marks) <= 10
