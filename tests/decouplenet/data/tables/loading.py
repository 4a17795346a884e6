"""Tables read with a config, and the labels of their images."""

from decouplenet.config import DataConfig
from decouplenet.data.formats import load_splits
from decouplenet.data.reporter import Reporter


def load(place, **keys):
    notes = []
    config = DataConfig(**{"format": "table", "train_annotations": str(place), "holdout": 0.0} | keys)
    return (*load_splits(config, Reporter(note=notes.append), test=True), notes)


def labels_of(images):
    return [[images.class_names[c] for c in row.nonzero()[0]] for row in images.targets]
