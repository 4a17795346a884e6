"""What a search may claim: its finalists and the test images, in the tables, in words and on the page."""

import csv
import json

import pytest

from decouple_search.results.html_page import render
from decouple_search.results.tables import Summary, best_config, write_tables
from decouple_search.results.verdict import FinalistSummary, SearchBest, TestMeasures, Verdict
from decouple_search.space.finalists import FinalistPlan
from decouple_search.space.yaml_file import load_space
from decouple_search.study.finalists import choose_finalists, missing_repeats
from decouple_search.study.optuna_storage import open_study
from decouple_search.study.ranking import best_training
from decouple_search.study.record import Incumbent, StudyRecord
from decouplenet.command_line import parse_config
from decouplenet.dotted_keys import flatten
from decouplenet.yaml_text import load_yaml
from tests.decouple_search.results.studies import run_repeat, run_trial

TEST = TestMeasures(trial_id="0003", epoch=2, images=50, metrics={"map": 0.55, "p_c": 0.5})


@pytest.fixture
def space(space_file):
    return load_space(space_file())


@pytest.fixture
def make_study(space, tmp_path):
    """Make a study of three trials, of which two are finalists with two seeds and these values."""

    def make(values=((0.5, 0.6), (0.7, 0.72)), chosen=(0, 1)):
        study = open_study(tmp_path / "study.log", space)
        for value in (0.9, 0.8, 0.3):
            run_trial(study, space, (value,), epochs=1, val_map=value)
        plan, expected = FinalistPlan(2, 2), dict.fromkeys(chosen, 0.5)
        choose_finalists(study, expected, space.objective, plan, seed=0, used_seeds=[0])
        by_finalist = dict(zip(chosen, [list(each) for each in values], strict=True))
        for finalist, seed in missing_repeats(study):
            value = by_finalist[finalist].pop(0)
            run_repeat(study, space, finalist, seed, (value,), epochs=1, val_map=value)
        return study

    return make


def summarise(study, space):
    return Summary.from_study(study, space, wall_seconds=20.0, busy=0.5, busy_warm=0.9)


