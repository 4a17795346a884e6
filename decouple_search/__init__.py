"""Distributed search and scaling of DecoupleNet on Ray. A command a module: `python -m decouple_search.tune`."""
