"""Distributed hyperparameter search and scaling of DecoupleNet, on Ray.

Commands and the order of a search are at the top; each folder is a room with one concern. A room imports only rooms
below it: ray_tune | ray_train > results > samplers | evaluation > study > stopping | machines > gang > storage > space.
"""
