"""The contract with Pillow: one test per function of `compat.py`, which says what a new version broke."""

import io
import struct
import types
import warnings

import numpy as np
import pytest
from PIL import Image, ImageFile, UnidentifiedImageError

from decouplenet.data.images import compat


def saved(image, format_, **options):
    file = io.BytesIO()
    image.save(file, format_, **options)
    return io.BytesIO(file.getvalue())


FORMATS = ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM", "TGA", "ICO", "JPEG2000", "SGI", "QOI", "PCX"]


@pytest.mark.parametrize("format_", FORMATS)
def test_images_open_as_with_pillows_own_function(format_):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))
    file = saved(image, format_)
    ours, theirs = compat.open_unlimited(file), Image.open(io.BytesIO(file.getvalue()))
    message = "Image.OPEN and Image.ID no longer hold a reader and a test of the first bytes per format"
    assert (ours.format, ours.size) == (theirs.format, theirs.size), message
    assert np.array_equal(np.asarray(ours), np.asarray(theirs)), message


def test_no_limit_of_pixels_holds(monkeypatch):
    file = saved(Image.new("RGB", (20, 20)), "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(file)
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compat.open_unlimited(file).load()


def test_a_reader_of_a_format_says_why_it_does_not_take_a_file():
    with pytest.raises(UnidentifiedImageError, match="^$"):
        compat.open_unlimited(io.BytesIO(b"\x80\x81\x82\x83"))
    png = saved(Image.new("RGB", (20, 20)), "PNG").getvalue()
    with pytest.raises(UnidentifiedImageError, match="^PNG: broken PNG file"):
        compat.open_unlimited(io.BytesIO(png[:20] + b"\xff" + png[21:]))
    with pytest.raises(UnidentifiedImageError, match="^$"):
        compat.open_unlimited(io.BytesIO(png), ("GIF",))


def test_a_format_without_its_library_says_so(monkeypatch):
    """As AVIF does, if Pillow was built without it."""
    monkeypatch.setitem(Image.OPEN, "GIF", (None, lambda prefix: "its support is not installed"))
    with pytest.raises(UnidentifiedImageError, match="^GIF: its support is not installed$"):
        compat.open_unlimited(saved(Image.new("L", (2, 2)), "GIF"))


def test_an_error_is_a_files_own_only_where_its_format_was_seen(monkeypatch):
    def fail(file, name):
        raise ValueError("unsupported")

    monkeypatch.setitem(Image.OPEN, "GIF", (fail, None))
    with pytest.raises(UnidentifiedImageError, match="^$"):
        compat.open_unlimited(io.BytesIO(b"GIF8"), ["GIF"])
    monkeypatch.setitem(Image.OPEN, "GIF", (fail, lambda prefix: True))
    with pytest.raises(ValueError, match="unsupported"):
        compat.open_unlimited(io.BytesIO(b"GIF8"), ["GIF"])


def test_raw_modes_say_how_values_are_stored():
    message = "a tile's arguments no longer begin with the raw mode"
    assert compat.raw_modes(Image.open(saved(Image.new("RGB", (2, 2)), "JPEG"))) == {"RGB"}, message
    assert compat.raw_modes(Image.open(saved(Image.new("RGB", (2, 2)), "PNG"))) == {"RGB"}, message
    assert compat.raw_modes(Image.open(saved(Image.new("1", (2, 2)), "PNG"))) == {"1"}, message
    assert not compat.has_deep_colours(Image.open(saved(Image.new("RGB", (2, 2)), "TIFF")))


class Tiled(ImageFile.ImageFile):
    """An image whose pixels are the file's bytes as they are."""

    def _open(self):
        self._mode, self._size = "RGB", (1, 1)
        self.tile = [ImageFile._Tile("raw", (0, 0, 1, 1), 0, ("RGB;16B", 0, 1))]


def test_swapped_bytes_are_the_low_bytes():
    content = bytes((1, 2, 3, 4, 5, 6))
    image = Tiled(io.BytesIO(content))
    assert compat.has_deep_colours(image)
    assert image.getpixel((0, 0)) == (1, 3, 5), "the raw mode RGB;16B no longer gives the high bytes"
    image = Tiled(io.BytesIO(content))
    assert compat.swap_bytes(image)
    assert image.getpixel((0, 0)) == (2, 4, 6), "the tiles of an image, or its raw mode RGB;16L, have changed"


@pytest.mark.parametrize(
    "tile", [("SGI16", ("RGB", 0, -1)), ("sgi_rle", ("RGB;16B", -1, 2)), ("raw", ("LA;16B", 0, 1))]
)
def test_other_decoders_do_not_swap_bytes(tile):
    image = Tiled(io.BytesIO(bytes(6)))
    image.tile = [ImageFile._Tile(tile[0], (0, 0, 1, 1), 0, tile[1])]
    assert compat.has_deep_colours(image)
    assert not compat.swap_bytes(image)


@pytest.mark.parametrize("mode", ["BGR;16", "RGB;16", "RGB"])
def test_sixteen_bits_per_pixel_are_not_deep(mode):
    image = Tiled(io.BytesIO(bytes(6)))
    image.tile = [ImageFile._Tile("raw", (0, 0, 1, 1), 0, (mode, 0, 1))]
    assert not compat.has_deep_colours(image)


def test_pillow_does_not_scale_a_transparent_grey_itself():
    image = Tiled(io.BytesIO(bytes(6)))
    image._mode, image.info = "L", {"transparency": 15}
    image.tile = [ImageFile._Tile("raw", (0, 0, 1, 1), 0, ("L;4", 0, 1))]
    compat.scale_transparent_grey(image)
    assert image.info == {"transparency": 255}


@pytest.mark.parametrize(("prefix", "expected"), [(b"II", (2, 4, 6)), (b"MM", (1, 3, 5))])
def test_planes_of_sixteen_bits_give_their_high_bytes(prefix, expected):
    image = Tiled(io.BytesIO(bytes((1, 2, 3, 4, 5, 6))))
    image.format = "TIFF"
    image.tile = [ImageFile._Tile("raw", (0, 0, 1, 1), 2 * i, (plane, 0, 1)) for i, plane in enumerate("RGB")]
    image.tag_v2 = types.SimpleNamespace(get=lambda *_: (16, 16, 16), prefix=prefix)
    compat.mend_planes(image)
    assert compat.has_deep_colours(image)
    assert image.getpixel((0, 0)) == expected, "the raw modes R;16L and R;16B no longer give the high bytes"


def test_planes_of_sixteen_bits_in_cmyk_fail_to_load():
    image = Tiled(io.BytesIO(bytes(8)))
    image.format, image._mode = "TIFF", "CMYK"
    image.tile = [ImageFile._Tile("raw", (0, 0, 1, 1), 2 * i, (plane, 0, 1)) for i, plane in enumerate("CMYK")]
    image.tag_v2 = types.SimpleNamespace(get=lambda *_: (16, 16, 16, 16), prefix=b"II")
    compat.mend_planes(image)
    with pytest.raises(ValueError, match="unknown raw mode"):
        image.load()


@pytest.mark.parametrize("mode", ["1", "L", "I;16"])
def test_zero_is_white_in_grey_of_sixteen_bits_alone(mode):
    """A TIFF with its first pixel 0, then 1 of all bits."""
    image = Image.new(mode, (2, 1))
    image.putpixel((1, 0), {"1": 1, "L": 255, "I;16": 65535}[mode])
    content = bytearray(saved(image, "TIFF").getvalue())
    entry = struct.pack("<HHIHH", 262, 3, 1, 1, 0)
    assert entry in content
    content = content.replace(entry, struct.pack("<HHIHH", 262, 3, 1, 0, 0))
    tiff = Image.open(io.BytesIO(content))
    assert compat.has_inverted_grey(tiff) == (mode == "I;16")
    is_inverted = tiff.getpixel((0, 0)) != 0
    assert is_inverted == (mode != "I;16"), "Pillow inverts 16 bits of grey by itself now, or no longer fewer bits"


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}])
@pytest.mark.parametrize("mode", ["RGB", "P", "L"])
def test_a_tiff_is_loaded_without_pillows_limit(monkeypatch, mode, options):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 10, 3), np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6
    file = saved(image, "TIFF", exif=exif, **options)
    expected = np.asarray(Image.open(io.BytesIO(file.getvalue())).convert("RGB"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    tiff = compat.open_unlimited(file)
    compat.lift_tiff_limit(tiff)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(np.asarray(tiff.convert("RGB")), expected), "a TIFF's memory is not set by its 'im'"


def test_pillow_turns_a_tiff_upright_while_it_loads_it():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(saved(Image.new("RGB", (20, 10)), "TIFF", exif=exif))
    assert image.getexif().get(0x0112) == 6
    image.load()
    assert image.size == (10, 20), "Pillow no longer turns TIFFs; decoding.py must"
    assert image.getexif().get(0x0112, 1) == 1
