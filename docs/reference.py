"""Writes docs/reference.md: the prose of reference_template.md with tables from the code.

    python docs/reference.py           # writes the file
    python docs/reference.py --check   # exits with 1 if the file is not what this would write

The tables list what the project itself has. They do not depend on the extensions that are installed.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from decouple_search.__main__ import COMMANDS
from decouple_search.evaluate import Flags as EvaluateFlags
from decouple_search.options import Options
from decouple_search.ray_train.request import TrainOptions
from decouple_search.report import Flags as ReportFlags
from decouple_search.results.tables import FINALIST_COLUMNS, FIXED_COLUMNS
from decouple_search.samplers.registry import EXTENSIONS, SAMPLERS
from decouple_search.samplers.screening import FIRST
from decouple_search.space.objective import EPOCH_MEASURES, OBJECTIVES, Objective
from decouple_search.space.parameter import CONDITIONS
from decouple_search.space.ranges import AT_END
from decouple_search.space.screen import MOST_SCREENED, ScreenPlan
from decouple_search.space.shipped import shipped_spaces
from decouple_search.space.space import Space
from decouple_search.stopping.scheduler import SCHEDULERS, Scheduler
from decouple_search.study.finalist_results import BOUND_FACTOR
from decouple_search.study.ranges import EVIDENCE, MAX_GROWTHS, NEAR_END, TOP
from decouplenet.command_line import key_type, print_line
from decouplenet.config import FACTS, SECTIONS, Config
from decouplenet.config_facts import Facts, attribute_docs
from decouplenet.data.__main__ import Flags as CheckFlags
from decouplenet.dotted_keys import flatten
from decouplenet.extensions import KINDS
from decouplenet.predict import Flags as PredictFlags

FOLDER = Path(__file__).parent
TEMPLATE, REFERENCE = FOLDER / "reference_template.md", FOLDER / "reference.md"
NOTE = "<!-- docs/reference.py writes this file from docs/reference_template.md and the code. Do not edit it. -->\n\n"
FLAGS: dict[str, type[Any]] = {
    "tune": Options,
    "train": TrainOptions,
    "evaluate": EvaluateFlags,
    "report": ReportFlags,
    "predict": PredictFlags,
    "check": CheckFlags,
}
"""The flags of each command."""
BUILTIN = {kind.key: kind.builtin for kind in (*KINDS, EXTENSIONS)}
"""The project's own names of each key or flag that also takes the names of extensions."""
TYPES = {bool: "true or false", int: "integer", float: "number", str: "text", type(None): ""}
SAMPLER_TEXTS = {
    "gp": "our Gaussian process over configuration and epoch. It learns from every epoch of every trial, including "
    "paused and stopped trials. With promotion it also decides which trial goes on. For several objectives it is "
    "Optuna's Gaussian process, which learns from finished trials. The default for a single objective",
    "tpe": "Optuna's TPE, each parameter independently. The default for several objectives",
    "random": "independent draws. The default with pbt",
    "cmaes": "Optuna's CMA-ES. It uses only final values, and needs one objective and at least two ranges",
    "nsgaii": "Optuna's NSGA-II. It uses only final values",
    "grid": "all combinations, in order; ranges need a `step`",
}
SCHEDULER_TEXTS = {
    "promotion": "never; it pauses a trial when something else earns its slot more, and may go on with it later. The "
    "default",
    "asha": "at a rung, if the trial is not among the best `1/reduction_factor` so far",
    "hyperband": "the same, in brackets that start at different rungs",
    "median": "if its best value is below the median of the other trials' means",
    "pbt": "never; see below",
    "none": "never",
}
OBJECTIVE_TEXTS = {
    "val_map": "mean average precision (mAP) as in VOC2010-12",
    "val_map_plain": "mAP as scikit-learn and torchmetrics sum it",
    "val_p_c": "P-C: mean precision of the classes",
    "val_r_c": "R-C: mean recall of the classes",
    "val_f1_c": "F1-C: mean F1 of the classes",
    "val_f1_c_harmonic": "the harmonic mean of P-C and R-C",
    "val_p_o": "P-O: precision over all decisions",
    "val_r_o": "R-O: recall over all decisions",
    "val_f1_o": "F1-O: F1 over all decisions",
    "val_loss": "loss on the validation images",
    "train_loss": "loss on the training images",
    "images_per_second": "training images per second",
    "parameters": "number of weights",
    "latency_ms": "milliseconds for one image",
}
SPACE_TEXTS = {
    "demo": "the default: synthetic scenes, minutes on a laptop",
    "heads": "which head is best for your own images, over all heads",
    "modern": "the paper's choices with AdamW, one-cycle, a moving average of the weights, asymmetric loss, "
    "RandAugment and Cutout",
    "own_data": "your own images",
    "paper_search": "the paper's six choices in its setting on COCO 2014",
    "table1_coco": "a grid: the rows of the paper's Table 1, three seeds each",
    "table2_nuswide": "the same for Table 2",
    "table3_attention": "the same for Table 3",
    "table4_upsampling": "the same for Table 4",
}


