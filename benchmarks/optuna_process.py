"""A process of a search by Optuna alone, which users of one machine have already: TPE, successive halving, a journal.

    python -m benchmarks.optuna_process JOURNAL SPACE TRIALS SEED

It trains with the same engine as `decouple_search`, and prints one line of JSON per epoch. Several processes share the
journal, as Optuna's documentation advises.
"""

from __future__ import annotations

import json
import sys

import optuna
import torch
from optuna.pruners import SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import MaxTrialsCallback
from optuna.trial import TrialState

from decouple_search.space.shipped import space_file
from decouple_search.space.space import Space
from decouple_search.space.yaml_file import load_space
from decouplenet.config import Config
from decouplenet.data.opened import Data
from decouplenet.dotted_keys import nest
from decouplenet.engine import Engine
from decouplenet.frozen import open_training_data

STUDY = "search"


def open_journal(journal: str, seed: int) -> optuna.Study:
    """The study in a journal, made if it is not there."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(journal)),
        study_name=STUDY,
        direction="maximize",
        load_if_exists=True,
        sampler=TPESampler(seed=seed),
        pruner=SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
    )


def train(trial: optuna.Trial, space: Space, data: Data) -> float:
    """Train a trial and return its best value; prints each epoch."""
    config = Config.from_dict(nest(space.base | space.suggest(trial)))
    engine, best = Engine(config, data), 0.0
    try:
        for epoch in range(1, config.train.epochs + 1):
            engine.train_epoch()
            value = float(engine.evaluate()[space.metric])
            print(json.dumps({"trial": trial.number, "epoch": epoch, "value": value}), flush=True)
            best = max(best, value)
            trial.report(value, epoch)
            if epoch < config.train.epochs and trial.should_prune():
                raise optuna.TrialPruned
    finally:
        engine.close()
    return best


def main(journal: str, name: str, trials: int, seed: int) -> None:
    """Train until the study has its number of trials."""
    torch.set_num_threads(1)
    space = load_space(space_file(name))
    data = open_training_data(Config.from_dict(nest(space.base)))  # once: nothing of it is searched
    ended = (TrialState.COMPLETE, TrialState.PRUNED)
    study = open_journal(journal, seed)
    study.optimize(lambda trial: train(trial, space, data), callbacks=[MaxTrialsCallback(trials, states=ended)])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
