"""VOC's lists and XML files as other programs write them: read right, or named."""

import numpy as np
import pytest

from decouplenet.data.annotations.voc import CLASSES
from tests.decouplenet.data.annotations.conftest import ReadVoc


@pytest.fixture
def folder(tmp_path, photo):
    """A function that writes XML files, given as their content after `<annotation>`, and photos for each name."""
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "JPEGImages").mkdir()

    def write(files, photos, start="<annotation>"):
        for name, content in files.items():
            file = tmp_path / "Annotations" / name
            file.write_bytes(content if isinstance(content, bytes) else f"{start}{content}</annotation>".encode())
        for i, name in enumerate(photos):
            photo(tmp_path / "JPEGImages" / name, i)
        return tmp_path / "Annotations"

    return write


CAT = "<object><name>cat</name></object>"


DOG = "<object><name>dog</name></object>"


def write_list(folder, text):
    file = folder.parent / "ImageSets" / "Main" / "default.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_objects_in_an_xml_namespace_are_seen(folder):
    start = '<annotation xmlns="http://example.org/voc" xmlns:x="http://example.org/x">'
    cat = "<x:object><x:name>cat</x:name><difficult>1</difficult></x:object>"
    files = {"1.xml": f"<filename>a.jpg</filename>{cat}", "2.xml": DOG}
    read = ReadVoc(folder(files, ["a.jpg", "2.jpg"], start))
    assert read.labels == {"a.jpg": set(), "2.jpg": {"dog"}}
    assert np.argwhere(read.images.ignored).tolist() == [[0, CLASSES.index("cat")]]


@pytest.mark.parametrize(
    ("text", "is_difficult"),
    [
        *((text, True) for text in ("1", "True", "YES", " true ", "1.0")),
        *((text, False) for text in ("0", "False", "no", "", " ")),
    ],
)
def test_words_that_mark_an_object_as_difficult(folder, text, is_difficult):
    read = ReadVoc(folder({"1.xml": f"<object><name>cat</name><difficult>{text}</difficult></object>"}, ["1.jpg"]))
    assert read.labels == {"1.jpg": set() if is_difficult else {"cat"}}
    assert read.faults + read.notes == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("<object><name> </name></object>", "an object has no name"),
        ("<object><name/></object>", "an object has no name"),
        ("<object/>", "an object has no name"),
        (
            "<object><name>cat</name><difficult>perhaps</difficult></object>",
            "an object 'cat' has <difficult>perhaps</difficult>; write 0 or 1",
        ),
        (b"", "no element found: line 1, column 0"),
        (b"<annotation>&nbsp;</annotation>", "undefined entity: line 1, column 12"),
        (b"<html></html>", "its outermost element is <html>, not <annotation>"),
        ("<a>".encode("utf-32"), "not well-formed (invalid token): line 1, column 1"),
        (
            '<?xml version="1.0" encoding="foo"?><annotation>é'.encode("latin-1"),
            "its encoding 'foo' is not known, and it is not in UTF-8",
        ),
        (
            '<?xml version="1.0" encoding="gbk"?><annotation>\xff\xff'.encode("latin-1"),
            "its encoding 'gbk' is not known",
        ),
        ("<annotation>é</annotation>".encode("latin-1"), "not well-formed (invalid token): line 1, column 12"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_left_out(folder, content, reason):
    files = {"1.xml": content, "2.xml": DOG}
    read = ReadVoc(folder(files, ["1.jpg", "2.jpg"]))
    (fault,) = read.faults
    assert fault.startswith(f"data.train_annotations: {folder({}, [])}/1.xml: cannot be read ({reason}")
    assert fault.isprintable()
    assert read.labels == {"2.jpg": {"dog"}}


def test_a_bomb_of_entities_is_a_fault(folder):
    entities = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 12))
    bomb = f'<!DOCTYPE a [<!ENTITY l0 "laugh">{entities}]><annotation>&l11;</annotation>'
    for encoding in ("utf-8", "utf-16"):
        read = ReadVoc(folder({"1.xml": bomb.encode(encoding), "2.xml": DOG}, ["2.jpg"]))
        (fault,) = read.faults
        assert "1.xml: cannot be read (limit on input amplification factor" in fault