def reference() -> str:
    """The content of docs/reference.md."""
    tables: dict[str, Callable[..., str]] = {
        "commands": commands,
        "flags": flags,
        "keys": keys,
        "spaces": spaces,
        "objectives": objectives,
        "samplers": samplers,
        "schedulers": schedulers,
    }
    text = re.sub(
        r"<!-- insert: (\w+) ?(\w*) -->",
        lambda match: tables[match[1]](*[match[2]] * bool(match[2])),
        TEMPLATE.read_text(),
    )
    return NOTE + re.sub(r"<!-- value: (\w+) -->", lambda match: values()[match[1]], text)


def values() -> dict[str, str]:
    """The values that stand inside sentences."""
    return {
        **{key: str(inspect.signature(Space).parameters[key].default) for key in ("trials", "keep_checkpoints")},
        "columns": code(FIXED_COLUMNS),
        "finalist_columns": code(FINALIST_COLUMNS),
        "bound_factor": f"{BOUND_FACTOR:g}",
        "conditions": code(CONDITIONS),
        "at_end": f"{AT_END:.0%}",
        "near_end": f"{NEAR_END:.0%}",
        "evidence": str(EVIDENCE),
        "top": str(TOP),
        "max_growths": str(MAX_GROWTHS),
        "screen_epochs": str(ScreenPlan.epochs),
        "screen_first": str(FIRST),
        "most_screened": str(MOST_SCREENED),
        "images_only": code(key for key, facts in FACTS.items() if facts.images_only),
    }


def commands() -> str:
    """The commands of the program."""
    rows = []
    for name, command in COMMANDS.items():
        words = " ".join((command.module.removesuffix(".__main__"), *command.first_words))
        rows.append((f"[`{name}`](#{name})", command.purpose, f"`python -m {words}`"))
    return table(("command", "purpose", "without the console command"), rows)


def flags(command: str) -> str:
    """The flags of a command."""
    of_command = FLAGS[command]
    hints, docs = get_type_hints(of_command), attribute_docs(of_command)
    rows = []
    for field in fields(of_command):
        name, kind = f"--{field.name.replace('_', '-')}", hints[field.name]
        if field.metadata["positional"]:
            name = field.name.upper() + (" ..." if field.default is MISSING else "")
        if names := BUILTIN.get(name) or field.metadata["names"]:
            shown, default = code(names), shown_default(field.default)
        elif kind is bool:
            shown, default = "switch", ""
        else:
            shown, default = type_in_words(kind), shown_default(field.default)
        rows.append((f"`{name}`", shown, default, docs[field.name]))
    return table(("flag", "type", "default", "meaning"), rows)


