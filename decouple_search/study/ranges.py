"""The ends of a study's ranges: best values that are at an end, and ranges that the search has widened (`grow: true`).

A range grows by a fixed rule that uses the study alone. The study keeps each growth with the number of the first trial
that was proposed in the new range, so the range of a trial follows from its number, also when a search resumes.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import optuna
from optuna.trial import TrialState

from decouple_search.space.parameter import Parameter
from decouple_search.space.ranges import End, Ends, config_accepts, end_at, length, share, shown, widened
from decouple_search.space.space import Space
from decouple_search.study import attributes
from decouple_search.study.ranking import measured_trials, ranked_trials
from decouple_search.study.record import TrialRecord, trial_name
from decouplenet.command_line import print_line

EVIDENCE = 10
"""Trials with a value, proposed in a range, before the range grows or is noted during the search."""
TOP = 3
"""The best trials whose values must be near the end of a range before it grows."""
NEAR_END = 0.1
"""Share of a range that counts as near its end, for the median of the best trials."""
MAX_GROWTHS = 2
"""The most times that an end of a range moves."""
GROWTH = 0.5
"""How far an end moves, as a share of the length of the original range."""
Limits = dict[tuple[str, End, Ends], Ends | None]
"""The wider range by key, end and range; None where the end is a limit of the key."""


@dataclass(frozen=True)
class Growth:
    """A range that the search has widened."""

    key: str
    end: End
    """The end that moved."""
    before: Ends
    after: Ends
    trial: int
    """The number of the first trial that was proposed in the new range."""

    def __str__(self) -> str:
        return (
            f"{self.key}: range {shown(self.before)} grows to {shown(self.after)} from trial {trial_name(self.trial)} "
            f"on, as the best {TOP} trials are near its {self.end} end"
        )


@dataclass(frozen=True)
class Edge:
    """A best value at an end of its range."""

    key: str
    value: float
    end: End
    ends: Ends
    """The range in which the value is at that end."""
    wider: Ends
    """A range that goes farther there."""
    agreeing: int
    """How many of the best `TOP` trials are at that end, with the best one."""

    def __str__(self) -> str:
        text = f"{self.key}: the best value {self.value:.4g} is at the {self.end} end of its range {shown(self.ends)}"
        return text + (f", as in {self.agreeing} of the best {TOP} trials" if self.agreeing > 1 else "")


def growths(study: optuna.Study) -> list[Growth]:
    """The growths that a study has recorded, in order."""
    recorded = study.user_attrs.get(attributes.GROWTHS, [])
    return [Growth(**each | {name: tuple(each[name]) for name in ("before", "after")}) for each in recorded]


def ranges_of(study: optuna.Study, number: int | None = None) -> dict[str, Ends]:
    """The grown ranges that a trial is proposed in, by key; without a number those of the next trial."""
    return {each.key: each.after for each in growths(study) if number is None or each.trial <= number}


def grown_ranges(study: optuna.Study, space: Space) -> dict[str, Ends]:
    """The ranges of the next new trial that differ from those of the space: grown before, or due to grow now.

    Args:
        study: the search's study.
        space: the searched space, with its original ranges.
    """
    following = len(study.get_trials(deepcopy=False))
    return ranges_of(study) | {each.key: each.after for each in due_growths(study, space, following)}


def due_growths(study: optuna.Study, space: Space, number: int) -> list[Growth]:
    """The ranges that grow before a new trial.

    A range with `grow` grows at an end if at least `EVIDENCE` trials with a value were proposed in its present form,
    and if the best `TOP` trials of the search all have the key, with a median position within `NEAR_END` of that end.
    The end moves by `GROWTH` of the original range, at most `MAX_GROWTHS` times, and never to a value that the config
    refuses. Lengths and positions are on the range's scale.

    Args:
        study: the search's study.
        space: the searched space, with its original ranges.
        number: the number of the new trial.
    """
    growing = [parameter for parameter in space.parameters if parameter.grow]
    if not growing:
        return []
    past, best, measured = growths(study), ranked_trials(study, space.objectives)[:TOP], measured_trials(study)
    due = []
    for original in growing:
        earlier = [each for each in past if each.key == original.key]
        now = original.with_range(*earlier[-1].after) if earlier else original
        first = earlier[-1].trial if earlier else 0
        if sum(t.number >= first and now.key in t.parameters for t in measured) < EVIDENCE:
            continue
        end = _median_end(now, best)
        if end is None or not _may_grow(original, end, past):
            continue
        after = widened(now, end, GROWTH * length(original), config_accepts(space.base, now.key))
        if after is not None:
            due.append(Growth(now.key, end, now.ends, after, number))
    return due


def _may_grow(parameter: Parameter, end: End, past: list[Growth]) -> bool:
    """Whether an end of a range may still move by itself."""
    return parameter.grow and sum((each.key, each.end) == (parameter.key, end) for each in past) < MAX_GROWTHS


def _median_end(parameter: Parameter, best: list[TrialRecord]) -> End | None:
    """The end that the median of the best trials is near."""
    values = [trial.parameters[parameter.key] for trial in best if parameter.key in trial.parameters]
    if len(values) < TOP:
        return None
    return end_at(statistics.median(share(parameter, value) for value in values), NEAR_END)


def edges(study: optuna.Study, space: Space, *, lasting: bool = False, known: Limits | None = None) -> list[Edge]:
    """The keys whose best value is at an end of its range, where the config takes values beyond that end.

    Args:
        study: the search's study.
        space: the searched space, with its original ranges. Grown ranges are those of the study.
        lasting: only those with the evidence that a range needs to grow, `EVIDENCE` trials and the median of the best,
            and where the range does not grow by itself.
        known: wider ranges that are known already; new ones are added. To try the config's checks takes time.
    """
    known = {} if known is None else known
    best, past, ranges = ranked_trials(study, space.objectives)[:TOP], growths(study), ranges_of(study)
    if not best or (lasting and len(measured_trials(study)) < EVIDENCE):
        return []
    noted = []
    for original in space.parameters:
        if original.kind == "choice" or original.key not in best[0].parameters:
            continue
        now = original.with_range(*ranges.get(original.key, original.ends))
        values = [trial.parameters[now.key] for trial in best if now.key in trial.parameters]
        ends = [end_at(share(now, value)) for value in values]
        end = ends[0]
        if end is None or (lasting and (_median_end(now, best) != end or _may_grow(original, end, past))):
            continue
        case = now.key, end, now.ends
        if case not in known:
            known[case] = widened(now, end, GROWTH * length(original), config_accepts(space.base, now.key))
        if (wider := known[case]) is not None:
            noted.append(Edge(now.key, values[0], end, now.ends, wider, ends.count(end)))
    return noted


def note_edges(study: optuna.Study, space: Space, notes: Callable[[Sequence[Edge]], Sequence[str]]) -> Sequence[str]:
    """Keep the notes on a study's edges in the study, for its report, and return them.

    Args:
        study: the search's study.
        space: the searched space, with its original ranges.
        notes: gives the texts.
    """
    texts = notes(edges(study, space))
    study.set_user_attr(attributes.EDGE_NOTES, list(texts))
    return texts


def edge_notes(study: optuna.Study) -> list[str]:
    """The notes on a study's edges, as of the search's end."""
    return list(study.user_attrs.get(attributes.EDGE_NOTES, []))


@dataclass(frozen=True)
class RangeWatch:
    """Widens the ranges of a search between trials, and says which best values stay at an end. Tune pickles it."""

    study: optuna.Study
    space: Space
    """The searched space, with its original ranges."""
    note: Callable[[Edge], str]
    """The text about a best value that stays at an end while the search runs."""
    _spaces: dict[tuple[tuple[str, Ends], ...], Space] = field(default_factory=dict)
    _known: Limits = field(default_factory=dict)

    def before(self, number: int) -> Space:
        """The space of a trial that is proposed now. For a new trial, ranges that are due grow first.

        Args:
            number: the trial's number. A trial that was proposed earlier keeps its ranges.
        """
        trials = self.study.get_trials(deepcopy=False)
        if number >= len(trials) or trials[number].state == TrialState.WAITING:
            self._grow(number)
            self._say_edges()
        return self.space_of(number)

    def space_of(self, number: int) -> Space:
        """The space with the ranges that a trial is proposed in."""
        ranges, trials = ranges_of(self.study, number), self.study.get_trials(deepcopy=False)
        # What a trial has been given stays, as Optuna warns of another range; so in a training of a finalist.
        given: Mapping[str, Any] = trials[number].distributions if number < len(trials) else {}
        ranges |= {key: (given[key].low, given[key].high) for key in ranges if key in given}
        key = tuple(ranges.items())
        if key not in self._spaces:
            self._spaces[key] = self.space.with_ranges(ranges)
        return self._spaces[key]

    def _grow(self, number: int) -> None:
        if due := due_growths(self.study, self.space, number):
            recorded = [asdict(each) for each in (*growths(self.study), *due)]
            self.study.set_user_attr(attributes.GROWTHS, recorded)
            for growth in due:
                print_line(f"note       {growth}")

    def _say_edges(self) -> None:
        said: list[str] = self.study.user_attrs.get(attributes.EDGES_SAID, [])
        for edge in edges(self.study, self.space, lasting=True, known=self._known):
            if (name := f"{edge.key} {edge.end}") not in said:
                said = [*said, name]
                self.study.set_user_attr(attributes.EDGES_SAID, said)
                print_line(f"note       {self.note(edge)}")
