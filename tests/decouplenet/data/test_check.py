"""`python -m decouplenet.data check`: the summary, and each fault by name."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from decouplenet.data.__main__ import main
from decouplenet.errors import InputError


@pytest.fixture
def coco(tmp_path, photo):
    """Two splits in COCO format: six and three photos of 12×10 pixels, two classes."""
    categories = [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}]
    for split, ids in (("train", range(6)), ("val", range(6, 9))):
        images, annotations = [], []
        for i in ids:
            photo(tmp_path / "photos" / f"{i}.jpg", i)
            images.append({"id": i, "file_name": f"{i}.jpg", "width": 10, "height": 12})
            if i != 4:
                category = 3 if i % 3 else 7
                annotations.append({"id": i, "image_id": i, "category_id": category, "bbox": [1, 1, 5, 5]})
        content = {"images": images, "annotations": annotations, "categories": categories}
        (tmp_path / f"{split}.json").write_text(json.dumps(content))
    return tmp_path


def arguments(folder):
    return [
        "check",
        *("--data.format", "coco", "--data.image_size", "8", "--data.train_images", str(folder / "photos")),
        *("--data.train_annotations", str(folder / "train.json"), "--data.val_annotations", str(folder / "val.json")),
    ]


def test_a_data_set_without_faults_is_summarised(coco, capsys):
    assert main([*arguments(coco), "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert findings["class_names"] == ["dog", "cat"]
    assert findings["splits"]["train"] == {
        "images": 6,
        "labels_per_image": [1, 5],
        "class_counts": {"dog": 3, "cat": 2},
    }
    assert findings["faults"] == []
    assert any("1 image has no label" in note for note in findings["notes"])
    assert main(arguments(coco)) == 0
    out = capsys.readouterr().out
    assert "train 6 images, 0.83 labels per image" in out
    assert out.endswith("no fault found\n")


def change(split, harm):
    """A function that applies `harm` to the JSON of a split."""

    def apply(folder):
        file = folder / f"{split}.json"
        content = json.loads(file.read_text())
        harm(content)
        file.write_text(json.dumps(content))

    return apply


def image(content, i):
    return next(entry for entry in content["images"] if entry["id"] == i)


@pytest.mark.parametrize(
    ("harm", "messages"),
    [
        (lambda folder: (folder / "photos" / "2.jpg").write_bytes(b"\xff\xd8\xff no photo"), ["2.jpg: cannot be dec"]),
        (
            lambda folder: (folder / "photos" / "2.jpg").write_bytes((folder / "photos" / "2.jpg").read_bytes()[:-90]),
            ["2.jpg: cannot be decoded"],
        ),
        (lambda folder: (folder / "photos" / "3.jpg").unlink(), ["images are not in", "3.jpg"]),
        (change("train", lambda c: c["annotations"][0].update(category_id=99)), ["uses category id 99"]),
        (change("val", lambda c: c["annotations"][0].update(image_id=98)), ["uses image id 98"]),
        (
            change("train", lambda c: c["images"].append(c["images"][0])),
            ["has id 0 2 times among its images: 0.jpg, 0.jpg"],
        ),
        (change("train", lambda c: c["categories"].append({"id": 9, "name": "cat"})), ["has 2 categories 'cat'"]),
        (change("train", lambda c: image(c, 2).update(file_name="1.jpg")), ["train: '", "1.jpg' is listed 2 times"]),
        (change("val", lambda c: image(c, 7).update(file_name="1.jpg")), ["1.jpg' is in both train and val"]),
        (
            lambda folder: shutil.copy(folder / "photos" / "1.jpg", folder / "photos" / "8.jpg"),
            ["8.jpg' of val has the same content as '", "1.jpg' of train"],
        ),
        (change("val", lambda c: c["categories"].pop()), ["uses category id 3"]),
        (
            change("train", lambda c: c["categories"].pop()),
            ["uses category id 3", "'dog' (2 images) is not among the cla"],
        ),
        (lambda folder: (folder / "val.json").write_text("{"), ["not a COCO instances JSON"]),
    ],
)
def test_each_fault_is_named_and_the_exit_code_is_1(coco, harm, messages, capsys):
    harm(coco)
    assert main(arguments(coco)) == 1
    faults = "\n".join(line for line in capsys.readouterr().out.splitlines() if line.startswith("fault"))
    assert all(text in faults for text in messages), faults


def test_a_data_set_in_object_storage_is_checked_completely(coco, remote, capsys):
    (coco / "photos" / "2.jpg").write_bytes(b"no photo")
    (coco / "photos" / "7.jpg").unlink()
    change("train", lambda c: c["annotations"][0].update(bbox=[-3, 1, 9, 5]))(coco)
    address = remote(coco)
    places = [(f"--data.{split}_annotations", address(f"{split}.json")) for split in ("train", "val")]
    flags = [flag for place in places for flag in place]
    assert main(["check", "--data.format", "coco", "--data.train_images", address("photos"), *flags]) == 1
    out = capsys.readouterr().out
    assert "photos/2.jpg: cannot be decoded" in out
    assert "photos/7.jpg: cannot be read" in out
    assert "the box [-3, 1, 9, 5]" in out
    assert "2 faults" in out
    assert "secret" not in out


def test_unknown_image_sizes_are_not_a_fault(coco):
    change("train", lambda c: image(c, 1).update(width=None))(coco)
    assert main(arguments(coco)) == 0


def test_several_faults_at_once_are_all_found(coco, capsys):
    (coco / "photos" / "2.jpg").write_bytes(b"no")
    (coco / "photos" / "7.jpg").unlink()
    change("train", lambda c: c["annotations"][0].update(category_id=99))(coco)
    change("val", lambda c: c["annotations"][0].update(image_id=98))(coco)
    assert main(arguments(coco)) == 1
    assert "4 faults" in capsys.readouterr().out


def test_images_with_equal_content_in_a_split_are_noted(coco, capsys):
    shutil.copy(coco / "photos" / "1.jpg", coco / "photos" / "2.jpg")
    assert main(arguments(coco)) == 0
    assert "note   train: '" in capsys.readouterr().out


def test_the_word_check_is_required():
    with pytest.raises(InputError, match="'check' is needed"):
        main(["chekc"])


def test_real_photos_have_no_fault(shared, capsys):
    mini = shared / "coco-mini"
    flags = ["--data.format", "coco", "--data.train_images", str(mini / "images"), "--data.image_size", "64"]
    annotations = [
        ["--data.train_annotations", str(mini / "annotations" / "instances_train.json")],
        ["--data.val_annotations", str(mini / "annotations" / "instances_val.json")],
    ]
    assert main(["check", *flags, *annotations[0], *annotations[1]]) == 0
    assert "val   727 images" in capsys.readouterr().out


@pytest.mark.parametrize("box", [[6, 1, 9, 5], [1, 2, 3], ["1", 2, 3, 4], [float("inf"), 1, 2, 2], [1, 1, 0, 3]])
def test_a_wrong_box_is_a_note(coco, box, capsys):
    change("train", lambda c: c["annotations"][1].update(bbox=box))(coco)
    assert main(arguments(coco)) == 0
    (note,) = [line for line in capsys.readouterr().out.splitlines() if "box" in line]
    assert note.startswith("note   data.train_annotations")
    assert "'1.jpg'" in note


def turn(file, orientation, size):
    """Write a photo of a size in pixels as it would be stored on its side."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(file, exif=exif)


