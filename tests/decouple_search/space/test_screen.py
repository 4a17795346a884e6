"""How many heads a search screens, as a space and a flag say it, and which keys can be screened."""

import pytest

from decouple_search.space.domain import Float
from decouple_search.space.screen import MOST_SCREENED, ScreenPlan, read_screen, with_count
from decouple_search.space.space import Space
from decouplenet.errors import InputError


@pytest.mark.parametrize(
    ("spec", "plan"),
    [
        (None, None),
        ("off", None),
        (False, None),
        ("auto", ScreenPlan(None, 4)),
        ({"count": 64}, ScreenPlan(64, 4)),
        ({"images": 500, "max_gb": 2}, ScreenPlan(images=500, max_gb=2.0)),
        ({"warm_heads": False}, ScreenPlan(None, 4, warm_heads=False)),
        ({"epochs": 2}, ScreenPlan(None, 2)),
        ({"count": "auto", "epochs": 8}, ScreenPlan(None, 8)),
        (12, ScreenPlan(12, 4)),
    ],
)
def test_a_space_says_how_many_heads_are_screened(spec, plan):
    assert read_screen(spec, "space.yaml, screen") == plan


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("some", r"^space.yaml, screen: 'some' is no number of screened trials; give a number from 1, auto or off"),
        ({"counts": 3}, r"^space.yaml, screen: unknown key 'counts'; .*count"),
        ({"count": 0}, r"^space.yaml, screen, count: '0' is not a whole number from 1"),
        ({"warm_heads": 1}, r"^space.yaml, screen, warm_heads: '1' is neither true nor false"),
        ({"images": 0}, r"^space.yaml, screen, images: '0' is not a whole number from 1"),
        ({"max_gb": 0}, r"^space.yaml, screen, max_gb: '0' is not a number above 0"),
        ({"epochs": 1.5}, r"^space.yaml, screen, epochs: '1.5' is not a whole number from 1"),
    ],
)
def test_anything_else_is_refused(spec, message):
    with pytest.raises(InputError, match=message):
        read_screen(spec, "space.yaml, screen")


def test_a_flag_gives_the_number_and_the_space_the_epochs():
    plan = ScreenPlan(None, 7)
    assert with_count(plan, "9", "--screen") == ScreenPlan(9, 7)
    assert with_count(ScreenPlan(9, 7), "auto", "--screen") == plan
    assert with_count(plan, "off", "--screen") is None
    assert (plan.most, ScreenPlan(9).most) == (MOST_SCREENED, 9)
    for text in ("0", "-3", "1.5", "many"):
        with pytest.raises(InputError, match=r"^--screen: "):
            with_count(plan, text, "--screen")


def test_what_feature_maps_cannot_judge_is_fixed_at_its_base():
    search = {"model.alpha": Float(0.0, 1.0), "optim.backbone_lr_scale": Float(0.01, 1.0)}
    space = Space(search, base={"optim.backbone_lr_scale": 0.3})
    assert space.heads.keys == ("model.alpha",)
    assert space.heads.fixed("optim.backbone_lr_scale") == 0.3
    assert Space(search).heads.fixed("optim.backbone_lr_scale") == 0.1
    assert Space({"data.cutout": Float(0.0, 0.5)}).heads is None


@pytest.mark.parametrize(
    ("plan", "images", "map_bytes", "share"),
    [
        (ScreenPlan(), 100_000, 14 * 14 * 2048 * 2, 0.1993),  # 16 GB of ResNet101 at 448 px are 19,930 images
        (ScreenPlan(), 2899, 7 * 7 * 1280 * 2, 1.0),
        (ScreenPlan(max_gb=1e-3), 1000, 10_000, 0.1),
        (ScreenPlan(images=500), 2000, 10**9, 0.25),
        (ScreenPlan(images=5000), 2000, 10**9, 1.0),
    ],
)
def test_the_maps_of_as_many_images_are_used_as_there_is_room_for(plan, images, map_bytes, share):
    assert plan.share(images, map_bytes) == pytest.approx(share, abs=1e-4)
