"""An epoch's result as Tune carries it: the only code that knows that dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from decouple_search.gang.epoch_result import EpochResult
from decouple_search.ray_tune.compat import CONFIG_PREFIX, DONE, SHOULD_CHECKPOINT

TIME_ATTRIBUTE = "epoch"
"""The entry by which Tune's schedulers measure time."""


def to_tune(result: EpochResult, *, save: bool = False, done: bool = False) -> dict[str, Any]:
    """The dict that a Trainable returns from `step`. Measures stand at its top level, where Tune looks for them.

    Args:
        result: the epoch's result.
        save: whether Tune is to write a checkpoint now.
        done: whether the trial has ended.
    """
    about = {
        TIME_ATTRIBUTE: result.epoch,
        "measured": list(result.measures),
        "note": result.note,
        "lineage": list(result.lineage),
        "failure": result.failure,
        "missing_folder": result.missing_folder,
        "screened": result.screened,
    }
    return {**result.measures, **about, SHOULD_CHECKPOINT: save, DONE: done}


def from_tune(carried: Mapping[str, Any]) -> EpochResult:
    """The result in Tune's dict, nested as callbacks get it, or flattened as searchers and schedulers do."""
    nested = carried.get("config")
    prefix = f"{CONFIG_PREFIX}config/"
    flattened = {key.removeprefix(prefix): value for key, value in carried.items() if key.startswith(prefix)}
    return EpochResult(
        epoch=carried[TIME_ATTRIBUTE],
        measures={name: carried[name] for name in carried["measured"]},
        note=carried["note"],
        lineage=tuple(carried["lineage"]),
        failure=carried["failure"],
        missing_folder=carried["missing_folder"],
        screened=carried["screened"],
        config=nested["config"] if isinstance(nested, Mapping) else flattened or None,
    )


def last_result(trial: Any) -> EpochResult | None:
    """The last result of one of Tune's trials; None before its first."""
    return result_or_none(trial.last_result)


def result_or_none(carried: Mapping[str, Any] | None) -> EpochResult | None:
    """As `from_tune`; None for what Tune gives before a trial's first result, which has only the trial's id."""
    return from_tune(carried) if carried and TIME_ATTRIBUTE in carried else None
