"""`tune --dry-run`: the whole plan, and then what the machines lack for it and what to change."""

import json
import re

import pytest
from PIL import Image

from decouple_search import dry_run as dry_run_module
from decouple_search.space.yaml_file import load_space
from decouple_search.stopping.scheduler import make_scheduler
from decouple_search.study.definition import Definition
from decouple_search.tune import main, read
from decouplenet.command_line import parse_config
from decouplenet.errors import InputError
from tests.cluster.files import FOLDER, ROOT

AWS = ["--cluster", str(FOLDER / "aws.yaml")]
PAPER = ["--space", str(ROOT / "search_spaces" / "paper_search.yaml")]
COCO_BYTES = "decoded images 9.22 KB"
"""Of the three images of `coco`, at the 32 px of the small space."""


@pytest.fixture
def plan(space_file, tmp_path, capsys):
    """A function that makes a dry run; it gives the exit code, the lines on stdout, and those on stderr."""

    def plan(*flags):
        space = [] if "--space" in flags else ["--space", str(space_file())]
        code = main([*space, "--dry-run", "--storage", str(tmp_path / "results"), *map(str, flags)])
        printed = capsys.readouterr()
        return code, printed.out.splitlines(), printed.err.splitlines()

    return plan


@pytest.fixture
def small_machine(monkeypatch):
    """This machine has two cores and no GPU."""
    monkeypatch.setattr(dry_run_module, "this_machine", lambda: {"CPU": 2.0, "GPU": 0.0})


@pytest.fixture
def coco(tmp_path):
    """The flags of a data set of three images and two classes, whose files are all there."""
    (tmp_path / "images").mkdir()
    for number in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / f"{number}.jpg")
    content = {
        "images": [{"id": number, "file_name": f"{number}.jpg"} for number in range(3)],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [{"image_id": number, "category_id": 1} for number in range(3)],
    }
    (tmp_path / "labels.json").write_text(json.dumps(content))
    return flags_of("coco", tmp_path / "labels.json", tmp_path / "images")


def flags_of(data_format, labels, images=None):
    flags = ["--data.format", data_format, "--data.train_annotations", labels]
    return [*flags, *(["--data.train_images", images] if images else [])]


def heads(lines):
    """The first words of the lines that begin a part of the plan."""
    return [line.split("  ")[0] for line in lines if not line.startswith(" ")]


def test_on_a_machine_without_gpu_the_whole_plan_comes_first_and_then_what_to_change(plan, small_machine):
    code, lines, errors = plan(*PAPER, "--epoch-seconds", 60)
    assert code == 2
    parts = ["space", "start", "data", "budget", "workers", "at a time", "hours", "disk", "results"]
    assert heads(lines) == parts
    assert "workers    1 per trial, 4 CPU and 1 GPU each" in lines
    assert "at a time  0 trials" in lines
    assert "hours      not known, as no trial fits" in lines
    shortage, *absent = errors
    assert shortage == (
        "error: scaling: a trial needs 1 worker of 4 CPU and 1 GPU, and room for 0 is there (2 CPU, 0 GPU: 0); "
        "this machine has no GPU; on CPUs a trial fits with --scaling.gpus_per_worker 0 --scaling.cpus_per_worker 2, "
        "or plan on a cluster with --cluster FILE"
    )
    assert [line.split("'")[0] for line in absent] == [
        "error: data.train_annotations ",
        "error: data.train_images ",
    ]


def test_the_flags_that_the_plan_names_make_the_trial_fit(plan, small_machine):
    flags = re.findall(r"(--scaling\.\w+) (\S+?),? ", plan(*PAPER)[2][0])
    assert [name for name, _ in flags] == ["--scaling.gpus_per_worker", "--scaling.cpus_per_worker"]
    _, lines, errors = plan(*PAPER, *(word for pair in flags for word in pair))
    assert "at a time  1 trial" in lines
    assert not any("scaling" in line for line in errors)


def test_a_trial_that_fits_on_no_machine_of_a_cluster(plan):
    code, lines, (error,) = plan(*AWS, "--scaling.cpus_per_worker", 5, "--epoch-seconds", 60)
    assert code == 2
    assert "machines   none, as no trial fits; 8 workers at most" in lines
    assert "hours      not known, as no trial fits" in lines
    assert lines[-1].startswith("results    ")
    assert error == (
        "error: scaling: a trial needs 1 worker of 5 CPU and 1 GPU, and room for 0 is there "
        "(0 CPU, 0 GPU: 0; 8 × 4 CPU, 1 GPU: 0); a trial fits with --scaling.cpus_per_worker 4"
    )


