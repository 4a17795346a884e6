"""Studies whose trials end as a test says, written as a search writes them."""

from decouple_search.gang.epoch_result import EpochResult
from decouple_search.study.trial_log import TrialLog


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
    seconds = {"train_seconds": 2.0, "eval_seconds": 0.5}
    for epoch, value in enumerate(values, start=1):
        result = EpochResult(epoch=epoch, measures={space.metric: value, **seconds, **measures})
        log.epoch(result, space.objectives, None)
    if ends:
        log.end(failure, epochs)
    return log
