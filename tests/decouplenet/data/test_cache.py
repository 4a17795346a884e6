"""Decoded pixels: each image is decoded once per machine, also after a crash, and from addresses."""

import errno
import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import numpy as np
import pytest
from PIL import Image

from decouplenet.data import cache as cache_module
from decouplenet.data.cache import MIN_ADDRESS_THREADS, open_pixels
from decouplenet.data.image_set import ImageSet
from decouplenet.data.images import decoding as decoding_module
from decouplenet.data.images.decoding import decode_square
from decouplenet.errors import InputError


@pytest.fixture
def photos(tmp_path):
    """Nine JPEGs of different sizes."""
    rng = np.random.default_rng(0)
    paths = []
    for i in range(9):
        paths.append(tmp_path / f"{i}.jpg")
        Image.fromarray(rng.integers(0, 256, (40 + i, 60, 3), np.uint8)).save(paths[-1])
    return ImageSet(tuple(paths), np.eye(9, dtype=np.uint8), tuple("abcdefghi"))


def test_the_cache_gives_the_same_pixels_as_decoding(photos, tmp_path):
    cached = open_pixels(photos, 24, str(tmp_path / "cache"))
    each_time = open_pixels(photos, 24, "none")
    some = np.array([8, 0, 3])
    assert np.array_equal(cached[some], each_time[some])


def test_no_image_is_decoded_twice(photos, tmp_path, monkeypatch):
    decoded = []

    def counting(path, size, how):
        decoded.append(path)
        return decode_square(path, size, how)

    monkeypatch.setattr(cache_module, "decode_square", counting)
    for _ in range(2):
        open_pixels(photos, 24, str(tmp_path / "cache"))
    assert sorted(decoded) == sorted(photos.paths)
    photos.paths[0].write_bytes(photos.paths[1].read_bytes())  # a changed file changes the key
    open_pixels(photos, 24, str(tmp_path / "cache"))
    assert len(decoded) == 18


def _open(photos, folder, started):
    started.wait()
    open_pixels(photos, 24, folder, progress=lambda done, n: done == n and print("decoded", flush=True))


def test_processes_at_the_same_time_decode_once(photos, tmp_path, capfd):
    context = multiprocessing.get_context("fork")
    started = context.Event()
    processes = [context.Process(target=_open, args=(photos, str(tmp_path / "cache"), started)) for _ in range(4)]
    for process in processes:
        process.start()
    started.set()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert capfd.readouterr().out.count("decoded") == 1


