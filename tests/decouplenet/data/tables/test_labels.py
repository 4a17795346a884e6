"""Labels of tables as exporters write them: flags, vectors, names, numbers; each is read right or refused."""

import pytest

from decouplenet.errors import InputError

ONE_HOT = "path,age,cat,dog\n1.jpg,4,1,0\n2.jpg,5,0,1\n"


def test_flags_beside_other_columns_need_their_names(read_csv):
    with pytest.raises(
        InputError, match=r"'age' is no column of 0 and 1; name .* data.label_columns, such as \[cat, do"
    ):
        read_csv(ONE_HOT)


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        (["cat", "dog"], ("cat", "dog")),
        (["dog", "cat"], ("dog", "cat")),
        (["dog"], ("dog",)),
        ("cat,dog", ("cat", "dog")),
        (["c*", "d?g"], ("cat", "dog")),
        ("after age", ("cat", "dog")),
        ("All after age", ("cat", "dog")),
    ],
)
def test_columns_of_flags_by_name_pattern_or_place(read_csv, columns, names):
    read = read_csv(ONE_HOT, label_columns=columns)
    assert read.train.class_names == names
    both = {"1": ["cat"], "2": ["dog"]}
    assert read.labels == {key: [name for name in value if name in names] for key, value in both.items()}


def test_columns_after_another_may_have_the_splits_among_them(read_csv):
    text = "path,age,cat,split,dog,is_test\n1.jpg,4,1,train,0,0\n2.jpg,5,0,train,1,0\n3.jpg,5,0,val,1,0\n"
    read = read_csv(text, label_columns="after age", split_column="split")
    assert (read.train.class_names, len(read.val)) == (("cat", "dog", "is_test"), 1)
    read = read_csv(text.replace(",is_test", ",cow"), label_columns="after age")
    assert (read.train.class_names, len(read.val)) == (("cat", "dog", "cow"), 1)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"label_columns": ["cta"]}, "data.label_columns: .* has no column 'cta'; did you mean 'cat'"),
        ({"label_columns": "after agee"}, "has no column 'after agee'; did you mean 'age'"),
        ({"label_columns": ["path", "cat"]}, "'path' is the column of paths"),
        ({"label_columns": ["age"]}, "column 'age': '[45]' is no flag"),
        ({"label_columns": ["cat"], "label_column": "dog"}, "are both given"),
    ],
)
def test_wrong_columns_of_flags_are_refused(read_csv, keys, message):
    with pytest.raises(InputError, match=message):
        read_csv(ONE_HOT, **keys)


@pytest.mark.parametrize("cells", [("1", "0"), ("1.0", "0.0"), ("True", "False"), ("1", "")])
def test_a_column_of_flags_never_becomes_classes(read_csv, cells):
    with pytest.raises(InputError, match=r"cells of 'cat' are only .*data.label_columns, such as \[cat\]"):
        read_csv(f"path,age,cat\n1.jpg,4,{cells[0]}\n2.jpg,5,{cells[1]}\n", label_column="cat")


@pytest.mark.parametrize(
    "cells", ["[1, 0, 0]/[0, 1, 1]", "1 0 0/0 1 1", "[1. 0. 0.]/[0. 1. 1.]", "(True,False,False)/[0,1,1]"]
)
def test_a_vector_in_a_cell_is_a_row_of_flags(read_csv, cells):
    first, second = cells.split("/")
    text = f'path,target\n1.jpg,"{first}"\n2.jpg,"{second}"\n'
    read = read_csv(text)
    assert read.labels == {"1": ["class_0"], "2": ["class_1", "class_2"]}
    assert read.has_note("'target' are vectors of 3 flags", "data.classes can name them")
    assert read_csv(text, classes=["cat", "dog", "cow"]).labels == {"1": ["cat"], "2": ["dog", "cow"]}
    with pytest.raises(InputError, match="vectors of 3 flags, but data.classes has 2 classes"):
        read_csv(text, classes=["cat", "dog"])


def test_a_name_may_have_blanks(read_csv):
    read = read_csv("path,labels\n1.jpg,traffic light\n2.jpg,stop sign\n")
    assert read.labels == {"1": ["traffic light"], "2": ["stop sign"]}
    assert read.has_note("each cell of 'labels' is a single label, such as 'traffic light'", "data.label_separator")


