"""The errors that are a user's to mend, and those that end one training only."""


class InputError(ValueError):
    """Bad input: one line that says what is wrong, where, and what to do. Commands exit with code 2."""


class TrainingFailed(RuntimeError):  # noqa: N818 - a state of the trial, named as users read it
    """One training cannot go on (loss is NaN, out of memory); whoever hosts it can train another."""
