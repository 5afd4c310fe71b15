"""This package: `segment` as users call it, and the bare network on the same pieces, with nothing around it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from cases import Case, Contender
from numpy.typing import NDArray

import napari_seamless as ns
from napari_seamless.inference.allocator import warm_memory
from napari_seamless.inference.columns import Columns
from napari_seamless.inference.predictor import Predictor
from napari_seamless.networks.stream import StreamedNetwork
from napari_seamless.networks.stream_schedule import StreamSchedule


def ours(case: Case, image: NDArray[Any], device: str) -> dict[str, Contender]:
    """Return our ways to get labels of `image`, by name; the last one is the bare network on the same pieces."""
    model, options = case.model(), {"axes": case.axes, "level": case.level, "device": device}
    return {
        "ours, fp32": lambda: _segment(image, model, precision="fp32", **options),
        "ours": lambda: _segment(image, model, **options),
        "bare network": _bare(model, plan_for(case, image, device)),
    }


def plan_for(case: Case, image: NDArray[Any], device: str) -> ns.SegmentationPlan:
    """Return what `segment` chooses by itself."""
    model = case.model()
    return ns.plan_segmentation(image, model, axes=case.axes, level=case.level, device=device, calibrate=False)


def pieces_text(plan: ns.SegmentationPlan) -> str:
    """Say in which pieces a plan runs the network: tiles, or a stream along columns."""
    across, halo = (" x ".join(map(str, sizes)) for sizes in (plan.tile_size, plan.halo))
    plural = "s" * (plan.n_tiles > 1)
    if plan.columns is None:
        return f"{plan.n_tiles} tile{plural} of {across}, halo {halo}"
    columns = f"{plan.n_tiles} column{plural} of {across}, halo {halo}"
    return f"streamed along {plan.streamed_axis} in {columns}, {plan.columns.chunk_planes} planes at a time"


def _segment(image: NDArray[Any], model: ns.Model, **options: Any) -> NDArray[np.uint8]:
    labels: NDArray[np.uint8] = ns.segment(image, model, **options)
    return labels


def _bare(model: ns.Model, plan: ns.SegmentationPlan) -> Contender:
    """Return the network alone, its input on the device already, on what `segment` would give it."""
    predictor = Predictor(model, level=plan.level, device=plan.device, precision=plan.precision)
    columns = plan.columns

    def run() -> None:
        with warm_memory(), torch.inference_mode():
            if columns is None:
                _all_tiles(predictor, plan)
            else:
                _all_columns(predictor, plan, columns)
            if predictor.device.type == "cuda":
                torch.cuda.synchronize(predictor.device)

    return run


def _all_tiles(predictor: Predictor, plan: ns.SegmentationPlan) -> None:
    inputs: dict[tuple[int, ...], torch.Tensor] = {}
    for tile in plan.tiles:
        shape = tile.outer_shape
        if shape not in inputs:
            inputs[shape] = _zeros(predictor, shape)
        predictor.network(inputs[shape], None, tile.cut)


def _all_columns(predictor: Predictor, plan: ns.SegmentationPlan, columns: Columns) -> None:
    inputs: dict[tuple[int, ...], torch.Tensor] = {}
    axis = columns.axis
    network = StreamedNetwork(predictor.network, level=columns.levels, axis=axis)
    for tile in plan.tiles:
        outer = tile.outer_shape
        stream = network.open(tile.inner[axis], tile.cut)
        for planes in _chunks(columns, tile.inner[axis]):
            shape = (*outer[:axis], planes, *outer[axis + 1 :])
            if shape not in inputs:
                inputs[shape] = _zeros(predictor, shape)
            stream.push(inputs[shape])


def _chunks(columns: Columns, inner: tuple[int, int]) -> Iterator[int]:
    """Return how many planes a run feeds at a time: chunks end at multiples of their length, and where a slab ends."""
    start, end = StreamSchedule(columns.config, columns.levels, columns.axis, inner).image
    while start < end:
        stop = min(end, *((start // length + 1) * length for length in (columns.chunk_planes, columns.slab_planes)))
        yield stop - start
        start = stop


def _zeros(predictor: Predictor, shape: tuple[int, ...]) -> torch.Tensor:
    empty = torch.zeros((1, 1, *shape), dtype=predictor.dtype, device=predictor.device)
    return empty.contiguous(memory_format=predictor.memory_format)
