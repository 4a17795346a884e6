"""The warm gang: Ray actors that train one configuration after another in the same processes.

Imports only `decouplenet` and Ray's core. A trial or a measurement hosts a gang. Both are in rooms above this one.
"""
