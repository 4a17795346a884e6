"""The errors that a user can correct, and the errors that end only the training that raised them."""


class InputError(ValueError):
    """Bad input. The message is one line: what is wrong, where, and what to do. Commands exit with code 2."""


class UnreadableError(InputError):
    """A file or an address cannot be read from this machine. Another machine may be able to read it."""


class TrainingFailed(RuntimeError):  # noqa: N818 - a state of the trial, named as users read it
    """One training cannot continue: its loss is NaN, or memory ran out. The process can still train others."""


def one_line(error: object, limit: int = 200) -> str:
    """The text of an exception as one line of at most `limit` characters."""
    return " ".join(str(error).split())[:limit]
