"""Screened trials in a study: a head, trained for a few epochs on feature maps of the frozen backbone.

Optuna has them as pruned, whatever they reached, so that none of its tools takes a screened value for the best of the
study. Their user attribute `screen_epochs` tells them from full trials.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import TrialState

from decouple_search.space.space import Space
from decouple_search.study import attributes
from decouple_search.study.record import screened_trials
from decouplenet.config import FOR_HEAD


def add_screened(study: optuna.Study, heads: Space, head: Mapping[str, Any], epochs: int) -> int:
    """Add a running trial that screens a head; returns its number in the study.

    Args:
        study: the search's study.
        heads: the space of what can be screened.
        head: its parameters.
        epochs: the epochs that it trains.
    """
    distributions = {each.key: each.distribution for each in heads.parameters if each.key in head}
    # A waiting trial would be taken for a full one, as start points wait.
    study.add_trial(
        optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=dict(head),
            distributions=distributions,
            user_attrs={attributes.SCREEN: epochs},
        )
    )
    return screened_trials(study)[-1].number


def screened_config(config: Mapping[str, Any], head: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    """The complete configuration of a screened trial, dotted.

    Args:
        config: the complete base configuration, dotted.
        head: the head's parameters.
        epochs: the epochs that it trains.
    """
    return {**config, **head, **FOR_HEAD, "train.epochs": epochs}
