"""Every shipped space fits on the machines of every shipped file, and the files say how to plan their cost."""

import re

import pytest

from decouple_search.machines.capacity import Capacity, resolve_gpus
from decouple_search.machines.manifest import read_cluster
from decouple_search.tune import main, parser, read
from tests.cluster.files import FILES, FOLDER, ROOT

SPACES = sorted((ROOT / "search_spaces").glob("*.yaml"))
CLUSTERS = [*(FOLDER / f"{name}.yaml" for name in FILES), *sorted((FOLDER / "kuberay").glob("*.yaml"))]
SLURM = (FOLDER / "slurm" / "search.sbatch").read_text()
PAGES = [path for path in FOLDER.rglob("*") if path.is_file()]


def name_of(path):
    return path.stem


def test_all_shipped_files_are_planned():
    assert len(SPACES) == 9
    assert [cluster.stem for cluster in CLUSTERS] == ["aws", "gcp", "azure", "local", "raycluster", "rayjob"]


@pytest.mark.parametrize("cluster", CLUSTERS, ids=name_of)
@pytest.mark.parametrize("space", SPACES, ids=name_of)
def test_each_space_plans_on_each_cluster(space, cluster, tmp_path, capsys):
    flags = ["--space", str(space), "--cluster", str(cluster), "--dry-run", "--storage", str(tmp_path)]
    assert main(flags) == 0
    plan, errors = capsys.readouterr()
    assert errors == ""
    assert int(re.search(r"^at a time  (\d+) trials?$", plan, re.MULTILINE)[1]) >= 1
    parts = ["space", "data", "budget", "workers", "at a time", "machines", "hours", "disk", "results"]
    positions = [plan.index(f"\n{part}  ") if part != "space" else plan.index("space ") for part in parts]
    assert positions == sorted(positions)
    assert "checkpoints up to" in plan
    assert ("note  " in plan) == ("decoded images not known" in plan) == (space.stem != "demo")


@pytest.mark.parametrize("space", SPACES, ids=name_of)
def test_each_space_fits_on_the_nodes_of_the_slurm_job(space):
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)=(\d+)", SLURM, re.MULTILINE))
    node = {"CPU": int(asked["cpus-per-task"]), "GPU": int(asked["gpus-per-node"])}
    nodes = [node] * int(asked["nodes"])
    config = resolve_gpus(read(["--space", str(space)]).config, nodes)
    assert Capacity(config.scaling).trials(nodes) == len(nodes) * node["GPU"]  # no GPU is idle


@pytest.mark.parametrize("cluster", CLUSTERS, ids=name_of)
def test_each_file_says_how_to_plan_its_cost(cluster):
    head = cluster.read_text().partition("\ncluster_name:")[0].partition("\napiVersion:")[0]
    (command,) = re.findall(r"python -m decouple_search\.tune (--dry-run .*) \\\n#       (.*)\n", head)
    line = parser().given(" ".join(command).replace("SECONDS", "60").replace("PRICE", "1").split())
    assert ROOT / line.flags.cluster == cluster
    limits = read_cluster(str(cluster))
    names = [limits.head.name, *(machine_type.name for machine_type in limits.machine_types)]
    assert line.flags.prices == ",".join(f"{name}=1" for name in names)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_has_a_blank_to_fill_in(page):
    lines = page.read_text().splitlines()
    assert not [line for line in lines if "__" in line.replace("__pycache__", "")]
    rows = [line.strip().strip("|").split("|") for line in lines if line.lstrip().startswith("|")]
    assert not [row for row in rows if len(row) > 1 and not any(cell.strip() for cell in row[1:])]
