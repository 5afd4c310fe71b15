"""How unsure a model is of every pixel of an image of any size, without labels: to see where it needs help."""

from __future__ import annotations

import time
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_seamless.events import Event, OnEvent, ShouldStop, ignore_event, never_stop
from napari_seamless.images.image import Image
from napari_seamless.images.intensity import measure_range
from napari_seamless.images.write import staged_output
from napari_seamless.inference.allocator import warm_memory
from napari_seamless.inference.pieces import Pieces
from napari_seamless.inference.plan import SegmentationPlan, as_image, as_model, plan_segmentation
from napari_seamless.inference.predictor import Prediction
from napari_seamless.inference.source import Channel, source_of
from napari_seamless.inference.tiles import Span, all_planes
from napari_seamless.models.model import Model
from napari_seamless.objects.uncertainty import disagreement, entropy

Measure = Literal["disagreement", "entropy"]

_CHUNK_SIDE = 512
"""Chunks lie in single planes, since the map is looked at and ranked plane by plane."""


def measure_of(model: Model) -> Measure:
    """Return what a model's uncertainty is: the disagreement of a UNet++'s heads, else the entropy of its classes."""
    return "disagreement" if len(model.config.levels) > 1 else "entropy"


def predict_uncertainty(
    array: Any, model: Model | str, *, axes: str | None = None, channel: Channel = None, device: str = "auto"
) -> NDArray[np.float32]:
    """Return an uncertainty map in memory.

    Parameters
    ----------
    array, model, axes, channel, device
        As for `segment`.

    Returns
    -------
    ndarray, float32, 0 to 1, over the image's axes without channels
    """
    image, model = as_image(array, axes), as_model(model)
    plan = _plan(image, model, channel, device)
    result = np.empty(plan.output_shape, np.float32)
    _fill(result, image, model, plan, channel, ignore_event, never_stop)
    return result


def write_uncertainty(
    image: Image,
    model: Model | str,
    path: Path,
    *,
    channel: Channel = None,
    device: str = "auto",
    facts: dict[str, Any] | None = None,
    overwrite: bool = False,
    on_event: OnEvent = ignore_event,
    should_stop: ShouldStop = never_stop,
) -> None:
    """Write an uncertainty map tile by tile; it appears under its name when it is whole.

    Parameters
    ----------
    image, model, channel, device
        As for `segment`.
    path : pathlib.Path
        Ends in ``.zarr``: becomes an OME-Zarr image, float16 (half the size, and three digits are enough to rank by),
        over the image's axes without channels.
    facts : dict, optional
        JSON that is kept with the array, as its attributes, beside ``measure`` and ``highest``.
    overwrite : bool
        Replace what is there.
    on_event : callable
        Receives ``plan`` and ``tile`` as `segment` tells them, without payload.
    should_stop : callable
        Asked before every tile.

    Raises
    ------
    SeamlessError
        As `segment`; `Cancelled` on request. What was at `path` is then as it was.
    """
    model = as_model(model)
    plan = _plan(image, model, channel, device)
    with staged_output(
        path,
        shape=plan.output_shape,
        axes=plan.output_axes,
        dtype=np.float16,
        chunks=(*(1,) * (len(plan.output_shape) - 2), _CHUNK_SIDE, _CHUNK_SIDE),
        voxel_size_um=image.voxel_size_um,
        overwrite=overwrite,
    ) as array:
        highest = _fill(array, image, model, plan, channel, on_event, should_stop)
        array.update_attributes({**(facts or {}), "measure": measure_of(model), "highest": highest})


def _plan(image: Image, model: Model, channel: Channel, device: str) -> SegmentationPlan:
    is_committee = measure_of(model) == "disagreement"
    levels = model.config.levels
    return plan_segmentation(
        image,
        model,
        channel=channel,
        # The level that segments; the shallowest alone would be a committee of one.
        level=max(model.auto_level, levels[1]) if is_committee else "auto",
        device=device,
        keep_heads=is_committee,
        calibrate=False,
    )


def _fill(
    result: Any,
    image: Image,
    model: Model,
    plan: SegmentationPlan,
    channel: Channel,
    on_event: OnEvent,
    should_stop: ShouldStop,
) -> float:
    """Compute the map into `result`; return its highest value."""
    source = source_of(image, model, channel)
    intensity = measure_range(source.data, model.normalization, axes=source.axes)
    on_event(Event("plan", plan.as_dict()))
    pieces = Pieces(source, intensity, plan, model, on_event, should_stop)
    began, n_done, highest = time.perf_counter(), 0, 0.0

    def put(plane: tuple[int, ...], inner: tuple[Span, ...], prediction: Prediction) -> tuple[int, float]:
        place = (*plane, *(slice(low, high) for low, high in inner))
        found = entropy(prediction.probabilities) if prediction.heads is None else disagreement(prediction.heads)
        result[place] = found
        return found.size, float(found.max())

    with warm_memory():
        for plane in all_planes(plan.planes):
            for n_pixels, peak in pieces.of_plane(plane, partial(put, plane)):
                n_done, highest = n_done + n_pixels, max(highest, peak)
                share = min(1.0, n_done / prod(plan.output_shape))  # a column that began again gives pieces again
                left = (time.perf_counter() - began) * (1 / share - 1)
                done = int(plan.n_pieces * share)
                on_event(Event("tile", {"done": done, "total": plan.n_pieces, "seconds_left": left}))
    return highest