def test_the_separator_is_always_noted(read_csv):
    read = read_csv("path,labels\n1.jpg,cat dog\n2.jpg,dog\n")
    assert read.labels == {"1": ["cat", "dog"], "2": ["dog"]}
    assert read.has_note("labels in 'labels' are separated by blanks: 'cat dog' is 'cat', 'dog'")
    assert read_csv("path,labels\n1.jpg,a b|c\n2.jpg,c\n").has_note("separated by '|': 'a b|c' is 'a b', 'c'")
    assert read_csv("path,labels\n1.jpg,a b\n2.jpg,c\n", label_separator=" ").labels["1"] == ["a", "b"]


@pytest.mark.parametrize("word", ["NaN", "None", "null", "<NA>", " "])
def test_a_missing_value_is_no_class(read_csv, word):
    read = read_csv(f"path,labels\n1.jpg,cat|{word}\n2.jpg,{word}\n3.jpg,dog\n")
    assert read.labels == {"1": ["cat"], "2": [], "3": ["dog"]}
    assert read.has_note(f"'{word}' (2 times)", "is no class") or not word.strip()


def test_names_that_may_be_the_same_class_are_noted(read_csv):
    read = read_csv('path,labels\n1.jpg,cat\n2.jpg,Cat\n3.jpg,"traffic\nlight"\n4.jpg,traffic light \n')
    assert read.train.class_names == ("Cat", "cat", "traffic light")
    assert read.has_note("the classes 'Cat', 'cat' differ only by case or blanks")
    assert read.has_note("line breaks and outer blanks in 2 cells of 'labels' are left out")


def test_labels_that_are_numbers_take_their_names_from_the_classes(read_csv):
    text = "path,labels\n1.jpg,0|2\n2.jpg,1\n"
    assert read_csv(text, classes=["a", "b", "c"]).labels == {"1": ["a", "c"], "2": ["b"]}
    assert read_csv("path,label\n1.jpg,1\n2.jpg,0\n", classes=["a", "b"]).labels == {"1": ["b"], "2": ["a"]}
    from_one = read_csv("path,labels\n1.jpg,3\n2.jpg,1\n", classes=["a", "b", "c"])
    assert from_one.labels == {"1": ["c"], "2": ["a"]}
    assert from_one.has_note("counted from 1: 1 is 'a'")
    with pytest.raises(InputError, match="the label 3 is out of range, because there are 2 classes, counted from 0"):
        read_csv("path,labels\n1.jpg,3\n2.jpg,1\n", classes=["a", "b"])
    assert read_csv("path,labels\n1.jpg,3\n2.jpg,17\n").train.class_names == ("17", "3")
    with pytest.raises(InputError, match="numbers such as 0.25, and no classes"):
        read_csv("path,labels\n1.jpg,0.5\n2.jpg,0.25\n")


def test_the_first_number_of_a_class_is_that_of_the_training_table(read_csv, tmp_path):
    (tmp_path / "val.csv").write_text("path,labels\n3.jpg,1\n4.jpg,2\n")
    keys = {"val_annotations": str(tmp_path / "val.csv"), "classes": ["a", "b", "c"]}
    val = read_csv("path,labels\n1.jpg,3\n2.jpg,1\n", **keys).val
    assert val.targets.tolist() == [[1, 0, 0], [0, 1, 0]]
    val = read_csv("path,labels\n1.jpg,0\n2.jpg,1\n", **keys).val
    assert val.targets.tolist() == [[0, 1, 0], [0, 0, 1]]


OBJECTS = {
    "TensorFlow": "filename,width,height,class,xmin,ymin,xmax,ymax\n1.jpg,9,9,cow,1,1,5,5\n1.jpg,9,9,dog,1,1,5,5\n"
    "2.jpg,9,9,dog,1,1,5,5\n2.jpg,9,9,dog,2,2,5,5\n",
    "RetinaNet": "1.jpg,1,1,5,5,cow\n1.jpg,1,1,5,5,dog\n2.jpg,1,1,5,5,dog\n3.jpg,,,,,\n",
    "Open Images": "ImageID,Source,LabelName,Confidence\n1,v,cow,1\n1,v,dog,1\n2,v,dog,1\n2,v,cow,0\n",
}


