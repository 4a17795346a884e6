"""Photos that a camera held on its side: turned upright, or left as they are stored."""

import warnings

import numpy as np
import pytest
from PIL import Image

from decouplenet.data.images.decoding import Decoding, decode, open_photo
from tests.decouplenet.data.images.image_files import SCENE, content_of, square_of, turned_back


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright(orientation, format_):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = turned_back(SCENE, orientation)
    options = {"exif": exif} | ({"lossless": True} if format_ == "WEBP" else {})
    content = content_of(Image.fromarray(stored), format_, **options)
    decoded = decode("1", 8, content=content)
    assert np.array_equal(decoded.pixels, square_of(SCENE))
    assert (decoded.width, decoded.height, decoded.turned) == (16, 12, orientation != 1)
    as_is = decode("1", 8, Decoding(exif=False), content)
    assert np.array_equal(as_is.pixels, square_of(stored))
    assert (as_is.width, as_is.height, as_is.turned) == (*stored.shape[1::-1], False)
    assert np.array_equal(np.asarray(open_photo("1", content=content)), SCENE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_reduced_and_turned_upright(orientation, monkeypatch):
    scene = np.asarray(Image.fromarray(SCENE).resize((320, 240), Image.Resampling.BICUBIC))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(turned_back(scene, orientation))
    decoded = decode("1", 8, content=content_of(stored, "JPEG", exif=exif, quality=95))
    assert np.abs(decoded.pixels.astype(int) - square_of(scene)).max() < 8
    assert (decoded.width, decoded.height, decoded.turned) == (320, 240, orientation != 1)


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\x03\0\0\0\x01\0\x09\0\0" * 2,
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0abc\0\0\0\0\0",
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x05\0\x01\0\0\0\xff\xff\xff\x7f\0\0\0\0",
        b"Exif\0\0no TIFF at all",
    ],
)
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_counts_as_none(exif, format_):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of some
        decoded = decode("1", 8, content=content_of(Image.fromarray(SCENE), format_, exif=exif))
    assert not decoded.turned
    assert np.abs(decoded.pixels.astype(int) - square_of(SCENE)).max() < 30
