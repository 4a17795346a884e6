"""What a search may claim of its best trial: finalists or expectation, how much was luck, and the test images.

These are parts of summary.json. `lines` has them in words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import optuna

from decouple_search.space.objective import Objective
from decouple_search.study import attributes
from decouple_search.study.finalist_results import FinalistResult, trained_finalists
from decouple_search.study.finalists import same_configuration
from decouple_search.study.ranking import best_training, search_best
from decouple_search.study.record import Incumbent, StudyRecord
from decouplenet.wording import counted


@dataclass(frozen=True, kw_only=True)
class FinalistSummary:
    """A finalist in summary.json. `mean`, `std` and `lower_bound` are of the objective."""

    trial_id: str
    val_map_mean: float | None
    val_map_std: float | None
    """None with fewer than 2 seeds."""
    mean: float | None
    std: float | None
    lower_bound: float | None
    """See `FinalistResult.lower_bound`."""
    seeds: int
    """Fresh seeds that were measured."""
    failed: int
    """Trainings with a fresh seed that failed."""

    @classmethod
    def of(cls, result: FinalistResult) -> FinalistSummary:
        """The summary of a finalist's result."""
        numbers = ("val_map_mean", "val_map_std", "mean", "std", "lower_bound", "seeds", "failed")
        return cls(trial_id=result.trial.name, **{name: getattr(result, name) for name in numbers})


@dataclass(frozen=True, kw_only=True)
class SearchBest:
    """The trial that would have won without finalists, by the best epoch that it ever had."""

    trial_id: str
    value: float
    """Its claim: the objective in its best epoch."""
    val_map: float | None
    """val_map in that epoch."""
    mean: float | None
    """The mean of the objective over its fresh seeds; None if it was no finalist."""
    val_map_mean: float | None
    """The mean of val_map over its fresh seeds."""
    luck: float | None
    """How much better the claim is than the mean of the objective; below 0 if it is worse."""


@dataclass(frozen=True, kw_only=True)
class TestMeasures:
    """The winner on the test images, which nothing else was measured on."""

    __test__ = False  # no class of tests
    trial_id: str
    """The training whose checkpoint was measured."""
    epoch: int
    """The checkpoint's epoch."""
    images: int
    """The number of test images."""
    metrics: Mapping[str, float | int]
    """`multilabel_metrics` without the values per class."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it: the metrics beside the others."""
        content = asdict(self)
        return {**content.pop("metrics"), **content}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> TestMeasures:
        """The measures that `to_dict` gave."""
        names = ("trial_id", "epoch", "images")
        metrics = {name: value for name, value in content.items() if name not in names}
        return cls(**{name: content[name] for name in names}, metrics=metrics)

    def keep(self, study: optuna.Study) -> None:
        """Keep the measures in the study, so that a search that is resumed does not measure once more."""
        study.set_user_attr(attributes.TEST, self.to_dict())

    @classmethod
    def read(cls, study: optuna.Study) -> TestMeasures | None:
        """The measures that the study keeps; None before the measurement, and without test images."""
        kept = study.user_attrs.get(attributes.TEST)
        return cls.from_dict(kept) if kept else None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict on a search. A part is None where there is nothing to say."""

    finalists: tuple[FinalistSummary, ...] | None = None
    """The finalists, the winner first."""
    search_best: SearchBest | None = None
    """The best trial of the search itself."""
    test: TestMeasures | None = None
    """The winner on the test images."""
    incumbent: Incumbent | None = None
    """The trial that the model expects to be the best, where no fresh seeds tell."""

    @classmethod
    def of(cls, study: optuna.Study, objectives: Sequence[Objective]) -> Verdict:
        """The verdict on a study. The finalists are there once all of them are trained."""
        finalists, best = trained_finalists(study, objectives[0]), best_training(study, objectives)
        test = TestMeasures.read(study)
        if test and (best is None or test.trial_id != best.name):  # of an earlier winner
            test = None
        if not finalists:
            return cls(test=test, incumbent=StudyRecord(study).incumbent)
        summaries = tuple(FinalistSummary.of(result) for result in finalists)
        return cls(finalists=summaries, search_best=_search_best(study, objectives, finalists), test=test)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Verdict:
        """The verdict in summary.json."""
        names = ("finalists", "search_best", "test", "incumbent")
        finalists, best, test, incumbent = (content.get(name) for name in names)
        return cls(
            finalists=tuple(FinalistSummary(**each) for each in finalists) if finalists else None,
            search_best=SearchBest(**best) if best else None,
            test=TestMeasures.from_dict(test) if test else None,
            incumbent=Incumbent(**incumbent) if incumbent else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; only the parts that there are."""
        parts = {
            "finalists": self.finalists and [asdict(each) for each in self.finalists],
            "search_best": self.search_best and asdict(self.search_best),
            "test": self.test and self.test.to_dict(),
            "incumbent": self.incumbent and asdict(self.incumbent),
        }
        return {name: part for name, part in parts.items() if part is not None}

    def lines(self, metric: str) -> list[str]:
        """The verdict in words.

        Args:
            metric: the measure of the objective.
        """
        lines = []
        if self.finalists and self.search_best:
            lines += [_winner_line(self.finalists[0], metric), _search_line(self.search_best, metric)]
        if self.incumbent:
            lines.append(_incumbent_line(self.incumbent, metric))
        if self.test:
            lines.append(f"test       map {self.test.metrics['map']:.4f} on {counted(self.test.images, 'test image')}")
        return lines


def _search_best(
    study: optuna.Study, objectives: Sequence[Objective], finalists: Sequence[FinalistResult]
) -> SearchBest | None:
    """The search's own best trial, with the fresh seeds of the finalist of the same configuration."""
    best, objective = search_best(study, objectives), objectives[0]
    if best is None:
        return None
    configuration = same_configuration(best.parameters)
    same = next((each for each in finalists if same_configuration(each.trial.parameters) == configuration), None)
    mean, value = same.mean if same else None, best.objectives[0]
    return SearchBest(
        trial_id=best.name,
        value=value,
        val_map=best.val_map,
        mean=mean,
        val_map_mean=same.val_map_mean if same else None,
        luck=None if mean is None else objective.utility(value) - objective.utility(mean),
    )


def _incumbent_line(incumbent: Incumbent, metric: str) -> str:
    trial, value = incumbent.trial_id, f"{incumbent.value:.4f}"
    return f"expected   trial {trial} is the best by the model over all trials: {metric} {value} if it is trained anew"


def _winner_line(winner: FinalistSummary, metric: str) -> str:
    spread = "" if winner.std is None else f" ± {winner.std:.4f}"
    failed = f", {winner.failed} failed" if winner.failed else ""
    return (
        f"winner     trial {winner.trial_id}: expect {metric} {winner.mean:.4f}{spread}, the mean of "
        f"{counted(winner.seeds, 'fresh seed')}{failed} (lower bound {winner.lower_bound:.4f})"
    )


def _search_line(best: SearchBest, metric: str) -> str:
    claim = f"search     its own best is trial {best.trial_id}, {metric} {best.value:.4f}"
    if best.mean is None or best.luck is None:
        return f"{claim}; it is no finalist, so its luck is not known"
    verdict = f"{best.luck:.4f} of it was luck" if best.luck > 0 else "it was not luck"
    return f"{claim}; fresh seeds give {best.mean:.4f}: {verdict}"
