"""The rooms of the house: what each may import, so that no import is circular and none runs back up."""

import ast
import graphlib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
LAYERS = (
    {"__main__"},
    {"tune", "train", "evaluate", "report"},
    {"api"},
    {"runs", "dry_run"},
    {"search_setup"},
    {"search_run"},
    {"search_parts"},
    {"plan"},
    {"options"},
    {"ray_tune", "ray_train"},
    {"results"},
    {"samplers", "evaluation"},
    {"study"},
    {"stopping", "machines"},
    {"gang"},
    {"storage"},
    {"space"},
)
"""The rooms and modules of decouple_search, top to bottom. Those in one layer do not import each other."""
MODULES = {
    "decouple_search": sorted(ROOT.glob("decouple_search/**/*.py")),
    "decouplenet": sorted(ROOT.glob("decouplenet/**/*.py")),
}


@pytest.fixture(scope="module")
def graph():
    """All imports of both packages, also those inside functions and for type checkers."""
    return grimp.build_graph("decouple_search", "decouplenet", include_external_packages=True, cache_dir=None)


def test_each_module_of_the_top_is_in_a_layer(graph):
    listed = set.union(*LAYERS)
    assert {child.rpartition(".")[2] for child in graph.find_children("decouple_search")} == listed


def test_no_import_runs_back_up(graph):
    illegal = graph.find_illegal_dependencies_for_layers(
        layers=[grimp.Layer(*layer, independent=True) for layer in LAYERS], containers={"decouple_search"}
    )
    assert not [(each.importer, each.imported) for each in illegal]


def test_no_import_is_circular(graph):
    own = [module for module in graph.modules if module.startswith(("decouple_search", "decouplenet"))]
    imports = {module: graph.find_modules_directly_imported_by(module) for module in own}
    graphlib.TopologicalSorter(imports).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("package", ["decouple_search", "ray", "optuna"])
def test_the_model_needs_no_search(graph, package):
    importers = [module for module in graph.modules if module.startswith("decouplenet")]
    assert not [
        m for m in importers if package in {i.partition(".")[0] for i in graph.find_modules_directly_imported_by(m)}
    ]


@pytest.mark.parametrize("room", ["space", "stopping"])
def test_the_pure_rooms_need_no_ray(graph, room):
    importers = graph.find_descendants(f"decouple_search.{room}")
    assert not [module for module in importers if "ray" in graph.find_modules_directly_imported_by(module)]


@pytest.mark.parametrize(("package", "room"), [("ray.tune", "ray_tune"), ("ray.train", "ray_train")])
def test_ray_tune_and_ray_train_are_imported_in_their_rooms_alone(package, room):
    outside = [
        f"{file.relative_to(ROOT)}: {name}"
        for file in MODULES["decouple_search"] + MODULES["decouplenet"]
        if file.parts[len(ROOT.parts) + 1] != room
        for name in imported_names(file)
        if name == package or name.startswith(f"{package}.")
    ]
    assert not outside


def imported_names(file):
    """The dotted names that a file imports, wherever the import stands."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


PUBLIC = ("_replace", "_asdict", "_exit")
"""Names that begin with an underscore and are documented all the same."""


def private_touches(file):
    """The private attributes that a file uses and does not define."""
    attributes = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Attribute)]
    private = [node for node in attributes if node.attr.startswith("_") and not node.attr.startswith("__")]
    of_self = {node.attr for node in private if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")}
    return [node for node in private if node.attr not in of_self and node.attr not in PUBLIC]


def test_private_names_of_other_packages_are_used_in_compat_modules_alone():
    files = [file for file in MODULES["decouple_search"] + MODULES["decouplenet"] if file.name != "compat.py"]
    assert not [
        f"{file.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"
        for file in files
        for node in private_touches(file)
    ]


def test_few_files_at_the_top():
    assert len(list((ROOT / "decouple_search").glob("*.py"))) <= 14


def test_no_function_is_longer_than_50_lines():
    long = [
        f"{file.relative_to(ROOT)}: {node.name}, {node.end_lineno - node.lineno + 1} lines"
        for file in MODULES["decouple_search"] + MODULES["decouplenet"]
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno - node.lineno + 1 > 50
    ]
    assert not long
