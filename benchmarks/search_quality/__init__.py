"""Searchers compared on many tables of learning curves; see `__main__`."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # one core per process: several searches run side by side
