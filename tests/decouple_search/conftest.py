"""Fixtures of the search's unit tests."""

import pytest

from decouple_search.space.yaml_file import load_space

SPACE = """
base: {model: {backbone: tiny, pretrained: false}}
search:
  model.maps_per_class: {int: [1, 16], log: true}
  model.attention: {choice: [none, arch1, joint]}
  model.alpha: {float: [0.0, 1.0]}
  model.k_neg: {float: [0.05, 1.0], log: true, when: {model.alpha: {gt: 0.5}}}
  optim.lr: {float: [1e-4, 1e-1], log: true}
  optim.momentum: {float: [0.5, 0.95], step: 0.05}
  train.batch_size: {choice: [16, 32, 64]}
"""


@pytest.fixture(scope="session")
def space(tmp_path_factory):
    """A space with a parameter of every kind."""
    file = tmp_path_factory.mktemp("space") / "space.yaml"
    file.write_text(SPACE)
    return load_space(file)
