"""Searchers of other packages. Each runs in a process of an environment that has its package.

`peer` names the peers, `remote` starts the process, `worker` is what runs in it. A worker imports numpy, what describes
parameters, and its peer's package.
"""
