"""Decoding: the right pixels of each mode, depth and orientation; one line about whatever cannot be decoded."""

import errno
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from decouplenet.config import DataConfig
from decouplenet.data.images.decoding import Decoding, as_rgb, decode, decode_square
from decouplenet.errors import InputError
from tests.decouplenet.data.images.image_files import (
    SCENE,
    content_of,
)


def test_decode_warps_to_a_square_of_rgb(tmp_path):
    Image.new("L", (30, 10), 77).save(tmp_path / "grey.png")
    pixels = decode_square(tmp_path / "grey.png", 16)
    assert pixels.shape == (16, 16, 3)
    assert (pixels == 77).all()
    decoded = decode(tmp_path / "grey.png", 16)
    assert decoded[1:] == (30, 10, False, ())


def test_a_missing_file_and_an_address_that_fails_are_named(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"1\.jpg: cannot be read \(No such file or directory\); put it there or"):
        decode(tmp_path / "1.jpg", 8)

    def read(place):
        raise OSError(errno.EIO, "Service Unavailable")

    monkeypatch.setattr("decouplenet.data.images.decoding.read_bytes", read)
    with pytest.raises(InputError, match=r"^https://h/3\.jpg: cannot be read \(Service Unavailable\)"):
        decode("https://h/3.jpg?sig=KEY", 8)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "YCbCr", "LAB"])
def test_every_common_mode_becomes_rgb(tmp_path, mode):
    Image.new("RGB", (9, 7), "white").convert(mode).save(tmp_path / "image.tiff")
    assert (decode_square(tmp_path / "image.tiff", 8) >= (254 if mode == "LAB" else 255)).all()


@pytest.mark.parametrize("mode", ["HSV", "PA", "La", "RGBa"])
def test_modes_of_images_in_memory_become_rgb(mode):
    image = Image.new("LA" if mode == "La" else "RGBA", (9, 7), "white")
    assert np.asarray(as_rgb(image.convert(mode))).tolist() == np.full((7, 9, 3), 255).tolist()


def test_the_config_says_how_to_decode():
    assert Decoding.of(DataConfig()) == Decoding()
    config = DataConfig(exif=False, background="black", max_pixels=9)
    assert Decoding.of(config) == Decoding(exif=False, background="black", max_pixels=9)


def test_a_damaged_avif_is_an_input_error():
    content = bytearray(content_of(Image.fromarray(SCENE).resize((64, 48)), "AVIF"))
    start = content.index(b"mdat") + 8
    content[start : start + 40] = bytes(40)
    with pytest.raises(InputError, match=r"^1\.avif: cannot be decoded \(.*\); replace it or leave it out$"):
        decode("1.avif", 8, content=bytes(content))


ERRORS = [
    OSError("broken data stream when reading image file"),
    RuntimeError("Failed to decode frame 0"),
    MemoryError(),
    struct.error("unpack requires a buffer of 4 bytes"),
    zlib.error("Error -3 while decompressing data"),
    IndexError("index out of range"),
    OverflowError("Python int too large to convert to C long"),
    TypeError("'NoneType' object is not subscriptable"),
    TypeError("unsupported operand type(s) for +: 'int' and 'str'"),
    KeyError(7),
    ZeroDivisionError("division by zero"),
    AssertionError(),
    RecursionError("maximum recursion depth exceeded"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    EOFError("no more images in GIF file"),
    ValueError("cannot read <_io.BytesIO object at 0x7f0000000000>\nsecond line"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["open", "draft", "load", "convert", "resize"])
def test_any_error_of_a_decoder_is_the_images_fault(error, where, monkeypatch):
    def fail(*_, **__):
        raise error

    from PIL import JpegImagePlugin

    owner, name = (JpegImagePlugin.JpegImageFile, "_open") if where == "open" else (Image.Image, where)
    owner = JpegImagePlugin.JpegImageFile if where == "draft" else owner
    content = content_of(Image.new("L", (20, 20)), "JPEG")
    monkeypatch.setattr(owner, name, fail)
    with pytest.raises(InputError, match=r"^1\.jpg: cannot be decoded \(") as caught:
        decode("1.jpg", 8, content=content)
    message = str(caught.value)
    assert message.endswith("; replace it or leave it out")
    words = (
        "object",
        "0x",
        "NoneType",
        "unpack",
        "index",
        "Python",
        "codec",
        "subscript",
        "recursion",
        "\n",
        "operand",
    )
    assert not [word for word in words if word in message]
    assert ("there is not enough memory for it" in message) == isinstance(error, MemoryError)


def test_an_interrupt_is_not_the_images_fault(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "convert", interrupt)
    with pytest.raises(KeyboardInterrupt):
        decode("1.jpg", 8, content=content_of(Image.new("L", (20, 20)), "JPEG"))
