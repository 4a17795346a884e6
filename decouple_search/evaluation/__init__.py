"""Checkpoints measured: their scores on all workers, the measures of them, and the paper's tables beside them.

Imports `machines`, `gang` (its errors) and `decouplenet`.
"""
