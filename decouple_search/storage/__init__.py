"""Where results are kept: a folder on a disk or in object storage, the lock on it, the copying, the checkpoints in it.

Imports only `decouplenet`.
"""