def test_a_cluster_without_gpus(plan, tmp_path):
    text = (FOLDER / "aws.yaml").read_text().replace("{CPU: 4, GPU: 1}", "{CPU: 4}")
    (tmp_path / "cpus.yaml").write_text(text)
    code, _, (error,) = plan(*PAPER, "--cluster", tmp_path / "cpus.yaml")
    assert code == 2
    assert "no machine of the cluster has a GPU; on CPUs a trial fits with --scaling.gpus_per_worker 0" in error
    assert "--cluster FILE" not in error


def test_where_no_smaller_trial_fits_no_flags_are_named(plan, monkeypatch):
    monkeypatch.setattr(dry_run_module, "this_machine", lambda: {"CPU": 1.0, "GPU": 0.0})
    four = ["--scaling.workers_per_trial", 4, "--scaling.min_workers_per_trial", 2]
    code, _, (error,) = plan(*four)
    assert code == 2
    assert error.endswith("; no smaller trial fits either, or plan on a cluster with --cluster FILE")


def test_data_that_is_there_is_counted(plan, coco):
    code, lines, errors = plan(*coco)
    assert (code, errors) == (0, [])
    assert f"           {COCO_BYTES}" in "\n".join(lines)
    assert heads(lines)[-1] == "results"


@pytest.mark.parametrize("on_cluster", [False, True])
def test_labels_that_are_not_here(plan, coco, tmp_path, on_cluster):
    (tmp_path / "labels.json").unlink()
    absent = f"data.train_annotations '{tmp_path}/labels.json' is not on this machine"
    code, lines, errors = plan(*coco, *(AWS if on_cluster else []))
    assert f"           decoded images not known, as {absent}" in lines
    assert re.search(r"each, .* at any time \(for 80 classes, as their number is not known\)", "\n".join(lines))
    note = f"note       the images are not counted, as {absent}; the machines of the cluster need it"
    error = f"error: {absent}; put it there, or give another place with --data.train_annotations"
    assert (code, lines[-1], errors) == ((0, note, []) if on_cluster else (2, lines[-1], [error]))
    assert heads(lines)[-1] == ("note" if on_cluster else "results")


@pytest.mark.parametrize("on_cluster", [False, True])
def test_images_that_are_not_here_are_counted_by_their_labels(plan, coco, tmp_path, on_cluster):
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    absent = f"data.train_images '{tmp_path}/images' is not on this machine"
    code, lines, errors = plan(*coco, *(AWS if on_cluster else []))
    assert f"           {COCO_BYTES}" in "\n".join(lines)
    if on_cluster:
        assert (code, errors) == (0, [])
        assert lines[-1] == f"note       {absent}; the machines of the cluster need it"
    else:
        assert (code, errors) == (2, [f"error: {absent}; put it there, or give another place with --data.train_images"])


@pytest.mark.parametrize("on_cluster", [False, True])
def test_single_images_that_are_not_here(plan, tmp_path, on_cluster):
    rows = [f"{tmp_path}/cluster/{number}.jpg,cat" for number in range(4)]
    (tmp_path / "table.csv").write_text("\n".join(["path,label", *rows]))
    missing = f"data.train_images: 4 of 4 images are not in '{tmp_path}/cluster': '0.jpg', '1.jpg', '2.jpg', '3.jpg'"
    code, lines, errors = plan(*flags_of("table", tmp_path / "table.csv"), *(AWS if on_cluster else []))
    assert "           decoded images 12.3 KB" in "\n".join(lines)
    if on_cluster:
        assert (code, lines[-1], errors) == (0, f"note       {missing}", [])
    else:
        assert (code, errors) == (2, [f"error: {missing}"])


@pytest.mark.parametrize("on_cluster", [False, True])
def test_damaged_labels_are_an_error_on_every_machine(plan, coco, tmp_path, on_cluster):
    (tmp_path / "labels.json").write_text("{")
    code, lines, (error,) = plan(*coco, *(AWS if on_cluster else []))
    assert code == 2
    assert "           decoded images not known, as the labels cannot be read" in lines
    assert error.startswith(f"error: data.train_annotations: '{tmp_path}/labels.json' is not a COCO instances JSON")
    assert heads(lines)[-1] == "results"


