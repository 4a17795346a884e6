"""NUS-WIDE's official lists and its csv."""

import csv
import gzip

import numpy as np
import pytest

from decouplenet.config import DataConfig
from decouplenet.data.annotations.nuswide import CONCEPTS, read_nuswide
from decouplenet.data.annotations.nuswide_numbers import TEST_NUMBERS, note_differences
from decouplenet.data.formats import load_image_sets
from decouplenet.data.image_set import ImageSet
from decouplenet.data.reporter import Reporter
from decouplenet.errors import InputError

TRAIN = {"actor/1.jpg": {"person", "sky"}, "zoo/2.jpg": set(), "zoo/3.jpg": {"animal"}}
TEST = {"actor/4.jpg": {"airport"}, "zoo/5.jpg": {"sky"}}


@pytest.fixture
def official(tmp_path, photo):
    """The lists as they are downloaded, with backslashes and one label file per concept."""
    for name in (*TRAIN, *TEST):
        photo(tmp_path / "images" / name)
    (tmp_path / "ImageList").mkdir()
    (tmp_path / "TrainTestLabels").mkdir()
    (tmp_path / "Concepts81.txt").write_text("\n".join(CONCEPTS) + "\n")
    for split, content in (("Train", TRAIN), ("Test", TEST)):
        lines = [name.replace("/", "\\") for name in content]
        (tmp_path / "ImageList" / f"{split}Imagelist.txt").write_text("\r\n".join(lines) + "\r\n")
        for concept in CONCEPTS:
            flags = [str(int(concept in labels)) for labels in content.values()]
            (tmp_path / "TrainTestLabels" / f"Labels_{concept}_{split}.txt").write_text("\n".join(flags) + "\n")
    return tmp_path


def labels(images):
    return {
        str(path.relative_to(path.parents[1])): {images.class_names[c] for c in row.nonzero()[0]}
        for path, row in zip(images.paths, images.targets, strict=True)
    }


def test_the_official_lists(official):
    config = DataConfig(format="nuswide", train_annotations=str(official), train_images=str(official / "images"))
    config.val_annotations = str(official)
    train, val = load_image_sets(config)
    assert (labels(train), labels(val)) == (TRAIN, TEST)
    assert train.class_names == CONCEPTS
    assert len(CONCEPTS) == 81
    config.drop_unlabelled = True
    train, val = load_image_sets(config)
    assert labels(train) == {name: labels for name, labels in TRAIN.items() if labels}
    assert len(val) == 2


def test_the_folders_of_the_download(official):
    (official / "ConceptsList").mkdir()
    (official / "Groundtruth").mkdir()
    (official / "Concepts81.txt").rename(official / "ConceptsList" / "Concepts81.txt")
    (official / "TrainTestLabels").rename(official / "Groundtruth" / "TrainTestLabels")
    assert labels(read_nuswide(official, official / "images", test=True, key="data.val")) == TEST


def test_the_official_lists_of_all_images(official):
    everything = TEST | TRAIN
    for file in (official / "TrainTestLabels").iterdir():
        file.unlink()
    (official / "AllLabels").mkdir()
    (official / "ImageList" / "Imagelist.txt").write_text("\n".join(everything) + "\n")
    for concept in CONCEPTS:
        flags = [str(int(concept in labels)) for labels in everything.values()]
        (official / "AllLabels" / f"Labels_{concept}.txt").write_text("\n".join(flags) + "\n")
    images = read_nuswide(official, official / "images", test=False, key="data.train")
    assert labels(images) == TRAIN


def test_lists_that_do_not_fit_together_are_named(official):
    file = official / "TrainTestLabels" / "Labels_sky_Train.txt"
    file.write_text("1\n0\n")
    with pytest.raises(InputError, match=r"Labels_sky_Train\.txt has 2 lines; 3 of 0 or 1 are needed"):
        read_nuswide(official, official / "images", test=False, key="data.train")
    file.unlink()
    with pytest.raises(InputError, match=r"has no Labels_sky_Train\.txt"):
        read_nuswide(official, official / "images", test=False, key="data.train")


