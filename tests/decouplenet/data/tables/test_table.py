"""Tables of the user's own data: notations of labels, and places of tables and images."""

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import FileSystem

from decouplenet.config import DataConfig
from decouplenet.data.cache import open_pixels
from decouplenet.data.formats import load_image_sets
from decouplenet.data.reporter import STRICT, Reporter
from decouplenet.data.tables.table import Table
from decouplenet.errors import InputError
from tests.decouplenet.data.tables.loading import labels_of

LABELS = [["cat", "dog"], ["traffic light"], [], ["dog"]]


@pytest.fixture
def folder(tmp_path, photo):
    for i in range(4):
        photo(tmp_path / "photos" / f"{i}.png", i)
    return tmp_path


def read_table(file, images, *, key, splits=(), reporter=STRICT, **columns):
    """The images of a table."""
    table = Table(file, key=key, config=DataConfig(**columns), reporter=reporter)
    return table.images(images, splits=splits, reporter=reporter)


def table(folder, rows, name="t.csv", head="path,labels"):
    text = "\n".join([head, *rows]) + "\n"
    file = folder / name
    file.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return file


@pytest.mark.parametrize(
    ("head", "cell", "join"),
    [
        ("path,labels", "{}", "|".join),
        ("path,labels", "{}", ";".join),
        ("path;labels", "{}", ",".join),
        ("path\tlabels", "{}", ",".join),
        ("Image,Tags", '"{}"', ",".join),
        ("path,labels", '"{}"', str),
        ("path,labels", '"{}"', lambda labels: "[" + " ".join(repr(label) for label in labels) + "]"),
    ],
)
def test_labels_with_any_separator(folder, head, cell, join):
    comma = next(c for c in ",;\t" if c in head)
    rows = [f"{i}.png{comma}{cell.format(join(labels))}" for i, labels in enumerate(LABELS)]
    images = read_table(table(folder, rows, head=head), folder / "photos", key="data.train")
    assert images.class_names == ("cat", "dog", "traffic light")
    assert labels_of(images) == LABELS


def test_blanks_between_labels_and_a_given_separator(folder):
    file = table(folder, ["0.png,cat dog", "1.png,dog"], "t.csv.gz")
    assert labels_of(read_table(file, folder / "photos", key="data.train")) == [["cat", "dog"], ["dog"]]
    file = table(folder, ["0.png,cat dog", "1.png,dog"])
    images = read_table(file, folder / "photos", key="data.train", label_separator="|")
    assert images.class_names == ("cat dog", "dog")


def test_one_column_per_class(folder):
    file = table(folder, ["0.png,1,0", "1.png,0,0", "2.png,1,1"], head="path,zebra,ant")
    images = read_table(file, folder / "photos", key="data.train")
    assert images.class_names == ("zebra", "ant")
    assert images.targets.tolist() == [[1, 0], [0, 0], [1, 1]]
    with pytest.raises(InputError, match="has no column of labels .*, and no column beside the paths has only 0 and 1"):
        read_table(table(folder, ["0.png,2"], head="path,zebra"), folder / "photos", key="data.train")


@pytest.mark.parametrize("labels", [LABELS, ["|".join(each) for each in LABELS]])
def test_parquet(folder, labels):
    pq.write_table(pa.table({"file_name": [f"{i}.png" for i in range(4)], "labels": labels}), folder / "t.parquet")
    assert labels_of(read_table(folder / "t.parquet", folder / "photos", key="data.train")) == LABELS


def test_splits_of_one_table(folder):
    rows = ["0.png,cat|dog,train", "1.png,dog,Training", "2.png,dog,val", "3.png,cat,test"]
    file = table(folder, rows, head="path,labels,split")
    config = DataConfig(format="table", train_annotations=str(file), train_images=str(folder / "photos"))
    train, val = load_image_sets(config)
    assert ([p.name for p in train.paths], [p.name for p in val.paths]) == (["0.png", "1.png"], ["2.png"])
    assert labels_of(val) == [["dog"]]
    rows = [row.replace(",val", ",train") for row in rows]
    config = DataConfig(format="table", train_annotations=str(table(folder, rows, head="path,labels,split")))
    config.train_images = str(folder / "photos")
    train, val = load_image_sets(config)
    assert len(train) + len(val) == 3  # some are held out, and the test row is not used
    config.val_annotations = config.train_annotations
    assert [p.name for p in load_image_sets(config)[1].paths] == ["3.png"]


def test_faulty_tables_are_named(folder):
    def read(rows, **keys):
        head = keys.pop("head", "path,labels")
        return read_table(table(folder, rows, head=head), folder / "photos", key="data.train", **keys)

    with pytest.raises(InputError, match=r"0\.png' is in 2 rows"):
        read(["0.png,cat", "0.png,dog"])
    with pytest.raises(InputError, match="line 3: 3 cells, but the first line has 2"):
        read(["0.png,cat", "1.png,cat,dog"])
    with pytest.raises(InputError, match=r"1 of 2 images are not in .*gone\.png"):
        read(["0.png,cat", "gone.png,dog"])
    with pytest.raises(InputError, match="data.label_column: .* has no column 'lables'; did you mean 'labels'"):
        read(["0.png,cat"], label_column="lables")
    with pytest.raises(InputError, match=r"has no column of paths \(a, labels\); name it with data.path_column"):
        read(["0,cat"], head="a,labels")
    assert labels_of(read(["0.png,cat"], head="a,labels", path_column="a")) == [["cat"]]
    assert labels_of(read(["0.png,cat"], head="a,labels")) == [["cat"]]  # the only column of names of images
    with pytest.raises(InputError, match=r"has no row with split train; the column has val \(1\)"):
        read(["0.png,cat,dev"], head="path,labels,split", splits=("train",))
    with pytest.raises(InputError, match=r"none\.csv' cannot be read \(No such file"):
        read_table(folder / "none.csv", None, key="data.train")


