"""Boxes outside of their images, which are noted: no run uses boxes."""

import pytest

from decouplenet.data.annotations.coco import boxes_outside

OUTSIDE = "is empty or reaches outside the image (8×8 pixels)"


@pytest.mark.parametrize(
    ("box", "problem"),
    [
        ([0, 0, 8, 8], None),
        ([-1.3, 0, 9.3, 8], None),
        ([0, -2, 8, 12], None),
        ([-2.1, 0, 8, 8], OUTSIDE),
        ([0, 0, 8, 10.1], OUTSIDE),
        ([0, 0, 0, 8], OUTSIDE),
        ([0, 0, 8, -1], OUTSIDE),
        ([0, 0, float("inf"), 8], "is not [x, y, width, height]"),
        ([float("nan"), 0, 8, 8], "is not [x, y, width, height]"),
        ([float("-inf"), 0, float("inf"), 8], "is not [x, y, width, height]"),
        ([float("-inf"), 0, 8, 8], "is not [x, y, width, height]"),
        ([10**400, 0, 1, 1], "is not [x, y, width, height]"),
        ([0, 0, 8], "is not [x, y, width, height]"),
        (["0", 0, 8, 8], "is not [x, y, width, height]"),
        ({"x": 0}, "is not [x, y, width, height]"),
        (7, "is not [x, y, width, height]"),
        ([], None),
        (None, None),
    ],
)
def test_boxes_outside_their_image(folder, content, messages, box, problem):
    content["annotations"][0]["bbox"] = box
    _, faults, notes = messages(content)
    assert faults + notes == []
    found = boxes_outside(folder / "a.json", "data.train")
    assert len(found) == (problem is not None)
    assert all(text.endswith(f" of annotation 1 of image '30.jpg' {problem}") for text in found)
    assert all(text.startswith("data.train_annotations: the box ") and len(text) < 250 for text in found)


@pytest.mark.parametrize("size", [None, float("inf"), float("nan"), "8", [8], 10**400])
def test_boxes_of_images_of_unknown_size(folder, content, messages, size):
    content["images"][0]["width"] = size
    content["annotations"][0]["bbox"] = [5, 5, 100, 100]
    content["annotations"][1]["bbox"] = [5, -5, 100, 100]
    _, faults, _ = messages(content)
    assert faults == []
    (text,) = boxes_outside(folder / "a.json", "data.train")
    assert text.endswith(
        "the box [5, -5, 100, 100] of annotation 2 of image '30.jpg' is empty or reaches outside the image"
    )


def test_boxes_are_compared_with_the_upright_image(folder, content, messages):
    content["images"][0]["file_name"] = "images\\30.jpg"
    content["images"][0] |= {"width": 8, "height": 20}
    content["annotations"][0]["bbox"] = [0, 0, 20, 8]
    messages(content)
    assert len(boxes_outside(folder / "a.json", "data.train")) == 1
    turned = {folder / "images" / "30.jpg": (20, 8), folder / "images" / "10.jpg": (1, 1)}
    assert boxes_outside(folder / "a.json", "data.train", turned) == []
    content["annotations"][0]["bbox"] = [0, 0, 8, 20]
    messages(content)
    (text,) = boxes_outside(folder / "a.json", "data.train", turned)
    assert text.endswith("is empty or reaches outside the image (20×8 pixels)")


def test_boxes_of_entries_that_cannot_be_used_are_passed_over(folder, content, messages):
    content["annotations"] += [{"image_id": 30}, 7, {"image_id": None, "category_id": 1, "bbox": [9, 9, 9, 9]}]
    content["images"].append({"id": None})
    messages(content)
    assert boxes_outside(folder / "a.json", "data.train") == []
