"""The contract with TensorBoard: one test per method of `EventWriter`, which says what a new version broke."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from decouple_search.results.compat import EventWriter


@pytest.fixture
def writer(tmp_path):
    writer = EventWriter(tmp_path)
    yield writer
    writer.close()


def read(folder):
    return EventAccumulator(str(folder)).Reload()


def plugin_data(events, tag):
    return HParamsPluginData.FromString(events.summary_metadata[tag].plugin_data.content)


def test_hyperparameters(writer, tmp_path):
    values = {"optim.lr": 0.25, "model.attention": "arch1", "data.flip": True}
    writer.hyperparameters(values, "val/map", "0004")
    events = read(tmp_path)  # before the writer is closed
    started = plugin_data(events, "_hparams_/session_start_info").session_start_info
    given = {name: getattr(value, value.WhichOneof("kind")) for name, value in started.hparams.items()}
    assert given == values, "the HParams plugin does not get the values of the hyperparameters"
    assert started.group_name != "", "the HParams plugin does not get the trial's name"
    experiment = plugin_data(events, "_hparams_/experiment").experiment
    names = [info.name for info in experiment.hparam_infos]
    assert names == list(values), "the HParams plugin does not get the names of the hyperparameters"
    metrics = [info.name.tag for info in experiment.metric_infos]
    assert metrics == ["val/map"], "the HParams tab does not show the objective's scalar"


def test_scalars(writer, tmp_path):
    writer.scalars({"val/map": 0.5, "train/loss": 1.5}, step=3)
    events = read(tmp_path)  # before the writer is closed
    for tag, value in (("val/map", 0.5), ("train/loss", 1.5)):
        written = [(event.step, event.value) for event in events.Scalars(tag)]
        assert written == [(3, value)], f"the scalar {tag} is not in the event file once it is written"


def test_close(tmp_path):
    writer = EventWriter(tmp_path)
    writer.scalars({"val/map": 0.5}, step=1)
    writer.close()
    with pytest.raises(OSError, match="closed"):  # else its thread and its file stay open
        writer.scalars({"val/map": 0.5}, step=2)
    files = [file.name for file in tmp_path.iterdir()]
    assert len(files) == 1, f"a run is not one event file but {files}"
    assert ".tfevents." in files[0], "TensorBoard looks for event files by .tfevents. in their names"