@pytest.mark.parametrize(
    ("declared", "encoding", "is_noted"),
    [
        ("utf-8", "utf-8", False),
        ("UTF-8", "utf-8-sig", False),
        ("latin-1", "latin-1", False),
        ("windows-1252", "cp1252", False),
        ("utf-16", "utf-16", False),
        ("gbk", "gbk", False),
        ("Shift_JIS", "shift_jis", False),
        ("foo", "utf-8", True),
        ("unicode", "utf-8", True),
        ("foo", "utf-8-sig", True),
        ("utf-16", "utf-8", True),
        ("hex", "utf-8", True),
        ("utf-8", "utf-16", True),
    ],
)
def test_encodings_of_xml_files(folder, declared, encoding, is_noted):
    name = "猫" if encoding in ("gbk", "shift_jis") else "é"
    text = f'<?xml version="1.0" encoding="{declared}"?>\n<annotation><object><name>{name}</name></object></annotation>'
    for end in ("", " "):  # UTF-8 of an even length may look like UTF-16
        read = ReadVoc(folder({"1.xml": (text + end).encode(encoding), "2.xml": DOG}, ["1.jpg", "2.jpg"]))
        assert read.faults == []
        assert read.labels == {"1.jpg": {name}, "2.jpg": {"dog"}}
    expected = f"1 XML file is not in the encoding '{declared}' that the first line declares, and is read as Unicode: "
    assert [expected in note and note.endswith("1.xml") for note in read.notes] == [True] * is_noted


def test_words_for_a_missing_value_are_no_class(folder):
    names = ("None", "NaN", "null", "None", "cat")
    objects = "".join(f"<object><name>{name}</name></object>" for name in names)
    read = ReadVoc(folder({"1.xml": objects, "2.xml": DOG}, ["1.jpg", "2.jpg"]))
    assert read.labels == {"1.jpg": {"cat"}, "2.jpg": {"dog"}}
    assert read.notes == [
        f"{read.start}: 'NaN' (1 object), 'None' (2 objects), 'null' (1 object) is no class, and is left out"
    ]
    read = ReadVoc(folder({"1.xml": "<object><name>none</name></object>", "2.xml": ""}, []))
    assert read.faults == [f"{read.start} has no label in any image; its XML files have no object"]


def test_names_of_classes_are_one_line_and_similar_ones_are_noted(folder):
    files = {
        "1.xml": "<object><name>\n  traffic\n light </name></object>",
        "2.xml": f"{DOG}<object><name>Dog</name></object>",
    }
    read = ReadVoc(folder(files, ["1.jpg", "2.jpg"]))
    assert read.labels == {"1.jpg": {"traffic light"}, "2.jpg": {"dog", "Dog"}}
    assert read.notes == [f"{read.start}: the classes 'Dog', 'dog' differ only by case or blanks"]


@pytest.mark.parametrize(
    ("line", "xml", "how"),
    [
        ("my photo 1", "my photo 1", None),
        ("photo -1", "photo -1", None),
        ('"my photo 1"', "my photo 1", "without outer quotes and blanks"),
        ("obj_train_data/my photo.jpg", "my photo", "without the suffix of the image, without leading folders"),
        ('"obj_train_data/my photo.jpg"', "my photo", "without the suffix of the image, without leading folders"),
        ("/content/VOC/JPEGImages/7.JPG", "7", "without the suffix of the image, without leading folders"),
        ("C:\\voc\\JPEGImages\\7.png", "7", "without the suffix of the image, with / for \\, without leading folders"),
        ("JPEGImages/7.jpg Annotations/7.xml", "7", "by their XML files, without leading folders"),
        ("my%20photo", "my photo", "with %-codes decoded"),
        ("IMG_7", "img_7", "in another case or Unicode form"),
        ("caf\u00e9", "cafe\u0301", "in another case or Unicode form"),
    ],
)
def test_lines_of_a_list(folder, line, xml, how):
    annotations = folder({f"{xml}.xml": CAT, "other.xml": DOG, "1.xml": DOG}, [f"{xml}.jpg", "other.jpg", "1.jpg"])
    file = write_list(annotations, f"other\n{line}\n")
    read = ReadVoc(file)
    assert read.labels == {"other.jpg": {"dog"}, f"{xml}.jpg": {"cat"}}
    assert read.faults == []
    assert len(read.notes) == (how is not None)
    assert all(note.startswith(f"{read.start}: 1 name is read {how}: ") for note in read.notes)


def test_an_id_of_an_image_without_an_xml_file_is_no_list_of_a_class(folder):
    annotations = folder({"1.xml": DOG}, ["1.jpg", "my photo 1.jpg"])
    read = ReadVoc(write_list(annotations, "1\nmy photo 1\n"))
    assert read.faults == [
        f"data.train_annotations: {annotations}/my photo 1.xml: cannot be read (No such file or directory)"
    ]
    assert read.labels == {"1.jpg": {"dog"}}


def test_an_id_that_looks_like_a_flag_is_no_list_of_a_class(folder):
    annotations = folder({"2.xml": DOG}, ["2.jpg"])
    read = ReadVoc(write_list(annotations, "1\n2\n"))
    assert read.faults == [f"data.train_annotations: {annotations}/1.xml: cannot be read (No such file or directory)"]


