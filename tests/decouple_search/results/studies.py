"""Studies whose trials end as a test says, written as a search writes them."""

import numpy as np
import optuna

from decouple_search.gang.epoch_result import EpochResult
from decouple_search.results.tables import write_tables
from decouple_search.stopping.scheduler import Scheduler
from decouple_search.study.compat import reopen_trial
from decouple_search.study.definition import JOURNAL, Definition
from decouple_search.study.finalists import add_repeat
from decouple_search.study.optuna_storage import open_study
from decouple_search.study.screened import add_screened
from decouple_search.study.trial_log import TrialLog
from decouplenet.command_line import parse_config


def run_trial(study, space, values, *, epochs=3, failure=None, ends=True, **measures):
    """A trial with these values of the first objective, one per epoch, and the same further measures in each epoch.

    Args:
        study: gets the trial.
        space: the searched space.
        values: the first objective by epoch.
        epochs: the epochs of a full training.
        failure: why the trial fails.
        ends: whether the trial ends.
        measures: further measures of each epoch.

    Returns:
        The log of the trial.
    """
    log = TrialLog(study, study.ask())
    space.suggest(log.trial)
    return _train(log, space, values, epochs=epochs, failure=failure, ends=ends, **measures)


def run_repeat(study, space, finalist, seed, values, *, epochs=3, failure=None, ends=True, **measures):
    """A training of a finalist with a seed; the other arguments as for `run_trial`."""
    log = TrialLog(study, reopen_trial(study, add_repeat(study, finalist, seed)))
    return _train(log, space, values, epochs=epochs, failure=failure, ends=ends, **measures)


def run_screened(study, space, values, epochs, *, head=None, failure=None, **measures):
    """A screened trial of some epochs, with the parameters of `head`; the other arguments as for `run_trial`."""
    log = TrialLog(study, reopen_trial(study, add_screened(study, space, head or {}, epochs)))
    return _train(log, space, values, epochs=epochs, failure=failure, ends=True, **measures)


def _train(log, space, values, *, epochs, failure, ends, **measures):
    seconds = {"train_seconds": 2.0, "eval_seconds": 0.5}
    for epoch, value in enumerate(values, start=1):
        result = EpochResult(epoch=epoch, measures={space.metric: value, **seconds, **measures})
        log.epoch(result, space.objectives, None)
    if ends:
        log.end(failure, epochs)
    return log


def write_search(folder, space, *, trials=12, url=None, **measures):
    """Write the folder of a search, of which every third trial is stopped after an epoch.

    Args:
        folder: the folder to make.
        space: the searched space.
        trials: the number of trials.
        url: a database for the study, in place of the journal.
        measures: further measures of each epoch.

    Returns:
        The study.
    """
    config = parse_config(space.base)
    folder.mkdir()
    Definition.from_search(space, config, Scheduler("asha"), grid=False).write(folder)
    study, rng = open_study(folder / JOURNAL, space, url=url, name=folder.name), np.random.default_rng(0)
    for i in range(trials):
        study.sampler = optuna.samplers.RandomSampler(i)
        epochs, best = (1 if i % 3 == 2 else 3), 0.5 + 0.1 * rng.random()
        run_trial(study, space, [best - 0.1 * (epochs - epoch) for epoch in range(1, epochs + 1)], **measures)
    write_tables(folder, study, space, config)
    return study
