"""The config tree, its YAML, and the command lines that are read into it."""

import subprocess
import sys

import pytest

from decouplenet.command_line import CommandParser, parse_config, run
from decouplenet.config import KEYS, Config, flatten, load_yaml, nearest, nest
from decouplenet.errors import InputError, TrainingFailed


def given(*arguments):
    parser = CommandParser("test", "A command.")
    parser.add_argument("--trials", type=int, default=4, help="a flag of its own")
    parser.add_config_keys()
    return parser.given(list(arguments))


def test_flatten_and_nest_are_inverse():
    config = Config().to_dict()
    assert tuple(flatten(config)) == KEYS
    assert nest(flatten(config)) == config
    assert Config.from_dict(config) == Config()


def test_every_field_says_what_it_is(capsys):
    with pytest.raises(SystemExit):
        given("--help")
    text = " ".join(capsys.readouterr().out.split())
    for key in KEYS:
        assert f"--{key}" in text
    assert "maps that the group convolution learns for each class" in text


def test_only_what_is_given_comes_back():
    own, keys = given("--trials", "7", "--model.alpha", "0.5", "--model.pretrained", "false", "--optim.lr", "1e-3")
    assert own["trials"] == 7
    assert keys == {"model.alpha": 0.5, "model.pretrained": False, "optim.lr": 0.001}


def test_one_is_not_one_point_zero():
    assert isinstance(given("--model.k_pos", "1")[1]["model.k_pos"], int)
    assert isinstance(given("--model.k_pos", "1.0")[1]["model.k_pos"], float)


def test_a_config_file_and_flags_that_win_over_it(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("model: {alpha: 0.1, k_pos: 3}\noptim: {lr: 1e-4}\ntrials: 9\n")
    for arguments in (["--config", str(file), "--model.alpha", "0.9"], ["--model.alpha", "0.9", f"--config={file}"]):
        own, keys = given(*arguments)
        assert own["trials"] == 9
        assert keys == {"model.alpha": 0.9, "model.k_pos": 3, "optim.lr": 0.0001}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model.alpah", "1"], r"unknown flag '--model.alpah'; did you mean '--model.alpha'\?"),
        (["--trails=3"], r"did you mean '--trials'\?"),
        (["--model.k_pos", "abc"], "model.k_pos: abc is not int | float"),
        (
            ["--model.upsampling", "nearest"],
            "model.upsampling: nearest is not one of 'none', 'bilinear', 'transposed'",
        ),
        (["--train.epochs", "1.5"], "train.epochs: 1.5 is not int"),
        (["--config", "/no/such/file.yaml"], "/no/such/file.yaml"),
        (["stray"], "stray"),
        (["--model.alph", "0.5"], r"unknown flag '--model.alph'; did you mean '--model.alpha'\?"),
        (["--model.backbone", "resnet5O"], "resnet5O is not one of .*'resnet50'"),
    ],
)
def test_a_wrong_command_line_is_one_line(arguments, message):
    with pytest.raises(InputError, match=message) as error:
        given(*arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {alpah: 1}\n", r"model.alpah.*did you mean 'model.alpha'"),
        ("modle: {alpha: 1}\n", "modle"),
        ("trails: 3\n", "trails"),
        ("model: [1, 2\n", "file.yaml"),
        ("model: {alpha: yes please}\n", "model.alpha: .*float"),
    ],
)
def test_a_wrong_config_file_is_one_line(tmp_path, text, message):
    (tmp_path / "file.yaml").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        given("--config", str(tmp_path / "file.yaml"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.maps_per_class", 0),
        ("model.k_pos", 0),
        ("model.k_pos", 1.5),
        ("model.k_neg", -1),
        ("data.holdout", 1.0),
        ("optim.lr", 0.0),
        ("train.epochs", 0),
        ("train.seed", -1),
        ("data.synthetic_seed", -1),
        ("train.batch_size", 1),
        ("scaling.workers_per_trial", 0),
    ],
)
def test_out_of_range_names_the_key(key, value):
    with pytest.raises(InputError, match=f"{key}: {value} is out of range"):
        Config.from_dict(nest({key: value}))


def test_parse_config_checks_types_of_values_from_yaml():
    assert parse_config({"model.k_neg": 0, "train.epochs": 3}).model.k_neg == 0
    with pytest.raises(InputError, match="here: train.epochs"):
        parse_config({"train.epochs": "many"}, "here")


def test_yaml_numbers_without_a_dot_are_numbers(tmp_path):
    (tmp_path / "a.yaml").write_text("a: 1e-4\nb: -2E+3\nc: 1.5e3\nd: e5\n")
    assert load_yaml(tmp_path / "a.yaml") == {"a": 1e-4, "b": -2000.0, "c": 1500.0, "d": "e5"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\nb: 2", r"a.yaml:2: not valid YAML"),
        ("- 1", "a mapping"),
        ("a: !!python/object/apply:os.getcwd []", "not valid YAML"),
    ],
)
def test_yaml_that_is_none_of_ours(tmp_path, text, message):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        load_yaml(tmp_path / "a.yaml")


def test_a_photo_is_not_a_config(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(InputError, match=r"photo.jpg: not valid YAML"):
        load_yaml(tmp_path / "photo.jpg")


def test_an_empty_config_file_changes_nothing(tmp_path):
    (tmp_path / "empty.yaml").write_text("")
    assert given("--config", str(tmp_path / "empty.yaml"))[1] == {}


def test_tiny_has_no_weights():
    with pytest.raises(InputError, match="model.pretrained: True is out of range; .* no weights for tiny"):
        Config.from_dict({"model": {"backbone": "tiny"}})


def test_nearest_lists_all_when_none_is_near():
    assert nearest("zzz", ["tpe", "random"]) == "valid: tpe, random"


@pytest.mark.parametrize(("error", "code"), [(InputError("bad\n"), 2), (TrainingFailed("nan"), 1)])
def test_exit_codes(error, code, capsys):
    def command(arguments):
        raise error

    assert run(command, []) == code
    assert capsys.readouterr().err.startswith(("error: bad", "failed: nan"))


def test_the_library_imports_without_ray_or_optuna():
    """And without torch for the config alone."""
    program = (
        "import sys, decouplenet.command_line; assert 'torch' not in sys.modules; "
        "import decouplenet; decouplenet.DecoupleNet, decouplenet.multilabel_metrics; import decouplenet.engine; "
        "import decouplenet.checkpoint; "
        "found = {'ray', 'optuna', 'deepspeed'} & set(sys.modules); assert not found, found"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_help_is_not_slowed_down_by_torch_or_ray():
    program = (
        "import sys, decouple_search.tune as t\n"
        "try: t.parser().given(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'ray', 'optuna', 'torchvision'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
