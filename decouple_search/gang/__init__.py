"""The warm gang: Ray actors that train one configuration after another in the same processes.

Imports only `decouplenet` and Ray's core. Whoever hosts a gang is above this room: a trial, or a measurement.
"""
