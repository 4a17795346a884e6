"""Whatever a table holds, it is read or refused in one line: no other exception, and no label out of nothing."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from decouplenet.config import DataConfig
from decouplenet.data.formats import load_splits
from decouplenet.data.reporter import Reporter
from decouplenet.errors import InputError

HEADS = ("path", "image", "labels", "target", "split", "fold", "is_valid", "Confidence", "cat", "dog", "age", "", "id")
CELLS = (
    *("cat", "dog", "cat|dog", "cat dog", "traffic light", "['cat', 'dog']", "[1, 0]", "[1, 0, 1]", "{'a': 1}", "[()]"),
    *("0", "1", "-1", "u", "", "NaN", "None", "1.0", "0.5", "inf", "1e400", "true", "no", "3", "9" * 30, "²", "٣"),
    *("train", "val", "test", "(", "[", '"', "'", "é", "\x00", " ", "\t", "1 0 1", "1,0,1", "-1 1", "1.jpg", "2.jpg"),
)
CHOICES = {
    "classes": (None, ["cat", "dog"], ["a"], ["0", "1"]),
    "label_columns": (None, "after path", "*", ["cat"]),
    "splits": (None, {"train": [0, 1]}, {"train": "train", "val": [None]}, {}),
    "rows": ("image", "label"),
    "unknown": ("ignore", "positive", "negative"),
    "folds": (0, 2),
    "label_separator": (None, " ", "", "|", "a"),
    "suffix": (None, ".jpg"),
    "drop_unlabelled": (False, True),
}


@st.composite
def tables(draw):
    width = draw(st.integers(1, 5))
    head = st.lists(st.sampled_from(HEADS), min_size=width, max_size=width)
    cells = st.lists(st.sampled_from(CELLS) | st.sampled_from(("0", "1")), min_size=width - 1, max_size=width - 1)
    row = st.builds(lambda path, rest: [path, *rest], st.sampled_from([f"{i}.jpg" for i in range(6)]), cells)
    rows = draw(st.lists(head, max_size=1)) + draw(st.lists(row, min_size=1, max_size=5))
    separator = draw(st.sampled_from([",", "\t", ";", "|", " "]))
    quoted = draw(st.booleans())
    lines = [[f'"{cell.replace(chr(34), chr(34) * 2)}"' if quoted else cell for cell in cells] for cells in rows]
    return "\n".join(separator.join(cells) for cells in lines)


@given(text=tables(), keys=st.fixed_dictionaries({name: st.sampled_from(values) for name, values in CHOICES.items()}))
@settings(max_examples=300, deadline=None)
def test_a_table_is_read_or_refused_in_one_line(text, keys):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "t.csv"
        file.write_text(text)
        said = []
        try:
            sets = load_splits(
                DataConfig(format="table", train_annotations=str(file), **keys),
                Reporter(said.append, said.append),
                test=True,
            )
        except InputError as error:
            said.append(str(error))
            sets = ()
    assert all("\n" not in message and "object at" not in message for message in said)
    for images in filter(None, sets):
        assert images.targets.shape == (len(images.paths), len(images.class_names))
        assert len(set(images.class_names)) == len(images.class_names) > 0
        assert images.ignored is None or not (images.ignored & (images.targets == 1)).any()
        if keys["classes"] is None:
            assert not {"0", "1", "0.0", "1.0", "true"} >= set(images.class_names)
