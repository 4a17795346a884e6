"""Ray Tune's side of a search. Only this room imports `ray.tune`; `compat.py` holds what Tune does not promise.

Imports every room below it, and no command.
"""
