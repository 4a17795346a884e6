"""Names of images as programs write them: the one file that they can mean, or a fault that shows the difference."""

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from decouplenet.data import name_readings
from decouplenet.data.image_names import image_places
from decouplenet.data.name_readings import has_image_suffix, split_suffix
from decouplenet.data.reporter import Reporter

NFC, NFD = "caf\u00e9.jpg", "cafe\u0301.jpg"
STUDIO = "/data/local-files/?d="


class Read:
    """The places of names, and what is said about them."""

    def __init__(self, names, folder, suffix=None, **keys):
        self.faults, self.notes = [], []
        reporter = Reporter(self.faults.append, self.notes.append)
        self.places = image_places(names, folder, key="data.train", suffix=suffix, reporter=reporter, **keys)

    def relative(self, folder):
        """The places as paths from a folder."""
        return [str(place.relative_to(folder)) for place in self.places]


@pytest.fixture
def images(tmp_path):
    """A function that makes empty files in a folder, and gives the folder."""

    def make(*files):
        folder = tmp_path / "images"
        folder.mkdir(exist_ok=True)
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).touch()
        return folder

    return make


@pytest.mark.parametrize(
    ("name", "file", "how"),
    [
        ("img\\1.jpg", "img/1.jpg", "with / for \\"),
        ("C:\\Users\\me\\img\\1.jpg", "1.jpg", "with / for \\, without leading folders"),
        ("..\\..\\media\\upload\\1.jpg", "upload/1.jpg", "with / for \\, without leading folders"),
        ("'a b.jpg'", "a b.jpg", "without outer quotes and blanks"),
        (' "a b.jpg"', "a b.jpg", "without outer quotes and blanks"),
        ("a%20b%2B.jpg", "a b+.jpg", "with %-codes decoded"),
        (f"{STUDIO}photos/to%20be.jpg", "photos/to be.jpg", "as paths of Label Studio"),
        (f"http://localhost:8080{STUDIO}photos/1.jpg", "photos/1.jpg", "as paths of Label Studio"),
        (f"{STUDIO}me/photos/1.jpg", "photos/1.jpg", "as paths of Label Studio, without leading folders"),
        (
            f"{STUDIO}\\images\\0.png",
            "images/0.png",
            "as paths of Label Studio, with / for \\, without leading folders",
        ),
        ("/content/data/img/1.jpg", "img/1.jpg", "without leading folders"),
        ("/img/1.jpg", "img/1.jpg", "without leading folders"),
        ("img/1.jpg", "1.jpg", "without leading folders"),
        ("../gone/1.jpg", "1.jpg", "without leading folders"),
        ("17", "17.png", "with the suffix of the file"),
        ("img.v2/17", "img.v2/17.png", "with the suffix of the file"),
        ("x.jpg/17", "x.jpg/17.png", "with the suffix of the file"),
        ("photo.v2", "photo.v2.webp", "with the suffix of the file"),
        ("img/17", "img/17.JPEG", "with the suffix of the file"),
        ("IMG_1.JPG", "img_1.jpg", "in another case or Unicode form"),
        ("Train/1.jpg", "train/1.jpg", "in another case or Unicode form"),
        (NFC, NFD, "in another case or Unicode form"),
        (NFD, NFC, "in another case or Unicode form"),
        ("1.jpg/", "1.jpg", "without the / at the end"),
        (
            "data\\My%20Photo.JPG",
            "my photo.jpg",
            "with / for \\, with %-codes decoded, without leading folders, in another case or Unicode form",
        ),
    ],
)
def test_a_name_is_read_where_one_file_is_possible(images, name, file, how):
    folder = images(file, "other.jpg", "17.xml", "17.txt")
    read = Read(["other.jpg", name], folder)
    assert read.relative(folder) == ["other.jpg", file]
    assert read.faults == []
    (note,) = read.notes
    assert note.startswith(f"data.train_images: 1 name is read {how}: ")
    assert note.isprintable()


