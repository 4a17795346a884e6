"""The names of the files in a checkpoint folder. Imports nothing, so that a command can look at a folder quickly."""

WEIGHTS = "model.safetensors"
CONFIG = "config.yaml"
METRICS = "metrics.json"
STATE = "state.pt"
"""The rest of the state that a training needs to resume. A checkpoint to share does not have it."""
CHECKPOINT_FILES = (WEIGHTS, CONFIG, METRICS)
"""The files that every checkpoint folder has."""
