"""The command line of all commands: flags from a dataclass, config keys as flags and YAML, errors, exit codes.

Exit codes: 0 done, 1 a run that failed, 2 bad input, 130 interrupted. Imports neither torch nor Ray.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Generic, Literal, NoReturn, TypeVar, get_args, get_type_hints

from decouplenet.config import FACTS, KEYS, SECTIONS, Config, check_keys
from decouplenet.config_facts import attribute_docs
from decouplenet.dotted_keys import GROUPS, did_you_mean, flatten, nearest, nest
from decouplenet.errors import InputError, TrainingFailed
from decouplenet.typed_values import check_type, describe, typed_value
from decouplenet.yaml_text import load_yaml

_Flags = TypeVar("_Flags")


def flag(
    default: Any,
    *,
    minimum: float | None = None,
    names: Iterable[str] | Callable[[], Iterable[str]] = (),
    positional: bool = False,
    bare: str | None = None,
) -> Any:
    """A field of a command's flags dataclass; the docstring below the field is the help text.

    Args:
        default: the value without the flag. A list makes a flag that takes several values.
        minimum: the smallest valid number.
        names: the valid values, for the help text; or a function that gives them.
        positional: whether the value is given without the flag's name.
        bare: the value of a flag that is given without one; None if it needs a value.
    """
    names = names if callable(names) else tuple(names)
    metadata = {"minimum": minimum, "names": names, "positional": positional, "bare": bare}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class CommandLine(Generic[_Flags]):
    """A parsed command line."""

    flags: _Flags
    """The command's own flags, defaults filled in."""
    keys: dict[str, Any]
    """The config keys that the user gave, dotted."""
    config_file: str | None
    """The file that `--config` names."""


