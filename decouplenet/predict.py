"""`python -m decouplenet.predict`: label photos with a checkpoint, and draw its heat maps (the paper's Fig. 2)."""

from __future__ import annotations

import contextlib
import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decouplenet.command_line import CommandParser, command_name, flag, print_line, run
from decouplenet.dotted_keys import nearest
from decouplenet.errors import InputError
from decouplenet.image_suffixes import has_image_suffix
from decouplenet.photos import named_photos
from decouplenet.prediction import BATCH, Prediction, predict_all
from decouplenet.prediction import predict as predict
from decouplenet.wording import counted

if TYPE_CHECKING:
    from decouplenet.checkpoint import Checkpoint

STDOUT = "-"
"""The value of --csv that prints the table."""
MAX_DRAWN_CLASSES = 6
"""Maximum number of classes in a figure, unless the user names the classes."""


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The command's own flags."""

    images: list[str] = flag([], positional=True)
    """Photos: files, addresses, folders, or - for a list from stdin, one per line."""
    checkpoint: str | None = flag(None)
    """Checkpoint folder that a search or a training wrote."""
    json: bool = flag(False)
    """Print JSON with the scores of all classes."""
    csv: str | None = flag(None, bare="-")
    """File for a table with the labels and the scores of all classes, one row per photo. Without a file, print it."""
    batch_size: int = flag(BATCH, minimum=1)
    """Photos that the network scores at a time."""
    heatmaps: str | None = flag(None)
    """Folder for the figures, one per photo."""
    classes: str | None = flag(None)
    """Classes to draw, such as 'dog,traffic light'."""
    truth: bool = flag(False)
    """Look up each photo's true labels in the data of the config."""
    thresholds: str | None = flag(None)
    """Thresholds file that evaluate --tune-thresholds wrote."""


def parser() -> CommandParser[Flags]:
    """The command's flags and all config keys. `data.*` keys say where the labels for `--truth` are."""
    return CommandParser(
        command_name("predict", "decouplenet.predict"),
        "Label photos with a checkpoint. A photo gets each class with a probability above 0.5, or above the class's "
        "threshold.",
        Flags,
    )


def read(arguments: list[str] | None) -> tuple[Flags, dict[str, Any]]:
    """The command's flags and the given config keys, checked.

    Raises:
        InputError: a flag is missing, or two flags contradict each other.
    """
    line = parser().given(arguments)
    flags = line.flags
    if not flags.checkpoint:
        raise InputError("--checkpoint: not given; name the folder of a checkpoint")
    if not flags.images:
        raise InputError("no photo is given; name at least 1")
    if flags.json and flags.csv == STDOUT:
        raise InputError("--csv and --json both print to stdout; give a file for the table")
    if flags.csv and has_image_suffix(flags.csv):
        raise InputError(f"--csv: '{flags.csv}' is a photo; give a file for the table, or put --csv last")
    if flags.classes and not flags.heatmaps:
        raise InputError("--classes: nothing is drawn, because --heatmaps is not given; add --heatmaps FOLDER")
    for key in line.keys:
        if not (flags.truth and key.startswith("data.")):
            raise InputError(f"{key}: is fixed by the checkpoint; only data.* keys can be given, with --truth")
    return flags, line.keys


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Returns its exit code, 2 if a photo could not be read."""
    flags, keys = read(arguments)

    import torch

    from decouplenet.checkpoint import read_checkpoint

    checkpoint = read_checkpoint(str(flags.checkpoint))
    checkpoint.model.to("cuda" if torch.cuda.is_available() else "cpu")
    labeller = Labeller(checkpoint, flags, keys)
    rows, count, failures = [], 0, 0
    predictions = predict_all(
        checkpoint, named_photos(flags.images), maps=flags.heatmaps is not None, batch_size=flags.batch_size
    )
    with _table(flags.csv, checkpoint.class_names) as write:
        for place, prediction in predictions:
            count += 1
            try:
                row = labeller(place, prediction)
            except InputError as error:
                print(f"error: {error}", file=sys.stderr)  # noqa: T201
                failures += 1
                continue
            write(row)
            if flags.json:
                rows.append(row)
            elif flags.csv != STDOUT:
                scored = ", ".join(f"{name} {row['scores'][name]:.2f}" for name in row["labels"]) or "no label"
                print_line(f"{place}: {scored}" + (f"  ({row['heatmap']})" if flags.heatmaps else ""))
    if flags.json:
        print_line(json.dumps(rows, indent=1))
    if failures and count > 1:
        print(f"{failures} of {counted(count, 'photo')} could not be labelled", file=sys.stderr)  # noqa: T201
    return 2 if failures else 0


@contextlib.contextmanager
def _table(file: str | None, names: Sequence[str]) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Context that gives a function to write a photo's row to a csv; it writes nothing without a file.

    Raises:
        InputError: the file cannot be written.
    """
    if file is None:
        yield lambda row: None
        return
    try:
        stream = sys.stdout if file == STDOUT else Path(file).expanduser().open("w", newline="")
    except OSError as error:
        raise InputError(f"--csv: cannot write '{file}' ({error.strerror}); give another file") from None
    try:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["image", "labels", *names])
        yield lambda row: writer.writerow(
            [row["image"], "|".join(row["labels"]), *(row["scores"][name] for name in names)]
        )
    finally:
        stream.flush() if file == STDOUT else stream.close()


