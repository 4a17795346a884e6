"""How configurations are proposed: the samplers by name, and our own, which learns from every epoch.

Imports `study`, `stopping`, `space` and `decouplenet`, and Optuna. Ray is not imported here.
"""
