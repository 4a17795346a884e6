"""A trial, as far as it needs no Ray; how it trains is in tests/integration/test_trial.py."""

import subprocess
import sys


def test_its_own_process_needs_no_torch():
    """It only calls its gang; torch would take seconds of each slot's start, and memory."""
    code = "import sys, decouple_search.ray_tune.trainable; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
