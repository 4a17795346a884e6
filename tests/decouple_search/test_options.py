"""The finalists and the screened heads that a search asks for, by its flags and its space."""

import pytest

from decouple_search.options import Options, request_search
from decouple_search.plan import describe
from decouple_search.space.domain import Choice, Float
from decouple_search.space.finalists import FinalistPlan
from decouple_search.space.screen import ScreenPlan
from decouple_search.space.space import Space
from decouple_search.space.yaml_file import load_space
from decouple_search.tune import main
from decouplenet.errors import InputError

IN_SPACE = ("trials: 4", "trials: 4\nfinalists: {count: 3, seeds: 2}")


@pytest.fixture
def finalists(space_file, tmp_path):
    """The finalists of a search of four trials, by replacements in its space and by flags."""

    def ask(*replacements, **flags):
        options = Options(storage=str(tmp_path), name="x", **flags)
        return request_search(load_space(space_file(*replacements)), options).finalists

    return ask


def test_a_search_has_no_finalists_by_default(finalists):
    assert finalists() is None


def test_the_flags_give_them(finalists):
    assert finalists(finalists=2, seeds=3) == FinalistPlan(2, 3)


def test_the_space_gives_them_and_a_flag_wins(finalists):
    assert finalists(IN_SPACE) == FinalistPlan(3, 2)
    assert finalists(IN_SPACE, seeds=5) == FinalistPlan(3, 5)
    assert finalists(IN_SPACE, finalists=1) == FinalistPlan(1, 2)


def test_no_finalists_although_the_space_names_some(finalists):
    assert finalists(IN_SPACE, finalists=0) is None


@pytest.mark.parametrize(
    ("replacements", "flags", "message"),
    [
        ([], {"finalists": 2}, "^--finalists: 2 need fresh seeds; give --seeds too"),
        ([], {"seeds": 2}, "^--seeds: they are those of finalists; give --finalists too"),
        ([], {"finalists": 5, "seeds": 2}, "^--finalists: 5 are more than the 4 trials of the search"),
        ([], {"finalists": 2, "seeds": 2, "scheduler": "pbt"}, "^--finalists: pbt changes configurations on their way"),
        (
            [("trials: 4", "trials: 4\nobjective: [{metric: val_map}, {metric: parameters}]")],
            {"finalists": 2, "seeds": 2},
            "^--finalists: the search has several objectives",
        ),
        (
            [("optim.lr: {float: [1e-3, 1e-2], log: true}", "train.seed: {choice: [0, 1]}")],
            {"finalists": 2, "seeds": 2},
            "^--finalists: the space searches train.seed",
        ),
    ],
)
def test_finalists_that_do_not_fit_are_refused(finalists, replacements, flags, message):
    with pytest.raises(InputError, match=message):
        finalists(*replacements, **flags)


def test_the_points_of_a_grid_bound_the_finalists(tmp_path):
    space = Space({"model.attention": Choice(["none", "arch1"])})
    options = Options(storage=str(tmp_path), sampler="grid", finalists=3, seeds=2)
    with pytest.raises(InputError, match="^--finalists: 3 are more than the 2 trials of the search"):
        request_search(space, options)


@pytest.mark.parametrize("flags", [["--finalists", "-1"], ["--finalists", "2", "--seeds", "0"]])
def test_numbers_out_of_range_are_refused(space_file, flags):
    with pytest.raises(InputError, match="is out of range"):
        main(["--space", str(space_file()), *flags, "--dry-run"])


def test_the_plan_says_what_they_cost(space_file, tmp_path, capsys):
    flags = ["--dry-run", "--storage", str(tmp_path / "results"), "--epoch-seconds", "3600", "--max-concurrent", "1"]
    assert main(["--space", str(space_file()), *flags, "--finalists", "2", "--seeds", "5"]) == 0
    out = capsys.readouterr().out
    assert "finalists  the best 2 anew with 5 fresh seeds each: 30 epochs more" in out
    assert "hours      37 if all slots train" in out
    assert main(["--space", str(space_file()), *flags]) == 0
    out = capsys.readouterr().out
    assert "finalists" not in out
    assert "hours      7 if all slots train" in out


