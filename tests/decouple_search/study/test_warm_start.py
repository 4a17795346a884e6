"""Trials of another experiment: which are imported and translated, and what the text about them has."""

import numpy as np
import pytest
from optuna.trial import TrialState

from decouple_search.space.domain import Choice, Float
from decouple_search.space.space import Space
from decouple_search.space.yaml_file import load_space
from decouple_search.stopping.scheduler import Scheduler
from decouple_search.storage.opening import open_folder
from decouple_search.storage.writer import exclusive_lock
from decouple_search.study.definition import Definition
from decouple_search.study.optuna_storage import open_study
from decouple_search.study.record import ended_trials, known_heads, own_trials, screened_trials, search_trials
from decouple_search.study.warm_start import import_trials
from decouplenet.command_line import parse_config
from decouplenet.errors import InputError
from tests.decouple_search.results.studies import run_screened


def make_experiment(space, folder):
    """An experiment of three trials: one complete, one stopped, one failed."""
    folder.mkdir()
    Definition.from_search(space, parse_config(space.base), Scheduler("asha"), grid=False).write(folder)
    study = open_study(folder / "study.log", space)
    for alpha, state in ((0.1, TrialState.COMPLETE), (0.9, TrialState.PRUNED), (0.2, TrialState.FAIL)):
        study.enqueue_trial({"model.alpha": alpha})
        trial = study.ask()
        space.suggest(trial)
        trial.report(alpha / 2, 1)
        trial.set_user_attr("objectives", [alpha])
        study.tell(trial, alpha if state == TrialState.COMPLETE else None, state=state)
    return study


def test_trials_that_fit_are_imported_and_the_others_are_counted_with_the_reason(space_file, tmp_path):
    earlier = make_experiment(load_space(space_file()), tmp_path / "other")
    smaller = load_space(
        space_file(
            ("{float: [0.0, 1.0]}", "{float: [0.0, 0.5]}"),
            ("  model.attention: ", "  optim.name: {choice: [sgd, adamw]}\n  model.attention: "),
            ("epochs: 3", "epochs: 5"),
        )
    )
    study = open_study(tmp_path / "study.log", smaller)
    text = import_trials(str(tmp_path / "other"), study, smaller, parse_config(smaller.base))
    [imported] = study.trials
    original = earlier.trials[0]
    assert imported.params == original.params | {"optim.name": "adamw"}  # as it was fixed there
    assert (imported.value, imported.intermediate_values) == (0.1, {1: 0.05})
    assert imported.user_attrs["taken_from"] == f"{tmp_path / 'other'} 0000"
    assert own_trials(study) == ended_trials(study) == []
    assert "1 trial of" in text
    assert "1 left out: model.alpha = 0.9 is outside float 0.0 to 0.5" in text
    assert "train.epochs was 3, is 5" in text


def test_screened_heads_are_imported_for_the_model_and_not_counted(space_file, tmp_path):
    there, here = load_space(space_file()), load_space(space_file(("{float: [0.0, 1.0]}", "{float: [0.0, 0.5]}")))
    earlier = make_experiment(there, tmp_path / "other")
    for alpha in (0.1, 0.9):
        head = there.heads.filled(there.heads.draw_all(np.random.default_rng(0)) | {"model.alpha": alpha})
        run_screened(earlier, there, (alpha,), 1, head=head)
    study = open_study(tmp_path / "study.log", here)
    text = import_trials(str(tmp_path / "other"), study, here, parse_config(here.base))
    assert text.startswith("warm       1 trial and 1 screened head of ")
    assert "2 left out: model.alpha = 0.9 is outside float 0.0 to 0.5" in text
    [head] = known_heads(study)
    assert (head.parameters["model.alpha"], head.objectives, head.imported) == (0.1, (0.1,), True)
    assert screened_trials(study) == own_trials(study) == ended_trials(study) == []
    assert [trial.is_screened for trial in search_trials(study)] == [False]


def test_heads_are_left_out_where_none_can_be_screened(space_file, tmp_path):
    there = load_space(space_file())
    run_screened(make_experiment(there, tmp_path / "other"), there, (0.5,), 1)
    scale = Space({"optim.backbone_lr_scale": Float(0.01, 1.0)}, base=there.base)
    study = open_study(tmp_path / "study.log", scale)
    text = import_trials(str(tmp_path / "other"), study, scale, parse_config(scale.base))
    assert "             1 left out: no heads are screened here" in text.splitlines()
    assert known_heads(study) == []


