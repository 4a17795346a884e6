"""A small space, as a file."""

import pytest

SMALL = """
base:
  model: {backbone: tiny, pretrained: false}
  data: {format: synthetic, image_size: 32, synthetic_images: 120, cache: CACHE}
  optim: {name: adamw, backbone_lr_scale: 1.0}
  train: {epochs: 3, batch_size: 16}
search:
  model.maps_per_class: {int: [1, 4], log: true}
  model.attention: {choice: [none, arch1]}
  model.k_neg: {float: [0.05, 1.0], log: true, when: {model.alpha: {gt: 0.3}}}
  model.alpha: {float: [0.0, 1.0]}
  optim.lr: {float: [1e-3, 1e-2], log: true}
start:
  - {model.maps_per_class: 2, model.alpha: 0.1, model.k_neg: 0.2}
scheduler: {name: asha, grace_epochs: 1, reduction_factor: 3}
trials: 4
"""


@pytest.fixture
def space_file(tmp_path, cache):
    """A function that writes the small space, with replacements, and gives its path."""

    def write(*replacements):
        text = SMALL.replace("CACHE", str(cache))
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        file = tmp_path / "small.yaml"
        file.write_text(text)
        return file

    return write
