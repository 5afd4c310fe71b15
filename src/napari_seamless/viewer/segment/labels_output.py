"""The Labels layer of a run: it appears with the first tile, follows the tiles, and holds the result at the end."""

from __future__ import annotations

import shutil
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seamless.viewer.layers import METADATA_KEY, labels_axes, labels_placement
from napari_seamless.viewer.wording import count

if TYPE_CHECKING:
    import napari
    import napari.layers

    from napari_seamless.viewer.image_choice import ImageChoice
    from napari_seamless.viewer.segment.job import SegmentJob

_SECONDS_BETWEEN_REFRESHES = 0.1
_LARGEST_SHARE_OF_TIME = 0.2
"""Drawing may take this share of the main thread: where one refresh is slow, refreshes are rarer."""


class LabelsOutput:
    """Shows one run in the viewer. Main thread only.

    Labels of a slice or a field are a layer of that size, at its place, not a part of a layer as large as the image:
    what is drawn, painted and kept in memory is then what was asked for.

    Parameters
    ----------
    viewer : napari.Viewer
    image : ImageChoice
        What is segmented; the axes of its layers, without ``S``, are those of ``job.request.source``.
    job : SegmentJob
    model_name : str
    """

    def __init__(self, viewer: napari.Viewer, image: ImageChoice, job: SegmentJob, model_name: str) -> None:
        self.layer: napari.layers.Labels | None = None
        self.image = image
        self._viewer = viewer
        self._job = job
        self._axes = job.request.source.axes.replace("S", "")
        self._name = f"{image.name} · {model_name}"
        channel = channel_of(image.layers, job.request.options)
        self._facts: dict[str, Any] = {
            "kind": "labels",
            "image": image.name,
            "model": model_name,
            "channel": channel,
        }
        self._placement = labels_placement(
            image.layers[0], self._axes, job.request.region, _image_shape(job, self._axes)
        )
        self._next_refresh = 0.0
        self._is_unwanted = False

    def concerns(self, layer: object) -> bool:
        """Whether a layer is the image or the labels of this run."""
        return layer in self.image.layers or (self.layer is not None and layer == self.layer)

    def layer_removed(self, layer: object) -> None:
        """Bring nothing into the viewer any more when its user removed the labels."""
        self._is_unwanted = self._is_unwanted or layer not in self.image.layers

    def show_tiles(self) -> None:
        """Show the tiles that were finished since the last call, if the view shows any of them."""
        tiles = self._job.provisional
        if tiles is None or self._is_unwanted:
            return
        if self.layer is None:
            self._job.take_changes()
            # What is painted before the end would be lost at the end.
            self._add_layer(tiles.preview).editable = False
        elif time.monotonic() >= self._next_refresh:
            self._refresh(self._job.take_changes())

    def finish(self, labels: Any) -> None:
        """Put the finished labels in place of the provisional ones."""
        self._replace_data(labels, complete=True)

    def keep_tiles(self) -> None:
        """Keep what there is of a run that was stopped."""
        if self._job.provisional is not None:
            self._replace_data(self._job.provisional.labels, complete=False)

    def kept(self, n_tiles: int, total: int) -> str:
        """Return what is left of a run that was stopped."""
        return f"{count(n_tiles, 'tile')} of {total:,} kept." if n_tiles else ""

    def summary(self) -> str:
        """Return what else there is to say of a run that ended well."""
        return ""

    def _replace_data(self, labels: Any, complete: bool) -> None:
        if self._is_unwanted:
            return
        if self.layer is None:
            self._add_layer(labels)
        elif self.layer.data is not labels:
            self.layer.data = labels
        else:
            self.layer.refresh()
        self.layer.editable = True
        self.layer.metadata = {**self.layer.metadata, METADATA_KEY: self._metadata(complete)}
        if not complete:
            self.layer.name = f"{self._name} (partial)"
        if self._job.temporary_folder is not None:
            real_layer = getattr(self.layer, "__wrapped__", self.layer)
            weakref.finalize(real_layer, shutil.rmtree, self._job.temporary_folder, ignore_errors=True)

    def _add_layer(self, labels: Any) -> napari.layers.Labels:
        self.layer = self._viewer.add_labels(
            labels, name=self._name, metadata={METADATA_KEY: self._metadata(complete=False)}, **self._placement
        )
        return self.layer

    def _metadata(self, complete: bool) -> dict[str, Any]:
        """What later steps need to know about these labels: what made them, of what, and whether all is there."""
        request = self._job.request
        return {
            **self._facts,
            "model_path": str(request.model),
            "axes": labels_axes(self._axes),
            "region": {letter: list(span) for letter, span in request.region.items()},
            "options": dict(request.options),
            "plan": self._job.plan,
            "output": None if request.output is None else str(request.output),
            "complete": complete,
        }

    def _refresh(self, changes: Sequence[tuple[slice, ...]]) -> None:
        if not any(self._is_in_view(change) for change in changes):
            return
        started = time.monotonic()
        self.layer.refresh(extent=False, thumbnail=False, highlight=False)
        spent = time.monotonic() - started
        self._next_refresh = time.monotonic() + max(_SECONDS_BETWEEN_REFRESHES, spent / _LARGEST_SHARE_OF_TIME)

    def _is_in_view(self, where: tuple[slice, ...]) -> bool:
        """Whether the current slice of the view passes through a part of the labels."""
        missing = self._viewer.dims.ndim - len(where)
        displayed = {axis - missing for axis in self._viewer.dims.displayed}
        position = np.asarray(self.layer.world_to_data(self._viewer.dims.point))
        return all(
            axis in displayed or part.start <= round(float(position[axis])) < part.stop
            for axis, part in enumerate(where)
        )


def channel_of(layers: Sequence[napari.layers.Image], options: Mapping[str, Any]) -> int | None:
    """Return the channel of its file that a run is given; None when there is one only, or it is given all."""
    if options.get("channel") is not None or len(layers) > 1:
        return options.get("channel")
    return layers[0].metadata.get(METADATA_KEY, {}).get("channel")


def _image_shape(job: SegmentJob, axes: str) -> tuple[int, ...]:
    return tuple(job.request.source.sizes[letter] for letter in axes)
