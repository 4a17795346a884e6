"""Searchers as tests make them, and the trials that they propose."""

from ray.tune.utils import flatten_dict

from decouple_search.ray_tune.proposals import Proposals
from decouple_search.ray_tune.searcher import StudySearcher
from decouple_search.ray_tune.trial_spec import TrialSpec
from decouple_search.samplers.registry import make_sampler
from decouple_search.study.optuna_storage import open_study
from decouple_search.study.record import own_trials
from decouplenet.command_line import parse_config
from decouplenet.dotted_keys import flatten


def new_study(file, space):
    study = open_study(file, space)
    for point in space.checked_start():
        study.enqueue_trial(point)
    return study


def base_config(space):
    """The complete base configuration of a space, dotted."""
    return flatten(parse_config(space.base).to_dict())


def make_searcher(study, space, *, trials, slots, sampler="random", seed=0, requeue=None, **options):
    """A searcher of a study; `slots` is a number, or a function that gives it."""
    epochs = base_config(space)["train.epochs"]

    def prepare(number):
        study.sampler = make_sampler(sampler, space, epochs, seed, number)

    slots_now = slots if callable(slots) else lambda: slots
    proposals = Proposals(trials=trials, slots=slots_now, prepare=prepare, **options)
    return StudySearcher(study, space, base_config(space), proposals, requeue)


def suggest(searcher, trial_id):
    """The specification of the trial that the searcher proposes."""
    return TrialSpec.from_tune(searcher.suggest(trial_id))


def with_config(result, config):
    """A result with the config that trained it, flattened as Tune does for searchers and schedulers."""
    return flatten_dict(result | {"config": {"number": 0, "config": dict(config)}})


class StubPromotions:
    """New trials come first. Then each paused trial goes on until it has trained `epochs`, in their order."""

    def __init__(self, study, trials, *, epochs=3):
        self.study, self.trials, self.epochs, self.ending = study, trials, epochs, []

    def next(self):
        """The choice for a free slot."""
        own = own_trials(self.study)
        if len(own) < self.trials:
            return "new"
        return next((each.number for each in own if each.is_paused and each.epochs < self.epochs), None)

    def hopeless(self):
        """The paused trials that end."""
        return self.ending