def test_a_broken_image_is_named_and_leaves_no_file(photos, tmp_path):
    photos.paths[4].write_bytes(b"\xff\xd8 broken")
    with pytest.raises(InputError, match=r"4\.jpg: cannot be decoded"):
        open_pixels(photos, 24, str(tmp_path / "cache"))
    assert [file.suffix for file in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_disk_that_is_too_small_is_reported_before_decoding(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(InputError, match=r"data.cache: .* free; give another folder, or none"):
        open_pixels(photos, 24, str(tmp_path / "cache"))


def test_a_disk_without_locks_is_an_input_error(photos, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(InputError, match=r"/cache: cannot be locked \(Function not implemented\)"):
        open_pixels(photos, 16, str(tmp_path / "cache"))


@pytest.mark.parametrize("harm", [lambda content: b"", lambda content: content[:-1], lambda content: content + b"x"])
def test_a_file_of_the_wrong_length_is_made_again(photos, tmp_path, harm):
    whole = open_pixels(photos, 24, str(tmp_path / "cache"))[np.arange(9)]
    (file,) = (tmp_path / "cache").glob("*.u8")
    file.write_bytes(harm(file.read_bytes()))
    assert np.array_equal(open_pixels(photos, 24, str(tmp_path / "cache"))[np.arange(9)], whole)
    assert file.stat().st_size == 9 * 24 * 24 * 3


def test_files_of_a_killed_process_are_made_again(photos, tmp_path, monkeypatch):
    folder = str(tmp_path / "cache")
    with monkeypatch.context() as patched:
        patched.setattr(
            cache_module, "decode_square", lambda path, size, decoding: os.kill(os.getpid(), signal.SIGKILL)
        )
        killed = multiprocessing.get_context("fork").Process(target=open_pixels, args=(photos, 24, folder))
        killed.start()
        killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert [file.suffix for file in sorted((tmp_path / "cache").iterdir())] == [".lock", ".partial"]
    some = np.array([8, 0, 3])
    assert np.array_equal(open_pixels(photos, 24, folder)[some], open_pixels(photos, 24, "none")[some])
    assert [file.suffix for file in sorted((tmp_path / "cache").iterdir())] == [".lock", ".u8"]


def test_a_second_caller_waits_and_uses_the_file_of_the_first(photos, tmp_path, monkeypatch):
    decoding, waiting, decoded = Event(), Event(), []

    def slow(path, size, how):
        decoding.set()
        assert waiting.wait(60)
        decoded.append(path)
        return decode_square(path, size, how)

    monkeypatch.setattr(cache_module, "decode_square", slow)
    progress_calls = []

    def progress(*counts):
        progress_calls.append(counts)
        waiting.set()

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(open_pixels, photos, 24, str(tmp_path / "cache"))
        assert decoding.wait(60)
        second = open_pixels(photos, 24, str(tmp_path / "cache"), progress=progress)
        assert np.array_equal(second, first.result())
    assert sorted(decoded) == sorted(photos.paths)
    assert set(progress_calls) == {(0, 9)}


@pytest.mark.parametrize("cache", ["cache", "none"])
def test_many_addresses_are_read_at_the_same_time(photos, tmp_path, monkeypatch, cache):
    content = photos.paths[0].read_bytes()
    together = Barrier(MIN_ADDRESS_THREADS, timeout=20)

    def read(place):
        together.wait()
        return content

    monkeypatch.setattr(decoding_module, "read_bytes", read)
    places = tuple(f"https://h/{i}.jpg" for i in range(MIN_ADDRESS_THREADS))
    images = ImageSet(places, np.ones((MIN_ADDRESS_THREADS, 1), np.uint8), ("a",))
    cache = cache if cache == "none" else str(tmp_path / cache)
    pixels = open_pixels(images, 8, cache, threads=2)[np.arange(MIN_ADDRESS_THREADS)]
    assert (pixels == decode_square(photos.paths[0], 8, content=content)).all()


def test_an_address_that_cannot_be_read_is_named(photos, tmp_path, monkeypatch):
    def read(place):
        if "3.jpg" in place:
            raise OSError("Service Unavailable")
        return photos.paths[0].read_bytes()

    monkeypatch.setattr(decoding_module, "read_bytes", read)
    images = ImageSet(tuple(f"https://h/{i}.jpg?sig=KEY" for i in range(5)), np.ones((5, 1), np.uint8), ("a",))
    with pytest.raises(InputError) as error:
        open_pixels(images, 8, str(tmp_path / "cache"))
    assert str(error.value).startswith("https://h/3.jpg: cannot be read (Service Unavailable); put it there or")
    assert [file.suffix for file in (tmp_path / "cache").iterdir()] == [".lock"]


def test_new_signatures_reuse_the_cache_file_and_other_images_do_not(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(decoding_module, "read_bytes", lambda place: photos.paths[0].read_bytes())

    def files_of(*places):
        open_pixels(ImageSet(places, np.ones((2, 1), np.uint8), ("a",)), 8, str(tmp_path / "cache"))
        return len(list((tmp_path / "cache").glob("*.u8")))

    assert files_of("https://h/1.jpg?sig=a", "https://h/2.jpg?sig=b") == 1
    assert files_of("https://h/1.jpg?sig=c", "https://h/2.jpg?sig=d") == 1
    assert files_of("https://h/get?id=1", "https://h/get?id=2") == 2
    assert files_of("https://h/get?id=3", "https://h/get?id=4") == 3
