"""Transparent images on a background."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from decouplenet.data.images.background import rgb_of
from decouplenet.data.images.decoding import Decoding, decode, decode_square
from decouplenet.errors import InputError
from tests.decouplenet.data.images.image_files import content_of


def transparent_images():
    """Images of 4×4 pixels, the upper half transparent, the lower half red or grey 200."""
    alpha = np.full((4, 4), 255, np.uint8)
    alpha[:2] = 0
    red = Image.new("RGB", (4, 4), (200, 0, 0))
    red.putalpha(Image.fromarray(alpha))
    grey = Image.new("L", (4, 4), 200)
    grey.putalpha(Image.fromarray(alpha))
    yield "RGBA", content_of(red)
    yield "LA", content_of(grey)
    yield (
        "PNG with one transparent colour",
        content_of(
            Image.fromarray(np.where(alpha[..., None] > 0, [200, 0, 0], [1, 2, 3]).astype(np.uint8)),
            transparency=(1, 2, 3),
        ),
    )
    yield (
        "PNG with one transparent grey",
        content_of(Image.fromarray(np.where(alpha > 0, 200, 7).astype(np.uint8)), transparency=7),
    )
    indices = Image.fromarray((alpha > 0).astype(np.uint8)).convert("P")
    indices.putpalette([0, 0, 0, 200, 0, 0])
    yield "palette with one transparent colour", content_of(indices, transparency=0)
    yield "palette with alpha", content_of(indices, transparency=b"\0\xff")
    yield "GIF", content_of(indices, "GIF", transparency=0)
    yield "WEBP", content_of(red, "WEBP", lossless=True)
    yield "TIFF", content_of(red, "TIFF")
    yield "AVIF", content_of(red.resize((64, 64), Image.Resampling.NEAREST), "AVIF", quality=100)


@pytest.mark.parametrize("content", [pytest.param(content, id=name) for name, content in transparent_images()])
def test_transparent_pixels_show_the_background(content):
    white = decode("1", 4, content=content)
    assert np.abs(white.pixels[0].astype(int) - 255).max() <= 1
    assert abs(int(white.pixels[3, 0, 0]) - 200) <= 3
    assert white.notes == ("its transparent pixels are drawn on white",)
    blue = decode("1", 4, Decoding(background="#0000ff"), content)
    assert np.abs(blue.pixels[0].astype(int) - (0, 0, 255)).max() <= 1
    assert np.abs(blue.pixels[3].astype(int) - white.pixels[3]).max() <= 1


@pytest.mark.parametrize(("depth", "grey"), [(2, 3), (4, 15)])
def test_a_transparent_grey_of_few_bits_is_scaled_with_the_pixels(depth, grey):
    header = struct.pack(">IIBBBBB", 2, 1, depth, 0, 0, 0, 0)
    row = bytes((0, grey << (8 - depth)))  # a filter byte, the transparent grey, then black
    chunks = [(b"IHDR", header), (b"tRNS", struct.pack(">H", grey)), (b"IDAT", zlib.compress(row)), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    assert decode("1", 2, Decoding(background="blue"), content).pixels[0].tolist() == [[0, 0, 255], [0, 0, 0]]


def test_an_opaque_alpha_channel_is_not_worth_a_note():
    decoded = decode("1", 4, content=content_of(Image.new("RGBA", (4, 4), (1, 2, 3, 255))))
    assert (decoded.pixels == (1, 2, 3)).all()
    assert decoded.notes == ()


def test_an_image_that_is_transparent_everywhere_is_noted():
    decoded = decode("1", 4, content=content_of(Image.new("RGBA", (4, 4))))
    assert (decoded.pixels == 255).all()
    assert decoded.notes == ("it is transparent and drawn on white",)


def test_transparent_edges_have_no_dark_fringe():
    image = Image.new("RGBA", (64, 64))  # transparent black
    image.paste((255, 255, 255, 255), (0, 0, 33, 64))
    assert (decode_square("1", 16, content=content_of(image)) == 255).all()


def test_a_text_with_the_name_transparency_is_no_transparency():
    info = PngImagePlugin.PngInfo()
    info.add_text("transparency", "50 %")
    content = content_of(Image.new("RGB", (4, 4), "red"), pnginfo=info)
    assert (decode_square("1", 4, content=content) == (255, 0, 0)).all()


@pytest.mark.parametrize("colour", ["blurple", "#12", "", "#11223344"])
def test_a_background_that_is_no_colour_is_an_input_error(colour):
    with pytest.raises(InputError, match=rf"^data\.background: '{colour}' is no colour; give a name"):
        rgb_of(colour)
    with pytest.raises(InputError, match=r"^data\.background: "):
        decode("1", 4, Decoding(background=colour), content_of(Image.new("RGBA", (4, 4))))


def test_the_background_can_be_a_name_or_numbers():
    for colour in ("white", "DarkSlateGray", "#808080"):
        rgb_of(colour)
