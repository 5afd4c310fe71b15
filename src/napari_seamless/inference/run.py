"""The two ways to run a model over an image: labels, in memory or in a file, and probabilities."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.events import Event, OnEvent, ShouldStop, ignore_event, never_stop
from napari_seamless.images.image import Image
from napari_seamless.images.intensity import IntensityRange, measure_range
from napari_seamless.inference.allocator import warm_memory
from napari_seamless.inference.executor import Run
from napari_seamless.inference.pieces import Pieces
from napari_seamless.inference.plan import (
    Halo,
    Level,
    Region,
    SegmentationPlan,
    TileSize,
    as_image,
    as_model,
    plan_segmentation,
)
from napari_seamless.inference.predictor import Prediction, own_precision
from napari_seamless.inference.results import OutputPaths, Results
from napari_seamless.inference.source import Channel, source_of
from napari_seamless.inference.tiles import Span, all_planes
from napari_seamless.models.model import Model


def segment(
    image: Any,
    model: Model | str,
    *,
    axes: str | None = None,
    output: str | Path | None = None,
    channel: Channel = None,
    level: Level = "auto",
    tile_size: TileSize = "auto",
    halo: Halo = "exact",
    device: str = "auto",
    precision: str = "auto",
    region: Region | None = None,
    probabilities: str | Path | None = None,
    uncertainty: str | Path | None = None,
    overwrite: bool = False,
    on_event: OnEvent | None = None,
    should_stop: ShouldStop | None = None,
) -> Any:
    """Segment an image of any size.

    Parameters
    ----------
    image, model, axes, channel, level, tile_size, halo, device, precision, region
        See `plan_segmentation`.
    output : path, optional
        ``.ome.zarr``, ``.zarr``, ``.ome.tif`` or ``.tif``; written tile by tile under a temporary name and renamed when
        it is whole.
    probabilities, uncertainty : path, optional
        Also write class probabilities (float32, classes as channels), and an uncertainty map (float32, 0 to 1): the
        disagreement of a UNet++'s heads, otherwise the entropy of the classes.
    overwrite : bool
        Replace existing files.
    on_event : callable, optional
        Receives ``plan``, ``notice``, ``tile``, ``stitch``, ``written`` and ``done``. A ``tile`` event's ``region``
        counts in the labels' own pixels; its payload holds the tile's ``labels``: final classes, or for instances
        objects under provisional ids.
    should_stop : callable, optional
        Asked before every tile; when it answers True, `Cancelled` is raised and no file is left behind.

    Returns
    -------
    numpy.ndarray, or zarr.Array (``.zarr`` output), or dask array (``.tif`` output)
        Labels over the image's axes without channels, in the order TZYX: classes (uint8) or object ids (uint32;
        1..n, each plane's objects after those of the plane before).

    Raises
    ------
    SeamlessError
        Whatever is wrong with image, model, options or output is said before any tile is run; NaN or infinite pixels
        beyond the sample that intensities are measured on are found when their tile is read. `Cancelled` on request.
    """
    started = time.perf_counter()
    on_event, should_stop = on_event or ignore_event, should_stop or never_stop
    image, model = as_image(image, axes), as_model(model)
    paths = OutputPaths(_path(output), _path(probabilities), _path(uncertainty), overwrite)
    paths.check()
    plan = plan_segmentation(
        image,
        model,
        channel=channel,
        level=level,
        tile_size=tile_size,
        halo=halo,
        device=device,
        precision=precision,
        region=region,
        keep_heads=uncertainty is not None and _has_heads_to_compare(model, level),
        calibrate=False,
    )
    with warm_memory(), ExitStack() as stack:
        results = Results(stack, plan, model, image, paths)
        pieces = _pieces(image, model, plan, channel, on_event, should_stop)
        n_objects = Run(plan, model, results, pieces, on_event, should_stop).all_planes()
    labels = results.labels if paths.labels is None else _reopened(paths.labels)
    for path in (paths.labels, paths.probabilities, paths.uncertainty):
        if path is not None:
            on_event(Event("written", {"path": str(path)}))
    seconds = time.perf_counter() - started
    on_event(Event("done", {"n_objects": n_objects, "seconds": seconds}, {"labels": labels}))
    return labels


def predict_probabilities(
    array: Any,
    model: Model | str,
    *,
    axes: str | None = None,
    channel: Channel = None,
    tile_size: TileSize = "auto",
    level: Level = "auto",
    halo: Halo = "exact",
    device: str = "auto",
    precision: str | None = None,
    region: Region | None = None,
    intensity: IntensityRange | None = None,
    on_event: OnEvent | None = None,
    should_stop: ShouldStop | None = None,
) -> NDArray[np.float32]:
    """Return class probabilities in memory.

    Parameters
    ----------
    array, model, axes, channel, tile_size, level, halo, device, region, on_event, should_stop
        See `segment`. ``tile_size=None`` is the untiled reference: the network is run once on the whole
        mirror-extended image.
    precision : str, optional
        By default the network's own: fp32, or fp64 after ``model.network.double()``.
    intensity : IntensityRange, optional
        What becomes 0 and 1, where it is known already; by default measured on the whole image.

    Returns
    -------
    ndarray, shape (classes, *labels' shape), float32
    """
    image, model = as_image(array, axes), as_model(model)
    plan = plan_segmentation(
        image,
        model,
        channel=channel,
        level=level,
        tile_size=tile_size,
        halo=halo,
        device=device,
        precision=precision or own_precision(model),
        region=region,
        calibrate=False,
    )
    on_event = on_event or ignore_event
    pieces = _pieces(image, model, plan, channel, on_event, should_stop or never_stop, intensity)
    result = np.empty((model.config.out_channels, *plan.output_shape), np.float32)
    starts = [start for start, _ in plan.output_region]

    def put(plane: tuple[int, ...], inner: tuple[Span, ...], prediction: Prediction) -> None:
        spans = [*((index, index + 1) for index in plane), *inner]
        place = tuple(slice(low - first, high - first) for (low, high), first in zip(spans, starts, strict=True))
        block = result[(slice(None), *place)]
        block[...] = prediction.probabilities.reshape(block.shape)

    with warm_memory():
        for plane in all_planes(plan.planes):
            for _ in pieces.of_plane(plane, partial(put, plane)):
                pass  # each piece is put where it belongs as it comes
    return result


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def _has_heads_to_compare(model: Model, level: Level) -> bool:
    chosen = model.auto_level if level == "auto" else level
    return len(model.config.levels) > 1 and chosen != min(model.config.levels)


def _pieces(
    image: Image,
    model: Model,
    plan: SegmentationPlan,
    channel: Channel,
    on_event: OnEvent,
    should_stop: ShouldStop,
    intensity: IntensityRange | None = None,
) -> Pieces:
    source = source_of(image, model, channel)
    intensity = intensity or measure_range(source.data, model.normalization, axes=source.axes)
    on_event(Event("plan", {**plan.as_dict(), "intensity": intensity.source}, {"plan": plan}))
    return Pieces(source, intensity, plan, model, on_event, should_stop)


def _reopened(path: Path) -> Any:
    if path.suffix == ".zarr":
        import zarr

        return zarr.open_array(path / "0", mode="r")
    from napari_seamless.images.read import open_image

    return open_image(path).data
