"""The paper's Fig. 2: class maps over the image they are of.

A class map is what is left after the class-wise maximum over the m maps, before attention and pooling; it is drawn at
the image's size, from its lowest value (blue, transparent) to its highest (red).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from decouplenet.data.cache import as_rgb

COLOURS = ((0, 0, 143), (0, 80, 255), (0, 220, 255), (255, 230, 0), (255, 40, 0), (140, 0, 0))
"""From the lowest to the highest value."""
STRENGTH = 0.6
"""How much of the image its highest value covers."""
HEIGHT = 256
"""Pixels of a panel's image."""
LINE = 18
"""Pixels of a line of a caption."""


def upsample(maps: Tensor, width: int, height: int) -> Tensor:
    """Class maps C×h×w at an image's size, C×height×width, bilinearly."""
    return F.interpolate(maps[None].float(), (height, width), mode="bilinear", align_corners=False)[0]


def overlay(image: NDArray[np.uint8], class_map: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """An image H×W×3 with a class map H×W over it."""
    low, high = float(class_map.min()), float(class_map.max())
    place = (class_map - low) / (high - low) if high > low else np.zeros_like(class_map)
    at = np.linspace(0, 1, len(COLOURS))
    colour = np.stack([np.interp(place, at, channel) for channel in np.array(COLOURS, float).T], axis=2)
    cover = (0.25 + 0.75 * place)[:, :, None] * STRENGTH
    mixed: NDArray[np.uint8] = np.round((1 - cover) * image + cover * colour).astype(np.uint8)
    return mixed


def heatmap_figure(
    image: Any,
    maps: Tensor,
    class_names: Sequence[str],
    scores: Sequence[float],
    chosen: Sequence[str],
    truth: Collection[str] | None = None,
) -> Any:
    """Several classes side by side: the image with its labels, then each class's map over it with its score.

    Args:
        image: a PIL image.
        maps: its class maps, C×h×w.
        class_names: C names.
        scores: C probabilities.
        chosen: the classes to draw.
        truth: the image's labels; None where they are not known.

    Returns:
        A PIL image.
    """
    from PIL import Image, ImageDraw, ImageFont

    width = min(max(1, round(image.width * HEIGHT / image.height)), 4 * HEIGHT)
    picture = as_rgb(image).resize((width, HEIGHT))
    pixels = np.asarray(picture)
    places = [list(class_names).index(name) for name in chosen]
    large = upsample(maps[places], picture.width, picture.height).cpu().numpy()
    labels = "not known" if truth is None else ", ".join(sorted(truth)) or "none"
    panels = [(pixels, ["ground truth:", labels])]
    for name, c, own in zip(chosen, places, large, strict=True):
        said = [] if truth is None else ["in the ground truth" if name in truth else "not in the ground truth"]
        panels.append((overlay(pixels, own), [f"{name} {scores[c]:.2f}", *said]))
    font = ImageFont.load_default(13)
    gap, width = 6, max(picture.width, 130)
    lines = [_wrapped(text, font, width) for _, texts in panels for text in ["\n".join(texts)]]
    deep = max(len(each) for each in lines)
    whole = Image.new("RGB", ((width + gap) * len(panels) - gap, HEIGHT + deep * LINE + 4), "white")
    draw = ImageDraw.Draw(whole)
    for i, ((pane, _), caption) in enumerate(zip(panels, lines, strict=True)):
        whole.paste(Image.fromarray(pane), (i * (width + gap), 0))
        for j, line in enumerate(caption):
            draw.text((i * (width + gap), HEIGHT + 2 + j * LINE), line, fill="black", font=font)
    return whole


def _wrapped(text: str, font: Any, width: int) -> list[str]:
    """Lines of at most some pixels, broken between words."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines
