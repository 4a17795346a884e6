"""The built-in data set: synthetic scenes in COCO format, drawn once from a seed, so that a search needs no download.

Each scene has a setting (sky, pitch, street, table). The setting is not drawn; it decides the objects of the scene:

- Eight *plain* classes each have their own glyph, near a usual hue, with a side of 1/5 to 1/2 of the image's side.
- Five *shared* classes use two glyphs: a disc is a sun, a ball or a plate, and a ring is a wheel or a hoop. Only the
  plain classes in the same scene tell which. This tests the relevance between classes (the attention branch).
- Two *texture* classes, water and grass, are labels only if they cover a wide area. Small patches of the same texture
  are clutter. This tests the number of pixels to pool and the use of low pixels (k+, k- and alpha).

All scenes have clutter: blurred blobs, lines and noise.
"""

from __future__ import annotations

import colorsys
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from decouplenet.atomic_files import replace_folder
from decouplenet.data.cache import build_lock, cache_folder

# Setting -> its possible classes with their probabilities. The first is always present and tells shared glyphs apart.
SETTINGS: dict[str, dict[str, float]] = {
    "sky": {"kite": 1.0, "sun": 0.7, "star": 0.4, "water": 0.45, "tree": 0.25},
    "pitch": {"flag": 1.0, "ball": 0.7, "hoop": 0.4, "grass": 0.5, "tree": 0.35},
    "street": {"house": 1.0, "wheel": 0.7, "sign": 0.45, "tree": 0.35, "flag": 0.15},
    "table": {"cup": 1.0, "plate": 0.7, "fork": 0.5, "star": 0.1, "water": 0.15},
}
CLASS_NAMES = tuple(sorted({name for contents in SETTINGS.values() for name in contents}))
GLYPHS = {"sun": "disc", "ball": "disc", "plate": "disc", "wheel": "ring", "hoop": "ring"}
TEXTURES = ("grass", "water")
# The usual hue of each glyph. Hues overlap and clutter has all hues, so a model needs the shape as well.
HUES = {"disc": 0.12, "ring": 0.62, "kite": 0.95, "star": 0.17, "tree": 0.36, "flag": 0.55, "house": 0.04}
HUES |= {"sign": 0.0, "cup": 0.8, "fork": 0.7}
_VERSION = 1  # change it with the drawing, so that the scenes go to a new folder


def ensure_scenes(cache: str, count: int, seed: int) -> Path:
    """The folder of `count` scenes, drawn if it does not exist: `images/` and `instances_{train,val}.json`.

    Args:
        cache: the cache folder; `none` uses the default folder, because the scenes must be stored.
        count: number of scenes; a fifth of them are for validation.
        seed: the same seed gives the same files.

    Raises:
        InputError: the cache folder cannot be created, written to or locked.
    """
    root = cache_folder("~/.cache/decouplenet" if cache == "none" else cache)
    folder = root / f"synthetic-v{_VERSION}-{count}-seed{seed}"
    if not folder.exists():
        with build_lock(folder):
            if not folder.exists():
                with replace_folder(folder) as partial:
                    write_scenes(partial, count, seed)
    return folder


def val_scenes(count: int) -> int:
    """The number of scenes, of `count`, that are for validation."""
    return count // 5


def write_scenes(folder: Path, count: int, seed: int) -> None:
    """Draw `count` scenes into `folder`, in COCO format."""
    (folder / "images").mkdir(parents=True)
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASS_NAMES, start=1)]
    ids = {category["name"]: category["id"] for category in categories}
    val_from = count - val_scenes(count)
    for split, scenes in (("train", range(val_from)), ("val", range(val_from, count))):
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for scene in scenes:
            picture, objects = draw_scene(np.random.default_rng([seed, scene]))
            name = f"{scene:06d}.jpg"
            picture.save(folder / "images" / name, quality=90)
            images.append({"id": scene, "file_name": name, "width": picture.width, "height": picture.height})
            for label, (x, y, w, h) in objects:
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": scene,
                        "category_id": ids[label],
                        "bbox": [x, y, w, h],
                        "area": w * h,
                        "iscrowd": 0,
                    }
                )
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / f"instances_{split}.json").write_text(json.dumps(content))