def test_notes_count_the_names_of_each_reading_and_show_an_example(images):
    folder = images("a 1.jpg", "a 2.jpg", NFD)
    assert Read(["a%201.jpg", "a%202.jpg", NFC], str(folder)).notes == [
        "data.train_images: 2 names are read with %-codes decoded: 'a%201.jpg' is read as 'a 1.jpg'",
        "data.train_images: 1 name is read in another case or Unicode form: 'caf\\xe9.jpg' is read as "
        "'cafe\\u0301.jpg'",
    ]


def test_names_that_files_have_are_not_read_in_another_way(images):
    names = ["A.jpg", "a.jpg", "a%20b.jpg", "a b.jpg", "1", "1.jpg", "img/1.jpg", "x\\y.jpg", NFC, NFD, "./2.jpg"]
    folder = images(*names, "x/y.jpg")
    read = Read([*names, str(folder / "1.jpg"), "img/../a.jpg"], folder, stems=["1"] * (len(names) + 2))
    assert read.faults + read.notes == []
    assert [place.samefile(folder / name) for place, name in zip(read.places, names, strict=False)] == [True] * 11
    assert read.places[-2:] == (folder / "1.jpg", folder / "img" / ".." / "a.jpg")


def test_places_outside_of_the_folder_are_read_in_another_case_or_with_their_suffix(images, tmp_path):
    folder = images()
    (tmp_path / "other").mkdir()
    for name in ("a.jpg", "b.png"):
        (tmp_path / "other" / name).touch()
    read = Read([str(tmp_path / "other" / "A.JPG"), "../other/b"], folder)
    assert read.places == (tmp_path / "other" / "a.jpg", folder / ".." / "other" / "b.png")
    assert read.faults == []
    assert len(read.notes) == 2


def test_a_name_that_is_there_is_preferred_to_those_spelt_alike(images):
    folder = images("A.jpg", "a.jpg", "1/b.jpg", "x/b.jpg", "X/b.jpg", "X/c.jpg")
    read = Read(["img/A.jpg", "img\\a.jpg", "y/x/b.jpg"], folder)
    assert (read.relative(folder), read.faults) == (["A.jpg", "a.jpg", "x/b.jpg"], [])


def test_a_name_with_a_suffix_is_not_the_beginning_of_another_one(images):
    read = Read(["a.jpg"], images("a.jpg.webp", "a.png"))
    assert read.notes == []
    assert len(read.faults) == 1


@pytest.mark.parametrize(
    ("name", "files", "doubt"),
    [
        ("1", ["1.jpg", "1.png"], "'1' may be '1.jpg' or '1.png'"),
        ("A.jpg", ["a.JPG", "a.jpg"], "'A.jpg' may be 'a.JPG' or 'a.jpg'"),
        ("x/img/1.jpg", ["img/1.jpg", "1.jpg"], "'x/img/1.jpg' may be 'img/1.jpg' or '1.jpg'"),
        ("a%20b.jpg", ["a b.jpg", "A%20b.jpg"], "'a%20b.jpg' may be 'A%20b.jpg' or 'a b.jpg'"),
    ],
)
def test_a_name_with_two_possible_files_is_a_fault_that_shows_them(images, name, files, doubt):
    read = Read([name], images(*files))
    (fault,) = read.faults
    assert fault.startswith("data.train_images: 1 of 1 images are not in ")
    assert fault.endswith(f": {Path(name).name!r}; {doubt}")
    assert read.notes == []


def test_two_paths_of_one_file_are_one_reading(images, monkeypatch):
    folder = images("a.jpg")
    (folder / "same").symlink_to(folder)
    monkeypatch.chdir(folder.parent)
    read = Read([str(folder / "A.JPG")], "images")
    assert (read.faults, read.places[0].samefile(folder / "a.jpg")) == ([], True)
    assert Read(["x/same/a.jpg"], folder).faults == []


