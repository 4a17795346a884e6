"""Trials of another experiment: which are taken, translated and counted, and what is said of the rest."""

import pytest
from optuna.trial import TrialState

from decouple_search.ray_tune.schedulers import Scheduler
from decouple_search.space.yaml_file import load_space
from decouple_search.storage.folder import Folder
from decouple_search.study.experiment import write_definition
from decouple_search.study.record import ended_trials, open_study, own_trials
from decouple_search.study.warm_start import take_over
from decouplenet.command_line import parse_config
from decouplenet.errors import InputError


def other(space, folder):
    """An experiment of three trials: one complete, one stopped, one failed."""
    folder.mkdir()
    write_definition(folder, space, parse_config(space.base), Scheduler("asha"), grid=False)
    study = open_study(folder / "study.log", space)
    for alpha, state in ((0.1, TrialState.COMPLETE), (0.9, TrialState.PRUNED), (0.2, TrialState.FAIL)):
        study.enqueue_trial({"model.alpha": alpha})
        trial = study.ask()
        space.suggest(trial)
        trial.report(alpha / 2, 1)
        trial.set_user_attr("objectives", [alpha])
        study.tell(trial, alpha if state == TrialState.COMPLETE else None, state=state)
    return study


def test_what_fits_is_taken_and_the_rest_is_said(space_file, tmp_path):
    was = other(load_space(space_file()), tmp_path / "other")
    smaller = load_space(
        space_file(
            ("{float: [0.0, 1.0]}", "{float: [0.0, 0.5]}"),
            ("  model.attention: ", "  optim.name: {choice: [sgd, adamw]}\n  model.attention: "),
            ("epochs: 3", "epochs: 5"),
        )
    )
    study = open_study(tmp_path / "study.log", smaller)
    said = take_over(str(tmp_path / "other"), study, smaller, parse_config(smaller.base))
    [taken] = study.trials
    first = was.trials[0]
    assert taken.params == first.params | {"optim.name": "adamw"}  # as it was there
    assert (taken.value, taken.intermediate_values) == (0.1, {1: 0.05})
    assert taken.user_attrs["taken_from"] == f"{tmp_path / 'other'} 0000"
    assert own_trials(study) == ended_trials(study) == []
    assert "1 trials of" in said
    assert "1 left out: model.alpha = 0.9 is outside float 0.0 to 0.5" in said
    assert "train.epochs was 3, is 5" in said


def test_an_experiment_in_object_storage(space_file, tmp_path, s3):
    space = load_space(space_file())
    with Folder(s3, "warm") as folder:
        other(space, folder.local)
        folder.push()
        study = open_study(tmp_path / "study.log", space)
        said = take_over(folder.uri, study, space, parse_config(space.base))
    assert said.startswith("warm       2 trials of s3://bucket/runs/warm taken over")
    assert len(study.trials) == 2


def test_no_experiment_or_one_of_other_objectives_is_refused(space_file, tmp_path):
    space = load_space(space_file())
    other(space, tmp_path / "other")
    losses = load_space(space_file(("trials: 4", "objective: {metric: val_loss}")))
    study = open_study(tmp_path / "study.log", losses)
    with pytest.raises(InputError, match="has other objectives: {'val_map': 'max'}"):
        take_over(str(tmp_path / "other"), study, losses, parse_config(losses.base))
    with pytest.raises(InputError, match="is no search's folder"):
        take_over(str(tmp_path / "nothing"), study, losses, parse_config(losses.base))