def test_table_and_images_in_object_storage(s3, folder):
    base, _, query = s3.partition("?")
    system, path = FileSystem.from_uri(s3)
    system.create_dir(path)
    for i in range(2):
        with system.open_output_stream(f"{path}/photos/{i}.png") as stream:
            stream.write((folder / "photos" / f"{i}.png").read_bytes())
    with system.open_output_stream(f"{path}/t.csv") as stream:
        stream.write(b"path,labels\nphotos/0.png,cat\nphotos/1.png,dog\n")
    images = read_table(f"{base}/t.csv?{query}", None, key="data.train")
    assert labels_of(images) == [["cat"], ["dog"]]
    local = read_table(table(folder, ["0.png,cat", "1.png,dog"]), folder / "photos", key="data.train")
    remote, here = (open_pixels(each, 8, "none")[[0, 1]] for each in (images, local))
    assert (remote == here).all()
    cached = open_pixels(images, 8, str(folder / "cache"))
    assert (cached[[0, 1]] == here).all()
    gone = read_table(table(folder, [f"{base}/gone.png?{query},cat"]), None, key="data.train")
    with pytest.raises(InputError, match=r"s3://bucket/runs/gone\.png: cannot be read") as error:
        open_pixels(gone, 8, "none")[[0]]
    assert "secret" not in str(error.value)


def test_the_separator_is_found_over_all_splits(folder):
    """Also when the val rows alone would suggest another separator."""
    rows = ["0.png,traffic light|dog,train", "1.png,dog,train", "2.png,traffic light,val"]
    config = DataConfig(format="table", train_annotations=str(table(folder, rows, head="path,labels,split_name")))
    config.train_images = str(folder / "photos")
    assert labels_of(load_image_sets(config)[1]) == [["traffic light"]]
    val = table(folder, ["2.png,traffic light"], "v.csv")
    train = table(folder, [row.rpartition(",")[0] for row in rows[:2]])
    config = DataConfig(format="table", train_annotations=str(train), val_annotations=str(val))
    config.train_images = str(folder / "photos")
    assert labels_of(load_image_sets(config)[1]) == [["traffic light"]]
    config.val_annotations = config.train_annotations
    with pytest.raises(InputError, match="is data.train_annotations, and has no split column"):
        load_image_sets(config)


def test_a_split_column_with_another_name(folder):
    file = table(folder, ["0.png,cat,train", "1.png,dog,test"], head="path,labels,part")
    images = read_table(file, folder / "photos", key="data.train", splits=("train",))
    assert [path.name for path in images.paths] == ["0.png"]  # its cells can be nothing but splits
    assert len(read_table(file, folder / "photos", key="data.train", splits=("train",), split_column="none")) == 2
    file = table(folder, ["0.png,cat,train", "1.png,dog,rest"], head="path,labels,part")
    assert len(read_table(file, folder / "photos", key="data.train", splits=("train",))) == 2
    config = DataConfig(split_column="part", splits={"train": ["train"], "test": ["rest"]})
    images = Table(file, key="data.train", config=config).images(folder / "photos", splits=("train",))
    assert [path.name for path in images.paths] == ["0.png"]


def test_files_of_other_programs(folder):
    text = "path,labels\r0.png,cat\r1.png,dog\r"
    (folder / "mac.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert labels_of(read_table(folder / "mac.csv", folder / "photos", key="data.train")) == [["cat"], ["dog"]]
    file = table(folder, ["0,0.png,1,0", "1,1.png,,1", ",,,"], head=",path,cat,dog")  # pandas' index, an empty row
    assert labels_of(read_table(file, folder / "photos", key="data.train")) == [["cat"], ["dog"]]
    pq.write_table(pa.table({"path": ["0.png", "1.png"], "cat": [1, None]}), folder / "t.parquet")
    assert labels_of(read_table(folder / "t.parquet", folder / "photos", key="data.train")) == [["cat"], []]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'path,labels\n0.png,"cat\n1.png,dog\n', "cannot be read .unexpected end of data"),
        (b"path,labels\n0.png,\xff\n", "cannot be read"),
        (b"path,cat,cat\n0.png,1,0\n", "has 2 columns 'cat'"),
        (b"path,labels\n,cat\n", "row 2: no path"),
        (b"path,labels\n0.png,\n", "has no label in any row"),
        (b"path,labels\n0.png,\"{'cat': 1}\"\n", "row 2: .* is a mapping"),
        (b"path,labels\n", "has 1 lines"),
        (b"", "has 0 lines"),
    ],
)
def test_ambiguous_content_is_refused(folder, content, message):
    (folder / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_table(folder / "t.csv", folder / "photos", key="data.train")
    (folder / "t.csv.gz").write_bytes(gzip.compress(content)[:-9])
    with pytest.raises(InputError, match="cannot be read"):
        read_table(folder / "t.csv.gz", folder / "photos", key="data.train")


def test_messages_do_not_contain_access_keys(folder):
    file = table(folder, ["https://h/a.jpg?sig=SECRET,cow", "https://h/a.jpg?sig=SECRET,cat"])
    faults = []
    read_table(file, None, key="data.train", reporter=Reporter(faults.append))
    assert len(faults) == 1
    assert "SECRET" not in str(faults)