def keys() -> str:
    """The config keys, one table per section."""
    defaults = flatten(Config().to_dict())
    parts = []
    for name, section in SECTIONS.items():
        docs, rows = attribute_docs(section), []
        for field in fields(section):
            key = f"{name}.{field.name}"
            kind = code(BUILTIN[key]) if key in BUILTIN else type_in_words(key_type(key))
            heads = FACTS[key].heads
            meaning = docs[field.name] + (f" Only with `model.head` {code(heads, ' or ')}." if heads else "")
            rows.append((f"`{key}`", kind, shown_default(defaults[key]), ", ".join(may_change(FACTS[key])), meaning))
        parts.append(f"### Keys of {name}\n\n{section.__doc__}\n\n")
        parts.append(table(("key", "type", "default", "may change", "meaning"), rows))
        parts.append("\n\n")
    return "".join(parts).rstrip()


def may_change(facts: Facts) -> list[str]:
    """Where a key can have another value than before, in the words of the template's list."""
    places = {
        "search": facts.searchable,
        "pbt": facts.changeable,
        "train": not facts.bound,
        "tune": facts.of_machine,
        "evaluate": facts.measured,
    }
    return [place for place, may in places.items() if may]


def spaces() -> str:
    """The rows of the shipped spaces."""
    return "\n".join(f"| `{name}` | {SPACE_TEXTS[name]} |" for name in shipped_spaces())


def objectives() -> str:
    """The measures that a search can optimise."""
    rows = [
        (
            f"`{name}`",
            Objective.natural(name).mode,
            "yes" if name in EPOCH_MEASURES else "no",
            OBJECTIVE_TEXTS[name],
        )
        for name in OBJECTIVES
    ]
    return table(("metric", "mode by default", "may be the first", "meaning"), rows)


def samplers() -> str:
    """The samplers, and the schedulers that they do not go with."""
    rows = [(f"`{name}`", SAMPLER_TEXTS[name], code(sampler.unfit)) for name, sampler in SAMPLERS.items()]
    return table(("`--sampler`", "what it does", "not with"), rows)


def schedulers() -> str:
    """The schedulers and their options."""
    defaults = {field.name: field.default for field in fields(Scheduler)}
    rows = [
        (
            f"`{name}`",
            SCHEDULER_TEXTS[name],
            ", ".join(f"`{option}` ({defaults[option]})" for option in options),
        )
        for name, options in SCHEDULERS.items()
    ]
    return table(("`--scheduler`", "when it stops a trial", "options (default)"), rows)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    cells = [heads, *([" ".join(cell.replace("|", r"\|").split()) for cell in row] for row in rows)]
    lines = [f"| {' | '.join(line)} |" for line in cells]
    return "\n".join([lines[0], "|" + "---|" * len(heads), *lines[1:]])


def code(names: Iterable[object], separator: str = ", ") -> str:
    """Names in code."""
    return separator.join(f"`{name}`" for name in names)


def type_in_words(kind: Any) -> str:
    """A type as a user writes its values in YAML."""
    if get_origin(kind) in (Union, types.UnionType):
        members = ("list" if get_origin(member) is list else type_in_words(member) for member in get_args(kind))
        return " or ".join(filter(None, members))
    if get_origin(kind) is dict:
        return "mapping"
    if get_origin(kind) is Literal:
        return code(get_args(kind))
    if get_origin(kind) is list:
        return f"{type_in_words(get_args(kind)[0])}, several"
    return TYPES[kind]


def shown_default(default: Any) -> str:
    """A default as a user writes it; empty where there is none."""
    if default in (None, MISSING):
        return ""
    return f"`{str(default).lower()}`" if isinstance(default, bool) else f"`{default}`"


def main() -> int:
    """Write the file, or compare it; returns the exit code."""
    text = reference()
    if sys.argv[1:] == ["--check"]:
        if REFERENCE.is_file() and REFERENCE.read_text() == text:
            return 0
        print_line("docs/reference.md is not what the code says; run: python docs/reference.py")
        return 1
    REFERENCE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
