"""The part of a trial that needs no Ray. tests/integration/test_trial.py has its training."""

import subprocess
import sys


def test_its_process_imports_no_torch():
    """It only calls its gang. The import would cost each slot seconds at its start, and memory."""
    code = "import sys, decouple_search.ray_tune.trainable; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