def draw_scene(rng: np.random.Generator) -> tuple[Any, list[tuple[str, tuple[int, int, int, int]]]]:
    """A scene: a PIL image of about 96×96 pixels, and its objects as (class, (x, y, width, height))."""
    from PIL import Image, ImageDraw, ImageFilter

    width, height = (int(v) for v in rng.integers(88, 113, 2))
    image = Image.new("RGB", (width, height), _colour(rng, saturation=(0.0, 0.3)))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 6))):  # a background of blurred blobs
        x, y, r = int(rng.integers(0, width)), int(rng.integers(0, height)), int(rng.integers(10, 40))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=_colour(rng, saturation=(0.0, 0.4)))
    image = image.filter(ImageFilter.GaussianBlur(4))
    draw = ImageDraw.Draw(image)

    contents = SETTINGS[str(rng.choice(list(SETTINGS)))]
    present = [name for name, chance in contents.items() if rng.random() < chance]
    objects: list[tuple[str, tuple[int, int, int, int]]] = []
    for name in (name for name in present if name in TEXTURES):
        w, h = width, int(height * rng.uniform(0.35, 0.6))
        y = int(rng.choice([0, height - h]))
        _texture(draw, name, (0, y, w, h), rng)
        objects.append((name, (0, y, w, h)))
    for _ in range(int(rng.integers(0, 4))):  # small patches of texture, which are not objects
        w, h = (int(v) for v in rng.integers(8, 20, 2))
        x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
        _texture(draw, str(rng.choice(TEXTURES)), (x, y, w, h), rng)
    for _ in range(int(rng.integers(1, 5))):  # lines
        ends = [int(v) for v in rng.integers(0, min(width, height), 4)]
        draw.line(ends, fill=_colour(rng), width=int(rng.integers(1, 3)))
    for name in (name for name in present if name not in TEXTURES):
        for _ in range(1 + int(rng.random() < 0.3)):
            side = int(min(width, height) * math.exp(rng.uniform(math.log(1 / 5), math.log(0.5))))
            x, y = int(rng.integers(0, width - side)), int(rng.integers(0, height - side))
            _glyph(draw, GLYPHS.get(name, name), (x, y, side), rng)
            objects.append((name, (x, y, side, side)))
    noise = rng.normal(0, 6, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)), objects


def _colour(
    rng: np.random.Generator, hue: float | None = None, saturation: tuple[float, float] = (0.5, 1.0)
) -> tuple[int, int, int]:
    """A random colour, near `hue` if it is given."""
    h = rng.random() if hue is None else (hue + rng.normal(0, 0.04)) % 1
    r, g, b = colorsys.hsv_to_rgb(h, rng.uniform(*saturation), rng.uniform(0.35, 1.0))
    return int(r * 255), int(g * 255), int(b * 255)


def _texture(draw: Any, name: str, box: tuple[int, int, int, int], rng: np.random.Generator) -> None:
    """Draw waves for water or blades for grass, in thin lines over the image."""
    x, y, w, h = box
    tint = _colour(rng)
    for row in range(y, y + h, 4):
        for column in range(x, x + w, 6):
            if name == "water":
                draw.arc((column, row, column + 6, row + 4), 0, 180, fill=tint)
            else:
                draw.line((column, row + 4, column + int(rng.integers(-1, 4)), row), fill=tint)


def _glyph(draw: Any, glyph: str, box: tuple[int, int, int], rng: np.random.Generator) -> None:
    """Draw a glyph into the square `box` (x, y, side), in a colour near its usual hue."""
    x, y, s = box
    fill, line = _colour(rng, HUES[glyph]), _colour(rng)
    thick = max(2, s // 6)

    def polygon(*points: tuple[float, float]) -> None:
        draw.polygon([(x + px * s, y + py * s) for px, py in points], fill=fill, outline=line)

    def bar(x0: float, y0: float, x1: float, y1: float) -> None:
        draw.rectangle((x + x0 * s, y + y0 * s, x + x1 * s, y + y1 * s), fill=fill, outline=line)

    if glyph == "disc":
        draw.ellipse((x, y, x + s, y + s), fill=fill, outline=line)
    elif glyph == "ring":
        draw.ellipse((x, y, x + s, y + s), outline=fill, width=thick)
    elif glyph == "kite":
        polygon((0.5, 0), (0.85, 0.35), (0.5, 1), (0.15, 0.35))
    elif glyph == "star":
        corners = [(0.5 if i % 2 == 0 else 0.2, math.pi * (i / 5 - 0.5)) for i in range(10)]
        polygon(*((0.5 + r * math.cos(a), 0.5 + r * math.sin(a)) for r, a in corners))
    elif glyph == "tree":
        bar(0.42, 0.6, 0.58, 1)
        polygon((0.5, 0), (0.9, 0.7), (0.1, 0.7))
    elif glyph == "flag":
        bar(0.1, 0, 0.2, 1)
        bar(0.2, 0, 0.95, 0.5)
    elif glyph == "house":
        bar(0.1, 0.45, 0.9, 1)
        polygon((0, 0.45), (0.5, 0), (1, 0.45))
    elif glyph == "sign":
        bar(0.0, 0.38, 1, 0.62)
        bar(0.38, 0, 0.62, 1)
    elif glyph == "cup":
        draw.arc((x + 0.5 * s, y + 0.2 * s, x + s, y + 0.7 * s), -90, 90, fill=fill, width=thick)
        polygon((0.0, 0.1), (0.75, 0.1), (0.6, 1), (0.15, 1))
    elif glyph == "fork":
        bar(0.42, 0.4, 0.58, 1)
        for tine in (0.2, 0.45, 0.7):
            bar(tine, 0, tine + 0.1, 0.4)
        bar(0.2, 0.36, 0.8, 0.48)
    else:
        raise ValueError(f"no glyph '{glyph}'")