@pytest.mark.parametrize(
    ("flags", "scheduler"),
    [
        ({}, "promotion"),
        ({"sampler": "random"}, "promotion"),
        ({"sampler": "tpe"}, "asha"),
        ({"scheduler": "hyperband"}, "hyperband"),
        ({"sampler": "tpe", "scheduler": "none"}, "none"),
    ],
)
def test_a_sampler_that_learns_from_ended_trials_goes_with_asha_by_default(space_file, tmp_path, flags, scheduler):
    request = request_search(load_space(space_file()), Options(storage=str(tmp_path), **flags))
    assert request.scheduler.name == scheduler


def test_a_sampler_that_learns_from_ended_trials_refuses_pauses(space_file, tmp_path):
    with pytest.raises(InputError, match="^--sampler: tpe does not go with the scheduler promotion: it learns from"):
        request_search(load_space(space_file()), Options(storage=str(tmp_path), sampler="tpe", scheduler="promotion"))


PRETRAINED = ("pretrained: false", "pretrained: weights.pth")


@pytest.fixture
def screened(space_file, tmp_path):
    """The request of a search, by replacements in its space and by flags."""

    def ask(*replacements, **flags):
        options = Options(storage=str(tmp_path), name="x", **flags)
        return request_search(load_space(space_file(*replacements)), options)

    return ask


def test_nothing_is_screened_by_default(screened):
    assert screened(PRETRAINED).screen is None
    assert screened(PRETRAINED).config.train.head_epochs == 0


def test_a_flag_or_the_space_screens_heads_and_full_trials_train_theirs_in_the_same_way(screened):
    in_space = ("trials: 4", "trials: 4\nscreen: {count: 9, epochs: 2}")
    assert screened(PRETRAINED, screen="auto").screen == ScreenPlan()
    assert screened(PRETRAINED, screen="auto").config.train.head_epochs == 4
    request = screened(PRETRAINED, in_space)
    assert (request.screen, request.config.train.head_epochs) == (ScreenPlan(9, 2), 2)
    assert screened(PRETRAINED, in_space, screen="7").screen == ScreenPlan(7, 2)
    assert screened(PRETRAINED, in_space, screen="off").screen is None
    cold = ("trials: 4", "trials: 4\nscreen: {count: 9, warm_heads: false}")
    assert screened(PRETRAINED, cold).config.train.head_epochs == 0
    given = ("batch_size: 16", "batch_size: 16, head_epochs: 7")
    assert screened(PRETRAINED, given, screen="3").config.train.head_epochs == 7


@pytest.mark.parametrize(
    ("replacements", "flags", "problem"),
    [
        ([], {}, "the backbone is not pretrained"),
        ([PRETRAINED], {"sampler": "tpe"}, "the sampler tpe cannot learn from screened heads"),
        ([PRETRAINED, ("epochs: 3", "epochs: 3, freeze_backbone: true")], {}, "every trial trains on feature maps"),
        ([PRETRAINED, ("synthetic_images: 120, cache: ", "cache: none, suffix: ")], {}, "data.cache is none"),
    ],
)
def test_a_search_that_cannot_screen_says_why_and_refuses_a_number(screened, replacements, flags, problem):
    request = screened(*replacements, screen="auto", **flags)
    assert request.screen is None
    assert request.unscreened.startswith(problem)
    assert request.config.train.head_epochs == 0
    assert f"screen     off: {problem}" in describe(request, request.config, 1)
    with pytest.raises(InputError, match=rf"^--screen: {problem}"):
        screened(*replacements, screen="5", **flags)


def test_a_space_of_keys_that_maps_cannot_judge_is_not_screened(tmp_path):
    space = Space({"data.cutout": Float(0.0, 0.5)}, base={"model.backbone": "tiny", "model.pretrained": "w.pth"})
    request = request_search(space, Options(storage=str(tmp_path), name="x", screen="auto"))
    assert request.unscreened.startswith("the space searches nothing that feature maps can judge")
