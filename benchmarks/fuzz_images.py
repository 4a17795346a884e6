"""Real images of every format that Pillow reads, damaged at random: each is decoded, or refused in one line.

    python -m benchmarks.fuzz_images [--files 20000] [--seed 0] [--json FILE] [--save FOLDER]

Small photos are written in each format that Pillow can write here, in several modes and compressions; small files of
the formats that it can only read are built by hand (`benchmarks/rare_images.py`). Each case takes one of them and
damages it: cuts it, changes bytes, bits or numbers, moves, repeats or removes blocks. Then it calls
`decouplenet.data.images.decoding.decode`. Any end but a result or an `InputError` of one line is a failure, also a
crash of the process and more than 20 seconds. The cases run in one other process of limited memory, which is started
again after a crash. A case depends on the seed and its number alone.

The table has one row per format. The exit code is 1 if there was a failure. 20,000 files take about a minute.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import json
import queue
import re
import resource
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.rare_images import rare_images
from decouplenet.data.images.compat import can_open_heif
from decouplenet.data.images.decoding import Decoding, decode
from decouplenet.errors import InputError

PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "coco-mini" / "images"
MODES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "AVIF": [("RGB", {}), ("RGBA", {"quality": 40}), ("L", {})],
    "BLP": [("P", {}), ("P", {"blp_version": "BLP1"})],
    "BMP": [("RGB", {}), ("RGBA", {}), ("L", {}), ("P", {}), ("1", {})],
    "DDS": [("RGB", {}), ("RGBA", {}), ("L", {}), *(("RGBA", {"pixel_format": f}) for f in ("DXT1", "DXT3", "DXT5"))],
    "DIB": [("RGB", {}), ("L", {})],
    "EPS": [("RGB", {}), ("L", {})],
    "GIF": [("P", {}), ("L", {}), ("RGB", {}), ("RGBA", {}), ("P", {"transparency": 3}), ("P", {"save_all": True})],
    "HEIF": [("RGB", {}), ("RGBA", {}), ("L", {})],  # with pillow-heif
    "ICNS": [("RGBA", {})],
    "ICO": [("RGBA", {}), ("RGB", {"bitmap_format": "bmp"})],
    "IM": [("RGB", {}), ("L", {}), ("P", {}), ("RGBA", {}), ("F", {}), ("I;16", {}), ("CMYK", {}), ("1", {})],
    "JPEG": [
        *(("RGB", {}), ("L", {}), ("CMYK", {}), ("RGB", {"progressive": True}), ("RGB", {"restart_marker_rows": 1})),
        *(("RGB", {"exif": 6}), ("RGB", {"exif": 3, "icc_profile": b"no profile"}), ("RGB", {"subsampling": 0})),
    ],
    "JPEG2000": [
        *(("RGB", {}), ("L", {}), ("RGBA", {}), ("I;16", {})),
        *(("RGB", {"irreversible": True}), ("RGB", {"no_jp2": True})),
    ],
    "MPO": [("RGB", {"save_all": True})],
    "MSP": [("1", {})],
    "PCX": [("RGB", {}), ("L", {}), ("P", {}), ("1", {})],
    "PDF": [("RGB", {})],
    "PNG": [
        *(("RGB", {}), ("RGBA", {}), ("L", {}), ("LA", {}), ("P", {}), ("1", {}), ("I;16", {})),
        *(("P", {"transparency": 3}), ("L", {"transparency": 9}), ("RGB", {"exif": 8}), ("P", {"bits": 4})),
        *(("RGB", {"icc_profile": b"no profile" * 20}), ("RGBA", {"save_all": True}), ("RGB", {"text": "a" * 300})),
    ],
    "PPM": [("RGB", {}), ("L", {}), ("1", {}), ("I;16", {}), ("F", {}), ("RGBA", {})],
    "QOI": [("RGB", {}), ("RGBA", {})],
    "SGI": [("RGB", {}), ("L", {}), ("RGBA", {}), ("RGB", {"bpc": 2})],
    "SPIDER": [("F", {})],
    "TGA": [("RGB", {}), ("RGBA", {}), ("L", {}), ("P", {}), ("RGB", {"compression": "tga_rle"}), ("LA", {})],
    "TIFF": [
        *(("RGB", {}), ("RGBA", {}), ("L", {}), ("LA", {}), ("P", {}), ("1", {}), ("I;16", {}), ("I", {}), ("F", {})),
        *((m, {"compression": c}) for c in ("tiff_lzw", "tiff_deflate", "packbits") for m in ("RGB", "L", "I;16")),
        *(("CMYK", {}), ("LAB", {}), ("YCbCr", {}), ("RGB", {"compression": "jpeg"}), ("1", {"compression": "group4"})),
        *(("RGB", {"exif": 5}), ("RGB", {"save_all": True}), ("1", {"compression": "group3"})),
    ],
    "WEBP": [
        *(("RGB", {}), ("RGBA", {}), ("RGB", {"lossless": True}), ("RGBA", {"save_all": True}), ("RGB", {"exif": 7})),
    ],
    "XBM": [("1", {})],
}  # fmt: skip
"""Pillow's names of the formats that it writes, with the modes and options to write."""
WORKER = ("-m", "benchmarks.fuzz_images")
"""How Python runs the process that decodes."""
NUMBERS = (0, 1, 2, 3, 8, 16, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
SECONDS = 20.0
"""Maximum time of a case."""
START_SECONDS = 120.0
"""Maximum time until the first case of a process ends: it also writes the images."""
MEMORY = 6 * 2**30
"""Address space of the process that decodes, in bytes."""
IMPROPER = re.compile(r"object at|0x[0-9a-f]{6}|\n|Traceback|NoneType")
"""What no message may contain."""


class Sample(NamedTuple):
    """An image before it is damaged."""

    format: str
    name: str
    content: bytes


class Case(NamedTuple):
    """A damaged image and how to decode it."""

    sample: Sample
    content: bytes
    size: int
    exif: bool


class Outcome(NamedTuple):
    """What happened to a case."""

    number: int
    kind: str
    """decoded, refused or failed."""
    message: str


def make_samples() -> list[Sample]:
    """Small images in every format."""
    from PIL import Image

    files = sorted(PHOTOS.glob("*.jpg"))[:1] if PHOTOS.is_dir() else []
    photos = [Image.open(file).convert("RGB").resize((61, 47)) for file in files] or [_drawing()]
    samples = [Sample(kind, f"{kind} by hand", content) for kind, content in rare_images(photos[0])]
    Image.init()
    can_open_heif()
    for kind, forms in MODES.items():
        for mode, options in forms if kind in Image.SAVE else []:
            name = " ".join([kind, mode, *(f"{key}={str(value)[:12]}" for key, value in options.items())])
            samples.append(Sample(kind, name, _written(photos[0], kind, mode, dict(options))))
    return samples


def _drawing() -> Any:
    """A picture where there are no photos."""
    from PIL import Image

    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8)).resize((61, 47), Image.Resampling.BICUBIC)
    noise = rng.integers(-9, 9, (47, 61, 3))
    return Image.fromarray((np.asarray(coarse).astype(int) + noise).clip(0, 255).astype(np.uint8))


