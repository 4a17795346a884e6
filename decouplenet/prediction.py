"""Scores and class maps of photos by a checkpoint, with the preprocessing and precision of an evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from decouplenet.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from decouplenet.checkpoint import Checkpoint

BATCH = 16
"""Photos that a network scores at a time."""


class Prediction(NamedTuple):
    """A network's output for one photo."""

    scores: list[float]
    """C probabilities."""
    maps: Tensor
    """Class maps, C×h×w; empty if they were not requested."""
    image: Any
    """The photo, a PIL image in RGB, upright; None if no maps were requested."""


class _Read(NamedTuple):
    """A photo that was read."""

    pixels: NDArray[np.uint8]
    """S×S×3."""
    image: Any
    """A PIL image, or None."""


def predict(checkpoint: Checkpoint, place: str, *, maps: bool = False) -> Prediction:
    """Score a photo.

    Args:
        checkpoint: its network is on the device to use.
        place: the photo: a file or an address.
        maps: whether to compute the class maps too.

    Raises:
        InputError: the photo cannot be read or decoded.
    """
    ((_, prediction),) = predict_all(checkpoint, [place], maps=maps)
    if isinstance(prediction, InputError):
        raise prediction
    return prediction


def predict_all(
    checkpoint: Checkpoint, places: Iterable[str], *, maps: bool = False, batch_size: int = BATCH
) -> Iterator[tuple[str, Prediction | InputError]]:
    """Score photos in batches, in their order.

    Args:
        checkpoint: its network is on the device to use.
        places: the photos: files or addresses.
        maps: whether to compute the class maps too.
        batch_size: photos per batch.

    Yields:
        Each photo with its prediction, or with the error why it cannot be read or decoded.
    """
    threads = checkpoint.config.data.workers
    remaining = iter(places)
    with ThreadPoolExecutor(threads) as pool:
        while batch := list(islice(remaining, batch_size)):
            results = list(pool.map(lambda place: _read(checkpoint, place, keep=maps), batch))
            photos = [result for result in results if isinstance(result, _Read)]
            predictions = iter(_score(checkpoint, photos, maps=maps) if photos else [])
            for place, result in zip(batch, results, strict=True):
                yield place, result if isinstance(result, InputError) else next(predictions)


def _read(checkpoint: Checkpoint, place: str, *, keep: bool) -> _Read | InputError:
    """A photo's pixels, and the photo itself if it is to be kept; or why it cannot be read."""
    from decouplenet.data.images.decoding import Decoding, decode_square, open_photo
    from decouplenet.data.places import place_of, read_bytes, shown

    photo = place_of(place, None)
    data = checkpoint.config.data
    decoding = Decoding.of(data)
    try:
        content = read_bytes(photo)
    except OSError as error:
        return InputError(f"{shown(photo)}: cannot be read ({error.strerror or error}); check the path or address")
    try:
        pixels = decode_square(photo, data.image_size, decoding, content)
        return _Read(pixels, open_photo(photo, decoding, content) if keep else None)
    except InputError as error:
        return error


def _score(checkpoint: Checkpoint, photos: list[_Read], *, maps: bool) -> list[Prediction]:
    """The predictions for a batch of photos."""
    import numpy as np
    import torch

    from decouplenet.data.transforms import normalise
    from decouplenet.precision import Autocast, on_device

    device = next(checkpoint.model.parameters()).device
    precision = on_device(checkpoint.config, device).train.precision
    pixels = torch.from_numpy(np.stack([photo.pixels for photo in photos]))
    images = normalise(pixels.permute(0, 3, 1, 2).to(device))
    with torch.inference_mode():
        scores = Autocast(checkpoint.model, precision, device.type)(images).sigmoid()
        class_maps = checkpoint.model.class_maps(images) if maps else torch.empty(len(photos), 0)  # type: ignore[operator]
    return [
        Prediction(scores[i].tolist(), class_maps[i] if maps else torch.empty(0), photo.image)
        for i, photo in enumerate(photos)
    ]
