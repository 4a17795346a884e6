"""`python -m decouplenet.predict`: labels of photos by a checkpoint, and its heat maps (the paper's Fig. 2)."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from decouplenet.command_line import CommandParser, print_line, run
from decouplenet.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from decouplenet.checkpoint import Checkpoint

MOST = 6
"""Classes in a figure where none are named."""


def parser() -> CommandParser:
    """The command's flags, and the config keys, of which `data.*` say where `--truth` is."""
    parser = CommandParser(
        "python -m decouplenet.predict",
        "Label photos with a checkpoint: every class whose probability is above 0.5, or above its own threshold.",
    )
    parser.add_argument("images", type=str, nargs="*", default=[], help="photos, here or at an address")
    parser.add_argument("--checkpoint", type=str | None, default=None, help="folder that a search or training wrote")
    parser.add_argument("--json", action="store_true", help="print JSON with the scores of all classes")
    parser.add_argument("--heatmaps", type=str | None, default=None, help="folder for a figure a photo")
    parser.add_argument("--classes", type=str | None, default=None, help="classes to draw, as in 'dog,traffic light'")
    parser.add_argument("--truth", action="store_true", help="look photos up in the data that the config names")
    parser.add_argument(
        "--thresholds", type=str | None, default=None, help="file that evaluate's --tune-thresholds wrote"
    )
    parser.add_config_keys()
    return parser


class Prediction(NamedTuple):
    """What a network says of a photo."""

    scores: list[float]
    """C probabilities."""
    maps: Tensor
    """Class maps, C×h×w; empty where they were not asked for."""
    image: Any
    """The photo, a PIL image."""


def predict(checkpoint: Checkpoint, place: str, *, maps: bool = False) -> Prediction:
    """Score a photo as an evaluation does.

    Args:
        checkpoint: whose network, on the device that is to compute.
        place: the photo, here or at an address.
        maps: whether to take its class maps too.

    Raises:
        InputError: it cannot be decoded.
    """
    import io

    import torch
    from PIL import Image

    from decouplenet.data.cache import decode_square
    from decouplenet.data.places import place_of, read_bytes, shown
    from decouplenet.data.transforms import normalise
    from decouplenet.precision import Autocast

    where = place_of(place, None)
    try:
        content = read_bytes(where)
    except OSError as error:
        raise InputError(f"{shown(where)}: cannot be read ({error.strerror or error})") from None
    device = next(checkpoint.model.parameters()).device
    pixels = torch.tensor(decode_square(where, checkpoint.config.data.image_size, content))
    images = normalise(pixels.permute(2, 0, 1)[None].to(device))
    precision = checkpoint.config.train.precision
    with torch.inference_mode():
        scores = Autocast(checkpoint.model, precision, device.type)(images).sigmoid()[0]
        of = checkpoint.model.class_maps(images)[0] if maps else torch.empty(0)  # type: ignore[operator]
    return Prediction(scores.tolist(), of, Image.open(io.BytesIO(content)))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit code, 2 where a photo could not be read."""
    own, keys = parser().given(arguments)
    if not own["checkpoint"]:
        raise InputError("--checkpoint: not given; name the folder of a checkpoint")
    if not own["images"]:
        raise InputError("no photo is given; name one or more")
    if own["classes"] and not own["heatmaps"]:
        raise InputError("--classes: says what is drawn, and --heatmaps is not given")
    for key in keys:
        if not (own["truth"] and key.startswith("data.")):
            raise InputError(f"{key}: is the checkpoint's own; only data.* can be given, with --truth")

    import torch

    from decouplenet.checkpoint import read_checkpoint
    from decouplenet.thresholds import read_thresholds

    checkpoint = read_checkpoint(own["checkpoint"])
    checkpoint.model.to("cuda" if torch.cuda.is_available() else "cpu")
    names = checkpoint.class_names
    thresholds = read_thresholds(own["thresholds"], names)[0] if own["thresholds"] else [0.5] * len(names)
    wanted = own["classes"] or ""
    chosen = [wanted] if wanted in names else [name.strip() for name in wanted.split(",") if name.strip()]
    if unknown := [name for name in chosen if name not in names]:
        from decouplenet.config import nearest

        raise InputError(f"--classes: the checkpoint has no class '{unknown[0]}'; {nearest(unknown[0], names)}")
    truth = _truth(checkpoint, keys) if own["truth"] else {}
    folder = Path(own["heatmaps"]).expanduser() if own["heatmaps"] else None
    told, code, drawn = [], 0, set[Path]()
    for place in own["images"]:
        try:
            found = predict(checkpoint, place, maps=folder is not None)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)  # noqa: T201
            code = 2
            continue
        ranked = sorted(range(len(names)), key=lambda c: -found.scores[c])
        labels = [names[c] for c in ranked if found.scores[c] > thresholds[c]]
        one: dict[str, Any] = {"image": place, "labels": labels}
        one["scores"] = {names[c]: round(found.scores[c], 6) for c in ranked}
        known = truth.get(_key(place))
        if own["truth"]:
            one["ground_truth"] = None if known is None else sorted(known)
        if folder:
            shown = chosen or [name for name in one["scores"] if name in labels or name in (known or ())][:MOST]
            file = _free(folder, place, drawn)
            _draw(file, found, names, shown or [names[c] for c in ranked[:3]], known)
            one["heatmap"] = str(file)
        told.append(one)
        if not own["json"]:
            scored = ", ".join(f"{name} {one['scores'][name]:.2f}" for name in labels) or "no label"
            print_line(f"{place}: {scored}" + (f"  ({one['heatmap']})" if folder else ""))
    if own["json"]:
        print_line(json.dumps(told, indent=1))
    return code


def _free(folder: Path, place: str, drawn: set[Path]) -> Path:
    """A figure's file; photos of one name in several folders get a number."""
    stem, number = Path(place.partition("?")[0]).stem, 1
    file = folder / f"{stem}.png"
    while file in drawn:
        number += 1
        file = folder / f"{stem}-{number}.png"
    drawn.add(file)
    return file


def _draw(file: Path, found: Prediction, names: tuple[str, ...], chosen: list[str], known: set[str] | None) -> None:
    from decouplenet.heatmaps import heatmap_figure

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        heatmap_figure(found.image, found.maps, names, found.scores, chosen, known).save(file)
    except OSError as error:
        raise InputError(f"--heatmaps: cannot write '{file}' ({error.strerror}); give another folder") from None


def _truth(checkpoint: Checkpoint, keys: dict[str, Any]) -> dict[str, set[str]]:
    """The labels of all images of the data, by where they are."""
    from decouplenet.command_line import parse_config
    from decouplenet.config import flatten
    from decouplenet.data.formats import load_image_sets

    flat = flatten(checkpoint.config.to_dict()) | {key: v for key, v in keys.items() if key.startswith("data.")}
    data = replace(parse_config(flat).data, drop_unlabelled=False)
    sets = load_image_sets(data)
    if sets[0].class_names != checkpoint.class_names:
        raise InputError("--truth: the data's classes are not the checkpoint's; give the data that it was made for")
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
