"""The config tree, its YAML, and the command lines that are read into it."""

import subprocess
import sys
from dataclasses import dataclass

import pytest

from decouplenet.command_line import CommandParser, flag, parse_config, run
from decouplenet.config import KEYS, Config
from decouplenet.dotted_keys import flatten, nearest, nest
from decouplenet.errors import InputError, TrainingFailed
from decouplenet.yaml_text import load_yaml


@dataclass
class Flags:
    trials: int = flag(4, minimum=1)
    """A flag of its own."""
    name: str | None = flag(None)
    """A text."""
    dry_run: bool = flag(False)
    """A switch."""
    files: list[str] = flag([], positional=True)
    """What it works on."""


def given(*arguments):
    line = CommandParser("test", "A command.", Flags).given(list(arguments))
    return vars(line.flags), line.keys


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


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("model.pretrained", "weights.pth", "weights.pth"),
        ("model.pretrained", "true", True),
        ("data.val_images", "null", None),
        ("data.val_images", "2024-01-01", "2024-01-01"),
        ("data.cache", "17", "17"),
        ("scaling.gpus_per_worker", "1", 1.0),
        ("train.zero_stage", "2", 2),
        ("data.label_separator", "|", "|"),
        ("data.label_separator", " ", " "),
    ],
)
def test_text_becomes_the_type_of_its_key(key, text, value):
    typed = given(f"--{key}", text)[1][key]
    assert (typed, type(typed)) == (value, type(value))


def test_flags_from_a_dataclass():
    own, _ = given("a.jpg", "b.jpg", "--dry-run", "--name", "007")
    assert own == {"trials": 4, "name": "007", "dry_run": True, "files": ["a.jpg", "b.jpg"]}


def test_a_whole_section_as_yaml():
    assert given("--model", "{alpha: 0.5, k_pos: 1}")[1] == {"model.alpha": 0.5, "model.k_pos": 1}
    with pytest.raises(InputError, match=r"unknown key 'model.alpah'; did you mean 'model.alpha'"):
        given("--model", "{alpah: 0.5}")


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
        (["--trials", "0"], "--trials: 0 is out of range; it must be at least 1"),
        (["--trials", "many"], "--trials: many is not int"),
        (["--trials"], "--trials: expected one argument"),
        (["--dry-run=yes"], "--dry-run"),
        (["--model.pretrained"], "--model.pretrained: expected one argument"),
        (["--train.zero_stage", "7"], "train.zero_stage: 7 is not one of 0, 1, 2, 3"),
        (["--data.flip", "1"], "data.flip: 1 is not bool"),
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
        ("model.alpha", -0.5),
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
    with pytest.raises(InputError, match="model.pretrained: True is out of range; .* tiny has no ImageNet weights"):
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
        "heavy = {'torch', 'ray', 'optuna', 'torchvision', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


@pytest.mark.parametrize(("head", "section"), [("decouplenet", None), ("csra", {"csra": {"temperatures": 4}})])
def test_a_file_of_a_config_has_only_the_settings_of_its_own_head(head, section):
    config = Config.from_dict(nest({"model.head": head, "head.csra.temperatures": 4, "head.gcn.width": 64}))

    written = config.in_use()

    assert set(written) == {"model", "data", "optim", "train", "scaling", *(["head"] if section else [])}
    if section:
        assert written["head"].keys() == section.keys()
        assert written["head"]["csra"]["temperatures"] == 4
    assert Config.from_dict(written).head.gcn.width == Config().head.gcn.width


def test_a_heads_settings_are_a_section_within_a_section():
    nested = {"head": {"csra": {"temperatures": 4}, "gcn": {"width": 64}}, "model": {"head": "csra"}}
    flat = {"head.csra.temperatures": 4, "head.gcn.width": 64, "model.head": "csra"}
    assert (
        flatten(nested)
        == flatten({"head": {"csra.temperatures": 4, "gcn": {"width": 64}}, "model.head": "csra"})
        == flat
    )
    assert nest(flat) == nested
    config = Config.from_dict(nested)
    assert (config.head.csra.temperatures, config.head.gcn.width, config.head.gcn.threshold) == (4, 64, 0.4)
    assert Config.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("head.csra.temperature", 4, "unknown key 'head.csra.temperature'; did you mean 'head.csra.temperatures'"),
        ("head.csra", 4, "unknown key 'head.csra'"),
        ("head.csra.temperatures", 9, "head.csra.temperatures: 9 is out of range; it must be from 1 to 8"),
        ("head.query2label.width", 30, r"head.query2label.width: 30 .* a multiple of attention_heads \(4\)"),
        ("head.gcn.threshold", 0.0, "head.gcn.threshold: 0.0 is out of range"),
        ("head.weldon.k", 1.5, "head.weldon.k: 1.5 is out of range"),
        ("head.srn.share", 1.5, "head.srn.share: 1.5 is out of range"),
        ("head.of_rnn.beam", 0, "head.of_rnn.beam: 0 is out of range"),
        ("head.cnn_rnn.embedding", 0, "head.cnn_rnn.embedding: 0 is out of range"),
        ("head.rnn_attention.regions", 0, "head.rnn_attention.regions: 0 is out of range"),
        ("head.ml_decoder.dropout", 1.0, "head.ml_decoder.dropout: 1.0 is out of range"),
    ],
)
def test_a_wrong_setting_of_a_head_is_refused(key, value, message):
    with pytest.raises(InputError, match=message):
        Config.from_dict(nest({key: value}))