class CommandParser(Generic[_Flags]):
    """Reads a command's own flags and every config key, from the command line and from the file of `--config`.

    Args:
        prog: the command, for `--help`.
        description: a description of the command, for `--help`.
        flags: a dataclass of the command's own flags; its fields are made by `flag`.
        config_keys: whether the command takes config keys.
    """

    def __init__(self, prog: str, description: str, flags: type[_Flags], *, config_keys: bool = True) -> None:
        self._flags_class = flags
        self._fields: dict[str, Field[Any]] = {each.name: each for each in fields(flags)}  # type: ignore[arg-type]
        self._sections = SECTIONS if config_keys else {}
        self._keys = KEYS if config_keys else ()
        self._kinds = {**get_type_hints(flags), **{key: key_type(key) for key in self._keys}}
        usage = f"{prog} [flags]{' [--section.key VALUE ...]' if config_keys else ''}"
        self._parser = _Parser(prog=prog, usage=usage, description=description, exit_on_error=False, allow_abbrev=False)
        config_help = "YAML file of config keys and flags; the command line wins"
        self._parser.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help=config_help)
        docs = attribute_docs(flags)
        for name, each in self._fields.items():
            self._add_flag(name, each, docs[name])
        for section_name, section in self._sections.items():
            group = self._parser.add_argument_group(section_name, section.__doc__)
            group.add_argument(f"--{section_name}", metavar="YAML", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
            docs = attribute_docs(section)
            for each in fields(section):
                key = f"{section_name}.{each.name}"
                text = _help(docs[each.name], self._kinds[key], each.default)
                group.add_argument(f"--{key}", metavar=each.name.upper(), default=argparse.SUPPRESS, help=text)

    @property
    def flag_names(self) -> list[str]:
        """The command's own flags, as a user gives them."""
        return [_flag_name(name) for name, each in self._fields.items() if not each.metadata["positional"]]

    def given(self, arguments: Sequence[str] | None = None) -> CommandLine[_Flags]:
        """Parse a command line.

        Args:
            arguments: the words after the command; by default those of this process.

        Raises:
            InputError: an unknown or ill-typed flag or key, or a flag below its minimum.
        """
        words = self._parse(arguments)
        config_file = words.pop("config", None)
        given = self._in_file(config_file) if config_file else {}
        for name, value in words.items():
            given |= self._section(name, value, "") if name in self._sections else {name: self._typed(name, value, "")}
        flags = {name: value for name, value in given.items() if name in self._fields}
        self._check_minimums(flags)
        keys = {name: value for name, value in given.items() if name in self._keys}
        return CommandLine(self._flags_class(**flags), keys, config_file)

    def _add_flag(self, name: str, each: Field[Any], doc: str) -> None:
        kind, several = self._kinds[name], each.default_factory is not MISSING
        names = each.metadata["names"]() if callable(each.metadata["names"]) else each.metadata["names"]
        text = f"{doc} ({', '.join(names)})" if names else _help(doc, kind, each.default)
        options: dict[str, Any] = {"default": argparse.SUPPRESS, "help": text}
        if kind is bool:
            options["action"] = "store_true"
        elif several:
            options["nargs"] = "*" if each.metadata["positional"] else "+"
        elif each.metadata["positional"] or each.metadata["bare"]:
            options |= {"nargs": "?", "const": each.metadata["bare"]}
        if kind is not bool:
            options["metavar"] = name.upper()
        self._parser.add_argument(name if each.metadata["positional"] else _flag_name(name), **options)

    def _parse(self, arguments: Sequence[str] | None) -> dict[str, Any]:
        """The values of a command line as text, by the name of their flag or key."""
        try:
            parsed, unknown = self._parser.parse_known_args(arguments)
        except argparse.ArgumentError as error:
            raise InputError(f"{error.argument_name}: {error.message}") from None
        if unknown:
            name = unknown[0].partition("=")[0]
            valid = ["--config", *self.flag_names, *(f"--{key}" for key in self._keys)]
            hint = nearest(name, valid) if name.startswith("-") else "flags begin with --"
            raise InputError(f"unknown flag '{name}'; {hint}")
        return vars(parsed)

    def _in_file(self, file: str) -> dict[str, Any]:
        """The flags and dotted keys of a YAML file, typed."""
        given: dict[str, Any] = {}
        for name, value in load_yaml(file).items():
            if name in self._sections or (name in GROUPS and self._sections):
                given |= self._section(name, value, f"{file}: ")
            elif name in self._keys or name in self._fields:
                given[name] = self._typed(name, value, f"{file}: ")
            else:
                hint = nearest(name, [*self._fields, *self._sections, *self._keys])
                raise InputError(f"{file}: unknown key '{name}'; {hint}")
        return given

    def _section(self, name: str, value: Any, where: str) -> dict[str, Any]:
        """The dotted keys of a whole section, given as a mapping or as YAML text."""
        mapping = typed_value(dict[str, Any], value)
        if mapping is None:
            raise InputError(f"{where}{name}: {value} is not a mapping of keys to values")
        keys = flatten({name: mapping})
        check_keys(keys, where.removesuffix(": ") or f"--{name}")
        return {key: self._typed(key, each, where) for key, each in keys.items()}

    def _typed(self, name: str, value: Any, where: str) -> Any:
        shown = name if name in self._keys or where else _flag_name(name)
        return _checked(shown, self._kinds[name], value, where)

    def _check_minimums(self, flags: Mapping[str, Any]) -> None:
        for name, value in flags.items():
            _check_minimum(_flag_name(name), value, self._fields[name].metadata["minimum"])


class _Parser(argparse.ArgumentParser):
    """argparse, which raises instead of printing its usage."""

    def error(self, message: str) -> NoReturn:
        raise InputError(" ".join(message.split()))


def _flag_name(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _help(doc: str, kind: Any, default: Any) -> str:
    """The help text of a flag or key, with its type and its default."""
    text = " ".join(doc.split()).replace("%", "%%")
    if (kind is bool and default is False) or default in (MISSING, None):
        return text
    return f"{text} ({describe(kind)}; default: {default})"


def _checked(name: str, kind: Any, value: Any, where: str) -> Any:
    """A value as its type.

    Raises:
        InputError: it is not of that type.
    """
    try:
        return typed_value(kind, value)
    except ValueError:
        hint = ""
        if name in FACTS and FACTS[name].names:
            registered = "a name of your own must be registered, or installed"
            hint = f"; {did_you_mean(value, get_args(kind)) or registered}"
        raise InputError(f"{where}{name}: {value} is not {describe(kind)}{hint}") from None


def key_type(key: str) -> Any:
    """The type of a config key. A key that takes names is a Literal of all that are valid now."""
    names = FACTS[key].names
    return Literal.__getitem__(names()) if names else _declared_types()[key]


@functools.cache
def _declared_types() -> dict[str, Any]:
    """The declared type of every config key."""
    hints = {name: get_type_hints(section) for name, section in SECTIONS.items()}
    return {key: hints[section][name] for key in KEYS for section, _, name in [key.rpartition(".")]}


def check_flags(flags: _Flags) -> _Flags:
    """The flags of a command, given in Python, if each has a valid value.

    Args:
        flags: an instance of a dataclass whose fields are made by `flag`.

    Raises:
        InputError: a value of another type, or below its minimum.
    """
    kinds = get_type_hints(type(flags))
    for each in fields(flags):  # type: ignore[arg-type]
        value, minimum = getattr(flags, each.name), each.metadata["minimum"]
        try:
            check_type(kinds[each.name], value)
        except ValueError:
            raise InputError(f"{each.name}: {value!r} is not {describe(kinds[each.name])}") from None
        _check_minimum(each.name, value, minimum)
    return flags


def _check_minimum(name: str, value: Any, minimum: float | None) -> None:
    if minimum is not None and value is not None and value < minimum:
        raise InputError(f"{name}: {value} is out of range; it must be at least {minimum:g}")


def parse_config(flat: Mapping[str, Any], where: str = "config") -> Config:
    """A config from dotted keys. Every type and range is checked.

    Args:
        flat: values by dotted key; a key that is left out keeps its default.
        where: the place that errors name.

    Raises:
        InputError: an unknown key, an ill-typed value, or a value out of range.
    """
    check_keys(flat, where)
    typed = {key: _checked(key, key_type(key), value, f"{where}: ") for key, value in flat.items()}
    try:
        return Config.from_dict(nest(typed))
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def command_name(command: str, module: str) -> str:
    """A command as the user started it, for its usage line.

    Args:
        command: its name after `decouple-search`.
        module: the words after `python -m` that start the command alone.
    """
    program = Path(sys.argv[0])
    if program.stem == "decouple-search":
        return f"decouple-search {command}"
    if program.parts[-2:] == ("decouple_search", "__main__.py"):
        return f"python -m decouple_search {command}"
    return f"python -m {module}"


def print_line(text: str) -> None:
    """Print a line of a command's output at once, also where the output goes to a file."""
    print(text, flush=True)  # noqa: T201


def run(command: Callable[[list[str] | None], int], arguments: list[str] | None = None) -> int:
    """Run a command. A user's mistake ends with one line and exit code 2, a failed training with one line and 1."""
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
