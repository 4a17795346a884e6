"""NUS-WIDE's official numbers: of images in each split, and of test images with each concept."""

from __future__ import annotations

from decouplenet.data.image_set import ImageSet
from decouplenet.data.reporter import Reporter

TRAIN_IMAGES = 161_789
TEST_IMAGES = 107_859
_NUMBERS = """
airport=331 animal=13483 beach=2108 bear=512 birds=1556 boats=1561 book=146 bridge=967 buildings=7256 cars=645
castle=222 cat=951 cityscape=922 clouds=21669 computer=258 coral=609 cow=355 dancing=310 dog=1018 earthquake=21
elk=319 fire=471 fish=662 flags=172 flowers=3431 food=1131 fox=273 frost=450 garden=1169 glacier=204 grass=9077
harbor=222 horses=710 house=1591 lake=5371 leaf=737 map=20 military=1357 moon=372 mountain=2067 nighttime=1554
ocean=4449 person=20668 plane=1079 plants=5753 police=549 protest=357 railroad=420 rainbow=167 reflection=3125
road=3814 rocks=2567 running=220 sand=886 sign=583 sky=29935 snow=2140 soccer=59 sports=706 statue=385 street=1032
sun=1479 sunset=3384 surf=69 swimmers=201 tattoo=184 temple=656 tiger=288 tower=1091 town=914 toy=1109 train=407
tree=2086 valley=1564 vehicle=2453 water=14260 waterfall=272 wedding=535 whales=158 window=6011 zebra=114
"""
TEST_NUMBERS = {concept: int(number) for concept, number in (pair.split("=") for pair in _NUMBERS.split())}
"""Number of test images with each concept, in the order of the official list."""
MAX_CONCEPTS = 5
"""Maximum number of concepts that a note names."""


def note_differences(images: ImageSet, *, test: bool, where: str, reporter: Reporter) -> None:
    """Note where a split differs from the official one: its number of images, and of test images with each concept.

    Args:
        images: the training or the test images.
        test: which of the two they are.
        where: the name of the labels for messages.
        reporter: gets the notes.
    """
    split, official = ("test", TEST_IMAGES) if test else ("training", TRAIN_IMAGES)
    if len(images) != official:
        reporter.note(f"{where} has {len(images):,} {split} images; NUS-WIDE has {official:,}")
    if not test:
        return
    counts = dict(zip(images.class_names, images.targets.sum(0).tolist(), strict=True))
    differing = [concept for concept, number in TEST_NUMBERS.items() if counts.get(concept, number) != number]
    if not differing:
        return
    differing.sort(key=lambda concept: -abs(counts[concept] - TEST_NUMBERS[concept]))
    listed = ", ".join(
        f"{concept} has {counts[concept]:,}, official {TEST_NUMBERS[concept]:,}" for concept in differing[:MAX_CONCEPTS]
    )
    others = f" and {len(differing) - MAX_CONCEPTS} more" if len(differing) > MAX_CONCEPTS else ""
    swapped = [
        f"{first} and {second}"
        for i, first in enumerate(differing)
        for second in differing[i + 1 :]
        if (counts[first], counts[second]) == (TEST_NUMBERS[second], TEST_NUMBERS[first])
    ]
    hint = f"; {', '.join(swapped)} look swapped" if swapped else ""
    concepts = "1 concept does" if len(differing) == 1 else f"{len(differing)} concepts do"
    reporter.note(f"{where}: {concepts} not have the official number of test images: {listed}{others}{hint}")
