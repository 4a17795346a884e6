"""The Optuna study: the one record of a search, from which all else is written and with which it goes on after a crash.

Optuna's own tools open it. Attributes of a trial beside Optuna's own: `epochs` reported; `seconds` trained;
`best_epoch` by the first objective, and that epoch's `best_value`, `objectives` (one a direction) and `val_map`;
`images_per_second`; `parameters`, the number of weights; `checkpoint`, the newest one's folder when it was written;
`failure`, why it failed; `stopped`, after which epoch the scheduler stopped it; `in_force`, the parameters of the best
epoch where pbt changed them; `lineage`, the trials that its weights came through; `curve`, the first objective by epoch
where there are several, of which Optuna keeps no intermediate values; `taken_from`, the trial of another study that it
is a copy of (`--warm-start`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from decouplenet.data.places import shown
from decouplenet.errors import InputError

if TYPE_CHECKING:
    from decouple_search.space.space import Space

STUDY_NAME = "decouple_search"
INTERRUPTED = "interrupted"
"""Attribute of a study whose running trials wait for the search to go on."""


def open_study(file: Path, space: Space, *, url: str | None = None, name: str = STUDY_NAME) -> optuna.Study:
    """The study of an experiment, made if it is not there.

    Args:
        file: the journal, `study.log`.
        space: what is searched, for the directions.
        url: a database instead, in which the study is called `name`.
        name: of the study.

    Raises:
        InputError: the file or the database cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return optuna.create_study(
            storage=_database(url) if url else journal(file),
            study_name=name if url else STUDY_NAME,
            directions=["maximize" if mode == "max" else "minimize" for _, mode in space.objectives],
            load_if_exists=True,
        )
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{shown(url or file)}: cannot be used as a study ({_reason(error, url)})") from None


def journal(file: Path) -> JournalStorage:
    """A journal file's storage, without what a killed process left behind: half a line, and its lock.

    The caller makes sure that no other process has the file open.
    """
    if file.exists():
        content = file.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with file.open("r+b") as stream:
                stream.truncate(whole)
    file.with_name(f"{file.name}.lock").unlink(missing_ok=True)
    return JournalStorage(JournalFileBackend(str(file)))


def _database(url: str) -> BaseStorage:
    try:
        return optuna.storages.RDBStorage(url)
    except Exception as error:  # SQLAlchemy's, of many kinds, and those of the database's driver
        raise InputError(f"--optuna-storage: '{shown(url)}' cannot be used ({_reason(error, url)})") from None


def _reason(error: Exception, url: str | None) -> str:
    """An error in a line, without the password that a database's URL may have."""
    text = " ".join(str(error).split())
    return (text.replace(url, shown(url)) if url else text)[:200]


def trial_name(number: int) -> str:
    """A trial's id in files and output, from its number in the study."""
    return f"{number:04d}"


def own_trials(study: optuna.Study, states: Sequence[TrialState] | None = None) -> list[FrozenTrial]:
    """The trials of this search, in the order they were asked for; not those taken from another."""
    trials = study.get_trials(deepcopy=False, states=None if states is None else tuple(states))
    return [trial for trial in trials if "taken_from" not in trial.user_attrs and trial.state != TrialState.WAITING]


def ended_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that have ended; of an interrupted search those that have not too, where an epoch was measured."""
    trials = own_trials(study)
    waiting = bool(study.user_attrs.get(INTERRUPTED))
    return [t for t in trials if t.state.is_finished() or (waiting and t.user_attrs.get("epochs", 0) > 0)]


def curve(trial: FrozenTrial) -> dict[int, float]:
    """The first objective by epoch."""
    kept = trial.user_attrs.get("curve")
    return {int(epoch): value for epoch, value in kept.items()} if kept else trial.intermediate_values


def note(study: optuna.Study, number: int, name: str, value: Any) -> None:
    """Set an attribute of a trial that has not ended."""
    trial = study.get_trials(deepcopy=False)[number]
    if not trial.state.is_finished():  # or Optuna would refuse
        optuna.trial.Trial(study, trial._trial_id).set_user_attr(name, value)
