"""A run of Segment on an image that is corrected: its labels go into the workspace, around what is verified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seamless.images.boxes import as_slices
from napari_seamless.viewer.correct.correction import same_layer
from napari_seamless.viewer.correct.labels import without_axes
from napari_seamless.viewer.correct.workspaces import Workspaces, workspaces_of
from napari_seamless.viewer.segment.labels_output import LabelsOutput
from napari_seamless.viewer.wording import count
from napari_seamless.workspace.editable import normalised
from napari_seamless.workspace.origin import Origin

if TYPE_CHECKING:
    import napari
    import napari.layers

    from napari_seamless.viewer.correct.correction import Correction
    from napari_seamless.viewer.image_choice import ImageChoice
    from napari_seamless.viewer.segment.job import SegmentJob, SegmentRequest
    from napari_seamless.workspace.predictions import PredictionSummary


@dataclass(frozen=True, eq=False)
class Delivery:
    """Writes the labels of a finished run into a workspace. To be called in the run's thread.

    All large changes of a viewer's workspaces are made by one thread, one after the other.
    """

    workspaces: Workspaces
    correction: Correction
    request: SegmentRequest
    model_name: str
    channel: int | None

    def __call__(self, labels: Any, instances: bool, should_stop: Callable[[], bool]) -> PredictionSummary:
        """Return what became of the labels.

        Raises
        ------
        Cancelled, FileWriteError
            The labels of the workspace are then as they were.
        """
        future = self.workspaces.worker.submit(lambda: self._write(labels, instances, should_stop))
        return future.result()

    def _write(self, labels: Any, instances: bool, should_stop: Callable[[], bool]) -> PredictionSummary:
        correction = self.correction
        correction.busy = "Writing the new labels around what is verified…"
        origin = Origin(self.model_name, str(self.request.model), instances, self.channel)
        try:
            summary = correction.workspace.write_prediction(
                without_axes(labels, correction.extra_axes),
                self._region(),
                instances=instances,
                name=f"Segment with {self.model_name}",
                origin=origin,
                should_stop=should_stop,
            )
            correction.follow_origin()
        finally:
            correction.busy = ""
        return summary

    def _region(self) -> dict[str, tuple[int, int]]:
        """Return the part that was segmented, by the axes that the correction was begun with."""
        axes = self.request.source.axes.replace("S", "")
        letters = dict(zip(axes, self.correction.axes, strict=True))
        return {letters[axis]: span for axis, span in self.request.region.items()}


class WorkspaceOutput(LabelsOutput):
    """Shows a run over the labels of a correction: its tiles in a layer that goes at the end. Main thread only.

    Parameters
    ----------
    viewer : napari.Viewer
    image : ImageChoice
    job : SegmentJob
    model_name : str
    correction : Correction
    """

    def __init__(
        self, viewer: napari.Viewer, image: ImageChoice, job: SegmentJob, model_name: str, correction: Correction
    ) -> None:
        super().__init__(viewer, image, job, model_name)
        self._correction = correction
        self._seen = correction.workspace.changes[0]

    def concerns(self, layer: object) -> bool:
        """Whether a layer is the image, the tiles or the labels of this run."""
        return super().concerns(layer) or same_layer(layer, self._correction.labels_layer)

    def layer_removed(self, layer: object) -> None:
        """Bring no tiles into the viewer any more when its user removed them."""
        self._is_unwanted = self._is_unwanted or same_layer(layer, self.layer)

    def show_tiles(self) -> None:
        """Show new tiles, and what the user painted meanwhile."""
        made = self._correction.workspace.changes[0]
        if made != self._seen and self.layer is not None and not self._is_unwanted:
            self._seen = made
            self.layer.refresh(extent=False, thumbnail=False, highlight=False)
        super().show_tiles()

    def finish(self, labels: Any) -> None:
        """Show what the workspace holds now instead of the tiles."""
        self.keep_tiles()
        workspaces = workspaces_of(self._viewer)
        if self._correction in workspaces.corrections:
            self._correction.refresh()
            workspaces.changed.emit()

    def keep_tiles(self) -> None:
        """Take the tiles away: a prediction is written whole or not at all."""
        if self.layer is not None and not self._is_unwanted and self.layer in self._viewer.layers:
            self._viewer.layers.remove(self.layer)
        self.layer = None

    def kept(self, n_tiles: int, total: int) -> str:
        """Return what is left of a run that was stopped."""
        return "The labels are as they were."

    def summary(self) -> str:
        """Return what became of the labels of a run that ended well."""
        summary = self._job.delivered
        if summary is None or not summary.kept:
            return ""
        kept = count(summary.kept, "verified pixel")
        return f"{kept} left as they were." if summary.kept > 1 else f"{kept} left as it was."

    def _add_layer(self, labels: Any) -> napari.layers.Labels:
        active = self._viewer.layers.selection.active
        axes = self._axes
        region = [self._job.request.region.get(axis, (0, 0))[0] for axis in axes if axis != "C"]
        origin = list(region)
        for axis in self._correction.extra_axes:
            origin.insert(axis, 0)
        layer = super()._add_layer(UnverifiedPart(labels, self._correction.layer_verified(), tuple(origin)))
        layer.name = f"{self._name} (running)"
        if active is not None:  # who is painting goes on painting
            self._viewer.layers.selection.active = active
        return layer


class UnverifiedPart:
    """The tiles of a run as an array that is 0 wherever somebody has verified the labels, now.

    Parameters
    ----------
    tiles : array-like, integer
    verified : array-like, uint8
        Of the whole image.
    origin : tuple of int
        Where the tiles' array begins in it.
    """

    def __init__(self, tiles: Any, verified: Any, origin: tuple[int, ...]) -> None:
        self._tiles, self._verified, self._origin = tiles, verified, origin
        self.shape, self.dtype, self.ndim = tuple(tiles.shape), tiles.dtype, tiles.ndim

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __getitem__(self, key: Any) -> Any:
        box, local = normalised(key, self.shape)
        there = tuple((start + low, stop + low) for (start, stop), low in zip(box, self._origin, strict=True))
        tiles = np.asarray(self._tiles[as_slices(box)])
        return np.where(self._verified[as_slices(there)] == 0, tiles, tiles.dtype.type(0))[local]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if copy is False:
            raise ValueError("what is not verified can only be copied into memory")
        values = self[...]
        return values if dtype is None else values.astype(dtype, copy=False)
