"""Lists and tables in the forms of public data sets; each is read as its authors meant it."""

import json

import pytest

from decouplenet.config import DataConfig
from decouplenet.data.formats import load_image_sets
from decouplenet.errors import InputError

TWO = {"1": ["cat"], "2": ["cat", "dog"]}

FORMS = {
    "Kaggle's Planet": ("image_name,tags\n1,cat\n2,cat dog\n", "csv", {}),
    "fastai's PASCAL": ("fname,labels,is_valid\n1.jpg,cat,False\n2.jpg,cat dog,False\n3.jpg,dog,True\n", "csv", {}),
    "Kaggle's CelebA": ("image_id,cat,dog\n1.jpg,1,-1\n2.jpg,1,1\n", "csv", {}),
    "CelebA": ("2\ncat dog\n1.jpg  1 -1\n2.jpg  1  1\n", "txt", {}),
    "DeepFashion": (
        "2\nimage_name  attribute_labels\n1.jpg  1 0 0\n2.jpg  1 1 0\n",
        "txt",
        {"classes": ["cat", "dog", "cow"]},
    ),
    "CheXpert": (
        "Path,Sex,Age,AP/PA,cat,dog\n1.jpg,M,60,AP,1.0,\n2.jpg,F,50,,1.0,1.0\n",
        "csv",
        {"label_columns": "after AP/PA"},
    ),
    "ChestX-ray14": ("Image Index,Finding Labels,Follow-up #\n1.jpg,cat,0\n2.jpg,cat|dog,1\n", "csv", {}),
    "Roboflow": ("filename, cat, dog\n1.jpg, 1, 0\n2.jpg, 1, 1\n", "csv", {}),
    "movie posters": ("imdbId,Title,Score,Genre,Poster\n7,Cat,7.1,cat,1.jpg\n8,Dog,7.2,cat|dog,2.jpg\n", "csv", {}),
    "Google": ("TRAIN,1.jpg,cat\nTRAIN,2.jpg,cat,dog\nVALIDATION,3.jpg,dog\n", "csv", {}),
    "MXNet": ("0\t1\t0\t1.jpg\n1\t1\t1\t2.jpg\n2\t0\t0\t3.jpg\n", "lst", {"classes": ["cat", "dog"]}),
    "Excel": ("sep=;\npath;labels\n1.jpg;cat\n2.jpg;cat, dog\n", "csv", {}),
    "pandas": (",path,labels\n0,1.jpg,\"['cat']\"\n1,2.jpg,\"['cat', 'dog']\"\n", "csv", {}),
    "a column with its own name": ("path,what is seen\n1.jpg,cat\n2.jpg,cat;dog\n", "csv", {}),
    "Hugging Face's image folder": (
        '{"file_name": "1.jpg", "labels": ["cat"]}\n{"file_name": "2.jpg", "labels": ["cat", "dog"]}\n',
        "jsonl",
        {},
    ),
    "Label Studio's JSON": (
        json.dumps([{"image": "1.jpg", "choice": "cat"}, {"image": "2.jpg", "choice": {"choices": ["cat", "dog"]}}]),
        "json",
        {},
    ),
    "Label Studio's csv": ('image,id,choice\n1.jpg,7,cat\n2.jpg,8,"{""choices"": [""cat"", ""dog""]}"\n', "csv", {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_public_form(read_csv, form):
    text, suffix, keys = FORMS[form]
    read = read_csv(text, f"list.{suffix}", **keys)
    assert {name: labels for name, labels in read.labels.items() if labels} == TWO
    assert read.faults == []
    assert len(read.val) == (form in ("fastai's PASCAL", "Google"))


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"path,labels\n1.jpg,caf\xe9\n", "t.csv", "line 2 is not text in UTF-8; save the file as UTF-8"),
        (b"PK\x03\x04 rest", "t.xlsx", "is an Excel file or an archive; save the table as csv"),
        (b'{"images": [], "annotations": []}', "t.json", "is a COCO JSON; set data.format to coco"),
        (b"[1, 2]", "t.json", "entry 1 is no mapping of columns to cells"),
        (b'{"path": "1.jpg"', "t.jsonl", "line 1 is no JSON"),
        (b"TRAIN,1.jpg,cat\nUNASSIGNED,2.jpg,dog\n", "t.csv", "no usual names of splits: train .1 row., unassigned"),
        (b"1.jpg\n2.jpg\n", "t.txt", "has only paths; it needs labels beside them"),
    ],
)
def test_what_cannot_be_a_table_is_named(tmp_path, content, name, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_image_sets(DataConfig(format="table", train_annotations=str(tmp_path / name)))


def test_excels_unicode_text(tmp_path, photo):
    photo(tmp_path / "1.jpg", 1)
    photo(tmp_path / "2.jpg", 2)
    text = "path\tlabels\n1.jpg\tcaf\u00e9\n2.jpg\tcat\n"
    (tmp_path / "t.txt").write_bytes(b"\xff\xfe" + text.encode("utf-16-le"))
    images, _ = load_image_sets(DataConfig(format="table", train_annotations=str(tmp_path / "t.txt"), holdout=0.0))
    assert images.class_names == ("caf\u00e9", "cat")
