"""A search with finalists on a real Ray: killed in the middle of them, resumed, and extended afterwards."""

import json
import signal
import statistics

import pytest

from decouple_search import evaluate
from decouple_search.results import best_checkpoint as best_checkpoint_module
from decouple_search.study.record import TrialRecord, all_trials, own_trials, repeat_trials
from decouple_search.tune import main
from decouplenet.checkpoint import read_checkpoint
from decouplenet.data.synthetic import ensure_scenes
from decouplenet.yaml_text import load_yaml
from tests.integration.searches import (
    alive_on_ray,
    gang_pids,
    leaderboard,
    read_study,
    read_until,
    start_search,
    wait_for_end,
    workers_started,
)

pytestmark = pytest.mark.ray
FINALISTS = ("--finalists", "2", "--trials", "50", "--epoch-budget", "8")
TEST_IMAGES = 20


@pytest.fixture
def labels(cache):
    """The folder of scenes with the labels of their train and val images."""
    return ensure_scenes(str(cache), 120, 0)


@pytest.fixture
def space_with_test(space_file, labels, tmp_path):
    """A space whose test annotations are no JSON, so whoever reads the test images fails."""
    (tmp_path / "test.json").write_text("nobody may read this yet")
    keys = [f"{split}_annotations: {labels}/instances_{split}.json" for split in ("train", "val")]
    keys += [f"{split}_images: {labels}/images" for split in ("train", "val", "test")]
    keys += [f"test_annotations: {tmp_path}/test.json"]
    return space_file(("format: synthetic,", f"format: coco, {', '.join(keys)},"))


@pytest.fixture
def tested(monkeypatch, labels, tmp_path):
    """The winners that are measured on the test images, whose labels can be read from then on."""
    tested, measure = [], best_checkpoint_module.measure_on_test

    def measure_on_test(folder):
        content = json.loads((labels / "instances_train.json").read_text())
        images = content["images"][:TEST_IMAGES]
        kept = {image["id"] for image in images}
        annotations = [each for each in content["annotations"] if each["image_id"] in kept]
        (tmp_path / "test.json").write_text(json.dumps({**content, "images": images, "annotations": annotations}))
        tested.append(json.loads((folder / "metrics.json").read_text())["trial"])
        return measure(folder)

    monkeypatch.setattr(best_checkpoint_module, "measure_on_test", measure_on_test)
    return tested


def test_finalists_survive_a_kill_and_the_test_images_are_measured_once(
    ray_cluster, space_with_test, tested, tmp_path, capsys
):
    flags = ("--storage", str(tmp_path), "--name", "x", *FINALISTS)
    process = start_search(ray_cluster, space_with_test, tmp_path, *FINALISTS, "--seeds", "2")
    assert read_until(process, " anew", 4), "the search ended before it could be killed"
    gangs = gang_pids()
    process.send_signal(signal.SIGKILL)
    process.stdout.read()
    process.wait(timeout=60)
    wait_for_end(gangs)
    killed = read_study(tmp_path / "x")
    assert 0 < len(repeat_trials(killed)) <= 4
    before = workers_started()

    assert main(["--space", str(space_with_test), *flags, "--seeds", "2"]) == 0
    assert workers_started() - before <= 2  # one per slot
    assert "ended      " in capsys.readouterr().out
    study = read_study(tmp_path / "x")
    searched, repeats = own_trials(study), repeat_trials(study)
    assert searched[-1].number < repeats[0].number == len(searched)
    assert 8 <= sum(trial.epochs for trial in searched) <= 10
    assert [(each.result, list(each.curve)) for each in repeats] == [("COMPLETE", [1, 2, 3])] * 4
    pairs = {(each.repeat_of, each.seed) for each in repeats}
    assert len(pairs) == 4
    assert [len({pair[i] for pair in pairs}) for i in (0, 1)] == [2, 2], "finalists have different seeds"
    check_results(tmp_path / "x", study, seeds=2)
    assert tested == [read_checkpoint(tmp_path / "x" / "best_checkpoint").metrics["trial"]]

    assert main(["--space", str(space_with_test), *flags, "--seeds", "3"]) == 0
    study = read_study(tmp_path / "x")
    assert [each.number for each in all_trials(study)][: len(searched) + 4] == list(range(len(searched) + 4))
    assert {each.repeat_of for each in repeat_trials(study)[4:]} == {pair[0] for pair in pairs}
    assert len(repeat_trials(study)) == 6
    check_results(tmp_path / "x", study, seeds=3)
    assert len(tested) == len(set(tested)) <= 2, "a winner was measured on the test images twice"
    measured = json.loads((tmp_path / "x" / "summary.json").read_text())["test"]["map"]
    assert measured == pytest.approx(evaluate(tmp_path / "x" / "best_checkpoint", split="test", quiet=True)["map"])
    assert alive_on_ray() == []


def check_results(experiment, study, *, seeds):
    """The files agree with the study about the winner."""
    rows = leaderboard(experiment)
    assert sorted(row["trial_id"] for row in rows) == [trial.name for trial in own_trials(study)]
    assert [row["seeds"] for row in rows[:3]] == [str(seeds)] * 2 + [""]
    repeats = [each for each in repeat_trials(study) if each.repeat_of == int(rows[0]["trial_id"])]
    values = [each.best_value for each in repeats]
    assert float(rows[0]["val_map_mean"]) == pytest.approx(statistics.fmean(values))
    assert float(rows[0]["val_map_std"]) == pytest.approx(statistics.stdev(values))
    summary = json.loads((experiment / "summary.json").read_text())
    assert summary["trials"] == len(rows)
    assert summary["best_trial_id"] == summary["finalists"][0]["trial_id"] == rows[0]["trial_id"]
    assert summary["finalists"][0]["lower_bound"] == max(each["lower_bound"] for each in summary["finalists"])
    best = summary["search_best"]
    assert best["val_map"] == max(float(row["val_map"]) for row in rows)

    checkpoint = read_checkpoint(experiment / "best_checkpoint")
    exported = TrialRecord(study.trials[int(checkpoint.metrics["trial"])])
    assert exported.number in [each.number for each in repeats]
    assert checkpoint.metrics["val_map"] == pytest.approx(max(values), abs=1e-6)
    assert checkpoint.config.train.seed == exported.seed
    assert load_yaml(experiment / "best_config.yaml")["train"]["seed"] == exported.seed
    test = summary["test"]
    assert (test["trial_id"], test["images"]) == (exported.name, TEST_IMAGES)
    assert 0 < test["map"] <= 1
    assert "ap" not in test
    page = (experiment / "report.html").read_text()
    assert "<h2>Finalists</h2>" in page
    assert "<h2>Test images</h2>" in page