def test_the_path_in_label_studio_is_preferred_to_its_end(images):
    folder = images("photos/1.jpg", "1.jpg")
    read = Read([f"{STUDIO}photos/1.jpg"], folder)
    assert (read.relative(folder), read.faults) == (["photos/1.jpg"], [])


@pytest.mark.parametrize(
    ("names", "doubt"),
    [
        (["a.jpg", "A.JPG"], "'a.jpg' and 'A.JPG' would both be read as 'a.jpg'"),
        (["cat/a.jpg", "dog/a.jpg"], "'cat/a.jpg' and 'dog/a.jpg' would both be read as 'a.jpg'"),
    ],
)
def test_two_names_for_one_file_are_a_fault(images, names, doubt):
    folder = images("a.jpg", "b.jpg")
    read = Read([*names, "B.jpg"], folder)
    assert all("images are not in" in fault for fault in read.faults)
    assert doubt in read.faults[0]
    assert [place.exists() for place in read.places] == [names[0] == "a.jpg", False, True]


def test_a_name_that_stands_twice_is_read_twice(images):
    folder = images("a b.jpg")
    read = Read(["a%20b.jpg"] * 2, folder)
    assert (read.relative(folder), read.faults) == (["a b.jpg"] * 2, [])


def test_the_suffix_of_the_config(images):
    folder = images("1.jpg", "1.png", "2", "2.jpg", "3.jpeg", "4.x.jpg", "img/5.jpg")
    for suffix in (".jpg", "jpg"):
        read = Read(["1", "1.png", "2", "4.x", "img/5"], folder, suffix)
        assert read.relative(folder) == ["1.jpg", "1.png", "2", "4.x.jpg", "img/5.jpg"]
        assert read.faults + read.notes == []
    (fault,) = Read(["3"], folder, ".jpg").faults
    assert fault.endswith(": '3.jpg'; the nearest file to '3.jpg' is '3.jpeg'")
    addresses = Read(["1", "1.png", "s3://c/2"], "s3://b/d?region=x", ".jpg").places
    assert addresses == ("s3://b/d/1.jpg?region=x", "s3://b/d/1.png?region=x", "s3://c/2")


def test_addresses_are_not_checked(images, monkeypatch):
    names = ["s3://b/1.jpg", "https://h/2.jpg"]
    assert Read(names, images()).places == tuple(names)
    read = Read(["a%20b.jpg", f"{STUDIO}photos/1.jpg", "/gone/1.jpg"], "s3://b/d")
    assert read.places == ("s3://b/d/a%20b.jpg", "s3://b/d/photos/1.jpg", Path("/gone/1.jpg"))
    monkeypatch.chdir(images("1.jpg"))
    (fault,) = Read(["/gone/1.jpg"], "s3://b/d").faults  # a file here is not meant
    assert fault == "data.train_images: 1 of 1 images are not in '/gone': '1.jpg'"


def test_other_names_are_for_names_that_no_file_has(images):
    folder = images("001.jpg", "002.jpg", "img/003.png")
    read = Read(["001.jpg", "old 7.jpg", "9.jpg"], folder, stems=["002", "002", "img/003"])
    assert (read.relative(folder), read.faults) == (["001.jpg", "002.jpg", "img/003.png"], [])
    assert read.notes[0].startswith("data.train_images: 2 names are read by the name of the XML file, with the suffix")
    (fault,) = Read(["Old.jpg"], images("old.jpg"), stems=["001"]).faults
    assert "'Old.jpg' may be '001.jpg' or 'old.jpg'" in fault


def test_missing_files_are_named(images, tmp_path):
    folder = images("there.jpg", "folder/x.jpg")
    names = ["there.jpg", "folder", *(f"{i}.jpg" for i in range(11)), "x" * 300]
    (text,) = Read([*names, "s3://b/x.jpg"], folder).faults
    assert text.startswith(f"data.train_images: 13 of 15 images are not in '{folder}': 'folder', '0.jpg', '1.jpg', ")
    assert text.endswith("'8.jpg' and 3 more")
    (text,) = Read([f"{'y' * 300}/a.jpg"], folder).faults
    assert "'a.jpg'" in text
    texts = Read(["a\0b.jpg", "\0/c\n.jpg", ""], folder).faults
    assert len(texts) == 3
    assert all(text.isprintable() for text in texts[:1])


