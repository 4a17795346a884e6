"""Heads besides DecoupleNet's own, one per module: the models of the paper's tables, and newer ones."""
