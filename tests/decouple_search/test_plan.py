"""The plan and the command line of `tune`."""

import subprocess
import sys

import pytest

from decouple_search.machines.manifest import Cluster, Kind
from decouple_search.plan import checkpoint_bytes, slots, with_growth
from decouple_search.space.yaml_file import load_space
from decouple_search.tune import main, read
from decouplenet.command_line import parse_config
from decouplenet.config import Config
from decouplenet.dotted_keys import nest
from decouplenet.data.opened import open_data
from decouplenet.engine import Engine
from decouplenet.errors import InputError


def scaled(workers, cpus, gpus=0, strategy="PACK"):
    scaling = {
        "scaling.workers_per_trial": workers,
        "scaling.cpus_per_worker": cpus,
        "scaling.gpus_per_worker": gpus,
        "scaling.placement_strategy": strategy,
    }
    return Config.from_dict(nest(scaling))


@pytest.mark.parametrize(
    ("need", "nodes", "fit"),
    [
        ((1, 1), [{"CPU": 2}], 2),
        ((2, 1), [{"CPU": 2}], 1),
        ((2, 4), [{"CPU": 6}, {"CPU": 6}], 1),
        ((1, 8, 1), [{"CPU": 32, "GPU": 2}, {"CPU": 32}], 2),
        ((1, 1, 0.25), [{"CPU": 64, "GPU": 2}], 8),
        ((1, 1, 0.4), [{"CPU": 64, "GPU": 2}], 4),  # two on each GPU; a fifth would need a fifth of both
        ((4, 0.5), [{"CPU": 2}], 1),
        ((2, 1, 0, "STRICT_PACK"), [{"CPU": 3}, {"CPU": 3}], 2),
        ((2, 1, 0, "SPREAD"), [{"CPU": 3}, {"CPU": 3}], 3),
        ((2, 1, 0, "STRICT_SPREAD"), [{"CPU": 4}, {"CPU": 1}], 1),
        ((2, 1, 0, "STRICT_SPREAD"), [{"CPU": 4}, {"CPU": 2}, {"CPU": 1}], 3),
    ],
)
def test_slots(need, nodes, fit):
    assert slots(scaled(*need), nodes) == fit


@pytest.mark.parametrize(
    ("need", "nodes", "message"),
    [
        ((2, 4, 1), [{"CPU": 8, "GPU": 1}], r"2 workers of 4 CPU and 1 GPU, and room for 1 .* \(8 CPU, 1 GPU: 1\)"),
        ((3, 1, 0, "STRICT_PACK"), [{"CPU": 2}, {"CPU": 2}], "3 workers of 1 CPU all on one machine, and room for 4"),
        ((2, 1, 0, "STRICT_SPREAD"), [{"CPU": 8}], "2 workers of 1 CPU each on another machine, and room for 8"),
    ],
)
def test_a_trial_that_fits_nowhere_is_refused_with_the_arithmetic(need, nodes, message):
    with pytest.raises(InputError, match=message):
        slots(scaled(*need), nodes)


HEAD = {"CPU": 8, "node:__internal_head__": 1}
GPU = {"CPU": 16, "GPU": 4}


def cluster_of(**kinds):
    """A cluster of at most 5 workers; `name=(resources, most)`."""
    workers = tuple(Kind(name, resources, 0, most, 0) for name, (resources, most) in kinds.items())
    return Cluster(Kind("head", {"CPU": 8}, 1, 1, 0), workers, 5)


def test_machines_that_an_autoscaler_may_add_count_those_first_that_take_the_most():
    cluster = cluster_of(cpu=({"CPU": 64}, 5), gpu=(GPU, 3), spare=({"CPU": 16, "GPU": 1}, 5))
    trial = scaled(1, 2, 1)
    nodes = with_growth([HEAD, GPU, GPU], cluster, trial)
    assert [node.get("GPU", 0) for node in nodes] == [0, 4, 4, 4, 1, 1]
    assert slots(trial, nodes) == 14
    there = [HEAD, *[GPU] * 9]
    assert with_growth(there, cluster, trial) == there  # more than it says, so it says too little


def test_a_cluster_of_one_kind_that_scales_from_zero():
    cluster = cluster_of(gpu=({"CPU": 4, "GPU": 1}, 2))
    alive = [{"CPU": 0, "node:__internal_head__": 1}]
    assert slots(scaled(2, 4, 1), with_growth(alive, cluster, scaled(2, 4, 1))) == 1
    with pytest.raises(InputError, match="3 workers of 4 CPU and 1 GPU, and room for 2"):
        slots(scaled(3, 4, 1), with_growth(alive, cluster, scaled(3, 4, 1)))