@pytest.mark.parametrize("style", ["python", "blanks"])
def test_the_csv(official, style):
    lines = ["filepath,label,split"]
    for split, content in (("train", TRAIN), ("val", TEST)):
        for name, labels_of_image in content.items():
            cell = f'"{sorted(labels_of_image)}"' if style == "python" else " ".join(sorted(labels_of_image))
            lines.append(f"{name},{cell},{split}")
    (official / "nus.csv").write_text("\n".join(lines) + "\n")
    config = DataConfig(format="nuswide", train_annotations=str(official / "nus.csv"))
    config.train_images, config.holdout = str(official / "images"), 0.0
    train, val = load_image_sets(config)
    assert (labels(train), len(val)) == (TRAIN, 0)  # the official test images are used only if asked for
    assert train.class_names == CONCEPTS
    config.val_annotations = config.train_annotations
    assert labels(load_image_sets(config)[1]) == TEST
    (official / "no_split.csv").write_text(
        "name,tag\n" + "\n".join(line.rpartition(",")[0] for line in lines[1:]) + "\n"
    )
    config.train_annotations = config.val_annotations = str(official / "no_split.csv")
    config.path_column, config.label_column = "name", "tag"
    with pytest.raises(InputError, match="has no split column, so its images are the training images"):
        load_image_sets(config)
    config.path_column = config.label_column = None
    config.train_annotations = config.val_annotations = str(official / "nus.csv")
    (official / "nus.csv").write_text("\n".join(lines).replace("animal", "animals") + "\n")
    with pytest.raises(InputError, match=r"'animals' \(1 image\) is not among the classes of NUS"):
        load_image_sets(config)


