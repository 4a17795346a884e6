"""A registry of extensions: names that are registered, names of installed packages, and what is refused."""

import re
import sys
from pathlib import Path

import pytest

from decouplenet.errors import InputError
from decouplenet.extensions import Extensions

GROUP = "tests.shapes"


def make_square():
    """Define a function, as each run of a notebook's cell does."""

    def square(size):
        return size * size

    return square


def cube(size):
    if size < 0:
        raise ValueError(f"a size of\n{size}")
    return size**3


def picky(size):
    raise InputError("shape.size: mend it")


@pytest.fixture
def shapes():
    """A registry of its own, with a single built-in name."""
    return Extensions("shape.kind", GROUP, ["circle"])


def test_a_registered_function_has_its_name(shapes):
    shapes.register("cube", cube)
    assert shapes.names() == ("circle", "cube")
    assert shapes.get("cube") is cube
    assert shapes.registered == {"cube": cube}


def test_the_registered_extensions_are_a_copy(shapes):
    shapes.registered["cube"] = cube
    assert shapes.names() == ("circle",)


def test_a_built_in_name_is_taken(shapes):
    with pytest.raises(ValueError, match="^shape.kind: 'circle' is a name of the project itself; choose another name$"):
        shapes.register("circle", cube)
    assert shapes.registered == {}


def test_a_name_of_another_function_is_taken(shapes):
    shapes.register("cube", cube)
    with pytest.raises(ValueError, match=rf"'cube' is a name of {re.escape(__name__)}:cube; choose another name"):
        shapes.register("cube", picky)
    assert shapes.get("cube") is cube


def test_the_same_function_may_be_defined_and_registered_twice(shapes):
    earlier, later = make_square(), make_square()
    shapes.register("square", earlier)
    shapes.register("square", later)
    assert shapes.get("square") is later
    assert shapes.names() == ("circle", "square")


@pytest.mark.parametrize("use", [Extensions.get, Extensions.call])
def test_an_unknown_name_is_refused_with_the_nearest_name_and_the_group(shapes, use):
    shapes.register("square", make_square())
    with pytest.raises(InputError, match=r"^shape.kind: unknown 'sqare'; did you mean 'square'\?") as error:
        use(shapes, "sqare")
    assert f"an entry point in '{GROUP}'" in str(error.value)


def test_an_entry_point_has_its_name_and_is_imported_on_first_use(shapes, install):
    install("solid_shapes", "def ball(size):\n    return 4 * size\n", GROUP, ball="solid_shapes:ball")
    assert shapes.names() == ("circle", "ball")
    assert "solid_shapes" not in sys.modules
    assert shapes.get("ball")(2) == 8
    assert shapes.call("ball", 3) == 12
    assert shapes.registered == {}


def test_an_entry_point_of_another_group_has_no_name(shapes, install):
    install("solid_shapes", "ball = len\n", "tests.sounds", ball="solid_shapes:ball")
    assert shapes.names() == ("circle",)


@pytest.mark.parametrize(
    ("source", "value", "reason"),
    [
        ("import no_such_library", "flat_shapes:disc", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("raise OSError('first\\nsecond')", "flat_shapes:disc", "OSError: first second"),
        ("", "flat_shapes:disc", "AttributeError: .*disc"),
        ("", "flat_shapes.more:disc", "ModuleNotFoundError: No module named 'flat_shapes.more'"),
    ],
)
def test_an_entry_point_that_cannot_be_imported(shapes, install, source, value, reason):
    install("flat_shapes", source, GROUP, disc=value)
    assert "disc" in shapes.names()
    message = rf"^shape.kind: 'disc' cannot be imported from {value} \({reason}.*\); mend that package, or remove it$"
    with pytest.raises(InputError, match=message):
        shapes.get("disc")


def test_two_packages_with_the_same_name_are_refused(shapes, install):
    install("flat_shapes", "", GROUP, disc="flat_shapes:disc")
    install("solid_shapes", "", GROUP, disc="solid_shapes:disc")
    message = r"^shape.kind: the entry point 'disc' \(\w+_shapes:disc\) has a name of \w+_shapes:disc; rename it$"
    for use in (shapes.names, lambda: shapes.get("disc")):
        with pytest.raises(InputError, match=message):
            use()


def test_a_package_that_is_installed_in_two_places_counts_once(shapes, install):
    install("flat_shapes", "disc = len\n", GROUP, disc="flat_shapes:disc")
    install("flat_shapes_copy", "", GROUP, disc="flat_shapes:disc")
    assert shapes.names() == ("circle", "disc")
    assert shapes.get("disc") is len


def test_a_package_with_a_built_in_name_is_refused(shapes, install):
    install("flat_shapes", "", GROUP, circle="flat_shapes:disc")
    with pytest.raises(InputError, match=r"'circle' \(flat_shapes:disc\) has a name of the project itself; rename it"):
        shapes.names()


def test_a_call_passes_its_arguments_and_gives_the_result(shapes):
    shapes.register("larger", max)
    assert shapes.call("larger", 2, 3) == 3


def test_an_error_in_an_extension_is_an_input_error_with_its_file_and_line(shapes):
    shapes.register("cube", cube)
    with pytest.raises(InputError) as error:
        shapes.call("cube", -1)
    lines = Path(__file__).read_text().splitlines()
    number = next(number for number, line in enumerate(lines, 1) if "raise ValueError(f" in line)
    assert str(error.value) == f"shape.kind: 'cube' failed (ValueError: a size of -1; {__file__}:{number})"
    assert isinstance(error.value.__cause__, ValueError)


def test_an_input_error_of_an_extension_stays_as_it_is(shapes):
    shapes.register("picky", picky)
    with pytest.raises(InputError, match="^shape.size: mend it$"):
        shapes.call("picky", 1)


def test_a_name_of_an_installed_package_is_taken(shapes, install):
    install("flat_shapes", "def disc():\n    return 1\n", GROUP, disc="flat_shapes:disc")
    with pytest.raises(ValueError, match="'disc' is a name of flat_shapes:disc; choose another name"):
        shapes.register("disc", cube)
    own = shapes.get("disc")
    shapes.register("disc", own)  # a package may have both, a decorator and an entry point
    assert shapes.registered == {"disc": own}


def test_an_extension_that_cannot_be_called_so_is_named_by_its_definition(shapes):
    shapes.register("cube", cube)
    with pytest.raises(InputError, match=rf"^shape.kind: 'cube' failed \(TypeError: .*; {re.escape(__name__)}:cube\)$"):
        shapes.call("cube", 1, 2)
