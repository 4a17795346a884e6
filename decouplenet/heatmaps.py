"""The paper's Fig. 2: class maps drawn over their image.

A class map is the class-wise maximum over the m maps, before attention and pooling. It is drawn at the image's size,
from its lowest value (blue, transparent) to its highest (red).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from decouplenet.data.images.decoding import as_rgb

COLOURS = ((0, 0, 143), (0, 80, 255), (0, 220, 255), (255, 230, 0), (255, 40, 0), (140, 0, 0))
"""RGB colours from the lowest to the highest value."""
OPACITY = 0.6
"""Opacity of the colour at the highest value."""
PANEL_HEIGHT = 256
"""Height of a panel's image in pixels."""
LINE_HEIGHT = 18
"""Height of a caption's line in pixels."""
MIN_PANEL_WIDTH = 130
"""Minimum width of a panel in pixels, so that captions fit."""
GAP = 6
"""Pixels between two panels."""


def upsample(maps: Tensor, width: int, height: int) -> Tensor:
    """Class maps C×h×w resized bilinearly to an image's size, C×height×width."""
    return F.interpolate(maps[None].float(), (height, width), mode="bilinear", align_corners=False)[0]


def overlay(image: NDArray[np.uint8], class_map: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Draw a class map (H×W) over an image (H×W×3)."""
    low, high = float(class_map.min()), float(class_map.max())
    strength = (class_map - low) / (high - low) if high > low else np.zeros_like(class_map)
    steps = np.linspace(0, 1, len(COLOURS))
    colour = np.stack([np.interp(strength, steps, channel) for channel in np.array(COLOURS, float).T], axis=2)
    opacity = (0.25 + 0.75 * strength)[:, :, None] * OPACITY
    mixed: NDArray[np.uint8] = np.round((1 - opacity) * image + opacity * colour).astype(np.uint8)
    return mixed


def heatmap_figure(
    image: Any,
    maps: Tensor,
    class_names: Sequence[str],
    scores: Sequence[float],
    chosen: Sequence[str],
    truth: Collection[str] | None = None,
) -> Any:
    """A figure of panels side by side: the image with its labels, then one class map and score per chosen class.

    Args:
        image: a PIL image, upright; `decoding.open_photo` gives one.
        maps: its class maps, C×h×w.
        class_names: C names.
        scores: C probabilities.
        chosen: the classes to draw.
        truth: the image's labels; None if they are not known.

    Returns:
        A PIL image.
    """
    width = min(max(1, round(image.width * PANEL_HEIGHT / image.height)), 4 * PANEL_HEIGHT)
    picture = as_rgb(image).resize((width, PANEL_HEIGHT))
    pixels = np.asarray(picture)
    indices = [list(class_names).index(name) for name in chosen]
    large_maps = upsample(maps[indices], picture.width, picture.height).cpu().numpy()
    labels = "not known" if truth is None else ", ".join(sorted(truth)) or "none"
    panels = [(pixels, f"ground truth:\n{labels}")]
    for name, c, class_map in zip(chosen, indices, large_maps, strict=True):
        caption = f"{name} {scores[c]:.2f}"
        if truth is not None:
            caption += "\nin the ground truth" if name in truth else "\nnot in the ground truth"
        panels.append((overlay(pixels, class_map), caption))
    return _side_by_side(panels, max(picture.width, MIN_PANEL_WIDTH))


def _side_by_side(panels: Sequence[tuple[NDArray[np.uint8], str]], width: int) -> Any:
    """A PIL image of panels of one width, each with its caption below."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(13)
    captions = [_wrapped(caption, font, width) for _, caption in panels]
    line_count = max(len(lines) for lines in captions)
    size = ((width + GAP) * len(panels) - GAP, PANEL_HEIGHT + line_count * LINE_HEIGHT + 4)
    figure = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(figure)
    for i, ((pixels, _), lines) in enumerate(zip(panels, captions, strict=True)):
        left = i * (width + GAP)
        figure.paste(Image.fromarray(pixels), (left, 0))
        for j, line in enumerate(lines):
            draw.text((left, PANEL_HEIGHT + 2 + j * LINE_HEIGHT), line, fill="black", font=font)
    return figure


def _wrapped(text: str, font: Any, width: int) -> list[str]:
    """The lines of a text, broken between words where they would be wider than `width` pixels."""
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
