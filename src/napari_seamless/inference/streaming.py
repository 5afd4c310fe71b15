"""Predicting a column of an image plane by plane: read, feed, and give finished pieces, in the memory of a few planes.

The result is that of tiles: exact for every width of the columns and every number of planes that is fed at a time. So a
column that does not fit into the memory can go on as several narrower ones from where it stopped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from napari_seamless.errors import Cancelled, OutOfMemoryError
from napari_seamless.events import Event, OnEvent, ShouldStop, ignore_event, never_stop
from napari_seamless.images.intensity import IntensityRange
from napari_seamless.inference.columns import PIECE_PLANES, Columns
from napari_seamless.inference.devices import is_out_of_memory, release_memory, resolve_precision
from napari_seamless.inference.pipeline import overlapped
from napari_seamless.inference.predictor import Prediction, Predictor
from napari_seamless.inference.prepared import forget_prepared
from napari_seamless.inference.source import Source
from napari_seamless.inference.tiles import Span, Tile, TileGrid
from napari_seamless.networks.stream import Stream, StreamedNetwork
from napari_seamless.networks.stream_schedule import StreamSchedule

Spans = tuple[Span, ...]
Piece = tuple[Spans, Prediction]
"""An inner region, in image coordinates, for each spatial axis, and what the network says of exactly this region."""

Finished = TypeVar("Finished")
MakeStreamedPredictor = Callable[[str, str], Predictor]
"""Returns a predictor for a device and a precision."""


@dataclass
class ColumnPredictor:
    """Predicts the columns of a plan one by one.

    When a device has no memory left, what is left of the column is cut into columns of half the width, and when the
    narrowest do not fit, the run goes on on the CPU. Later columns start with what worked, and the user is told once.

    Attributes
    ----------
    source : Source
    intensity : IntensityRange
    columns : Columns
    device : str
        The device the columns were planned for.
    make : callable
        Makes a predictor for (device, precision), at the level the columns were planned for.
    on_event : callable
        Receives a ``notice`` when columns were made narrower or the device was left.
    should_stop : callable
        Asked before every chunk.
    """

    source: Source
    intensity: IntensityRange
    columns: Columns
    device: str
    make: MakeStreamedPredictor
    on_event: OnEvent = ignore_event
    should_stop: ShouldStop = never_stop
    _planned: tuple[Columns, str] = field(init=False)
    _predictor: Predictor | None = field(init=False, default=None)
    _has_shrunk: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._planned = (self.columns, self.device)

    def run(
        self, plane: Sequence[int], tile: Tile, finish: Callable[[Spans, Prediction], Finished]
    ) -> Iterator[Finished]:
        """Predict one column, reading ahead of the network and finishing behind it, each in a thread of its own.

        Parameters
        ----------
        plane : sequence of int
            Index along the image's plane axes.
        tile : Tile
            Of ``columns.grid``.
        finish : callable
            Called with each piece's inner spans in image coordinates, one for each spatial axis, and its `Prediction`
            over exactly this region. The pieces are the tile's inner region, each pixel once; along the streamed axis
            they end at multiples of `PIECE_PLANES`, counted from the region's start.

        Yields
        ------
        What `finish` returned.

        Raises
        ------
        Cancelled
            If `should_stop` answers True. Pieces that were finished before have been yielded.
        OutOfMemoryError
            If the narrowest column does not fit on any device.
        NotFiniteError
            If what is read holds NaN or infinity.
        """
        pending = deque([tile.inner])
        while pending:
            region = pending.popleft()
            parts = TileGrid(region, self.columns.grid.tile_size, self.columns.grid.geometry)
            if len(parts) > 1:
                pending.extendleft(part.inner for part in reversed(parts))
                continue
            reached = yield from self._attempt(plane, parts[0], finish)
            axis, (_, end) = self.columns.axis, region[self.columns.axis]
            if reached < end:
                pending.appendleft((*region[:axis], (reached, end), *region[axis + 1 :]))
                forget_prepared()
                release_memory(self.device)
                self._make_room()

    def pieces(self, plane: Sequence[int], tile: Tile) -> Iterator[Piece]:
        """Predict one column and yield its pieces; see `run`."""
        return self.run(plane, tile, lambda spans, prediction: (spans, prediction))

    def _attempt(
        self, plane: Sequence[int], tile: Tile, finish: Callable[[Spans, Prediction], Finished]
    ) -> Generator[Finished, None, int]:
        """Stream a column; return how far it came before the memory ran out (the traceback is then gone)."""
        axis = self.columns.axis
        reached = tile.inner[axis][0]
        column = _Column(self.columns, tile, self._ready, self.should_stop)

        def finished(_: Span, pieces: list[Piece]) -> list[tuple[int, Finished]]:
            return [(spans[axis][1], finish(spans, prediction)) for spans, prediction in pieces]

        try:
            for results in overlapped(column.slabs(), partial(self._read, plane, tile), column.fed, finished):
                for stop, result in results:
                    self._tell()
                    reached = stop
                    yield result
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        return reached

    def _read(self, plane: Sequence[int], tile: Tile, slab: Span) -> NDArray[np.float32]:
        """Read a slab, mirrored and normalised, (channels, *outer) with the slab's planes along the streamed axis."""
        axis = self.columns.axis
        return self.source.read(plane, (*tile.outer[:axis], slab, *tile.outer[axis + 1 :]), self.intensity)

    def _ready(self) -> Predictor:
        if self._predictor is None:
            precision = self.columns.precision
            if self.device != self._planned[1]:
                precision = resolve_precision("auto" if precision in ("fp16", "bf16") else precision, self.device)
            self._predictor = self.make(self.device, precision)
        return self._predictor

    def _make_room(self) -> None:
        narrower = self.columns.narrower()
        self._has_shrunk = True
        if narrower is not None:
            self.columns = narrower
            return
        if self.device == "cpu":
            raise OutOfMemoryError(
                f"the narrowest column {self.columns.grid.tile_size} with a halo of {self.columns.grid.geometry.halo} "
                "pixels does not fit into the memory: close other programs, choose a shallower level, or a smaller halo"
            )
        self._predictor = None  # first let go of the device's memory
        release_memory(self.device)
        self.columns, self.device = self._planned[0], "cpu"

    def _tell(self) -> None:
        if not self._has_shrunk:
            return
        self._has_shrunk = False
        size, device = self.columns.grid.tile_size, self._planned[1]
        goes_on = "the result is the same" if self.device == device else f"slower, on the {self.device}"
        message = f"{device} ran out of memory: going on with columns of {' x '.join(map(str, size))}; {goes_on}"
        self.on_event(Event("notice", {"message": message, "tile_size": list(size), "device": self.device}))


