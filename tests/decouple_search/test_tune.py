"""The `tune` command: its flags, its dry run, and what it refuses before Ray starts."""

import shlex
import subprocess
import sys

import pytest

from decouple_search.tune import main, read
from decouplenet.errors import InputError


def test_pbt_uses_every_slot(space_file):
    with pytest.raises(InputError, match="--max-concurrent: pbt trains all trials in turns"):
        main(["--space", str(space_file()), "--scheduler", "pbt", "--max-concurrent", "1", "--dry-run"])


def test_a_dry_run_prints_the_plan_and_writes_nothing(space_file, tmp_path, capsys):
    flags = ["--dry-run", "--storage", str(tmp_path / "results"), "--max-concurrent", "1"]
    assert main(["--space", str(space_file()), *flags]) == 0
    out = capsys.readouterr().out
    assert "when model.alpha gt 0.3" in out
    assert "4 trials by gp, at most 3 epochs each; promotion rung at epoch 1" in out
    assert "at a time  1 trial" in out
    assert "checkpoints up to" in out
    assert "decoded images 369 KB" in out
    assert f"results    {tmp_path / 'results'}/small-" in out
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--trials", "0"], "--trials: 0 is out of range"),
        (["--sampler", "randon"], r"--sampler: unknown 'randon'; did you mean 'random'\?"),
        (["--seed", "-1"], "--seed: -1 is out of range"),
        (["--epoch-budget", "0"], "--epoch-budget: 0 is out of range"),
        (["--patience", "0"], "--patience: 0 is out of range"),
        (["--sampler", "nsgaii"], "nsgaii does not go with the scheduler asha"),
        (["--space", "/none.yaml"], "/none.yaml: cannot be read"),
        (["--model.alpha", "much"], "model.alpha: much is not float"),
        (["--model.maps_per_class", "0"], "model.maps_per_class: 0 is out of range"),
    ],
)
def test_wrong_flags_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        main([*arguments, "--dry-run"])


def test_a_storage_that_cannot_be_opened_is_refused_before_ray_starts():
    with pytest.raises(InputError, match="--storage: 'nothing://bucket/x/y' cannot be used"):
        main(["--storage", "nothing://bucket/x", "--name", "y"])


@pytest.mark.parametrize(
    ("present", "resume", "message"),
    [
        (["notes.txt"], "auto", "is there already and is no search's folder"),
        (["experiment.yaml"], "never", "is there already; give another --name, or --resume auto"),
        ([], "must", "--resume must: there is no"),
        ([], "perhaps", "--resume: 'perhaps' is unknown; valid: auto, must, never"),
    ],
)
def test_a_folder_with_other_files_is_never_overwritten(space_file, tmp_path, present, resume, message):
    for name in present:
        (tmp_path / "taken").mkdir()
        (tmp_path / "taken" / name).touch()
    with pytest.raises(InputError, match=message):
        main(["--space", str(space_file()), "--storage", str(tmp_path), "--name", "taken", "--resume", resume])


def test_a_storage_that_cannot_be_written_is_refused_at_once(space_file, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="--storage: cannot make"):
        main(["--space", str(space_file()), "--storage", str(tmp_path / "file")])


def test_workers_per_trial_is_a_short_form(space_file):
    assert read(["--space", str(space_file()), "--workers-per-trial", "2"]).config.scaling.workers_per_trial == 2


def test_the_number_of_trials_and_of_kept_checkpoints_is_the_spaces_unless_flags_say_otherwise(space_file):
    file = str(space_file())
    request = read(["--space", file])
    assert (request.trials, request.keep_checkpoints, request.sampler) == (4, 3, "gp")
    request = read(["--space", file, "--trials", "9", "--keep-checkpoints", "2", "--sampler", "random"])
    assert (request.trials, request.keep_checkpoints, request.sampler) == (9, 2, "random")


def test_a_grid_has_at_most_its_number_of_points(space_file):
    choices = ("{float: [1e-3, 1e-2], log: true}", "{choice: [0.001, 0.01]}")
    file = space_file(choices, ("{int: [1, 4], log: true}", "{choice: [1, 2]}"))
    fixed = ["--model.alpha", "0.1", "--model.k_neg", "0.2", "--model.attention", "arch1"]
    assert read(["--space", str(file), "--sampler", "grid", "--trials", "99", *fixed]).trials == 4


