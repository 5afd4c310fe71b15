"""What changes many labels at once: predictions, and the undo of every such change."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_seamless.events import OnEvent, ShouldStop, ignore_event, never_stop
from napari_seamless.images.boxes import Box, Region, box_of, box_shape
from napari_seamless.workspace.bulk_undo import UndoStep, next_to_redo, next_to_undo
from napari_seamless.workspace.corrections import Corrections
from napari_seamless.workspace.origin import Origin
from napari_seamless.workspace.predictions import PredictionSummary, PredictionWriter
from napari_seamless.workspace.storage import Storage


class BulkChanges:
    """The part of a `session.Workspace` that is about bulk changes.

    Attributes
    ----------
    axes : str
    shape : tuple of int
    """

    axes: str
    shape: tuple[int, ...]
    _storage: Storage
    _corrections: Corrections

    def write_prediction(
        self,
        labels: Any,
        region: Region | None = None,
        *,
        instances: bool = True,
        name: str = "Segment",
        origin: Origin | None = None,
        on_event: OnEvent = ignore_event,
        should_stop: ShouldStop = never_stop,
    ) -> PredictionSummary:
        """Write a prediction where nothing is verified; see `predictions` for objects at the border of what is.

        Parameters
        ----------
        labels : array-like, integer, shape of the region
            The finished labels of the whole region, read block by block: ids 1, 2, ... or classes.
        region : mapping of axis to (start, stop), optional
        instances : bool
            Whether labels are ids of objects, not classes.
        name : str
            What the undo step is called.
        origin : Origin, optional
            What made the labels; undoing the step sets back what did before.

        Raises
        ------
        Cancelled, FileWriteError
            The labels are then as they were.
        """
        writer = PredictionWriter(self._storage, self.box(region), labels, instances)
        summary = writer.write(name, on_event, should_stop, origin)
        self._storage.save_origin()
        return summary

    @property
    def origin(self) -> Origin:
        """What made the labels; undoing and redoing bulk changes sets it back and forth."""
        return self._storage.origin

    def clear_predictions(self, region: Region | None = None) -> PredictionSummary:
        """Set to 0 what nobody verified."""
        nothing = np.broadcast_to(np.uint32(0), box_shape(self.box(region)))
        return self.write_prediction(nothing, region, instances=False, name="Clear")

    @property
    def undo_step(self) -> UndoStep | None:
        """The bulk change that `undo_bulk` would take back."""
        return next_to_undo(self._storage.steps)

    @property
    def redo_step(self) -> UndoStep | None:
        """The bulk change that `redo_bulk` would do again."""
        return next_to_redo(self._storage.steps)

    def undo_bulk(self) -> UndoStep | None:
        """Take the last bulk change back, but for pixels that were changed since; return it, or None without any."""
        return self._move(self.undo_step, undo=True)

    def redo_bulk(self) -> UndoStep | None:
        """Do the bulk change again that was undone last; return it, or None without any."""
        return self._move(self.redo_step, undo=False)

    def _move(self, step: UndoStep | None, *, undo: bool) -> UndoStep | None:
        if step is not None:
            self._corrections.forget_history()
            self._storage.move_for_good(step, undo=undo)
        return step

    def box(self, region: Any = None) -> Box:
        """Return a region (axis to (start, stop), or a pair or slice per axis) as a box; raise AxesError if none."""
        return box_of(region, self.axes, self.shape)
