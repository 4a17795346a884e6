"""The record of a search: the Optuna study, what defines a search, how it resumes, and which trial is the best.

Imports `stopping`, `storage`, `gang` (its types), `space` and `decouplenet`, and Optuna. Ray is not imported here.
"""
