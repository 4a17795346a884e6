"""Which names are names of images, by their suffix. Imports nothing of the project."""

from __future__ import annotations

_SUFFIXES = """
.jpg .jpeg .jpe .jfif .jp2 .jpx .j2k .png .apng .bmp .dib .gif .tif .tiff .webp .avif .heic .heif .hif .ppm .pgm .pbm
.pnm .tga .ico .pcx .psd .qoi .sgi .rgb .dds
"""
IMAGE_SUFFIXES = frozenset(_SUFFIXES.split())
"""Suffixes of images, in lower case."""


def has_image_suffix(name: str) -> bool:
    """Whether a name ends like an image."""
    return split_suffix(name)[1].lower() in IMAGE_SUFFIXES


def split_suffix(name: str) -> tuple[str, str]:
    """A name or path without its suffix, and the suffix; empty if it has none. Many times faster than `Path`."""
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if stem and "/" not in suffix else (name, "")
