"""A search as one HTML page."""

import pytest

from decouple_search.results.html_page import render, short_number, write_page
from decouple_search.results.tables import LeaderboardRow, write_tables
from decouple_search.space.yaml_file import load_space
from decouple_search.stopping.scheduler import Scheduler
from decouple_search.storage.opening import folder_at
from decouple_search.study.definition import Definition
from decouple_search.study.optuna_storage import open_study
from decouple_search.study.ranges import note_edges
from decouplenet.command_line import parse_config
from decouplenet.errors import InputError
from tests.decouple_search.results.studies import run_trial


@pytest.fixture
def search(space_file, tmp_path):
    """A search's folder, its study of two trials, and its space; the tables are not written yet."""
    space, folder = load_space(space_file()), tmp_path / "search"
    folder.mkdir()
    Definition.from_search(space, parse_config(space.base), Scheduler("asha"), grid=False).write(folder)
    study = open_study(folder / "study.log", space)
    for values in ((0.2, 0.3, 0.25), (0.5,)):
        run_trial(study, space, values)
    return folder, study, space


@pytest.mark.parametrize(
    ("cell", "shown"), [("0.123456", "0.1235"), ("12345", "12345"), ("1e-05", "1e-05"), ("arch1", "arch1"), ("", "")]
)
def test_a_number_has_four_significant_digits(cell, shown):
    assert short_number(cell) == shown


def test_without_a_leaderboard_no_trial_has_ended(search):
    folder, study, _ = search
    with pytest.raises(InputError, match=r"has no leaderboard.csv; no trial has ended yet"):
        write_page(folder_at(str(folder)), study)


def test_the_page_has_the_summary_and_the_leaderboard(search):
    folder, study, space = search
    write_tables(folder, study, space, parse_config(space.base))
    (folder / "summary.json").write_text('{"best_trial_id": "0001"}')
    rows = write_page(folder_at(str(folder)), study)
    assert [row.trial_id for row in rows] == ["0001", "0000"]
    page = (folder / "report.html").read_text()
    assert "<th>best_trial_id</th><td>0001</td>" in page
    assert page.index("<td>0001</td><td>PRUNED</td>") < page.index("<td>0000</td><td>COMPLETE</td>")
    assert page.count("Plotly.newPlot(") == 3  # trials, curves and parameters; importances need more trials


def test_a_page_that_cannot_be_written_is_an_input_error(search):
    folder, study, space = search
    write_tables(folder, study, space, parse_config(space.base))
    (folder / "report.html").mkdir()
    with pytest.raises(InputError, match=r"report.html' cannot be written"):
        write_page(folder_at(str(folder)), study)


def test_a_page_without_trials(space_file, tmp_path):
    space = load_space(space_file())
    study = open_study(tmp_path / "empty.log", space)
    page = render(study, "<x>", space.objectives, {}, [])
    assert "<p>no trial has ended</p>" in page
    assert "Plotly.newPlot(" not in page
    assert "<h1>&lt;x&gt;</h1>" in page


def test_cells_are_escaped(space_file, tmp_path):
    space = load_space(space_file())
    study = open_study(tmp_path / "empty.log", space)
    page = render(study, "x", space.objectives, {}, [LeaderboardRow({"trial_id": "0000", "optim.<lr>": "<b>"})])
    assert "<th>optim.&lt;lr&gt;</th>" in page
    assert "<td>&lt;b&gt;</td>" in page


def test_the_page_has_the_notes_on_values_at_the_ends_of_ranges(search):
    _, study, space = search
    note_edges(study, space, lambda edges: ["optim.lr: <at the end>"])
    assert "</table><p>note: optim.lr: &lt;at the end&gt;</p>" in render(study, "x", space.objectives, {}, [])
