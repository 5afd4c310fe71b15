"""A plane of an image as finished pieces: tile by tile, or plane by plane along streamed columns, as the plan says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import Cancelled
from napari_seamless.events import OnEvent, ShouldStop
from napari_seamless.images.intensity import IntensityRange
from napari_seamless.inference.backoff import TilePredictor, predictor_maker
from napari_seamless.inference.pipeline import overlapped
from napari_seamless.inference.plan import SegmentationPlan
from napari_seamless.inference.predictor import Prediction
from napari_seamless.inference.source import Source
from napari_seamless.inference.streaming import ColumnPredictor
from napari_seamless.inference.tiles import Span, Tile
from napari_seamless.models.model import Model

Finished = TypeVar("Finished")
Finish = Callable[[tuple[Span, ...], Prediction], Finished]
"""Called with a region, in image coordinates for each spatial axis, and what the network says of exactly it."""


class Pieces:
    """Predicts the planes of a plan.

    Parameters
    ----------
    source, intensity, plan, model
        What is read, how it is scaled, and what is run on it.
    on_event : callable
        Receives a ``notice`` when the memory was too small for the plan.
    should_stop : callable
        Asked before every tile, or chunk of a column.
    """

    def __init__(
        self,
        source: Source,
        intensity: IntensityRange,
        plan: SegmentationPlan,
        model: Model,
        on_event: OnEvent,
        should_stop: ShouldStop,
    ) -> None:
        self._plan, self._should_stop = plan, should_stop
        make = predictor_maker(model, plan)
        self._columns: ColumnPredictor | None = None
        if plan.columns is not None:
            self._columns = ColumnPredictor(source, intensity, plan.columns, plan.device, make, on_event, should_stop)
        else:
            self._tiles = TilePredictor(source, intensity, plan, make, on_event)

    def of_plane(self, plane: Sequence[int], finish: Finish[Finished]) -> Iterator[Finished]:
        """Predict one plane, reading ahead of the network and finishing behind it.

        Parameters
        ----------
        plane : sequence of int
            Index along the image's plane axes.
        finish : callable
            Called for each piece, in a thread of its own, one at a time; every pixel lies in exactly one piece (those
            of a column that had to be started again are given again, with the same values).

        Yields
        ------
        What `finish` returned.

        Raises
        ------
        Cancelled
            If `should_stop` answers True; what was computed has been yielded.
        """
        if self._columns is not None:
            for column in self._plan.tiles:
                yield from self._columns.run(plane, column, finish)
            return
        yield from overlapped(
            self._plan.tiles,
            partial(self._tiles.read, plane),
            partial(self._predict, plane),
            lambda tile, prediction: finish(tile.inner, prediction),
        )

    def _predict(self, plane: Sequence[int], tile: Tile, outer: NDArray[np.float32]) -> Prediction:
        if self._should_stop():
            raise Cancelled("no further tile is started")
        return self._tiles(plane, tile, outer)
