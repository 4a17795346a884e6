"""`decouple-search COMMAND` and `python -m decouple_search COMMAND`: the list of commands, the choice, the errors."""

import subprocess
import sys
import time
from importlib.metadata import version

import pytest

import decouplenet
from decouple_search.__main__ import COMMANDS, main, start
from decouplenet.command_line import command_name
from decouplenet.errors import InputError

PURPOSES = {
    "tune": "search",
    "train": "train one configuration",
    "evaluate": "measure checkpoints",
    "report": "results of a search",
    "predict": "label photos",
    "check": "check a data set",
}


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_the_commands_are_listed(arguments, capsys):
    assert main(arguments) == 0
    out = capsys.readouterr().out
    for command, purpose in PURPOSES.items():
        [line] = [line for line in out.splitlines() if line.split()[:1] == [command]]
        assert purpose in line
    assert COMMANDS.keys() == PURPOSES.keys()


def test_the_list_of_commands_appears_at_once():
    """Half a second on a quiet machine. A part of it is left to a busy one, so the modules are looked at too."""
    program = (
        "import sys; sys.argv = ['decouple-search']; from decouple_search.__main__ import start; start(); "
        "heavy = {'torch', 'ray', 'optuna', 'numpy', 'pydantic', 'yaml'} & set(sys.modules); assert not heavy, heavy"
    )
    fastest = float("inf")
    for _ in range(3):
        before = time.monotonic()
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
        fastest = min(fastest, time.monotonic() - before)
    assert fastest < 0.5


def test_the_version_is_the_installed_package_s(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"decouple-search {version('decouple-search')}\n"
    assert decouplenet.__version__ == version("decouple-search")


def test_without_an_installation_there_is_no_version(monkeypatch, capsys):
    def version(name):
        from importlib.metadata import PackageNotFoundError

        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", version)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "decouple-search (not installed)\n"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("tun", r"unknown command 'tun'; did you mean 'tune'\?"),
        ("xyz", "unknown command 'xyz'; valid: tune, train, evaluate, report, predict, check"),
        ("--trials", "unknown command '--trials'; a command goes before the flags: tune, train"),
    ],
)
def test_an_unknown_command_is_a_line_and_exit_code_2(word, message, monkeypatch, capsys):
    with pytest.raises(InputError, match=message):
        main([word])
    monkeypatch.setattr(sys, "argv", ["decouple-search", word, "3"])
    assert start() == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: unknown command")
    assert captured.err.count("\n") == 1
    assert not captured.out


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_gets_its_words_and_gives_its_exit_code(command, monkeypatch):
    import importlib

    calls = []
    monkeypatch.setattr(
        importlib.import_module(COMMANDS[command].module), "main", lambda words: calls.append(words) or 1
    )
    assert main([command, "--json", "x"]) == 1
    assert calls == [[*(["check"] if command == "check" else []), "--json", "x"]]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_usage_of_a_command_names_it_as_it_was_started(command):
    run = [sys.executable, "-m", "decouple_search", command, "--help"]
    usage = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    assert usage.startswith(f"usage: python -m decouple_search {command} [flags]")


def test_an_error_of_a_command_is_a_line_and_exit_code_2():
    run = [sys.executable, "-m", "decouple_search", "tune", "--model.alpa", "1"]
    result = subprocess.run(run, capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr == "error: unknown flag '--model.alpa'; did you mean '--model.alpha'?\n"


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("/usr/bin/decouple-search", "decouple-search tune"),
        ("decouple-search.exe", "decouple-search tune"),
        ("/x/decouple_search/__main__.py", "python -m decouple_search tune"),
        ("/x/decouple_search/tune.py", "python -m decouple_search.tune"),
        ("/x/other/__main__.py", "python -m decouple_search.tune"),
        ("", "python -m decouple_search.tune"),
    ],
)
def test_the_name_of_a_command_is_how_it_was_started(program, name, monkeypatch):
    monkeypatch.setattr(sys, "argv", [program])
    assert command_name("tune", "decouple_search.tune") == name
