"""When a trial is stopped early: rules over learning curves, and the scheduler that a space or a flag names.

Pure: imports `space` and `decouplenet`, neither Ray nor Optuna.
"""
