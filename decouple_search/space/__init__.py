"""What a search may vary: one parameter, the whole space, its objectives, and the YAML file that describes them.

Imports only `decouplenet`; Optuna only where a parameter is proposed.
"""
