"""A table with straight curves, and searchers that follow a script."""

import numpy as np

from benchmarks.search_quality.searcher import Job
from benchmarks.search_quality.table import Table
from decouple_search.space.objective import Objective
from decouple_search.space.parameter import Parameter
from decouple_search.space.space import Space

PARAMETERS = (Parameter("x", "float", (0.0, 1.0)), Parameter("kind", "choice", ("a", "b")))


class Lines(Table):
    """The curve of a configuration rises from 0 to x; an epoch takes `x` * 10 seconds, or `seconds`."""

    def __init__(self, epochs=4, noise=0.0, best=1.0, training_noise=0.0):
        self.name, self.epochs, self.noise, self.best = "lines", epochs, noise, best
        self.training_noise = training_noise
        self.space = Space.of_parameters("lines", PARAMETERS, Objective("val_map", "max"))

    def curve(self, config):
        """Rises to x."""
        return config["x"] * np.arange(1, self.epochs + 1) / self.epochs

    def seconds(self, config):
        """The same for each epoch."""
        return np.full(self.epochs, config.get("seconds", 10 * config["x"]))


class Scripted:
    """Gives jobs from a list, and verdicts by (trial, epoch); keeps the reports."""

    def __init__(self, jobs, verdicts=None):
        self.jobs = [None if job is None else Job(*job) for job in jobs]
        self.verdicts, self.reports = verdicts or {}, []

    def suggest(self):
        """The next job of the list."""
        return self.jobs.pop(0) if self.jobs else None

    def report(self, trial, epoch, value, seconds):
        """The verdict of the script."""
        self.reports.append((trial, epoch, value, seconds))
        return self.verdicts.get((trial, epoch), "continue")
