"""Files that are no images: each is named for what it is, with what to do."""

import io
import sys
import types
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageFile

from decouplenet.data.images import compat
from decouplenet.data.images.decoding import decode, decode_square
from decouplenet.errors import InputError


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("1.jpg", b"")
    return file.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1\nsize 12345\n"
MP4 = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41\0\0\0\x08free"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic\0\0\x01\xc1meta"


@pytest.mark.parametrize(
    ("content", "name", "advice"),
    [
        (b"", "empty", "replace it or leave it out"),
        (LFS, "a Git LFS pointer, not the image itself", "run `git lfs pull`"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "an HTML page, not an image", "download it again"),
        (b"\n\n <!-- moved -->\n<HTML>\xc3\xa9", "an HTML page, not an image", "download it again"),
        (b"\xef\xbb\xbf<html>", "an HTML page, not an image", "download it again"),
        ("<html>\n".encode("utf-16"), "an HTML page, not an image", "download it again"),
        (
            b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
            "an XML document, not an",
            "download it again",
        ),
        (b'{"message": "Not Found"}', "a JSON document, not an image", "download it again"),
        (b'<?xml version="1.0"?><svg xmlns="x">', "an SVG drawing", "convert it to JPEG or PNG"),
        (b"404: Not\r\nFound", "plain text, not an image: '404: Not Found'", "replace it or leave it out"),
        (b"no", "plain text, not an image: 'no'", "replace it or leave it out"),
        (b"\xc3\xa9" * 400, f"plain text, not an image: '{'é' * 40}'", "replace it or leave it out"),
        (b"x" + b"\xc3\xa9" * 400, f"plain text, not an image: 'x{'é' * 39}'", "replace it or leave it out"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF document", "convert it to JPEG or PNG"),
        (zipped(), "a ZIP archive", "unpack it"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "a gzip archive", "unpack it"),
        (bytes(257) + b"ustar\x0000", "a tar archive", "unpack it"),
        (MP4, "a video (MP4 or QuickTime)", "extract its frames"),
        (b"\0\0\0\x14ftypqt  \0\0\x02\0qt  ", "a video (MP4 or QuickTime)", "extract its frames"),
        (b"RIFF\0\0\0\0AVI LIST", "a video (AVI)", "extract its frames"),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "a raw photo (Canon)", "convert it to JPEG or PNG"),
        (
            b"\0\x05\x16\x07\0\x02\0\0Mac OS X",
            "the Mac's extra data of a file (its name begins with ._)",
            "leave it out",
        ),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "an HDF5 file", "save its images as JPEG or PNG"),
        (bytes(128) + b"DICM", "a DICOM file", "convert it to JPEG or PNG"),
        (bytes(4096), "nothing but zero bytes, so its content was lost", "replace it or leave it out"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a PostScript drawing", "convert it to JPEG or PNG"),
    ],
)
def test_each_kind_is_named(content, name, advice):
    with pytest.raises(InputError) as error:
        decode("1.jpg", 8, content=content)
    start, _, end = str(error.value).rpartition("; ")
    assert start.startswith(f"1.jpg: cannot be decoded: it is {name}")
    assert end == advice


@pytest.mark.parametrize("content", [b"\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89", b"\xff\xfe\0\xd8", b"ab\0cd"])
def test_an_unknown_file_is_shown_by_its_first_bytes(content):
    with pytest.raises(InputError) as error:
        decode("1.jpg", 8, content=content)
    assert str(error.value) == (
        f"1.jpg: cannot be decoded: it is no image of a known format (it begins with {content[:8]!r}); "
        "replace it or leave it out"
    )


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP", "AVIF", "PPM"])
def test_a_damaged_image_is_not_taken_for_another_kind(format_):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(file, format_)
    with pytest.raises(InputError, match=r"cannot be decoded \("):
        decode("1", 8, content=file.getvalue()[:60])


@pytest.fixture
def pillow_heif(monkeypatch):
    """A package of the name pillow-heif that reads any HEIC photo as 3×2 red pixels."""

    class HeifImageFile(ImageFile.ImageFile):
        format = "HEIF"

        def _open(self):
            if b"damaged" in self.fp.read():
                raise SyntaxError("Invalid input")
            self._size, self._mode = (3, 2), "RGB"
            self.tile = []
            self.im = Image.new("RGB", (3, 2), "red").im

    registered = []

    def register_heif_opener():
        registered.append(True)
        Image.register_open("HEIF", HeifImageFile, lambda prefix: prefix[4:8] == b"ftyp")

    module = types.SimpleNamespace(register_heif_opener=register_heif_opener)
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    compat.can_open_heif.cache_clear()
    yield registered
    compat.can_open_heif.cache_clear()


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"hevc", b"mif1", b"msf1"])
def test_a_heic_photo_is_read_with_pillow_heif(pillow_heif, brand):
    for _ in range(2):
        assert (decode_square("1.heic", 4, content=HEIC.replace(b"ftypheic", b"ftyp" + brand)) == (255, 0, 0)).all()
    assert pillow_heif == [True]


def test_a_damaged_heic_photo_does_not_need_another_package(pillow_heif):
    with pytest.raises(InputError, match=r"^1\.heic: cannot be decoded \(its HEIF header is damaged\); replace it"):
        decode("1.heic", 4, content=HEIC + b"damaged")


def test_a_heic_photo_without_pillow_heif_says_what_reads_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    compat.can_open_heif.cache_clear()
    with pytest.raises(InputError) as error:
        decode("1.heic", 8, content=HEIC)
    compat.can_open_heif.cache_clear()
    advice = "`pip install pillow-heif` reads it, or convert it to JPEG or PNG"
    assert str(error.value) == f"1.heic: cannot be decoded: it is a HEIC photo; {advice}"


def test_avif_in_the_same_container_is_read_by_pillow(pillow_heif):
    file = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(file, "AVIF")
    content = file.getvalue()
    assert content[8:12] == b"avif"
    pixels = decode_square("1.avif", 8, content=content.replace(b"ftypavif", b"ftypmif1", 1))
    assert np.abs(pixels.astype(int) - (255, 0, 0)).max() < 8
    assert not pillow_heif


def test_a_real_heic_photo_is_read():
    heif = pytest.importorskip("pillow_heif")
    assert compat.can_open_heif()
    file = io.BytesIO()
    heif.from_pillow(Image.new("RGB", (64, 48), "red")).save(file)
    decoded = decode("1.heic", 8, content=file.getvalue())
    assert np.abs(decoded.pixels.astype(int) - (255, 0, 0)).max() < 8
    assert (decoded.width, decoded.height) == (64, 48)
    with pytest.raises(InputError, match=r"1\.heic: cannot be decoded \("):
        decode("1.heic", 8, content=file.getvalue()[:-100])
