"""Stand-ins for what Tune passes to callbacks, and results of epochs as Tune carries them."""

from types import SimpleNamespace

from decouple_search.gang.epoch_result import EpochResult
from decouple_search.ray_tune.trial_spec import TrialSpec
from decouple_search.ray_tune.tune_result import to_tune


class StubTrial(SimpleNamespace):
    """The part of Tune's `Trial` that a callback uses; `compat.py` and its tests say what Tune's own class has."""

    def __init__(self, name, *, trial_id=None, result=None, folder="/nonexistent", checkpoint=None, **spec):
        super().__init__(
            config=TrialSpec(**{"number": None, "config": {}, "objectives": ()} | spec).to_tune(),
            name=name,
            trial_id=trial_id or name,
            last_result=result or {},
            local_path=str(folder),
            checkpoint=checkpoint,
            finished=False,
        )

    def __str__(self):
        return self.name

    def is_finished(self):
        """Whether the trial has ended."""
        return self.finished


def epoch_dict(epoch, val_map, *, lineage=(), note="", **measures):
    """The result of an epoch of 2.5 seconds as Tune carries it."""
    measures = {"val_map": val_map, "train_seconds": 2.0, "eval_seconds": 0.5} | measures
    return to_tune(EpochResult(epoch=epoch, measures=measures, lineage=lineage, note=note))


def failure_dict(reason, *, epoch=0, missing_folder=None):
    """The result of a trial that failed as Tune carries it."""
    return to_tune(EpochResult(epoch=epoch, failure=reason, missing_folder=missing_folder), done=True)