class _Column:
    """One column on its way: the stream, and finished planes that wait until their piece is whole."""

    def __init__(self, columns: Columns, tile: Tile, ready: Callable[[], Predictor], should_stop: ShouldStop) -> None:
        self.columns, self.tile, self.axis = columns, tile, columns.axis
        self.ready, self.should_stop = ready, should_stop
        self.start, self.end = tile.inner[self.axis]
        self.stream: Stream | None = None
        self.waiting: list[Prediction] = []

    def slabs(self) -> Iterator[Span]:
        """Return the planes along the streamed axis that are read at a time: they end at multiples of a slab."""
        schedule = StreamSchedule(self.columns.config, self.columns.levels, self.axis, (self.start, self.end))
        return _cut_at_multiples(schedule.image, self.columns.slab_planes)

    def fed(self, slab: Span, pixels: NDArray[np.float32]) -> list[Piece]:
        """Feed a slab, chunk by chunk, and return the pieces that are whole then."""
        pieces: list[Piece] = []
        for start, stop in _cut_at_multiples(slab, self.columns.chunk_planes):
            if self.should_stop():
                raise Cancelled("no further planes are fed to the network")
            index: tuple[Any, ...] = (*(slice(None),) * (1 + self.axis), slice(start - slab[0], stop - slab[0]))
            made = self._pushed(pixels[index])
            if made is not None:
                pieces.extend(self._whole_pieces(*made))
        return pieces

    def _pushed(self, chunk: NDArray[np.float32]) -> tuple[int, Prediction] | None:
        """Feed the network, and return the plane up to which there are results now, and the new ones."""
        predictor = self.ready()
        if self.stream is None:
            network = StreamedNetwork(predictor.network, level=predictor.levels, axis=self.axis)
            self.stream = network.open((self.start, self.end), self.tile.cut if predictor.cut else None)
        with torch.inference_mode():
            made = self.stream.push(predictor.transfer.to_device(np.ascontiguousarray(chunk)))
            if made is None:
                return None
            start, logits = made
            if not predictor.cut:
                logits = {level: self._cut(values) for level, values in logits.items()}
            prediction = predictor.prediction_of(logits)
        return start + prediction.probabilities.shape[1 + self.axis], prediction

    def _cut(self, logits: torch.Tensor) -> torch.Tensor:
        """Cut the halo off across the streamed axis."""
        for axis, (start, stop) in enumerate(self.tile.cut):
            if axis != self.axis:
                logits = logits.narrow(2 + axis, start, stop - start)
        return logits

    def _whole_pieces(self, stop: int, prediction: Prediction) -> Iterator[Piece]:
        """Add new planes; return a piece of all that wait, up to a multiple of `PIECE_PLANES` or to the end."""
        self.waiting.append(prediction)
        origin = self.columns.grid.region[self.axis][0]
        whole = stop if stop == self.end else stop - (stop - origin) % PIECE_PLANES
        if whole <= self.start:
            return
        joined, planes = _joined(self.waiting, self.axis), whole - self.start
        self.waiting = [_planes(joined, self.axis, slice(planes, None))]
        spans = (*self.tile.inner[: self.axis], (self.start, whole), *self.tile.inner[self.axis + 1 :])
        self.start = whole
        yield spans, _planes(joined, self.axis, slice(planes))


def _cut_at_multiples(span: Span, length: int) -> Iterator[Span]:
    """Return a span in parts that end at multiples of `length`."""
    start, stop = span
    while start < stop:
        end = min((start // length + 1) * length, stop)
        yield (start, end)
        start = end


def _joined(predictions: Sequence[Prediction], axis: int) -> Prediction:
    """Return predictions that follow one another along a spatial axis as one."""
    heads = [one.heads for one in predictions if one.heads is not None]
    probabilities = np.concatenate([one.probabilities for one in predictions], 1 + axis)
    return Prediction(probabilities, np.concatenate(heads, 2 + axis) if heads else None)


def _planes(prediction: Prediction, axis: int, planes: slice) -> Prediction:
    """Return some planes of a prediction along a spatial axis."""
    index = (*(slice(None),) * axis, planes)
    heads = prediction.heads
    return Prediction(
        prediction.probabilities[(slice(None), *index)],
        None if heads is None else heads[(slice(None), slice(None), *index)],
    )
