"""Variants of a space for tests."""

import copy


def varied(space, **attributes):
    """A copy of a space with other attributes."""
    other = copy.copy(space)
    vars(other).update(attributes)
    return other
