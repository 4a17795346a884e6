"""JPEG files without their last bytes: decoded where the pixels are there, refused with the share of whole rows."""

import contextlib
import functools
import io

import numpy as np
import pytest
from PIL import Image, ImageFile

from decouplenet.data.images.decoding import decode, decode_square, open_photo
from decouplenet.data.images.jpeg_scans import cut_of, whole_share
from decouplenet.errors import InputError

FORMS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts by row": {"restart_marker_rows": 1},
    "restarts by block": {"restart_marker_blocks": 3},
    "full chroma": {"subsampling": 0, "optimize": True},
    "grey": {},
}


@functools.cache
def scene(grey=False):
    """A photo of 1200×900 pixels with detail everywhere but in its flat lowest rows."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (90, 120, 3), np.uint8)).resize((1200, 900), Image.Resampling.BICUBIC)
    pixels = np.asarray(coarse).astype(int) + rng.integers(-20, 20, (900, 1200, 3))
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    image.paste((90, 120, 200), (0, 870, 1200, 900))
    return image.convert("L") if grey else image


@functools.cache
def photo(form, exif=b""):
    file = io.BytesIO()
    scene(form == "grey").save(file, "JPEG", quality=90, exif=exif, **FORMS[form])
    return file.getvalue()


@pytest.mark.parametrize("cut", [1, 2, 3, 10])
@pytest.mark.parametrize("form", FORMS)
def test_without_its_end_marker_all_pixels_are_there(form, cut):
    content = photo(form)
    with pytest.raises(OSError, match="truncated"):
        Image.open(io.BytesIO(content[:-cut])).load()
    decoded = decode("1.jpg", 64, content=content[:-cut])
    whole = decode("1.jpg", 64, content=content)
    if cut <= 2:
        assert np.array_equal(decoded.pixels, whole.pixels)
        assert decoded.notes == ("its last bytes are missing; all of its pixels are whole",)
    assert np.array_equal(decoded.pixels[:62], whole.pixels[:62])
    assert decoded.notes[0].startswith("its last bytes are missing; ")
    assert (decoded.width, decoded.height) == (1200, 900)


def share_of(content):
    """The share of whole pixels that decoding states, in percent; 100 for all."""
    try:
        (note,) = decode("1.jpg", 448, content=content).notes
    except InputError as error:
        note = str(error)
    return 100 if "all of its pixels" in note else int(note.partition(" %")[0].split()[-1])


@pytest.mark.parametrize("form", FORMS)
def test_a_hundred_bytes_less_cost_few_pixels(form):
    content = photo(form)[:-100]
    decoded, whole = decode("1.jpg", 448, content=content), decode("1.jpg", 448, content=photo(form))
    rows = int(448 * share_of(content) / 100) - 10  # without the band of the cut, as resizing mixes neighbours
    assert rows > 410
    assert np.array_equal(decoded.pixels[:rows], whole.pixels[:rows])


@pytest.mark.parametrize("form", FORMS)
def test_half_of_a_photo_is_refused(form):
    content = photo(form)
    message = r"^1\.jpg: cannot be decoded \(.*(its last bytes are missing|truncated).*\); replace it or leave it out$"
    with pytest.raises(InputError, match=message):
        decode("1.jpg", 64, content=content[: len(content) // 2])


@pytest.mark.parametrize("form", ["baseline", "restarts by row", "restarts by block", "full chroma", "grey"])
def test_the_share_of_whole_pixels_is_that_of_the_bytes(form):
    """Without the flat rows, which take few bytes, rows take about the same number of bytes each."""
    content = photo(form)
    for share in (0.2, 0.5, 0.8):
        assert share_of(content[: int(len(content) * share)]) == pytest.approx(share * 97, abs=5)


@pytest.mark.parametrize("form", ["restarts by row", "restarts by block"])
def test_a_cut_between_two_restarts_is_seen(form):
    content = photo(form)
    middle = content.index(b"\xff\xd3", len(content) // 2)
    for end in (middle, middle + 1, middle + 2):
        assert 35 < share_of(content[:end]) < 65


def scan_starts(content):
    return [i for i in range(len(content) - 1) if content[i : i + 2] == b"\xff\xda"]


def test_a_progressive_jpeg_without_its_last_scan_is_refused():
    content = photo("progressive")
    for start in scan_starts(content)[1:]:
        for cut in (start - 30, start, start + 3):
            with pytest.raises(InputError, match=r"cannot be decoded \("):
                decode("1.jpg", 448, content=content[:cut])
    assert cut_of(content[: scan_starts(content)[-1] + 40]).has_all_scans
    assert not cut_of(content[: scan_starts(content)[-2] + 40]).has_all_scans


@pytest.mark.parametrize("share", [0.5, 0.999])
def test_zero_bytes_at_the_end_are_no_pixels(share):
    """A download that stopped may leave a file of the right length. Decoders take its zero bytes for pixels."""
    content = photo("baseline")
    padded = content[: int(share * len(content))].ljust(len(content) + 300_000, b"\0")
    Image.open(io.BytesIO(padded)).load()
    if share == 0.5:
        with pytest.raises(InputError, match=r"its last bytes are missing, and only \d\d % of its pixels are whole"):
            decode("1.jpg", 448, content=padded)
    else:
        assert "are whole" in decode("1.jpg", 448, content=padded).notes[0]


def test_zero_bytes_after_the_end_marker_do_no_harm():
    decoded = decode("1.jpg", 64, content=photo("baseline") + bytes(1000))
    assert np.array_equal(decoded.pixels, decode("1.jpg", 64, content=photo("baseline")).pixels)
    assert decoded.notes == ()


def test_a_cut_photo_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = photo("baseline", exif.tobytes())
    decoded = decode("1.jpg", 64, content=content[:-2])
    assert np.array_equal(decoded.pixels, decode("1.jpg", 64, content=content).pixels)
    assert (decoded.width, decoded.height, decoded.turned) == (900, 1200, True)
    assert open_photo("1.jpg", content=content[:-2]).size == (900, 1200)
    half = len(content) // 2
    assert share_of(content[:half]) == pytest.approx(share_of(photo("baseline")[:half]), abs=1)


def test_most_pixels_of_a_tiny_photo_are_lost():
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)).save(file, "JPEG")
    content = file.getvalue()
    with pytest.raises(InputError, match=r"1\.jpg: cannot be decoded \(its last bytes are missing, and only 0 %"):
        decode("1.jpg", 8, content=content[:-90])


def test_damage_that_is_no_cut_keeps_its_reason():
    content = photo("baseline")
    assert cut_of(content) is None
    assert cut_of(b"\xff\xd8\xff no photo") is None
    assert cut_of(b"\xff\xd8 broken") is None
    assert cut_of(b"no photo") is None
    with pytest.raises(InputError, match=r"cannot be decoded \((?!its last bytes)"):
        decode("1.jpg", 64, content=content[:200])


def test_pixels_count_up_to_the_first_block_that_differs():
    first = np.zeros((10, 4, 3), np.uint8)
    second = first.copy()
    second[7, 2, 1] = 1
    assert whole_share(first, first, 2) == 1
    assert whole_share(first, second, 2) == (7 * 4 + 2 * 2) / 40
    second[8, 0, 1] = 1  # the next band
    assert whole_share(first, second, 2) == (7 * 4 + 1 * 2) / 40


def test_most_real_photos_are_read_without_their_last_bytes(shared):
    """Also small photos, of which a band of blocks is a large part."""
    files = sorted((shared / "coco-mini" / "images").glob("*.jpg"))[:60]
    for cut, least in ((2, 60), (20, 57), (100, 50)):
        read = 0
        for file in files:
            content = file.read_bytes()[:-cut]
            with contextlib.suppress(InputError):
                pixels = decode_square(file, 64, content=content).astype(int)
                whole = decode_square(file, 64).astype(int)
                assert (np.abs(pixels - whole) > 16).any(axis=2).mean() < 0.07
                read += 1
        assert read >= least, cut


def test_pillows_own_setting_is_not_touched():
    decode("1.jpg", 64, content=photo("baseline")[:-2])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