def test_paths_of_existing_files_become_absolute(space_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.json").touch()
    keys = ["--data.train_annotations", "a.json", "--data.val_annotations", "b.json"]
    config = read(["--space", str(space_file()), *keys]).config
    assert config.data.train_annotations == str(tmp_path / "a.json")
    assert config.data.val_annotations == "b.json"


def test_an_unknown_key_is_one_line_on_stderr():
    command = [sys.executable, "-m", "decouple_search.tune", "--model.alpah", "0.5"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr == "error: unknown flag '--model.alpah'; did you mean '--model.alpha'?\n"
    assert ended.stdout == ""


@pytest.mark.parametrize("command", ["tune", "train", "evaluate"])
def test_a_command_imports_nothing_that_takes_seconds(command):
    code = f"import sys, decouple_search.{command}\nprint(*{{'torch', 'ray', 'optuna', 'scipy'}} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout.split() == []


def test_the_driver_of_a_search_imports_no_torch():
    """The workers import it meanwhile. It would hold up the first trial by seconds."""
    code = "import sys, decouple_search.search_setup, decouple_search.search_run\nprint('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


def test_what_starts_ray_imports_nothing_that_can_be_imported_meanwhile():
    code = (
        "import sys, decouple_search.search_setup\n"
        "print(*{'ray.tune', 'optuna', 'scipy', 'pandas', 'tensorboard'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "\n"


def test_ranges_change_the_space_and_so_the_definition(space_file):
    request = read(["--space", str(space_file()), "--ranges", "{optim.lr: [1e-6, 1], model.alpha: [0, 0.5]}"])
    assert request.space.values_of("optim.lr") == (1e-6, 1.0)
    assert request.definition.search["model.alpha"] == "float 0.0 to 0.5"


def test_ranges_may_be_in_the_config_file(space_file, tmp_path):
    (tmp_path / "mine.yaml").write_text("ranges: {optim.lr: [1.0e-6, 1]}")
    request = read(["--space", str(space_file()), "--config", str(tmp_path / "mine.yaml")])
    assert request.space.values_of("optim.lr") == (1e-6, 1.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{optim.rl: [0.1, 1]}", r"^--ranges: 'optim.rl' is not searched as a range; did you mean 'optim.lr'\?$"),
        ("[0.1, 1]", r"^--ranges: \[0.1, 1\] is not mapping \| None$"),
        ("{optim.lr", r"^--ranges: {optim.lr is not mapping \| None$"),
    ],
)
def test_wrong_ranges_are_refused(space_file, given, message):
    with pytest.raises(InputError, match=message):
        read(["--space", str(space_file()), "--ranges", given])


def test_the_command_of_a_wider_search_is_a_valid_one(space_file, tmp_path):
    words = ["--space", str(space_file()), "--storage", str(tmp_path), "--name", "x", "--train.epochs", "2"]
    request = read([*words, "--ranges", "{model.alpha: [0, 0.5]}", "--seed", "3"])
    _, _, command = request.wider.command({"optim.lr": (1e-6, 1.0)}).partition(" --")
    wider = read(shlex.split(f"--{command}"))
    assert wider.space.values_of("optim.lr") == (1e-6, 1.0)
    assert wider.space.values_of("model.alpha") == (0.0, 0.5)
    assert (wider.options.seed, wider.config.train.epochs) == (3, 2)
    assert (wider.folder.name, wider.options.warm_start) == ("x-wider", str(tmp_path / "x"))


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--scheduler", "pbt"], "pbt starts all trials at once, so no range can grow; drop grow"),
        (
            ["--scheduler", "none", "--sampler", "cmaes"],
            "no range can grow with the sampler cmaes, which needs the same",
        ),
        (["--scheduler", "none", "--sampler", "nsgaii"], "no range can grow with the sampler nsgaii"),
    ],
)
def test_ranges_cannot_grow_with_every_scheduler_and_sampler(space_file, flags, reason):
    growing = ["--space", str(space_file(("log: true}", "log: true, grow: true}")))]
    with pytest.raises(InputError, match=f"small.yaml, search, [a-z_.]+: {reason}"):
        read([*growing, *flags])
    for sampler in ("gp", "tpe", "random"):
        assert any(parameter.grow for parameter in read([*growing, "--sampler", sampler]).space.parameters)


def test_the_gaussian_process_of_several_objectives_needs_the_same_ranges(space_file):
    several = ("scheduler: {", "objective: [{metric: val_map}, {metric: val_loss}]\nscheduler: {")
    file = space_file(("log: true}", "log: true, grow: true}"), several)
    with pytest.raises(InputError, match="no range can grow with the sampler gp"):
        read(["--space", str(file), "--sampler", "gp"])


def test_a_dry_run_says_which_ranges_grow(space_file, tmp_path, capsys):
    file = space_file(("log: true}", "log: true, grow: true}"))
    assert main(["--space", str(file), "--dry-run", "--storage", str(tmp_path / "results")]) == 0
    assert ", log, grow" in capsys.readouterr().out
