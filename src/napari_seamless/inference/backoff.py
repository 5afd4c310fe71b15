"""Predicting one tile, whatever the memory: smaller tiles when a device runs out of it, then the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import OutOfMemoryError
from napari_seamless.events import Event, OnEvent
from napari_seamless.images.intensity import IntensityRange
from napari_seamless.inference.devices import is_out_of_memory, release_memory, resolve_precision
from napari_seamless.inference.plan import SegmentationPlan
from napari_seamless.inference.predictor import Predict, Prediction, Predictor
from napari_seamless.inference.prepared import forget_prepared, prepared_predictor
from napari_seamless.inference.source import Source
from napari_seamless.inference.tiles import Tile, TileGrid
from napari_seamless.inference.tiling import halved
from napari_seamless.models.model import Model

MakePredictor = Callable[[str, str], Predict]
"""Returns a predictor for a device and a precision."""


def predictor_maker(model: Model, plan: SegmentationPlan) -> Callable[[str, str], Predictor]:
    """Return what makes predictors for `plan`."""

    def make(device: str, precision: str) -> Predictor:
        return prepared_predictor(
            model,
            level=plan.level,
            device=device,
            precision=precision,
            accurate=plan.accurate,
            keep_heads=plan.keep_heads,
        )

    return make


@dataclass
class TilePredictor:
    """Predicts the tiles of a plan one by one.

    When a device has no memory left for a tile, the tile's longest side is halved until it fits; when even the smallest
    tile does not fit, the run goes on on the CPU. Later tiles start with what worked, and the user is told once. The
    result is the same: tiling is exact at every size.

    Attributes
    ----------
    source : Source
    intensity : IntensityRange
    plan : SegmentationPlan
    make : callable
        Makes a predictor for (device, precision).
    on_event : callable
        Receives a ``notice`` when tiles were made smaller or the device was left.
    """

    source: Source
    intensity: IntensityRange
    plan: SegmentationPlan
    make: MakePredictor
    on_event: OnEvent
    _tile_size: tuple[int, ...] = field(init=False)
    _device: str = field(init=False)
    _predict: Predict | None = field(init=False, default=None)
    _has_shrunk: bool = field(init=False, default=False)
    _constant: tuple[object, Prediction] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._tile_size = self.plan.tile_size
        self._device = self.plan.device

    def read(self, plane: Sequence[int], tile: Tile) -> NDArray[np.float32]:
        """Read the outer region of a tile, mirrored and normalised, (channels, *outer)."""
        return self.source.read(plane, tile.outer, self.intensity)

    def __call__(self, plane: Sequence[int], tile: Tile, outer: NDArray[np.float32]) -> Prediction:
        """Return the prediction of a tile's inner region, (classes, *inner), from what was read for it.

        Raises
        ------
        OutOfMemoryError
            If the smallest tile does not fit on any device.
        """
        while True:
            prediction = self._attempt(plane, tile, outer)
            if prediction is not None:
                self._tell()
                return prediction
            forget_prepared()
            release_memory(self._device)
            self._make_room()

    def _attempt(self, plane: Sequence[int], tile: Tile, outer: NDArray[np.float32]) -> Prediction | None:
        """Predict, or return None if the device is out of memory (the traceback, and what it holds, is then gone)."""
        try:
            if self._predict is None:
                precision = self.plan.precision
                if self._device != self.plan.device:
                    precision = resolve_precision("auto" if precision in ("fp16", "bf16") else precision, self._device)
                self._predict = self.make(self._device, precision)
            if self._tile_size == self.plan.tile_size:
                return self._cut(self._predict, tile, outer)
            return self._assembled(
                self._predict, plane, TileGrid(tile.inner, self._tile_size, self.plan.tiles.geometry)
            )
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _assembled(self, predict: Predict, plane: Sequence[int], grid: TileGrid) -> Prediction:
        first_piece = self._cut(predict, grid[0], self.read(plane, grid[0]))
        if len(grid) == 1:
            return first_piece
        whole = _empty_like(first_piece, tuple(stop - start for start, stop in grid.region))
        for part in grid:
            piece = self._cut(predict, part, self.read(plane, part)) if part.index else first_piece
            where: tuple[Any, ...] = tuple(
                slice(start - first, stop - first)
                for (start, stop), (first, _) in zip(part.inner, grid.region, strict=True)
            )
            whole.probabilities[(..., *where)] = piece.probabilities
            if whole.heads is not None and piece.heads is not None:
                whole.heads[(..., *where)] = piece.heads
        return whole

    def _cut(self, predict: Predict, tile: Tile, outer: NDArray[np.float32]) -> Prediction:
        """Predict a tile's inner region; one of one colour that was seen before, such as empty background, is answered
        from memory.

        That is exact: the same numbers in the same shape give the same result.
        """
        flat = outer.reshape(outer.shape[0], -1)
        if not (flat == flat[:, :1]).all():
            return predict(outer, tile.cut)
        key = (outer.shape, tile.cut, tuple(flat[:, 0].tolist()), self._device)
        if self._constant is None or self._constant[0] != key:
            self._constant = (key, predict(outer, tile.cut))
        return self._constant[1]

    def _make_room(self) -> None:
        smaller = halved(self._tile_size, self.plan.tiles.geometry.alignment)
        self._has_shrunk = True
        if smaller is not None:
            self._tile_size = smaller
            return
        if self._device == "cpu":
            raise OutOfMemoryError(
                f"the smallest tile {self._tile_size} with a halo of {self.plan.halo} pixels does not fit into the "
                "memory: close other programs, choose a shallower level, or a smaller halo"
            )
        self._constant = None
        self._predict = None  # first let go of the device's memory
        release_memory(self._device)
        self._device, self._tile_size = "cpu", self.plan.tile_size

    def _tell(self) -> None:
        if not self._has_shrunk:
            return
        self._has_shrunk = False
        size = " x ".join(map(str, self._tile_size))
        goes_on = "the result is the same" if self._device == self.plan.device else f"slower, on the {self._device}"
        message = f"{self.plan.device} ran out of memory: going on with tiles of {size}; {goes_on}"
        self.on_event(Event("notice", {"message": message, "tile_size": list(self._tile_size), "device": self._device}))


def _empty_like(piece: Prediction, shape: tuple[int, ...]) -> Prediction:
    probabilities = np.empty((*piece.probabilities.shape[: -len(shape)], *shape), np.float32)
    if piece.heads is None:
        return Prediction(probabilities)
    return Prediction(probabilities, np.empty((*piece.heads.shape[: -len(shape)], *shape), np.float32))