def test_pbt_uses_every_slot(space_file):
    with pytest.raises(InputError, match="--max-concurrent: pbt trains all trials in turns"):
        main(["--space", str(space_file()), "--scheduler", "pbt", "--max-concurrent", "1", "--dry-run"])


def test_more_than_a_gpu_a_worker_is_refused():
    with pytest.raises(InputError, match="scaling.gpus_per_worker: 2 is out of range; it must be from 0 to 1"):
        scaled(1, 1, 2)


def test_dry_run_says_all_and_starts_nothing(space_file, tmp_path, capsys):
    flags = ["--dry-run", "--storage", str(tmp_path / "results"), "--max-concurrent", "1"]
    assert main(["--space", str(space_file()), *flags]) == 0
    out = capsys.readouterr().out
    assert "when model.alpha gt 0.3" in out
    assert "4 trials by gp, at most 3 epochs each; asha rungs at epochs 1" in out
    assert "at a time  1 trial" in out
    assert "checkpoints up to" in out
    assert "decoded images 369 KB" in out
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
def test_wrong_flags(arguments, message):
    with pytest.raises(InputError, match=message):
        main([*arguments, "--dry-run"])


def test_a_storage_that_nothing_can_open_is_refused_before_ray_starts():
    with pytest.raises(InputError, match="--storage: 'nothing://bucket/x/y' cannot be used"):
        main(["--storage", "nothing://bucket/x", "--name", "y"])


@pytest.mark.parametrize(
    ("there", "resume", "said"),
    [
        (["notes.txt"], "auto", "is there already and is no search's folder"),
        (["experiment.yaml"], "never", "is there already; give another --name, or --resume auto"),
        ([], "must", "--resume must: there is no"),
        ([], "perhaps", "--resume: 'perhaps' is unknown; valid: auto, must, never"),
    ],
)
def test_a_folder_that_is_there_is_never_written_over(space_file, tmp_path, there, resume, said):
    for name in there:
        (tmp_path / "taken").mkdir()
        (tmp_path / "taken" / name).touch()
    with pytest.raises(InputError, match=said):
        main(["--space", str(space_file()), "--storage", str(tmp_path), "--name", "taken", "--resume", resume])


def test_storage_that_cannot_be_written_is_said_at_once(space_file, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="--storage: cannot make"):
        main(["--space", str(space_file()), "--storage", str(tmp_path / "file")])


def test_the_planned_checkpoint_is_the_largest_that_is_written(space_file, config):
    space = load_space(space_file())
    planned = checkpoint_bytes(space, parse_config(space.base), 15)
    engine = Engine(
        config(model__maps_per_class=4, model__attention="arch1", optim__name="adamw"), open_data(config().data)
    )
    engine.train_epoch()
    state = engine.state()
    tensors = [*state["model"].values(), *(t for of in state["optimizer"].values() for t in of.values())]
    assert sum(t.numel() * 4 for t in tensors) == pytest.approx(planned, rel=0.05)


def test_workers_per_trial_is_the_short_form(space_file):
    _, _, config = read(["--space", str(space_file()), "--workers-per-trial", "2"])
    assert config.scaling.workers_per_trial == 2


def test_paths_that_are_here_become_absolute(space_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.json").touch()
    _, _, config = read(
        [
            "--space",
            str(space_file()),
            "--data.train_annotations",
            "a.json",
            "--data.val_annotations",
            "b.json",
        ]
    )
    assert config.data.train_annotations == str(tmp_path / "a.json")
    assert config.data.val_annotations == "b.json"


def test_an_unknown_key_from_the_shell():
    done = subprocess.run(
        [sys.executable, "-m", "decouple_search.tune", "--model.alpah", "0.5"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "error: unknown flag '--model.alpah'; did you mean '--model.alpha'?\n"
    assert done.stdout == ""


@pytest.mark.parametrize("command", ["tune", "train", "evaluate"])
def test_a_command_answers_without_what_takes_seconds_to_import(command):
    code = f"import sys, decouple_search.{command}\nprint(*{{'torch', 'ray', 'optuna', 'scipy'}} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ended.stdout.split() == []