def _written(photo: Any, kind: str, mode: str, options: dict[str, Any]) -> bytes:
    """The content of a photo's file in a format and mode."""
    from PIL import Image, PngImagePlugin

    if mode in ("I;16", "I", "F"):
        grey = np.asarray(photo.convert("L"))
        image = Image.fromarray(
            {"I;16": grey.astype(np.uint16) * 16, "I": grey.astype(np.int32), "F": grey / 255}[mode]
        )
        image = Image.fromarray((grey / 255).astype(np.float32)) if mode == "F" else image
    elif mode == "LA":
        image = photo.convert("L").convert("LA")
    else:
        image = photo.convert(mode)
    if mode.endswith("A"):
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    if "exif" in options:
        exif = Image.Exif()
        exif[0x0112], exif[0x010F] = options.pop("exif"), "camera"
        exif.get_ifd(0x8769)[0x9003] = "2026:01:01 00:00:00"
        options["exif"] = exif
    if "text" in options:
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_text("Comment", options.pop("text"), zip=True)
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", 'tiff:Orientation="6"')
    if options.get("save_all"):
        options["append_images"] = [image.rotate(90, expand=False)]
    if kind == "ICNS":
        image = image.resize((32, 32))
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def make_case(samples: list[Sample], seed: int, number: int) -> Case:
    """A case by its number: a random sample of any format, damaged in one to three ways."""
    rng = np.random.default_rng([seed, number])
    sample = samples[rng.integers(len(samples))]
    if rng.integers(2):
        kinds = sorted({sample.format for sample in samples})
        kind = kinds[rng.integers(len(kinds))]
        choices = [sample for sample in samples if sample.format == kind]
        sample = choices[rng.integers(len(choices))]
    content = bytearray(sample.content)
    for _ in range(rng.integers(1, 4)):
        damage(content, rng)
    return Case(sample, bytes(content), int(rng.integers(8, 65)), bool(rng.integers(4)))