def test_the_nearest_file_is_shown(images):
    folder = images("IMG_0001.jpg", "zebra.jpg", *(f"m{i:04}.jpg" for i in range(300)))
    (fault,) = Read(["IMG-0001.jpg"], folder).faults
    assert fault.endswith("'IMG-0001.jpg'; the nearest file to 'IMG-0001.jpg' is 'IMG_0001.jpg'")
    (fault,) = Read(["zebra\u200b.jpg"], folder).faults
    assert fault.endswith(r"'zebra\u200b.jpg'; the nearest file to 'zebra\u200b.jpg' is 'zebra.jpg'")
    (fault,) = Read(["quite-other.jpg"], folder).faults
    assert fault.endswith(": 'quite-other.jpg'")
    (fault,) = Read(["gone/zebr.jpg"], folder).faults
    assert fault.endswith("/gone': 'zebr.jpg'; the nearest file to 'zebr.jpg' is 'zebra.jpg'")


def test_suffixes_of_names():
    assert split_suffix("a/b.c.JPG") == ("a/b.c", ".JPG")
    assert split_suffix("a.b/c") == ("a.b/c", "")
    assert split_suffix(".jpg") == (".jpg", "")
    assert [has_image_suffix(name) for name in ("a.JPG", "a.v2", "a", "x.jpg/a", ".jpg")] == [True] + [False] * 4


def test_each_folder_is_listed_once(images, monkeypatch):
    folder = images(*(f"{part}/{i}.jpg" for part in "ab" for i in range(50)), "x.jpg")
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(name_readings.os, "scandir", lambda path: listed.append(str(path)) or scandir(path))
    read = Read([f"{part}/{i}.jpg" for i in range(50) for part in "ab"], folder)
    assert read.faults == []
    assert sorted(listed) == [f"{folder}/a", f"{folder}/b"]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(names=st.lists(st.text("aAb1é\u0301 .%2fF\\/'\"~:?=d\0", max_size=12), max_size=4))
def test_any_name_is_a_file_that_is_there_or_in_a_fault(images, names):
    folder = images("a", "b.jpg", "A.jpg", "1/a.jpg", "é.png", "a b.jpg", "2f/b.jpg")
    read = Read(names, folder)
    files = [place for place in read.places if isinstance(place, Path)]
    missing = [place for place in files if "\0" in str(place) or not place.is_file()]
    assert bool(missing) == bool(read.faults)
    read_as = {str(place) for place in files if place not in missing}
    assert all(os.path.realpath(path).startswith(str(folder.resolve().parent)) for path in read_as)
    assert all(unicodedata.is_normalized("NFC", note) for note in read.notes)


def test_a_name_alone_may_be_in_any_folder_if_only_one_has_it(tmp_path):
    for name in ("images_001/images/a.png", "images_002/images/b.png", "images_002/images/c.png", "other/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    faults, notes = [], []
    places = image_places(
        ["a.png", "b.png"], tmp_path, key="data.train", suffix=None, reporter=Reporter(faults.append, notes.append)
    )
    assert [str(place.relative_to(tmp_path)) for place in places] == [
        "images_001/images/a.png",
        "images_002/images/b.png",
    ]
    assert faults == []
    assert "2 names are read in a folder of the image folder: 'a.png' is read as 'images_001/images/a.png'" in notes[0]
    image_places(["c.png"], tmp_path, key="data.train", suffix=None, reporter=Reporter(faults.append, notes.append))
    assert "'c.png' may be 'images_002/images/c.png' or 'other/c.png'" in faults[0]
