"""The folder of a search: the definition in it, and whether a search resumes there."""

from dataclasses import replace

import pytest

from decouple_search.space.objective import Objective
from decouple_search.space.yaml_file import load_space
from decouple_search.stopping.scheduler import Scheduler
from decouple_search.storage.opening import folder_at
from decouple_search.study.definition import DEFINITION, Definition, check_same, is_resuming
from decouplenet.command_line import parse_config
from decouplenet.errors import InputError


def definition_of(space, scheduler=None, *, grid=False, **keys):
    config = parse_config({**space.base, **{key.replace("__", "."): value for key, value in keys.items()}})
    return Definition.from_search(space, config, scheduler or Scheduler("asha"), grid=grid)


def test_the_same_search_resumes_and_another_is_refused_with_all_differences(space_file, space, tmp_path):
    folder = folder_at(str(tmp_path))
    definition_of(space).write(tmp_path)
    check_same(folder, definition_of(space))
    check_same(folder, definition_of(space, scaling__workers_per_trial=2, data__workers=7, data__cache="none"))
    other_space = load_space(
        space_file(
            ("{float: [0.0, 1.0]}", "{float: [0.0, 0.5]}"),
            ("  model.attention: ", "  model.k_pos: {float: [0.1, 0.2]}\n  model.attention: "),
        )
    )
    with pytest.raises(InputError) as refused:
        check_same(folder, definition_of(other_space, Scheduler("asha", 2), grid=True, train__epochs=5))
    message = str(refused.value)
    assert "was made by another search" in message
    assert "model.alpha: float 0.0 to 1.0 there, float 0.0 to 0.5 here" in message
    assert "model.k_pos: 0.2 there, float 0.1 to 0.2 here" in message
    assert "train.epochs: 3 there, 5 here" in message
    assert "scheduler grace_epochs: 1 there, 2 here" in message
    assert "sampler grid: False there, True here" in message
    assert "optim.lr" not in message
    assert "\n" not in message


def test_a_search_with_other_objectives_is_refused(space_file, space, tmp_path):
    definition_of(space).write(tmp_path)
    losses = load_space(space_file(("trials: 4", "objective: {metric: val_loss}")))
    with pytest.raises(InputError, match=r"objectives val_loss: absent there, min here; objectives val_map: max there"):
        check_same(folder_at(str(tmp_path)), definition_of(losses))


def test_a_written_definition_is_read_as_it_was(space_file, tmp_path):
    several = load_space(space_file(("trials: 4", "objective: [{metric: val_map}, {metric: latency_ms}]")))
    definition = definition_of(several, Scheduler("hyperband", 2, 4), grid=True)
    definition.write(tmp_path)
    read = Definition.read(tmp_path / DEFINITION)
    assert read == definition
    assert read.ordered_objectives == (Objective("val_map", "max"), Objective("latency_ms", "min"))
    assert read.grid
    assert read.differences(definition) == []


def test_a_definition_has_no_keys_of_an_address(space):
    definition = definition_of(space, data__train_images="s3://user:secret@bucket/images")
    assert "bucket/images" in definition.fixed["data.train_images"]
    assert "secret" not in str(definition)


def test_a_search_that_was_killed_before_it_was_complete_starts_anew(tmp_path):
    assert not is_resuming(folder_at(f"{tmp_path}/new"), "auto")
    for name in (".lock", "study.log"):
        (tmp_path / name).touch()
    assert not is_resuming(folder_at(str(tmp_path)), "auto")
    (tmp_path / "experiment.yaml").touch()
    assert is_resuming(folder_at(str(tmp_path)), "auto")
    assert is_resuming(folder_at(str(tmp_path)), "must")


def test_a_search_of_an_earlier_version_resumes_although_its_file_lacks_a_newer_key(space, tmp_path):
    definition = definition_of(space)
    older = {key: value for key, value in definition.fixed.items() if key != "train.objective"}
    replace(definition, fixed=older).write(tmp_path)
    assert "train.objective" not in (tmp_path / DEFINITION).read_text()
    check_same(folder_at(str(tmp_path)), definition)
    with pytest.raises(InputError, match="train.objective: val_map there, val_loss here"):
        check_same(folder_at(str(tmp_path)), definition_of(space, train__objective="val_loss"))