def test_lines_with_two_possible_files_are_faults(folder):
    annotations = folder({"a.xml": CAT, "A.xml": DOG, "b.xml": DOG}, ["a.jpg", "A.jpg", "b.jpg"])
    file = write_list(annotations, "x/a.jpg\nb\nB\n")
    read = ReadVoc(file)
    assert read.faults == [f"{file}:3: 'b' and 'B' would both be read as 'b.xml'; correct the line"]
    assert read.labels == {"a.jpg": {"cat"}, "b.jpg": {"dog"}}
    (annotations / "b.xml").rename(annotations / "B.XML")
    (annotations / "C.xml").touch()
    (annotations / "c.XML").touch()
    file = write_list(annotations, "a\nc\n")
    assert ReadVoc(file).faults == [f"{file}:2: 'c' may be 'C.xml' or 'c.XML'; correct the line"]


def test_a_stale_filename_gives_way_to_the_name_of_the_xml_file(folder):
    files = {"1.xml": f"<filename>IMG_17.JPG</filename>{CAT}", "2.xml": f"<filename>IMG_17.JPG</filename>{DOG}"}
    annotations = folder(files, ["1.png", "2.jpg"])
    read = ReadVoc(annotations)
    assert read.labels == {"1.png": {"cat"}, "2.jpg": {"dog"}}
    assert read.faults == []
    assert read.notes == [
        "data.train_images: 2 names are read by the name of the XML file, with the suffix of the file: 'IMG_17.JPG' is "
        "read as '1.png'"
    ]
    folder({}, ["img_17.jpg"])
    (fault,) = ReadVoc(annotations).faults
    assert "'IMG_17.JPG' may be '1.png' or 'img_17.jpg'" in fault


def test_a_filename_that_contradicts_the_name_of_the_xml_file_is_a_fault(folder):
    files = {"1.xml": f"<filename>2.jpg</filename>{CAT}", "2.xml": f"<filename>3.jpg</filename>{DOG}", "3.xml": ""}
    read = ReadVoc(folder(files, ["1.jpg", "2.jpg", "3.jpg"]))
    assert read.faults == [
        "data.train_annotations: 2 XML files name another image than the one that is called like the XML file, and "
        "both are there: '1.xml' has <filename> '2.jpg', beside '1.jpg', '2.xml' has <filename> '3.jpg', beside "
        "'2.jpg'; correct or remove <filename>"
    ]
    read = ReadVoc(folder({}, []), "s3://b/photos")  # what is at an address is not known
    assert (read.faults, read.images.paths[0]) == ([], "s3://b/photos/2.jpg")


def test_filenames_that_contradict_nothing(folder):
    files = {"a.xml": f"<filename>A.jpg</filename>{CAT}", "b.xml": f"<filename>b.jpg</filename>{DOG}"}
    read = ReadVoc(folder(files, ["A.jpg", "b.jpg", "b.png", "IMG_1.jpg"]))
    assert (read.labels, read.faults) == ({"A.jpg": {"cat"}, "b.jpg": {"dog"}}, [])
    read = ReadVoc(folder({"c.xml": f"<filename>IMG_1.jpg</filename>{DOG}"}, []))
    assert (len(read.labels), read.faults) == (3, [])


def test_xml_files_in_subfolders(folder):
    annotations = folder({}, ["x/1.JPEG", "x/2.JPEG", "2.JPEG"])
    (annotations / "x").mkdir()
    folder({f"x/{i}.xml": f"<filename>{i}</filename>{CAT}" for i in (1, 2)}, [])
    read = ReadVoc(write_list(annotations, "x/1\n"))
    assert [str(path.relative_to(annotations.parent)) for path in read.images.paths] == ["JPEGImages/x/1.JPEG"]
    assert read.faults == []
    (fault,) = ReadVoc(write_list(annotations, "x/2\n")).faults
    assert "'2' may be 'x/2.JPEG' or '2.JPEG'" in fault
    folder({"x/2.xml": f"<filename>2.JPEG</filename>{CAT}"}, [])
    (fault,) = ReadVoc(write_list(annotations, "x/2\n")).faults
    assert "'x/2.xml' has <filename> '2.JPEG', beside '2.JPEG'; correct or remove" in fault


def test_images_without_a_filename(folder):
    annotations = folder({"1.xml": CAT, "2.xml": DOG}, ["1.jpg", "2.png"])
    read = ReadVoc(annotations)
    assert (read.labels, read.faults) == ({"1.jpg": {"cat"}, "2.png": {"dog"}}, [])
    assert ReadVoc(annotations, "s3://b/d", suffix="png").images.paths == ("s3://b/d/1.png", "s3://b/d/2.png")
    folder({"3.xml": "<filename>3</filename>"}, ["3.webp"])
    assert [path.name for path in ReadVoc(annotations).images.paths] == ["1.jpg", "2.png", "3.webp"]