def test_the_first_of_many_faults_are_named(plan, coco, tmp_path):
    content = json.loads((tmp_path / "labels.json").read_text())
    content["annotations"] += [{"image_id": number, "category_id": 1} for number in range(10, 15)]
    (tmp_path / "labels.json").write_text(json.dumps(content))
    code, lines, errors = plan(*coco, *AWS)
    assert code == 2
    assert COCO_BYTES in "\n".join(lines)
    assert [re.search(r"image id \d+", line)[0] for line in errors[:3]] == [f"image id {i}" for i in (10, 11, 12)]
    assert errors[3:] == [
        "error: data: 2 more faults of this kind; `python -m decouplenet.data check` prints them",
    ]


@pytest.mark.parametrize(("data_format", "ending"), [("coco", "json"), ("table", "csv")])
@pytest.mark.parametrize("on_cluster", [False, True])
def test_labels_at_an_address_that_only_the_cluster_can_read(plan, monkeypatch, data_format, ending, on_cluster):
    def refuse(place):
        raise OSError("access denied")

    module = {"coco": "annotations.coco_file", "table": "tables.text"}[data_format]
    monkeypatch.setattr(f"decouplenet.data.{module}.read_bytes", refuse)
    flags = flags_of(data_format, f"s3://bucket/labels.{ending}", "s3://bucket/images")
    code, lines, errors = plan(*flags, *(AWS if on_cluster else []))
    reason = f"data.train_annotations: 's3://bucket/labels.{ending}' cannot be read (access denied)"
    assert "           decoded images not known, as the labels cannot be read" in lines
    if on_cluster:
        assert (code, errors) == (0, [])
        assert lines[-1].startswith(f"note       the images are not counted: {reason}")
    else:
        assert code == 2
        assert errors[0].startswith(f"error: {reason}")


def test_data_that_is_not_given(plan):
    own_data = ["--space", ROOT / "search_spaces" / "own_data.yaml"]
    code, lines, errors = plan(*own_data)
    assert code == 2
    assert errors == [
        f"error: data.{name} is not given; data.format coco needs it; give it with --data.{name}"
        for name in ("train_annotations", "train_images")
    ]
    code, lines, errors = plan(*own_data, *AWS)
    assert (code, errors) == (0, [])
    assert lines[-2] == (
        "note       the images are not counted, as data.train_annotations is not given; "
        "the machines of the cluster need it"
    )


def test_a_network_that_cannot_be_built_is_named_after_the_plan(plan, monkeypatch):
    def build(*arguments):
        raise InputError("model.head: 'mine' failed")

    monkeypatch.setattr("decouplenet.model.build_model", build)
    code, lines, errors = plan()
    assert (code, errors) == (2, ["error: model.head: 'mine' failed"])
    assert "disk       not known, as the network cannot be built" in lines
    assert heads(lines)[-1] == "results"


def test_a_folder_of_another_search_and_absent_weights_are_lacks_too(plan, space_file, tmp_path):
    space = load_space(space_file())
    config, folder = parse_config(space.base), tmp_path / "results" / "x"
    folder.mkdir(parents=True)
    Definition.from_search(space, config, make_scheduler(space.scheduler, None, 3), grid=False).write(folder)
    weights = ["--model.backbone", "resnet18", "--model.pretrained", tmp_path / "none.pth"]
    code, lines, errors = plan("--name", "x", *weights)
    assert code == 2
    assert lines[-1] == f"results    {folder}"
    assert len(errors) == 2
    assert (
        errors[0]
        == f"error: model.pretrained: no file '{tmp_path}/none.pth'; give a .pth or .safetensors file, true or false"
    )
    assert "was made by another search (model.backbone: tiny there, resnet18 here; " in errors[1]


def test_a_dry_run_of_a_search_that_is_there_says_so(plan, space_file, tmp_path):
    request = read(["--space", str(space_file()), "--storage", str(tmp_path / "results"), "--name", "x"])
    (tmp_path / "results" / "x").mkdir(parents=True)
    request.definition.write(tmp_path / "results" / "x")
    code, lines, errors = plan("--name", "x")
    assert (code, errors) == (0, [])
    assert lines[-1] == f"results    {tmp_path / 'results' / 'x'} (resumed)"
    assert plan("--name", "x", "--resume", "never")[0] == 2