def test_a_turned_photo_is_noted_and_its_boxes_are_checked_upright(coco, capsys):
    turn(coco / "photos" / "1.jpg", 6, (40, 20))  # 20 wide and 40 high when it is upright
    for size in ((20, 40), (40, 20)):  # programs write either
        change("train", lambda c, s=size: image(c, 1).update(width=s[0], height=s[1]))(coco)
        change("train", lambda c: c["annotations"][1].update(bbox=[1, 30, 10, 9]))(coco)
        assert main(arguments(coco)) == 0
        out = capsys.readouterr().out
        assert "note   1 image is turned upright, as the EXIF orientation says (data.exif): " in out
        assert "box" not in out
        change("train", lambda c: c["annotations"][1].update(bbox=[30, 1, 9, 10]))(coco)
        assert main(arguments(coco)) == 0
        assert "the box [30, 1, 9, 10]" in capsys.readouterr().out
    assert main([*arguments(coco), "--data.exif", "false"]) == 0
    out = capsys.readouterr().out
    assert "upright" not in out


def test_what_decoding_changes_is_noted(coco, capsys):
    Image.fromarray(np.full((12, 10), 3000, np.uint16)).save(coco / "photos" / "1.png")
    change("train", lambda c: image(c, 1).update(file_name="1.png"))(coco)
    assert main(arguments(coco)) == 0
    (note,) = [line for line in capsys.readouterr().out.splitlines() if "1.png" in line]
    assert note.startswith("note   1 image: ")
    assert "bits" in note


def test_broken_images_that_are_skipped_are_counted_and_listed(coco, capsys):
    (coco / "photos" / "2.jpg").write_bytes(b"no photo")
    assert main([*arguments(coco), "--data.broken", "skip", "--data.broken_share", "0.2"]) == 0
    out = capsys.readouterr().out
    assert "note   1 image cannot be decoded and will be left out (data.broken skip)" in out
    assert "2.jpg: cannot be decoded" in out
    assert main([*arguments(coco), "--data.broken", "skip"]) == 1
    assert "fault  1 of 6 train images cannot be decoded, more than data.broken_share 0.01" in capsys.readouterr().out


def test_without_decoding_no_image_is_read(coco, monkeypatch, capsys):
    (coco / "photos" / "2.jpg").write_bytes(b"no photo")
    (coco / "photos" / "3.jpg").unlink()
    monkeypatch.setattr("decouplenet.data.image_check.read_bytes", None)
    assert main([*arguments(coco), "--no-decode"]) == 1
    out = capsys.readouterr().out
    assert "3.jpg" in out
    assert "1 fault" in out


def test_an_image_of_the_test_split_in_another_split_is_a_fault(coco, capsys):
    change("val", lambda c: None)(coco)
    test = ["--data.test_annotations", str(coco / "val.json")]
    assert main([*arguments(coco), *test]) == 1
    out = capsys.readouterr().out
    assert "is in both val and test" in out
    assert "test  3 images" in out
