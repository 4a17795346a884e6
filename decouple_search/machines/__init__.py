"""The machines that a command runs on: what a cluster file says of them, how many trials fit, and the connection.

Imports `gang`, `storage` and `decouplenet`, and Ray's core where a machine is asked.
"""
