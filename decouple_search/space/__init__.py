"""The search space: its parameters, its objectives, and the YAML file that describes them.

Imports only `decouplenet`; Optuna only where a parameter is proposed.
"""