def test_images_and_csv_in_object_storage(official, remote):
    lines = ["filepath,label,split"]
    lines += [f"{name},{' '.join(sorted(names))},train" for name, names in TRAIN.items()]
    (official / "images" / "nus.csv").write_text("\n".join(lines) + "\n")
    (official / "images" / "no_split.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines) + "\n")
    address = remote(official / "images")
    config = DataConfig(format="nuswide", train_images=address(""), holdout=0.0)
    for annotations in (str(official), str(official / "images" / "nus.csv"), address("nus.csv")):
        config.train_annotations = annotations
        train, _ = load_image_sets(config)
        assert train.paths == tuple(address(name) for name in TRAIN)
        assert [set(np.array(CONCEPTS)[row == 1]) for row in train.targets] == list(TRAIN.values())
    config.train_annotations = address("lists")
    with pytest.raises(InputError, match="official lists must be in a folder of this machine") as lists_error:
        load_image_sets(config)
    config.train_annotations = config.val_annotations = address("no_split.csv")
    with pytest.raises(
        InputError, match=r"no_split\.csv' has no split column, so its images are the train"
    ) as csv_error:
        load_image_sets(config)
    assert "secret" not in f"{lists_error.value} {csv_error.value}"


@pytest.fixture
def real(shared):
    """The rows of the real labels: a path and the concepts of each test image."""
    with gzip.open(shared / "nuswide" / "test_labels.csv.gz", "rt") as file:
        return [(row["filepath"], row["labels"].split()) for row in csv.DictReader(file)]


@pytest.fixture
def notes_of(tmp_path):
    """A function that writes rows to a csv and reads it as a split. It gives the image set and the notes on numbers."""

    def collect(rows, test=True):
        file = tmp_path / "nus.csv"
        file.write_text("filepath,labels\n" + "".join(f"{path},{' '.join(labels)}\n" for path, labels in rows))
        faults, notes = [], []
        reporter = Reporter(faults.append, notes.append)
        images = read_nuswide(file, "s3://b/images", test=test, key="data.val", reporter=reporter)
        assert faults == []
        start = f"data.val_annotations: '{file}'"
        return images, [note.removeprefix(start) for note in notes if "NUS-WIDE has" in note or "official" in note]

    return collect


def test_the_real_labels(shared, real, notes_of):
    images, notes = notes_of(real)
    assert images.targets.shape == (107_859, 81)
    assert images.class_names == tuple((shared / "nuswide" / "concepts81.txt").read_text().split())
    assert 0.2 < (~images.targets.any(1)).mean() < 0.25
    assert notes == []
    _, notes = notes_of(real, test=False)
    assert notes == [" has 107,859 training images; NUS-WIDE has 161,789"]


def test_swapped_concepts_are_noted(real, notes_of):
    swapped = {"sun": "sunset", "sunset": "sun", "water": "waterfall", "waterfall": "water"}
    _, notes = notes_of([(path, [swapped.get(label, label) for label in labels]) for path, labels in real])
    assert notes == [
        ": 4 concepts do not have the official number of test images: water has 272, official 14,260, waterfall has "
        "14,260, official 272, sun has 3,384, official 1,479, sunset has 1,479, official 3,384; water and waterfall, "
        "sun and sunset look swapped"
    ]


def test_missing_images_are_noted_with_the_concepts_that_they_lack(real, notes_of):
    _, notes = notes_of([row for row in real if not {"waterfall", "map"} & set(row[1])])
    missing = [labels for _, labels in real if {"waterfall", "map"} & set(labels)]
    assert notes[0] == f" has {107_859 - len(missing):,} test images; NUS-WIDE has 107,859"
    differing = len({label for labels in missing for label in labels})
    assert notes[1].startswith(f": {differing} concepts do not have the official number of test images: ")
    assert notes[1].endswith(f" and {differing - 5} more")
    assert "waterfall has 0, official 272" in notes[1]
    _, notes = notes_of(real[:-1])
    assert notes[0] == " has 107,858 test images; NUS-WIDE has 107,859"


def test_one_wrong_label_is_noted(real, notes_of):
    index = next(i for i, (_, labels) in enumerate(real) if "zebra" in labels)
    path, labels = real[index]
    real[index] = path, [label for label in labels if label != "zebra"]
    assert notes_of(real)[1] == [
        ": 1 concept does not have the official number of test images: zebra has 113, official 114"
    ]


def test_official_lists_are_compared_too(official):
    notes = []
    reporter = Reporter(note=notes.append)
    read_nuswide(official, official / "images", test=False, key="data.train", reporter=reporter)
    assert notes == [f"data.train_annotations: '{official}' has 3 training images; NUS-WIDE has 161,789"]
    read_nuswide(official, official / "images", test=True, key="data.val", reporter=reporter)
    assert notes[1] == f"data.val_annotations: '{official}' has 2 test images; NUS-WIDE has 107,859"
    assert notes[2].startswith(
        f"data.val_annotations: '{official}': 81 concepts do not have the official number of test "
    )
    assert "sky has 1, official 29,935" in notes[2]


def test_the_official_numbers():
    assert tuple(TEST_NUMBERS) == CONCEPTS
    known = {"sun": 1479, "sunset": 3384, "water": 14260, "waterfall": 272, "earthquake": 21, "map": 20}
    assert {concept: TEST_NUMBERS[concept] for concept in known} == known
    assert sum(TEST_NUMBERS.values()) == 202_389


def test_numbers_of_a_set_with_other_concepts():
    notes = []
    images = ImageSet(("1.jpg",), np.array([[1, 1]], np.uint8), ("zebra", "unicorn"))
    note_differences(images, test=True, where="here", reporter=Reporter(note=notes.append))
    assert notes[1] == "here: 1 concept does not have the official number of test images: zebra has 1, official 114"


def test_a_few_rows_with_concepts_between_blanks(notes_of):
    images, _ = notes_of([("1.jpg", ["person", "sky"])])
    assert images.targets.sum() == 2


def test_what_the_reader_of_tables_says_is_passed_on(official):
    notes, file = [], official / "nus.csv"
    file.write_text("filepath,label\nactor/4.jpg,person|night time\nzoo/5.jpg,sky\n")
    with pytest.raises(InputError, match=r"'night time' \(1 image\) is not one of the classes of NUS-WIDE"):
        read_nuswide(file, official / "images", test=True, key="data.val")
    file.write_text("filepath,label\nactor/4.jpg,person|sky\nzoo/5.jpg,sky\n")
    read_nuswide(file, official / "images", test=True, key="data.val", reporter=Reporter(note=notes.append))
    assert "labels in 'label' are separated by '|': 'person|sky' is 'person', 'sky'" in notes[0]
    file.write_text("filepath,label\nactor/gone.jpg,sky\n")
    with pytest.raises(InputError, match=r"1 of 1 images are not in .*'gone\.jpg'"):
        read_nuswide(file, official / "images", test=True, key="data.val")
