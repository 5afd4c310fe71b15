"""The executor of a plan: read → predict → write tile by tile, then objects. Nothing is decided here any more."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import Cancelled
from napari_seamless.events import Event, OnEvent, ShouldStop, ignore_event
from napari_seamless.inference.pieces import Pieces
from napari_seamless.inference.plan import SegmentationPlan
from napari_seamless.inference.predictor import Prediction
from napari_seamless.inference.results import Results
from napari_seamless.inference.tiles import Span, all_planes
from napari_seamless.models.model import Model
from napari_seamless.objects.instances import instances_from_states, states_from_probabilities
from napari_seamless.objects.stitch import stitch_instances
from napari_seamless.objects.uncertainty import disagreement, entropy


@dataclass
class Run:
    """One run of a plan.

    Attributes
    ----------
    plan, model, results, pieces
        What is run, and where its results go.
    on_event, should_stop : callable
    tiles_done, pixels_done, pieces_written, objects_found : int
        How far it is: pieces that were reported and their pixels, and pieces whose results were stored.
    """

    plan: SegmentationPlan
    model: Model
    results: Results
    pieces: Pieces
    on_event: OnEvent
    should_stop: ShouldStop
    tiles_done: int = 0
    pixels_done: int = 0
    pieces_written: int = 0
    objects_found: int = 0
    first_tile_at: float = field(init=False, default=0.0)

    def all_planes(self) -> int | None:
        """Run everything; return the number of objects, or None for classes."""
        self.first_tile_at = time.perf_counter()
        for plane in all_planes(self.plan.planes):
            finished = self.pieces.of_plane(plane, partial(self._write, plane))
            try:
                for place, block in finished:
                    self._report(place, block)
            except Cancelled:
                raise self._stopped() from None
            if self.model.task == "instances":
                self._objects_of(plane)
        return self.objects_found if self.model.task == "instances" else None

    def _write(
        self, plane: tuple[int, ...], inner: tuple[Span, ...], prediction: Prediction
    ) -> tuple[tuple[slice, ...], NDArray[Any]]:
        """Store what the network says of a piece; return where, and as labels to be looked at."""
        place = self.results.place(plane, inner)
        lengths = tuple(part.stop - part.start for part in place)
        if self.results.probabilities is not None:
            self.results.probabilities[place] = prediction.probabilities.reshape(-1, *lengths)
        if self.results.uncertainty is not None:
            self.results.uncertainty[place] = _uncertainty_of(prediction).reshape(lengths)
        self.pieces_written += 1
        return place, self._labels_of(prediction, place).reshape(lengths)

    def _labels_of(self, prediction: Prediction, place: tuple[slice, ...]) -> NDArray[Any]:
        if self.model.instance_rule is None:
            classes = _classes_of(prediction.probabilities, self.results.labels.dtype)
            self.results.labels[place] = classes.reshape(tuple(part.stop - part.start for part in place))
            return classes
        states = states_from_probabilities(prediction.probabilities, self.model.instance_rule)
        self.results.states[place[len(self.plan.plane_axes) :]] = states
        if self.on_event is ignore_event:
            return states
        return _provisional(instances_from_states(states, self.model.instance_rule), self.pieces_written)

    def _objects_of(self, plane: tuple[int, ...]) -> None:
        if self.model.instance_rule is None:
            return
        self.objects_found += stitch_instances(
            self.results.states,
            self.results.plane_of_labels(plane),
            self.model.instance_rule,
            block_shape=self.results.block_shape,
            first_id=self.objects_found + 1,
            on_event=self.on_event,
            should_stop=self.should_stop,
        )

    def _stopped(self) -> Cancelled:
        return Cancelled(
            f"the run was stopped after {self._done} of {self.plan.n_pieces} tiles; no file was written or changed"
        )

    @property
    def _done(self) -> int:
        """How many of the plan's pieces are done; those of a column come joined, so they are told by their pixels."""
        if self.plan.columns is None:
            return self.tiles_done
        return self.plan.n_pieces * self.pixels_done // prod(self.plan.output_shape)

    def _report(self, place: tuple[slice, ...], block: NDArray[Any]) -> None:
        self.tiles_done += 1
        self.pixels_done += block.size
        share = self.pixels_done / prod(self.plan.output_shape)
        facts = {
            "done": self._done,
            "total": self.plan.n_pieces,
            "seconds_left": (time.perf_counter() - self.first_tile_at) * (1 / share - 1),
            "region": [[part.start, part.stop] for part in place],
        }
        self.on_event(Event("tile", facts, {"labels": block}))


def _classes_of(probabilities: NDArray[np.float32], dtype: Any) -> NDArray[Any]:
    if probabilities.shape[0] == 1:
        return np.asarray(probabilities[0] > 0.5, dtype)
    return np.asarray(probabilities.argmax(0), dtype)


def _uncertainty_of(prediction: Prediction) -> NDArray[np.float32]:
    return entropy(prediction.probabilities) if prediction.heads is None else disagreement(prediction.heads)


def _provisional(labels: NDArray[np.uint32], tile_number: int) -> NDArray[np.uint32]:
    """Give a tile's objects ids of their own: neighbouring tiles then show in different colours."""
    return np.where(labels > 0, labels + np.uint32(tile_number * 1000), labels)
