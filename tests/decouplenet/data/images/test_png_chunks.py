"""PNG files with texts that Pillow refuses."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from decouplenet.data.images.decoding import decode
from decouplenet.errors import InputError
from tests.decouplenet.data.images.image_files import SCENE, content_of, square_of, turned_back

LONG = b"x" * (PngImagePlugin.MAX_TEXT_CHUNK + 1)


def text_chunk(kind):
    info = PngImagePlugin.PngInfo()
    data = {
        b"zTXt": b"Comment\0\0" + zlib.compress(LONG),
        b"iTXt": b"Comment\0\1\0\0\0" + zlib.compress(LONG),
    }
    info.add(kind, data[kind])
    return info


@pytest.mark.parametrize(
    ("options", "note"),
    [
        ({"pnginfo": text_chunk(b"zTXt")}, "its text is left out"),
        ({"pnginfo": text_chunk(b"iTXt")}, "its text is left out"),
        ({"icc_profile": LONG}, "its colour profile is left out"),
        ({"icc_profile": LONG, "pnginfo": text_chunk(b"zTXt")}, "its colour profile and text are left out"),
    ],
)
def test_a_png_with_long_texts_is_decoded_without_them(options, note):
    content = content_of(Image.fromarray(SCENE), **options)
    with pytest.raises(ValueError, match="too large"):
        Image.open(io.BytesIO(content))
    decoded = decode("1", 8, content=content)
    assert np.array_equal(decoded.pixels, square_of(SCENE))
    assert decoded.notes == (note,)


def test_the_rest_of_a_png_is_kept_without_its_texts():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(turned_back(SCENE, 6))
    decoded = decode("1", 8, content=content_of(image, pnginfo=text_chunk(b"zTXt"), exif=exif))
    assert np.array_equal(decoded.pixels, square_of(SCENE))
    assert decoded.turned
    damaged = bytearray(content_of(image, pnginfo=text_chunk(b"zTXt")))
    damaged[damaged.index(b"IDAT") + 8] ^= 0xFF
    with pytest.raises(InputError, match="cannot be decoded"):
        decode("1", 8, content=bytes(damaged))
