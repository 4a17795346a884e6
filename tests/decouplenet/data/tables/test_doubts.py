"""Tables that can be read in two ways: the right one is taken, or a note or a refusal says which."""

import json

import pytest

from decouplenet.config import DataConfig
from decouplenet.data.absent import check_present
from decouplenet.data.formats import load_image_sets
from decouplenet.errors import InputError


def test_labels_without_a_format_are_refused(config):
    message = "data.train_annotations: given, but data.format is synthetic; set it to coco, nuswide, voc or table"
    with pytest.raises(InputError, match=message):
        load_image_sets(DataConfig(train_annotations="my.csv"))
    with pytest.raises(InputError, match=message):
        check_present(config(data__train_annotations="my.csv"), weights=False)


def test_a_pattern_reads_all_text_files(read_csv, tmp_path):
    for name, i in (("train-a", 1), ("train-b", 2), ("val-a", 3)):
        (tmp_path / f"{name}.csv").write_text(f"path,labels\n{i}.jpg,cat\n")
    read = read_csv("path,labels\n", "unused.txt", train_annotations=str(tmp_path / "*-*.csv"))
    assert (list(read.labels), len(read.val)) == (["1", "2"], 1)


def test_a_folder_with_metadata_is_a_table(read_csv, tmp_path):
    read = read_csv("file_name,labels\n1.jpg,cat\n2.jpg,dog\n", "metadata.csv", train_annotations=str(tmp_path))
    assert read.labels == {"1": ["cat"], "2": ["dog"]}
    (tmp_path / "metadata.csv").unlink()
    with pytest.raises(InputError, match="no parquet or tar file, and no metadata.csv"):
        read_csv("path,labels\n", "unused.txt", train_annotations=str(tmp_path))


@pytest.mark.parametrize("labels", ["labels", "cat,dog"])
def test_several_columns_of_flags_for_splits(read_csv, labels):
    cell = "cat" if labels == "labels" else "1,0"
    rows = "".join(f"{i}.jpg,{cell},{v},{t}\n" for i, v, t in ((1, 0, 0), (2, 0, 0), (3, 1, 0), (4, 0, 1)))
    read = read_csv(f"path,{labels},is_valid,is_test\n{rows}")
    assert [len(images) for images in (read.train, read.val, read.test)] == [2, 1, 1]
    assert "is_test" not in read.train.class_names


@pytest.mark.parametrize("column", ["phase", "usage", "dataset", "mode"])
def test_a_column_of_nothing_but_splits_is_one(read_csv, column):
    read = read_csv(f"path,{column},cat,dog\n1.jpg,train,1,0\n2.jpg,train,0,1\n3.jpg,Test,1,0\n")
    assert (len(read.train), len(read.test), read.train.class_names) == (2, 1, ("cat", "dog"))


def test_a_column_that_is_not_taken_is_noted(read_csv):
    read = read_csv("path,class,cat,dog\n1.jpg,good,1,0\n2.jpg,bad,0,1\n")
    assert read.has_note("'class' is taken for the labels, and cat, dog not")
    assert read_csv("path,label,tags\n1.jpg,a,b\n2.jpg,c,d\n").has_note("'label' is taken for the labels, and tags not")
    assert not read_csv("path,labels,crowd\n1.jpg,a,0\n2.jpg,c,1\n").has_note("is taken for the labels")


@pytest.mark.parametrize("column", ["present", "value", "Confidence"])
def test_a_row_of_a_label_may_say_that_it_is_absent(read_csv, column):
    text = f"path,label,{column}\n1.jpg,cat,1\n1.jpg,dog,0\n2.jpg,dog,1\n"
    assert read_csv(text, rows="label").labels == {"1": ["cat"], "2": ["dog"]}


def test_a_hint_has_all_columns_of_flags(read_csv):
    names = [f"c{i}" for i in range(14)]
    rows = "".join(f"{i}.jpg,{i + 3}{',1' * 14}\n" for i in (1, 2))
    with pytest.raises(InputError, match="such as 'after age'"):
        read_csv(f"path,age,{','.join(names)}\n{rows}")
    rows = "".join(f"{i}.jpg{',1' * 14},{i + 3}\n" for i in (1, 2))
    with pytest.raises(InputError, match=f"such as .{', '.join(names)}."):
        read_csv(f"path,{','.join(names)},age\n{rows}")


def test_numbers_without_names_are_noted(read_csv):
    assert read_csv("1.jpg 0\n2.jpg 2\n", "list.txt").has_note("are numbers, such as 0; data.classes names them")
    with pytest.raises(InputError, match=r"are numbers such as 0\.0, and no classes"):
        read_csv("path,target\n1.jpg,0.0\n2.jpg,4.0\n")


def test_an_empty_flag_that_is_unknown_is_noted(read_csv):
    assert read_csv("path,cat,dog\n1.jpg,1,0\n2.jpg,,1\n").has_note("an empty cell means that nothing is known")
    assert not read_csv("path,cat,dog\n1.jpg,1,\n2.jpg,,1\n").has_note("an empty cell")


def test_tabs_separate_columns_before_commas(read_csv):
    assert read_csv("1.jpg\t0,1,0\n2.jpg\t1,1,0\n", "list.txt").labels == {
        "1": ["class_1"],
        "2": ["class_0", "class_1"],
    }


def test_a_json_mapping_from_paths_to_labels(read_csv):
    content = {"1.jpg": ["cat"], "2.jpg": ["cat", "dog"]}
    for text in (json.dumps(content), json.dumps(content, indent=1)):
        assert read_csv(text, "list.json").labels == {"1": ["cat"], "2": ["cat", "dog"]}


def test_the_same_image_in_two_spellings_is_one(read_csv):
    assert read_csv("path,label\n./1.jpg,cat\n1.jpg,dog\n2.jpg,dog\n", rows="label").labels["1"] == ["cat", "dog"]


def test_a_suffix_may_be_more_than_an_extension(read_csv, tmp_path, photo):
    for i in (1, 2):
        photo(tmp_path / f"id{i}_green.png", i)
        photo(tmp_path / f"id{i}_red.png", i + 2)
    read = read_csv("Id,Target\nid1,16 0\nid2,16\n", suffix="_green.png", label_separator=" ")
    assert [path.name for path in read.train.paths] == ["id1_green.png", "id2_green.png"]
    assert read.faults == []


def test_columns_that_are_taken_for_classes_are_noted(read_csv):
    text = "path,width_ok,cat,dog\n1.jpg,1,1,0\n2.jpg,1,0,1\n"
    assert read_csv(text).has_note("each of the columns width_ok, cat, dog is a class")
    assert not read_csv(text, label_columns=["cat", "dog"]).has_note("is a class")


COMMAS = 'path,label\n1.jpg,"land, with trees"\n2.jpg,sea\n'


def test_a_comma_in_a_name_separates_nothing_where_it_cannot(read_csv):
    whole = {"1": ["land, with trees"], "2": ["sea"]}
    assert read_csv(COMMAS, rows="label").labels == whole
    assert read_csv(COMMAS, classes=["sea", "land, with trees"]).labels == whole
    assert read_csv(COMMAS).labels["1"] == ["land", "with trees"]
