"""The machines that a command runs on: cluster files, the number of trials that fit, and the connection to Ray.

Imports `gang`, `storage` and `decouplenet`, and Ray's core where a machine is asked.
"""
