"""PASCAL VOC's lists of images, and what other programs write into them."""

from __future__ import annotations

from pathlib import Path

from decouplenet.data.image_names import note_readings, other_readings
from decouplenet.data.name_readings import Finder
from decouplenet.data.places import Source, is_address, read_lines
from decouplenet.data.reporter import Reporter
from decouplenet.errors import InputError
from decouplenet.image_suffixes import has_image_suffix, split_suffix

FLAGS = ("-1", "0", "1")
"""What follows an id in the list of a single class."""


def annotations_folder(place: Path, key: str) -> Path:
    """The folder of the XML files.

    Args:
        place: that folder, or a list with a folder `Annotations` beside it or up to two folders above.
        key: start of the config keys for messages.

    Raises:
        InputError: there is no such folder.
    """
    if place.is_dir():
        return place
    if not place.is_file():
        raise InputError(f"{key}_annotations: no '{place}'; give VOC's ImageSets/Main/trainval.txt, or Annotations")
    folders = (parent / "Annotations" for parent in [*place.absolute().parents][:3])
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        raise InputError(
            f"{key}_annotations: no folder 'Annotations' beside '{place}' or above it; put VOC's Annotations there"
        )
    return folder


def xml_files(place: Path, folder: Path, photos: Source, key: str, reporter: Reporter) -> list[str]:
    """The XML files of the images, as paths in their folder.

    Args:
        place: the list; or the folder, for all XML files in it.
        folder: the folder of the XML files.
        photos: the folder or address of the images.
        key: start of the config keys for messages.
        reporter: gets faults and notes.

    Raises:
        InputError: there is no XML file, or the list is that of a single class.
    """
    if place == folder:
        names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.xml"))
        if not names:
            raise InputError(f"{key}_annotations: '{place}' has no XML file; give VOC's Annotations, or an image list")
        return names
    lines = read_lines(place, f"{key}_annotations")
    finder = Finder(str(folder))
    files = [Path(finder.path(f"{line}.xml")) for line in lines]
    queries = {i: _queries(line) for i, line in enumerate(lines) if not finder.exists(str(files[i]))}
    readings = other_readings(lines, queries, files, finder)
    images = None if is_address(photos) else Finder(str(photos))
    names = []
    for i, line in enumerate(lines):
        if i in readings.doubts:
            reporter.fault(f"{place}:{i + 1}: {readings.doubts[i]}; correct the line")
            continue
        if i in queries and i not in readings.paths:
            _refuse_flag(line, f"{place}:{i + 1}", finder, images)
        names.append(readings.paths.get(i, f"{line}.xml").removeprefix(f"{finder.root}/"))
    note_readings(lines, readings, finder, f"{key}_annotations: '{place}'", reporter)
    return names


def _queries(line: str) -> dict[str, str]:
    """The XML files that a line may name, of an id or an image, or written after its image; and how it is read then."""
    bare = line.strip("\"'").strip()
    queries = {f"{line}.xml": ""}
    queries.setdefault(f"{bare}.xml", "without outer quotes and blanks")
    if has_image_suffix(bare):
        queries[f"{split_suffix(bare)[0]}.xml"] = "without the suffix of the image"
    if bare.lower().endswith(".xml"):
        queries[bare.split()[-1]] = "by their XML files"
    return queries


def _refuse_flag(line: str, where: str, finder: Finder, images: Finder | None) -> None:
    """Refuse a line of the list of a single class, which has a flag after the id.

    Args:
        line: a line that names no XML file.
        where: its place, for the message.
        finder: finds XML files.
        images: finds images; None if they are at an address.

    Raises:
        InputError: it is such a line.
    """
    folder, _, stem = images.path(line).rpartition("/") if images else ("", "", "")
    if images and images.listing(folder).images_with_stem(stem):
        return  # the id of an image without an XML file
    words = line.split()
    if len(words) > 1 and (words[-1] in FLAGS or finder.exists(finder.path(f"{words[0]}.xml"))):
        raise InputError(
            f"{where}: a line must have only an image id, and no XML file is called '{line}.xml'; give trainval.txt, "
            "not the list of a single class"
        )