@pytest.mark.parametrize("form", OBJECTS)
def test_rows_of_objects_are_joined_by_image(read_csv, form):
    keys = {"suffix": ".jpg"} if form == "Open Images" else {}
    read = read_csv(OBJECTS[form], rows="label", **keys)
    assert {name: labels for name, labels in read.labels.items() if labels} == {"1": ["cow", "dog"], "2": ["dog"]}
    assert ("3" in read.labels) == (form == "RetinaNet")
    assert read.faults == []
    assert read.has_note("1 of 4 rows have Confidence 0 (verified to be absent)") == (form == "Open Images")
    assert "set data.rows to label" in read_csv(OBJECTS[form], **keys).faults[0]


@pytest.mark.parametrize(
    "text",
    [
        "1.jpg 0 1 0\n2.jpg 1 1 0\n",
        "1.jpg\t0\t1\t0\n2.jpg\t1\t1\t0\n",
        "1.jpg,0,1,0\n2.jpg,1,1,0\n",
        "0 1 0 1.jpg\n1 1 0 2.jpg\n",
    ],
)
def test_a_list_without_names_of_columns(read_csv, tmp_path, text):
    (tmp_path / "names.txt").write_text("sea\nblue sky\nsun\n")
    read = read_csv(text, "list.txt", classes=str(tmp_path / "names.txt"))
    assert read.train.class_names == ("sea", "blue sky", "sun")
    assert read.labels == {"1": ["blue sky"], "2": ["sea", "blue sky"]}
    unnamed = read_csv(text, "list.txt")
    assert unnamed.labels == {"1": ["class_1"], "2": ["class_0", "class_1"]}
    assert unnamed.has_note("does not name its 3 classes")
    with pytest.raises(InputError, match="data.classes has 2 classes, but .* has 3 columns of flags"):
        read_csv(text, "list.txt", classes=["sea", "sun"])


def test_a_list_without_names_of_columns_and_with_names_of_labels(read_csv):
    assert read_csv("1.jpg cat dog\n2.jpg dog\n", "list.txt").labels == {"1": ["cat", "dog"], "2": ["dog"]}
    assert read_csv("1.jpg,cat|dog\n2.jpg,dog\n", "list.txt").labels == {"1": ["cat", "dog"], "2": ["dog"]}


@pytest.mark.parametrize(("unknown", "ignored"), [("ignore", 3), ("negative", 0), ("positive", 0)])
def test_unknown_flags_count_as_the_config_says(read_csv, unknown, ignored):
    read = read_csv("path,cat,dog\n1.jpg,1,-1\n2.jpg,0,1\n3.jpg,u,\n", unknown=unknown)
    assert (0 if read.train.ignored is None else int(read.train.ignored.sum())) == ignored
    assert int(read.train.targets.sum()) == (5 if unknown == "positive" else 2)
    assert read.has_note("-1 means that nothing is known (data.unknown)")


def test_minus_one_without_a_zero_is_absent(read_csv):
    read = read_csv("image_id Smiling Young\n1.jpg 1 -1\n2.jpg -1 1\n", "list_attr_celeba.txt")
    assert (read.labels, read.train.ignored) == ({"1": ["Smiling"], "2": ["Young"]}, None)
    assert read.has_note("-1 means that the class is absent")


def test_the_real_form_of_celeba_has_a_line_of_the_number_of_images(read_csv):
    read = read_csv("2\nSmiling Young\n1.jpg  1 -1\n2.jpg -1  1\n", "list_attr_celeba.txt")
    assert read.labels == {"1": ["Smiling"], "2": ["Young"]}


def test_a_table_for_validation_is_read_like_that_for_training(read_csv, tmp_path):
    (tmp_path / "val.csv").write_text("path,cat,dog\n3.jpg,1,-1\n4.jpg,-1,1\n")
    read = read_csv("path,cat,dog\n1.jpg,1,-1\n2.jpg,0,1\n", val_annotations=str(tmp_path / "val.csv"))
    assert read.val.ignored.tolist() == [[False, True], [True, False]]


def test_a_table_with_no_label_is_refused(read_csv):
    with pytest.raises(InputError, match="has no label in any row"):
        read_csv("path,cat,dog\n1.jpg,0,0\n2.jpg,0,0\n")
    with pytest.raises(InputError, match="has no label in any row"):
        read_csv("path,labels\n1.jpg,None\n2.jpg,\n")
