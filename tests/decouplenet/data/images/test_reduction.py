"""How many pixels of an image are decoded."""

import warnings

import numpy as np
import pytest
from PIL import Image

from decouplenet.data.images.decoding import Decoding, decode, decode_square, open_photo
from decouplenet.errors import InputError
from tests.decouplenet.data.images.image_files import SCENE, content_of, square_of, tiff


@pytest.fixture
def small_limit(monkeypatch):
    """Pillow's limit of pixels at 50, of which it warns, and its error at twice as many."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "TIFF", "BMP", "GIF"])
def test_max_pixels_is_the_only_limit(small_limit, format_):
    content = content_of(Image.new("RGB", (20, 20), "white"), format_)
    assert (decode_square("1", 20, content=content) == 255).all()
    with pytest.raises(InputError) as error:
        decode_square("1.img", 20, Decoding(max_pixels=399), content)
    assert str(error.value) == (
        "1.img: has 400 pixels to decode (it is 20×20), more than data.max_pixels: 399; "
        "raise that, or replace it with a smaller image"
    )


def test_dark_colours_above_pillows_limit_keep_their_low_bits(small_limit):
    decoded = decode("1", 8, content=tiff(SCENE.astype(np.uint16)))
    assert np.array_equal(decoded.pixels, square_of(SCENE))


def test_max_pixels_counts_what_is_left_of_a_reduced_jpeg(small_limit):
    content = content_of(Image.new("RGB", (160, 160), "white"), "JPEG")
    decoded = decode("1", 20, Decoding(max_pixels=400), content)
    assert (decoded.pixels == 255).all()
    assert (decoded.width, decoded.height) == (160, 160)
    with pytest.raises(InputError, match=r"has 400 pixels to decode \(it is 160×160\), .*data\.max_pixels: 399"):
        decode("1", 20, Decoding(max_pixels=399), content)


def test_a_progressive_jpeg_is_not_cheaper_when_it_is_reduced():
    content = content_of(Image.new("RGB", (160, 160), "white"), "JPEG", progressive=True)
    with pytest.raises(InputError, match=r"has 25600 pixels to decode \(it is 160×160\)"):
        decode("1", 20, Decoding(max_pixels=400), content)


def test_a_photo_at_its_own_size_is_reduced_only_as_far_as_max_pixels_asks():
    content = content_of(Image.new("RGB", (160, 161), "white"), "JPEG")
    sizes = [open_photo("1", Decoding(max_pixels=n), content).size for n in (25760, 25759, 6480, 6479, 420)]
    assert sizes == [(160, 161), (80, 81), (80, 81), (40, 41), (20, 21)]
    with pytest.raises(InputError, match=r"has 420 pixels"):
        open_photo("1", Decoding(max_pixels=419), content)


def test_a_jpeg_is_decoded_at_the_resolution_that_is_needed(monkeypatch):
    sizes = []
    resize = Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda image, *args: (sizes.append(image.size), resize(image, *args))[1])
    decode("1", 8, content=content_of(Image.new("RGB", (320, 240)), "JPEG"))
    assert sizes == [(40, 30)]
