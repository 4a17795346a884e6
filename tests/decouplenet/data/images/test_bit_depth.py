"""Images with more than 8 bits per value: scaled by the bits that they use."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from decouplenet.data.images.decoding import Decoding, as_rgb, decode, decode_square
from decouplenet.errors import InputError
from tests.decouplenet.data.images.image_files import (
    SCENE,
    big_endian_tiff_in_planes,
    png,
    square_of,
    tiff,
    tiff_in_planes,
)


def note_of(bits):
    return f"its {bits} bits in 16 are {'taken as they are' if bits == 8 else 'scaled to 8'}"


@pytest.mark.parametrize("bits", range(8, 17))
def test_grey_values_are_scaled_by_the_bits_that_they_use(bits, tmp_path):
    values = np.full((20, 20), 2**bits - 1, np.uint16)
    values[:10] = 2 ** (bits - 1)
    Image.fromarray(values).save(tmp_path / "deep.png")
    Image.fromarray(values).save(tmp_path / "deep.tif")
    Image.fromarray(values.astype(np.int32)).save(tmp_path / "long.tif")
    for name in ("deep.png", "deep.tif", "long.tif"):
        decoded = decode(tmp_path / name, 20)
        assert (decoded.pixels[:10] == 128).all()
        assert (decoded.pixels[10:] == 255).all()
        assert decoded.notes == (() if bits == 16 else (note_of(bits),))


def test_a_black_image_is_not_worth_a_note():
    for content in (png(np.zeros((4, 4, 1))), png(np.zeros((4, 4, 3)))):
        decoded = decode("1", 4, content=content)
        assert (decoded.pixels == 0).all()
        assert decoded.notes == ()


def test_sixteen_bits_keep_their_high_byte(tmp_path):
    Image.fromarray(np.full((20, 20), 0x8012, np.uint16)).save(tmp_path / "deep.png")
    assert (decode_square(tmp_path / "deep.png", 8) == 0x80).all()


@pytest.mark.parametrize("order", ["I;16", "I;16B"])
def test_both_byte_orders_are_read(order):
    image = Image.frombytes(order, (2, 1), np.array([0x0123, 0x0FFF], "<u2" if order == "I;16" else ">u2").tobytes())
    assert np.asarray(as_rgb(image))[0, :, 0].tolist() == [0x12, 0xFF]


@pytest.mark.parametrize("form", [png, tiff, tiff_in_planes, big_endian_tiff_in_planes])
@pytest.mark.parametrize("bits", [8, 10, 12, 15])
def test_dark_colours_of_sixteen_bits_keep_their_low_bits(form, bits):
    values = (SCENE.astype(np.uint16) << (bits - 8)) | (2 ** (bits - 8) - 1)
    decoded = decode("1", 8, content=form(values))
    assert np.array_equal(decoded.pixels, square_of(SCENE))
    assert decoded.notes == (note_of(bits),)


@pytest.mark.parametrize("form", [png, tiff, tiff_in_planes, big_endian_tiff_in_planes])
def test_colours_that_use_sixteen_bits_are_as_pillow_reads_them(form):
    values = SCENE.astype(np.uint16) * 257
    decoded = decode("1", 8, content=form(values))
    assert np.array_equal(decoded.pixels, square_of(SCENE))
    assert decoded.notes == ()


def test_dark_colours_in_a_compressed_tiff_keep_their_low_bits():
    """Its bytes have the order of the machine, whatever that of the file."""
    values = SCENE.astype(np.uint16) << 3
    for order in "<>":
        content = tiff(values, order=order)
        strip = zlib.compress(content[400:])
        content = content[:400] + strip
        for old, new in (
            ((278, 4, 1, 12), (259, 3, 1, 8)),  # RowsPerStrip, which has a default, to Compression: Deflate
            ((279, 4, 1, values.size * 2), (279, 4, 1, len(strip))),
        ):
            layouts = [f"{order}HHI" + ("HH" if tag[1] == 3 else "I") for tag in (old, new)]
            tags = [(*tag, 0) if tag[1] == 3 else tag for tag in (old, new)]
            old_entry, new_entry = (struct.pack(layout, *tag) for layout, tag in zip(layouts, tags, strict=True))
            assert old_entry in content
            content = content.replace(old_entry, new_entry)
        decoded = decode("1", 8, content=content)
        assert np.array_equal(decoded.pixels, square_of(SCENE))
        assert decoded.notes == ("its 11 bits in 16 are scaled to 8",)


@pytest.mark.parametrize("bits", [12, 16])
def test_grey_values_of_which_zero_is_white_are_inverted(bits):
    values = np.full((4, 4, 1), 2**bits - 1)
    values[:2] = 0
    assert decode_square("1", 4, content=tiff(values))[:, 0, 0].tolist() == [0, 0, 255, 255]
    assert decode_square("1", 4, content=tiff(values, zero_is_white=True))[:, 0, 0].tolist() == [255, 255, 0, 0]


def test_dark_grey_with_transparency_is_scaled_without_its_low_bits():
    values = np.full((4, 4, 2), 0x0FFF)
    values[..., 1] = 0xFFFF
    decoded = decode("1", 4, content=png(values))
    assert (decoded.pixels == 0xF0).all()
    assert decoded.notes == ("its 12 bits in 16 are scaled to 8, without the low 8 bits",)


@pytest.mark.parametrize("opaque", [0x0FFF, 0xFFFF])
def test_the_transparency_of_dark_colours_is_scaled_by_its_own_bits(opaque):
    values = np.full((4, 4, 4), 0x0FFF)
    values[..., 3] = opaque
    values[:2, :, 3] = 0
    decoded = decode("1", 4, Decoding(background="blue"), png(values))
    assert (decoded.pixels[:2] == (0, 0, 255)).all()
    assert (decoded.pixels[2:] == 255).all()


def test_a_transparent_colour_of_sixteen_bits_is_compared_exactly():
    values = np.full((2, 2, 3), 0x8012)
    values[0] = 0x8011
    key = (b"tRNS", struct.pack(">3H", 0x8011, 0x8011, 0x8011))
    decoded = decode("1", 2, content=png(values, chunks=[key]))
    assert decoded.pixels[:, 0, 0].tolist() == [255, 0x80]
    grey = decode("1", 2, content=png(values[..., :1], chunks=[(b"tRNS", struct.pack(">H", 0x8011))]))
    assert grey.pixels[:, 0, 0].tolist() == [255, 0x80]


def test_fractions_are_scaled_by_their_range(tmp_path):
    def decoded(values):
        Image.fromarray(np.array([values], np.float32)).save(tmp_path / "float.tiff")
        decoded = decode(tmp_path / "float.tiff", 8)
        return *(int(decoded.pixels[0, i, 0]) for i in (0, -1)), decoded.notes

    assert decoded([0, 0.5]) == (0, 128, ("its values from 0 to 1 are scaled to 255",))
    assert decoded([0.5, 127.6]) == (0, 128, ())
    assert decoded([0, 4095]) == (0, 255, ("its 12 bits in 16 are scaled to 8",))
    assert decoded([0, 65535]) == (0, 255, ())


@pytest.mark.parametrize("values", [[0, 300.5], [-1, 0.5], [0, np.nan], [0, np.inf], [0, 70000]])
def test_unknown_ranges_of_fractions_are_refused(values, tmp_path):
    Image.fromarray(np.array([values], np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(InputError, match=r"float\.tiff: cannot be decoded .*mode F .*unknown range; save it with 8"):
        decode_square(tmp_path / "float.tiff", 8)


@pytest.mark.parametrize("values", [[-1, 5], [0, 65536]])
def test_unknown_ranges_of_integers_are_refused(values, tmp_path):
    Image.fromarray(np.array([values], np.int32)).save(tmp_path / "long.tiff")
    with pytest.raises(InputError, match=r"long\.tiff: cannot be decoded .*mode I .*unknown range"):
        decode_square(tmp_path / "long.tiff", 8)