def rows(folder):
    with (folder / "leaderboard.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_leaderboard_has_one_row_per_searched_trial_and_the_winner_first(make_study, space, tmp_path):
    write_tables(tmp_path, make_study(), space, parse_config(space.base))
    table = rows(tmp_path)
    assert [row["trial_id"] for row in table] == ["0001", "0000", "0002"]
    assert list(table[0])[5:8] == ["val_map_mean", "val_map_std", "seeds"]
    assert [float(table[0][name]) for name in ("val_map", "val_map_mean")] == pytest.approx([0.8, 0.71])
    assert float(table[1]["val_map_std"]) == pytest.approx(0.1 / 2**0.5)
    assert [row["seeds"] for row in table] == ["2", "2", ""]
    assert (table[2]["val_map_mean"], table[2]["val_map_std"]) == ("", "")


def test_a_leaderboard_without_finalists_has_none_of_these_columns(space, tmp_path):
    study = open_study(tmp_path / "study.log", space)
    run_trial(study, space, (0.5,))
    write_tables(tmp_path, study, space, parse_config(space.base))
    assert "seeds" not in rows(tmp_path)[0]


def test_the_best_config_is_the_winners_with_the_seed_of_the_best_checkpoint(make_study, space, tmp_path):
    study, base = make_study(), parse_config(space.base)
    write_tables(tmp_path, study, space, base)
    best = best_training(study, space.objectives)
    assert (best.repeat_of, best.best_value) == (1, 0.72)
    written = parse_config(flatten(load_yaml(tmp_path / "best_config.yaml")))
    assert written == best_config(base, best, space)
    assert written.train.seed == best.seed != base.train.seed


def test_the_summary_counts_searched_trials_and_has_the_finalists(make_study, space, tmp_path):
    summary = summarise(make_study(), space)
    assert summary.trials == 3
    assert summary.epochs == 3
    assert (summary.best_trial_id, summary.best_value) == ("0001", 0.8)
    assert [each.trial_id for each in summary.verdict.finalists] == ["0001", "0000"]
    best = summary.verdict.search_best
    assert (best.trial_id, best.value, best.val_map) == ("0000", 0.9, 0.9)
    assert (best.mean, best.val_map_mean, best.luck) == pytest.approx((0.55, 0.55, 0.35))
    summary.write(tmp_path / "summary.json")
    content = json.loads((tmp_path / "summary.json").read_text())
    assert set(content["finalists"][0]) >= {"trial_id", "val_map_mean", "val_map_std", "seeds", "lower_bound"}
    assert content["search_best"]["luck"] == pytest.approx(0.35)
    assert "test" not in content
    assert Summary.read(tmp_path / "summary.json") == summary


def test_a_summary_without_finalists_and_test_images_has_no_verdict(space, tmp_path):
    study = open_study(tmp_path / "study.log", space)
    run_trial(study, space, (0.5,))
    assert not {"finalists", "search_best", "test", "verdict"} & summarise(study, space).to_dict().keys()


def test_the_luck_of_a_pick_that_is_no_finalist_is_not_known(make_study, space):
    verdict = Verdict.of(make_study(chosen=(1, 2)), space.objectives)
    assert (verdict.search_best.trial_id, verdict.search_best.mean, verdict.search_best.luck) == ("0000", None, None)
    assert verdict.lines("val_map")[1].endswith("it is no finalist, so its luck is not known")


def test_test_measures_count_for_the_winner_alone(make_study, space):
    study = make_study()
    winner = best_training(study, space.objectives)
    TEST.keep(study)
    assert Verdict.of(study, space.objectives).test is None
    kept = TestMeasures(trial_id=winner.name, epoch=1, images=50, metrics={"map": 0.5})
    kept.keep(study)
    assert Verdict.of(study, space.objectives).test == kept == TestMeasures.read(study)


VERDICT = Verdict(
    finalists=(
        FinalistSummary(
            trial_id="0001",
            val_map_mean=0.71,
            val_map_std=0.014,
            mean=0.71,
            std=0.014,
            lower_bound=0.7,
            seeds=2,
            failed=1,
        ),
    ),
    search_best=SearchBest(trial_id="0000", value=0.9, val_map=0.9, mean=0.55, val_map_mean=0.55, luck=0.35),
    test=TEST,
)


def test_the_verdict_is_said_in_three_lines():
    assert VERDICT.lines("val_map") == [
        "winner     trial 0001: expect val_map 0.7100 ± 0.0140, the mean of 2 fresh seeds, 1 failed "
        "(lower bound 0.7000)",
        "search     its own best is trial 0000, val_map 0.9000; fresh seeds give 0.5500: 0.3500 of it was luck",
        "test       map 0.5500 on 50 test images",
    ]


def test_the_page_has_the_finalists_and_the_test_images_and_not_twice(make_study, space):
    page = render(make_study(), "x", space.objectives, {"trials": 3, **VERDICT.to_dict()}, [])
    assert "<h2>Finalists</h2>" in page
    assert "0.3500 of it was luck" in page
    assert "<h2>Test images</h2><table><tr><th>map</th><td>0.55</td></tr>" in page
    assert "<th>trials</th><td>3</td>" in page
    assert "<th>finalists</th>" not in page


def test_a_page_without_a_verdict_has_no_such_part(make_study, space):
    page = render(make_study(), "x", space.objectives, {"trials": 3}, [])
    assert "Finalists" not in page
    assert "Test images" not in page


def test_fresh_seeds_that_agree_are_no_luck():
    best = SearchBest(trial_id="0000", value=0.5, val_map=0.5, mean=0.6, val_map_mean=0.6, luck=-0.1)
    verdict = Verdict(finalists=VERDICT.finalists, search_best=best)
    assert verdict.lines("val_map")[1].endswith("fresh seeds give 0.6000: it was not luck")


def test_the_incumbent_is_said_until_fresh_seeds_tell(space, tmp_path, make_study):
    study, incumbent = open_study(tmp_path / "own.log", space), Incumbent("0001", 0.75)
    run_trial(study, space, (0.9,), epochs=1, val_map=0.9)
    StudyRecord(study).incumbent = incumbent
    summary = summarise(study, space)
    summary.write(tmp_path / "summary.json")
    assert json.loads((tmp_path / "summary.json").read_text())["incumbent"] == {"trial_id": "0001", "value": 0.75}
    assert Summary.read(tmp_path / "summary.json").verdict == Verdict(incumbent=incumbent)
    line = "expected   trial 0001 is the best by the model over all trials: val_map 0.7500 if it is trained anew"
    assert summary.verdict.lines("val_map") == [line]
    assert line in render(study, "x", space.objectives, summary.to_dict(), [])
    trained = make_study()
    StudyRecord(trained).incumbent = incumbent
    assert Verdict.of(trained, space.objectives).incumbent is None