class Labeller:
    """Labels photos, and draws their heat maps if the flags ask for them.

    Args:
        checkpoint: the network and its class names.
        flags: the command's flags.
        keys: the given config keys.

    Raises:
        InputError: a class is unknown, or thresholds or labels cannot be read.
    """

    def __init__(self, checkpoint: Checkpoint, flags: Flags, keys: dict[str, Any]) -> None:
        from decouplenet.thresholds import read_thresholds

        self._names = checkpoint.class_names
        names, wanted = self._names, flags.classes or ""
        self._thresholds = read_thresholds(flags.thresholds, names)[0] if flags.thresholds else [0.5] * len(names)
        self._chosen = [wanted] if wanted in names else [name.strip() for name in wanted.split(",") if name.strip()]
        if unknown := [name for name in self._chosen if name not in names]:
            raise InputError(f"--classes: the checkpoint has no class '{unknown[0]}'; {nearest(unknown[0], names)}")
        self._truth = _truth(checkpoint, keys) if flags.truth else None
        self._folder = Path(flags.heatmaps).expanduser() if flags.heatmaps else None
        self._drawn = set[Path]()

    def __call__(self, place: str, prediction: Prediction | InputError) -> dict[str, Any]:
        """A photo's row of the JSON output.

        Raises:
            InputError: the photo could not be read, or its figure cannot be written.
        """
        if isinstance(prediction, InputError):
            raise prediction
        names = self._names
        ranked = sorted(range(len(names)), key=lambda c: -prediction.scores[c])
        labels = [names[c] for c in ranked if prediction.scores[c] > self._thresholds[c]]
        scores = {names[c]: round(prediction.scores[c], 6) for c in ranked}
        row: dict[str, Any] = {"image": place, "labels": labels, "scores": scores}
        true_labels = self._truth.get(_key(place)) if self._truth is not None else None
        if self._truth is not None:
            row["ground_truth"] = None if true_labels is None else sorted(true_labels)
        if self._folder:
            relevant = [name for name in scores if name in labels or name in (true_labels or ())][:MAX_DRAWN_CLASSES]
            drawn_classes = self._chosen or relevant or [names[c] for c in ranked[:3]]
            file = _unused_file(self._folder, place, self._drawn)
            _draw(file, prediction, names, drawn_classes, true_labels)
            row["heatmap"] = str(file)
        return row


def _unused_file(folder: Path, place: str, drawn: set[Path]) -> Path:
    """A photo's figure file. Photos with the same name in several folders get a number."""
    stem, number = Path(place.partition("?")[0]).stem, 1
    file = folder / f"{stem}.png"
    while file in drawn:
        number += 1
        file = folder / f"{stem}-{number}.png"
    drawn.add(file)
    return file


def _draw(
    file: Path, prediction: Prediction, names: tuple[str, ...], chosen: list[str], truth: set[str] | None
) -> None:
    from decouplenet.heatmaps import heatmap_figure

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        heatmap_figure(prediction.image, prediction.maps, names, prediction.scores, chosen, truth).save(file)
    except OSError as error:
        raise InputError(f"--heatmaps: cannot write '{file}' ({error.strerror}); give another folder") from None


def _truth(checkpoint: Checkpoint, keys: dict[str, Any]) -> dict[str, set[str]]:
    """The labels of all images of the data, by the image's absolute path or address."""
    from decouplenet.command_line import parse_config
    from decouplenet.data.formats import load_image_sets
    from decouplenet.dotted_keys import flatten

    flat = flatten(checkpoint.config.to_dict()) | {key: v for key, v in keys.items() if key.startswith("data.")}
    data = replace(parse_config(flat).data, drop_unlabelled=False)
    sets = load_image_sets(data)
    if sets[0].class_names != checkpoint.class_names:
        raise InputError("--truth: the data's classes are not the checkpoint's; give data with the same classes")
    return {
        _key(path): {images.class_names[c] for c in row.nonzero()[0]}
        for images in sets
        for path, row in zip(images.paths, images.targets, strict=True)
    }


def _key(place: Any) -> str:
    from decouplenet.data.places import is_address

    return str(place) if is_address(place) else str(Path(place).expanduser().resolve())


if __name__ == "__main__":
    sys.exit(run(main))
