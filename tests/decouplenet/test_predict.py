"""`python -m decouplenet.predict`: labels of photos, and figures of class maps."""

import csv
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from decouplenet.checkpoint import read_checkpoint, write_checkpoint
from decouplenet.data.opened import open_data
from decouplenet.engine import Engine
from decouplenet.errors import InputError
from decouplenet.heatmaps import COLOURS, heatmap_figure, overlay, upsample
from decouplenet.predict import main, predict


@pytest.fixture(scope="module")
def trained(tmp_path_factory, cache):
    """The checkpoint of a short training, and its data."""
    from decouplenet.config import Config
    from decouplenet.dotted_keys import nest

    keys = {"model.backbone": "tiny", "model.pretrained": False, "data.image_size": 32, "data.synthetic_images": 120}
    keys |= {"data.cache": str(cache), "optim.name": "adamw", "optim.backbone_lr_scale": 1.0, "train.batch_size": 16}
    config = Config.from_dict(nest(keys))
    data = open_data(config.data)
    engine = Engine(config, data)
    engine.train_epoch()
    folder = tmp_path_factory.mktemp("predict") / "checkpoint"
    write_checkpoint(folder, engine.state()["model"], config, engine.evaluate(), data.val.class_names)
    return folder, data


def test_scores_equal_those_of_an_evaluation(trained, capsys):
    folder, data = trained
    photos = [str(path) for path in data.val.paths[:3]]
    assert main(["--checkpoint", str(folder), *photos, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["image"] for row in rows] == photos
    checkpoint = read_checkpoint(folder)
    pixels = torch.from_numpy(data.val_pixels[np.arange(3)]).permute(0, 3, 1, 2)
    from decouplenet.data.transforms import normalise

    with torch.inference_mode():
        expected = checkpoint.model(normalise(pixels)).sigmoid()
    for row, scores in zip(rows, expected, strict=True):
        assert [row["scores"][name] for name in data.val.class_names] == pytest.approx(scores.tolist(), abs=1e-5)
        assert row["labels"] == [name for name, score in row["scores"].items() if score > 0.5]
        assert list(row["scores"].values()) == sorted(row["scores"].values(), reverse=True)


def test_figures_with_the_truth(trained, tmp_path, capsys):
    folder, data = trained
    photos = [str(path) for path in data.val.paths[:2]]
    arguments = ["--checkpoint", str(folder), *photos, "--heatmaps", str(tmp_path / "maps"), "--truth"]
    assert main([*arguments, "--classes", "kite, sun", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    for row, path, labels in zip(rows, data.val.paths, data.val.targets, strict=False):
        assert row["ground_truth"] == sorted(data.val.class_names[c] for c in labels.nonzero()[0])
        with Image.open(row["heatmap"]) as figure, Image.open(path) as photo:
            width = max(130, round(photo.width * 256 / photo.height))
            assert figure.size[0] == 3 * width + 12  # the photo and two classes
    assert main(arguments) == 0  # draws the predicted and true classes, or the three highest
    assert main(["--checkpoint", str(folder), photos[0], photos[0], "--heatmaps", str(tmp_path / "twice")]) == 0
    assert len(list((tmp_path / "twice").iterdir())) == 2


def test_thresholds_of_the_classes(trained, tmp_path, capsys):
    folder, data = trained
    names = data.val.class_names
    (tmp_path / "t.json").write_text(json.dumps({"thresholds": dict.fromkeys(names, 0.0) | {names[0]: 1.0}}))
    flags = ["--checkpoint", str(folder), str(data.val.paths[0]), "--json", "--thresholds", str(tmp_path / "t.json")]
    assert main(flags) == 0
    assert set(json.loads(capsys.readouterr().out)[0]["labels"]) == set(names[1:])


def test_unreadable_photos_are_reported_and_the_others_labelled(trained, tmp_path, capsys):
    folder, data = trained
    (tmp_path / "bad.jpg").write_bytes(b"no")
    photos = [str(tmp_path / "bad.jpg"), str(data.val.paths[0]), str(tmp_path / "gone.jpg")]
    assert main(["--checkpoint", str(folder), *photos, "--json"]) == 2
    captured = capsys.readouterr()
    assert [row["image"] for row in json.loads(captured.out)] == [photos[1]]
    assert "bad.jpg: cannot be decoded" in captured.err
    assert "gone.jpg: cannot be read (No such file" in captured.err
    for flags, message in (
        (["x.jpg"], "--checkpoint: not given"),
        (["x.jpg", "--checkpoint", str(tmp_path)], r"has no model\.safetensors"),
        (["--checkpoint", str(folder)], "no photo is given"),
        (["x.jpg", "--checkpoint", str(folder), "--classes", "kite"], "--heatmaps is not given"),
        (
            ["x.jpg", "--checkpoint", str(folder), "--heatmaps", "m", "--classes", "kit"],
            "no class 'kit'; did you mean 'kite'",
        ),
        (["x.jpg", "--checkpoint", str(folder), "--model.alpha", "1"], "model.alpha: is fixed by the checkpoint"),
    ):
        with pytest.raises(InputError, match=message):
            main(flags)


@pytest.mark.parametrize("head", ["gap", "gmp", "wildcat", "decouplenet"])
def test_every_head_has_class_maps(trained, tmp_path, config, head):
    from decouplenet.model import build_model

    _, data = trained
    config = config(model__head=head)
    write_checkpoint(tmp_path / "c", build_model(config.model, 15).state_dict(), config, {}, data.val.class_names)
    prediction = predict(read_checkpoint(tmp_path / "c"), str(data.val.paths[0]), maps=True)
    assert prediction.maps.shape[0] == 15
    assert prediction.maps.ndim == 3


def test_a_map_is_drawn_at_the_position_of_its_maximum():
    maps = torch.zeros(2, 4, 4)
    maps[1, 0, 3] = 5.0
    large = upsample(maps, 80, 40).numpy()
    assert large.shape == (2, 40, 80)
    row, column = np.unravel_index(large[1].argmax(), (40, 80))
    assert (row < 10, column >= 60) == (True, True)
    drawn = overlay(np.full((40, 80, 3), 100, np.uint8), large[1])
    assert drawn[row, column] == pytest.approx(0.4 * 100 + 0.6 * np.array(COLOURS[-1]), abs=1)
    assert drawn[-1, 0] == pytest.approx(0.85 * 100 + 0.15 * np.array(COLOURS[0]), abs=1)
    flat = overlay(np.full((40, 80, 3), 100, np.uint8), large[0])
    assert (flat == flat[0, 0]).all()


def test_captions_show_score_and_truth(monkeypatch):
    texts = []
    from PIL import ImageDraw

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda self, position, text, **options: texts.append(text))
    image = Image.new("RGB", (300, 200))
    heatmap_figure(image, torch.rand(3, 4, 4), ("a", "b", "c"), [0.1, 0.925, 0.3], ["b", "c"], {"b", "a"})
    text = " ".join(texts)
    assert "ground truth: a, b" in text
    assert "b 0.93 in the ground truth" in text
    assert "c 0.30 not in the ground truth" in text
    texts.clear()
    heatmap_figure(image, torch.rand(3, 4, 4), ("a", "b", "c"), [0.1, 0.925, 0.3], ["a"])
    assert " ".join(texts) == "ground truth: not known a 0.10"


@pytest.fixture
def photos(trained, tmp_path):
    """A folder of three photos, one in a folder of its own, a broken photo, and a text."""
    _, data = trained
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name, path in zip(("b.png", "a.PNG", "more/c.png"), data.val.paths, strict=False):
        (folder / name).write_bytes(path.read_bytes())
    (folder / "broken.jpg").write_bytes(b"no photo")
    (folder / "readme.txt").write_text("no photo either")
    return folder


def test_a_folder_is_labelled_in_batches_and_broken_photos_are_passed_over(trained, photos, tmp_path, capsys):
    folder, _ = trained
    arguments = ["--checkpoint", str(folder), str(photos), "--batch-size", "2", "--csv", str(tmp_path / "t.csv")]
    assert main([*arguments, "--json"]) == 2
    out, err = capsys.readouterr()
    rows = json.loads(out)
    assert [row["image"] for row in rows] == [str(photos / name) for name in ("a.PNG", "b.png", "more/c.png")]
    assert "broken.jpg: cannot be decoded" in err
    assert err.endswith("1 of 4 photos could not be labelled\n")
    with (tmp_path / "t.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert [row["image"] for row in table] == [row["image"] for row in rows]
    for cells, row in zip(table, rows, strict=True):
        assert [label for label in cells["labels"].split("|") if label] == row["labels"]
        assert {name: float(cells[name]) for name in row["scores"]} == row["scores"]
    for row in rows:
        single = predict(read_checkpoint(folder), row["image"])
        assert sorted(row["scores"].values()) == pytest.approx(sorted(single.scores), abs=1e-5)


def test_a_list_from_stdin_and_a_table_to_stdout(trained, photos, monkeypatch, capsys):
    folder, _ = trained
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{photos / 'b.png'}\n\n {photos / 'a.PNG'} \n"))
    assert main(["--checkpoint", str(folder), "-", "--csv"]) == 0
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["image"] for row in table] == [str(photos / "b.png"), str(photos / "a.PNG")]


def test_wrong_places_are_refused(trained, photos, tmp_path):
    folder, _ = trained
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty' has no photo"):
        main(["--checkpoint", str(folder), str(tmp_path / "empty")])
    with pytest.raises(InputError, match="--csv: cannot write"):
        main(["--checkpoint", str(folder), str(photos), "--csv", str(tmp_path / "none" / "t.csv")])
    with pytest.raises(InputError, match="--csv and --json both print"):
        main(["--checkpoint", str(folder), str(photos), "--json", "--csv"])
    with pytest.raises(InputError, match=r"--csv: '.*a\.PNG' is a photo; give a file for the table"):
        main(["--checkpoint", str(folder), str(photos / "b.png"), "--csv", str(photos / "a.PNG")])


def test_photos_are_turned_upright_unless_the_checkpoint_says_otherwise(trained, tmp_path):
    folder, data = trained
    checkpoint = read_checkpoint(folder)
    with Image.open(data.val.paths[0]) as image:
        upright = image.convert("RGB").resize((48, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right by 90 degrees to view
    upright.save(tmp_path / "upright.png")
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    expected = predict(checkpoint, str(tmp_path / "upright.png"), maps=True)
    turned = predict(checkpoint, str(tmp_path / "turned.png"), maps=True)
    assert turned.scores == pytest.approx(expected.scores, abs=1e-5)
    assert turned.image.size == (48, 32)
    checkpoint.config.data.exif = False
    assert predict(checkpoint, str(tmp_path / "turned.png"), maps=True).image.size == (32, 48)