def damage(content: bytearray, rng: np.random.Generator) -> None:
    """Damage a file's content in place, in one of nine ways; half of the times in its first 256 bytes."""
    if not content:
        return
    end = len(content) if rng.integers(2) else min(256, len(content))
    start = int(rng.integers(end))
    length = int(min(rng.integers(1, 1 + int(rng.choice([4, 64, 1024]))), len(content) - start))
    match rng.integers(9):
        case 0:
            del content[start:]
        case 1:
            content[start : start + length] = bytes(length)
        case 2:
            content[start : start + length] = rng.integers(0, 256, length, np.uint8).tobytes()
        case 3:
            for i in rng.integers(0, end, rng.integers(1, 20)):
                content[i] ^= 1 << int(rng.integers(8))
        case 4:
            content[start:start] = content[start : start + length]
        case 5:
            del content[start : start + length]
        case 6:  # a number: sizes, offsets and counts have 2 or 4 bytes
            size = int(rng.choice([2, 4]))
            number = int(rng.choice(NUMBERS)) % 256**size
            content[start : start + size] = number.to_bytes(size, "big" if rng.integers(2) else "little")
        case 7:
            for i in rng.integers(0, end, rng.integers(1, 5)):
                content[i] = int(rng.integers(256))
        case _:
            other = int(rng.integers(len(content)))
            content[start : start + length] = content[other : other + length]


def run_case(case: Case, number: int) -> Outcome:
    """Decode a case."""
    try:
        decoded = decode("photo", case.size, Decoding(exif=case.exif), case.content)
    except InputError as error:
        message = str(error)
        proper = message.startswith("photo: ") and "; " in message and not IMPROPER.search(message)
        return Outcome(number, "refused" if proper else "failed", message)
    except BaseException as error:
        return Outcome(number, "failed", f"{type(error).__name__}: {error}")
    fits = decoded.pixels.shape == (case.size, case.size, 3) and decoded.pixels.dtype == np.uint8
    return Outcome(number, "decoded" if fits else "failed", "; ".join(decoded.notes))


def work(seed: int, first: int, end: int) -> None:
    """Run cases in this process and print the outcome of each as a line of JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    samples = make_samples()
    for number in range(first, end):
        print(json.dumps(run_case(make_case(samples, seed, number), number)), flush=True)


def outcomes(seed: int, count: int) -> Iterator[Outcome]:
    """Run all cases in another process, which is started again after each crash."""
    number = 0
    while number < count:
        options = [f"--{name}={value}" for name, value in (("seed", seed), ("files", count), ("work", number))]
        worker = subprocess.Popen(  # noqa: S603 - this module
            [sys.executable, *WORKER, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_read_lines, args=(worker.stdout, lines), daemon=True).start()
        limit, line = START_SECONDS, "?"
        while number < count and line:
            try:
                line = lines.get(timeout=limit)
            except queue.Empty:
                worker.kill()
                yield Outcome(number, "failed", f"takes over {limit:.0f} s")
                number += 1
                break
            if line:
                yield Outcome(*json.loads(line))
            else:
                yield Outcome(number, "failed", f"the process ended with {worker.wait()}")
            number += 1
            limit = SECONDS
        worker.kill()
        worker.wait()


def _read_lines(stream: Any, lines: queue.Queue[str]) -> None:
    """Put a stream's lines into a queue, then an empty text."""
    for line in stream:
        lines.put(line)
    lines.put("")


def table(counts: dict[str, collections.Counter[str]]) -> str:
    """The number of files by format and outcome."""
    header = ("format", "files", "decoded", "refused", "failures")
    rows = [(kind, c.total(), c["decoded"], c["refused"], c["failed"]) for kind, c in sorted(counts.items())]
    rows.append(("all", *(sum(row[i] for row in rows) for i in range(1, 5))))
    return "\n".join(f"{row[0]:10}" + "".join(f"{value:>10}" for value in row[1:]) for row in (header, *rows))


def main(arguments: list[str] | None = None) -> int:
    """Run the cases and print the table. Returns 1 if there was a failure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=20_000, help="number of damaged files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", help="file for the counts, the failures and the messages with their counts")
    parser.add_argument("--save", help="folder for the files that failed")
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work is not None:
        work(options.seed, options.work, options.files)
        return 0
    started, samples = time.perf_counter(), make_samples()
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    messages: collections.Counter[str] = collections.Counter()
    failures = []
    for number, kind, message in outcomes(options.seed, options.files):
        case = make_case(samples, options.seed, number)
        counts[case.sample.format][kind] += 1
        messages[f"{kind} {case.sample.format}: {message}"] += 1
        if kind == "failed":
            failures.append({"seed": options.seed, "case": number, "sample": case.sample.name, "message": message})
            print(f"failure: seed {options.seed}, case {number}, {case.sample.name}: {message}", flush=True)
            if options.save:
                Path(options.save).mkdir(parents=True, exist_ok=True)
                (Path(options.save) / f"{options.seed}-{number}").write_bytes(case.content)
    print(table(counts))
    print(f"{len(failures)} failures, {time.perf_counter() - started:.0f} s")
    if options.json:
        content = {"counts": counts, "failures": failures, "messages": messages.most_common()}
        Path(options.json).write_text(json.dumps(content, indent=1) + "\n")
    return int(bool(failures))


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
