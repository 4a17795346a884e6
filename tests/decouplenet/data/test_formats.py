"""The training and validation images of a config, also by a format of a user's own."""

import numpy as np
import pytest

from decouplenet.config import DataConfig
from decouplenet.data.formats import load_image_sets, load_split
from decouplenet.data.image_set import ImageSet
from decouplenet.data.reporter import Reporter
from decouplenet.errors import InputError
from decouplenet.registration import register_format

CLASSES = ("cat", "dog")


def images(count, *, first=0, targets=None, ignored=None, classes=CLASSES):
    """A set of images, each with the first class unless `targets` says otherwise."""
    targets = np.tile(np.array([1, 0], np.uint8), (count, 1)) if targets is None else targets
    return ImageSet(tuple(f"{number}.jpg" for number in range(first, first + count)), targets, classes, ignored)


@pytest.fixture
def load(registries):
    """A function that loads what a user's format gives."""

    def load(result, **keys):
        register_format("mine")(lambda config, on_fault: result)
        return load_image_sets(DataConfig(format="mine", **keys))

    return load


def test_a_users_format_gets_the_config_and_the_handler_of_faults(registries):
    faults = []

    @register_format("mine")
    def read(config, on_fault):
        on_fault(f"no images in {config.train_images}")
        return images(3), images(2, first=3)

    train, val = load_image_sets(DataConfig(format="mine", train_images="photos"), Reporter(faults.append))
    assert (len(train), len(val)) == (3, 2)
    assert faults == ["no images in photos"]
    with pytest.raises(InputError, match="^no images in photos$"):
        load_image_sets(DataConfig(format="mine", train_images="photos"))


def test_a_share_of_the_images_of_a_users_format_is_held_out(load):
    train, val = load((images(20), None), holdout=0.25)
    assert (len(train), len(val)) == (15, 5)
    assert {*train.paths, *val.paths} == set(images(20).paths)
    assert train.paths == tuple(sorted(train.paths, key=images(20).paths.index))
    assert load((images(20), None), holdout=0.25)[1].paths == val.paths


def test_without_a_share_no_image_is_held_out(load):
    train, val = load([images(20), None], holdout=0.0)
    assert (len(train), len(val)) == (20, 0)


def test_validation_images_of_a_users_format_are_as_they_are(load):
    train, val = load((images(20), images(4, first=20)), holdout=0.5)
    assert (len(train), val.paths) == (20, ("20.jpg", "21.jpg", "22.jpg", "23.jpg"))


def test_images_without_a_label_of_a_users_format_may_be_left_out(load):
    targets = np.array([[1, 0], [0, 0], [0, 0], [0, 1]], np.uint8)
    ignored = np.array([[0, 0], [0, 1], [0, 0], [0, 0]], bool)
    result = images(4, targets=targets, ignored=ignored), images(2, first=4)
    assert load(result, drop_unlabelled=True)[0].paths == ("0.jpg", "1.jpg", "3.jpg")
    assert len(load(result)[0]) == 4


@pytest.mark.parametrize(
    "result",
    [None, images(3), (images(3),), (images(3), None, None, None), (None, images(3)), (images(3), "val")],
)
def test_a_format_that_gives_no_pair_of_image_sets_is_refused(load, result):
    message = r"^data.format: 'mine' made no pair of ImageSets \(the second may be None\), nor three with test$"
    with pytest.raises(InputError, match=message):
        load(result)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"targets": np.zeros((3, 3), np.uint8)}, r"targets of shape \(3, 3\), not \(3, 2\)"),
        ({"targets": np.zeros((2, 2), np.uint8)}, r"targets of shape \(2, 2\), not \(3, 2\)"),
        ({"targets": np.zeros(3, np.uint8)}, r"targets of shape \(3,\), not \(3, 2\)"),
        ({"ignored": np.zeros((3, 1), bool)}, r"ignored of shape \(3, 1\), not \(3, 2\)"),
    ],
)
@pytest.mark.parametrize("split", ["train", "val"])
def test_targets_that_do_not_fit_the_images_are_refused(load, split, changed, message):
    wrong, right = images(3, **changed), images(3)
    with pytest.raises(InputError, match=f"^data.format: 'mine' made {message}$"):
        load((wrong, right) if split == "train" else (right, wrong))


def test_a_class_of_val_that_train_lacks_is_refused(load):
    cow = images(3, classes=("cat", "cow"), targets=np.array([[0, 1], [1, 0], [0, 1]], np.uint8))
    with pytest.raises(InputError, match=r"data.val_annotations: 'cow' \(2 images\) is not among the classes of train"):
        load((images(3), cow))
    assert load((images(3), images(3, classes=("cat", "cow"))))[1].class_names == CLASSES


def test_a_users_format_may_give_test_images(registries):
    register_format("mine")(lambda config, on_fault: (images(3), images(2, first=3), images(4, first=5)))
    config = DataConfig(format="mine")
    assert len(load_split(config, "test")) == 4
    assert len(load_split(config, "val")) == 2
    register_format("other")(lambda config, on_fault: (images(3), images(2, first=3)))
    with pytest.raises(InputError, match="data.test_annotations: not given; --split test needs test images"):
        load_split(DataConfig(format="other"), "test")


def test_too_few_images_of_a_users_format_are_refused(load):
    with pytest.raises(InputError, match="1 training images are left; at least 2 are needed"):
        load((images(1), images(3)))
    with pytest.raises(InputError, match="data.val_annotations: no image is left"):
        load((images(3), images(0)))


def test_an_error_of_a_users_format_is_an_input_error(registries):
    register_format("mine")(lambda config, on_fault: open(config.train_annotations))  # noqa: PTH123, SIM115
    with pytest.raises(InputError, match=r"^data.format: 'mine' failed \(TypeError: .*test_formats.py:\d+\)$"):
        load_image_sets(DataConfig(format="mine"))


def test_an_unknown_format_is_refused():
    with pytest.raises(InputError, match="data.format: unknown 'cocoa'; did you mean 'coco'"):
        load_image_sets(DataConfig(format="cocoa"))


def test_a_users_format_may_give_lists(load):
    listed = ImageSet(["0.jpg", "1.jpg", "2.jpg"], [[0, 1], [1, 0], [1, 1]], ["cat", "dog"], [[True, False]] * 3)
    train, val = load((listed, images(2, first=3)))
    assert (train.targets.dtype, train.ignored.dtype, train.class_names) == (np.uint8, bool, ("cat", "dog"))
    assert train.subset([2]).targets.tolist() == [[1, 1]]
    assert len(val) == 2