def test_an_experiment_in_object_storage(space_file, tmp_path, s3):
    space = load_space(space_file())
    with open_folder(s3, "warm") as folder:
        make_experiment(space, folder.local)
        folder.push()
        study = open_study(tmp_path / "study.log", space)
        text = import_trials(folder.uri, study, space, parse_config(space.base))
    assert text.startswith("warm       2 trials of s3://bucket/runs/warm imported")
    assert len(study.trials) == 2


def test_an_experiment_that_a_search_still_writes_is_refused(space, tmp_path):
    make_experiment(space, tmp_path / "other")
    study = open_study(tmp_path / "study.log", space)
    with (
        exclusive_lock(tmp_path / "other"),
        pytest.raises(InputError, match="another search is writing in"),
    ):
        import_trials(str(tmp_path / "other"), study, space, parse_config(space.base))


def test_no_experiment_or_one_with_other_objectives_is_refused(space_file, tmp_path):
    space = load_space(space_file())
    make_experiment(space, tmp_path / "other")
    losses = load_space(space_file(("trials: 4", "objective: {metric: val_loss}")))
    study = open_study(tmp_path / "study.log", losses)
    with pytest.raises(InputError, match="has other objectives: {'val_map': 'max'}"):
        import_trials(str(tmp_path / "other"), study, losses, parse_config(losses.base))
    with pytest.raises(InputError, match="is no search's folder"):
        import_trials(str(tmp_path / "nothing"), study, losses, parse_config(losses.base))


def test_chosen_nulls_are_imported_and_are_values_like_others(tmp_path):
    key, base = "train.deepspeed_config", {"model.pretrained": False}
    there, here = (
        Space({key: Choice([None, "a.json"])}, base=base),
        Space({key: Choice(["a.json", None, "b.json"])}, base=base),
    )
    (tmp_path / "other").mkdir()
    config = parse_config(base)
    Definition.from_search(there, config, Scheduler("asha"), grid=False).write(tmp_path / "other")
    earlier = open_study(tmp_path / "other" / "study.log", there)
    for value in (None, "a.json"):
        earlier.enqueue_trial({key: value})
        trial = earlier.ask()
        there.suggest(trial)
        trial.set_user_attr("objectives", [0.5])
        earlier.tell(trial, 0.5)
    study = open_study(tmp_path / "study.log", here)
    assert "2 trials of" in import_trials(str(tmp_path / "other"), study, here, config)
    assert [trial.params for trial in study.trials] == [{key: None}, {key: "a.json"}]
    narrow = Space({key: Choice(["a.json", "b.json"])}, base=base)
    study = open_study(tmp_path / "narrow.log", narrow)
    assert f"1 left out: {key} = None is outside a.json | b.json" in import_trials(
        str(tmp_path / "other"), study, narrow, config
    )


def test_a_damaged_journal_is_read_and_left_as_it_is(space, tmp_path):
    make_experiment(space, tmp_path / "other")
    journal, study = tmp_path / "other" / "study.log", open_study(tmp_path / "study.log", space)
    whole = journal.read_bytes()
    journal.write_bytes(whole + b"[1]\n\0\0\n")
    names = {file.name for file in (tmp_path / "other").iterdir()}
    text = import_trials(str(tmp_path / "other"), study, space, parse_config(space.base))
    assert text.startswith(f"warm       2 trials of {tmp_path / 'other'} imported")
    assert journal.read_bytes() == whole + b"[1]\n\0\0\n"
    assert {file.name for file in (tmp_path / "other").iterdir()} - {".lock"} == names
    for content, message in ((b"", "has no study in its study.log"), (whole[:40] + b"\n", "has no whole record")):
        journal.write_bytes(content)
        with pytest.raises(InputError, match=message):
            import_trials(str(tmp_path / "other"), study, space, parse_config(space.base))


def test_trials_of_a_narrower_range_are_imported_into_a_wider_one(space_file, tmp_path):
    narrow = load_space(space_file())
    make_experiment(narrow, tmp_path / "other")
    wide = narrow.with_ranges({"optim.lr": [1e-6, 1.0], "model.alpha": [0.0, 1.0]})
    study = open_study(tmp_path / "study.log", wide)
    text = import_trials(str(tmp_path / "other"), study, wide, parse_config(wide.base))
    assert text == f"warm       2 trials of {tmp_path / 'other'} imported"
    assert {trial.distributions["optim.lr"].high for trial in study.trials} == {1.0}
