"""Decoding: the right pixels of each mode, depth and orientation; one line about whatever cannot be decoded."""

import errno
import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from decouplenet.config import DataConfig
from decouplenet.data.images.background import rgb_of
from decouplenet.data.images.decoding import Decoding, as_rgb, decode, decode_square, open_photo
from decouplenet.errors import InputError

RAMP = np.linspace(0, 255, 16).astype(np.uint8)
SCENE = np.stack([np.tile(RAMP, (12, 1)), np.tile(RAMP[:12, None], (1, 16)), np.full((12, 16), 90, np.uint8)], axis=2)
"""An image of 16×12 pixels that looks different after each turn."""


def content_of(image, format_="PNG", **options):
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def png(values, *, chunks=()):
    """A PNG with 16 bits per value, which Pillow cannot write in colour, from H×W×C values."""
    height, width, channels = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    every = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in every
    )


def tiff(values, *, planes=False, zero_is_white=False, order="<"):
    """An uncompressed TIFF with 16 bits per value, from H×W×3 or H×W×1 values; in planes or not."""
    height, width, channels = values.shape
    strips, size = (channels, width * height * 2) if planes else (1, values.size * 2)
    colours = 2 if channels == 3 else int(not zero_is_white)
    tags = [(256, 4, 1, width), (257, 4, 1, height), (262, 3, 1, colours), (277, 3, 1, channels), (278, 4, 1, height)]
    tags += [(258, 3, 3, 300) if channels == 3 else (258, 3, 1, 16), (284, 3, 1, 1 + planes)]
    tags += [(273, 4, strips, 320 if planes else 400), (279, 4, strips, 340 if planes else size)]
    start = struct.pack(f"{order}2sHIH", b"II" if order == "<" else b"MM", 42, 8, len(tags))
    for tag, kind, count, value in sorted(tags):
        short = kind == 3 and count == 1  # its value is in the first two of four bytes
        start += struct.pack(f"{order}HHI" + ("HH" if short else "I"), tag, kind, count, value, *([0] if short else []))
    start = start.ljust(300, b"\0") + struct.pack(f"{order}3H", 16, 16, 16)
    start = start.ljust(320, b"\0") + struct.pack(f"{order}3I", 400, 400 + size, 400 + 2 * size)
    start = start.ljust(340, b"\0") + struct.pack(f"{order}3I", size, size, size)
    pixels = values.transpose(2, 0, 1) if planes else values
    return start.ljust(400, b"\0") + pixels.astype(f"{order}u2").tobytes()


def tiff_in_planes(values):
    return tiff(values, planes=True)


def big_endian_tiff_in_planes(values):
    return tiff(values, planes=True, order=">")


def square_of(pixels, size=8):
    """Pixels, resized as `decode` does."""
    return np.asarray(Image.fromarray(pixels).convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


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


def turned_back(pixels, orientation):
    """Pixels as a camera stores them that was held in this orientation."""
    undo = {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: np.rot90(p, 1),
        7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
        8: lambda p: np.rot90(p, -1),
    }
    return np.ascontiguousarray(undo[orientation](pixels))


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


def test_a_jpeg_is_decoded_at_the_resolution_that_is_needed(monkeypatch):
    sizes = []
    resize = Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda image, *args: (sizes.append(image.size), resize(image, *args))[1])
    decode("1", 8, content=content_of(Image.new("RGB", (320, 240)), "JPEG"))
    assert sizes == [(40, 30)]


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


def test_the_config_says_how_to_decode():
    assert Decoding.of(DataConfig()) == Decoding()
    config = DataConfig(exif=False, background="black", max_pixels=9)
    assert Decoding.of(config) == Decoding(exif=False, background="black", max_pixels=9)


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
