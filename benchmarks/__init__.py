"""Each module compares our code with a peer or a limit in one run and prints a ratio: `python -m benchmarks.step`."""
