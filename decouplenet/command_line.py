"""What all commands share: config keys as flags and YAML, one-line errors with the nearest key, exit codes.

Exit codes: 0 done, 1 a run that failed, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, set_parsing_settings

from decouplenet.config import KEYS, SECTIONS, Config, check_keys, flatten, load_yaml, nearest, nest
from decouplenet.errors import InputError, TrainingFailed


class CommandParser(ArgumentParser):
    """jsonargparse with every config key as a flag, and errors of one line that name the nearest valid key."""

    def __init__(self, prog: str, description: str) -> None:
        set_parsing_settings(docstring_parse_attribute_docstrings=True)
        super().__init__(prog=prog, description=description, exit_on_error=False, allow_abbrev=False)
        self.add_argument(
            "--config", type=str | None, default=None, help="YAML file of config keys and flags; the command line wins"
        )

    def add_config_keys(self) -> None:
        """Add `--section.key` for every key of the config tree; call it after the command's own flags."""
        for name, section in SECTIONS.items():
            self.add_class_arguments(section, name)

    def given(self, arguments: list[str] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Parse a command line.

        Returns:
            The command's own flags (defaults filled in), and the config keys that the user gave, dotted.

        Raises:
            InputError: an unknown or ill-typed flag or key.
        """
        own, keys = _split(self._typed(lambda: self.parse_args(arguments, defaults=False)))
        if file := own.get("config"):
            content = load_yaml(file)
            in_file = _split(self._typed(lambda: self.parse_object(content, defaults=False), where=f"{file}: "))
            own, keys = in_file[0] | own, in_file[1] | keys
        return self.get_defaults().as_dict() | own, keys

    def _typed(self, parse: Callable[[], Any], where: str = "") -> dict[str, Any]:
        """What jsonargparse makes of some input; its errors, of several kinds, all speak of that input."""
        try:
            typed: dict[str, Any] = parse().as_dict()
        except Exception as error:
            raise InputError(f"{where}{self._one_line(str(error))}") from None
        return typed

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise what jsonargparse would print with its usage."""
        raise InputError(self._one_line(message)) from ex

    def _one_line(self, message: str) -> str:
        flags = [option for action in self._actions for option in action.option_strings if option.startswith("--")]
        keys = [flag.removeprefix("--") for flag in flags]
        if found := re.search(r"[Uu]nrecognized arguments: (\S+)", message):
            flag = found[1].partition("=")[0]
            return f"unknown flag '{flag}'; {nearest(flag, flags) if flag.startswith('-') else 'flags begin with --'}"
        if found := re.search(r"Group '(\w+)' does not accept option '([^']+)'", message):
            key = f"{found[1]}.{found[2]}"
            return f"unknown key '{key}'; {nearest(key, KEYS)}"
        if found := re.search(r"(?:Key|option|Option) '([^']+)' is not (?:expected|accepted)", message):
            return f"unknown key '{found[1]}'; {nearest(found[1], keys)}"
        message = " ".join(message.split())
        if found := re.search(r'Parser key "([^"]+)":? (.*)', message):
            key, rest = found[1], found[2]
            value = re.search(r"(?:Given value|[Gg]ot value|value): (\S+)$", rest)
            kind = next((str(a._typehint) for a in self._actions if a.dest == key and hasattr(a, "_typehint")), "")
            kind = re.sub(r"typing\.|<class '(\w+)'>", r"\1", kind)
            kind = re.sub(r"Literal\[(.*)\]", r"one of \1", kind)
            return f"{key}: {f'{value[1]} is not' if value else 'must be'} {kind}" if kind else f"{key}: {rest}"
        return message


def _split(parsed: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A command's own flags, and the config keys, dotted."""
    keys = flatten({name: parsed[name] for name in SECTIONS if name in parsed})
    return {name: value for name, value in parsed.items() if name not in SECTIONS}, keys


@functools.cache
def _config_parser() -> CommandParser:
    parser = CommandParser("config", "")
    parser.add_config_keys()
    return parser


def parse_config(flat: Mapping[str, Any], where: str = "config") -> Config:
    """A config from dotted keys, every type and range checked.

    Raises:
        InputError: an unknown key, an ill-typed value, or one out of range.
    """
    check_keys(flat, where)
    parser = _config_parser()
    parsed = parser._typed(lambda: parser.parse_object(nest(flat), defaults=False), where=f"{where}: ")
    try:
        return Config.from_dict({name: parsed[name] for name in SECTIONS if name in parsed})
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def print_line(text: str) -> None:
    """Print a line of a command's output at once, also where it goes to a file."""
    print(text, flush=True)  # noqa: T201


def run(command: Callable[[list[str] | None], int], arguments: list[str] | None = None) -> int:
    """Run a command; a user's mistake is one line and exit code 2, a failed training one line and 1."""
    try:
        return command(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    except TrainingFailed as error:
        print(f"failed: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)  # noqa: T201
        return 130
