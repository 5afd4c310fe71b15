"""What a model finds in the visible field: for the live preview, and for before and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.viewer.engine_loading import load_engine
from napari_seamless.viewer.layers import METADATA_KEY, labels_placement
from napari_seamless.viewer.view_region import NotInView, visible_field

if TYPE_CHECKING:
    import napari
    import napari.layers

    from napari_seamless.images.image import Image
    from napari_seamless.viewer.correct.correction import Correction


@dataclass(frozen=True, eq=False)
class Field:
    """A part of a plane of an image, and where its labels belong in the viewer.

    Attributes
    ----------
    image : Image
    region : mapping of str to (int, int)
    extra_axes : tuple of int
        Where a Labels layer has an axis of length 1 more than the labels.
    channel : int or None
        What of several channels the model is given.
    placement : mapping
        What puts a Labels layer over it: see `layers.labels_placement`.
    """

    image: Image
    region: Mapping[str, tuple[int, int]]
    extra_axes: tuple[int, ...]
    placement: Mapping[str, Any]
    channel: int | None = None


def field_of(viewer: napari.Viewer, correction: Correction, channel: int | None) -> Field:
    """Return what the viewer shows of an image now. Main thread.

    Raises
    ------
    NotInView
        When it shows no such field; the message says why.
    """
    layer = correction.image_layer
    if layer is None:
        raise NotInView("The image is no longer in the viewer.")
    region = visible_field(viewer, layer, correction.axes)
    shape = tuple(layer.level_shapes[0] if layer.multiscale else layer.data.shape)[: len(correction.axes)]
    placement = labels_placement(layer, correction.axes, region, shape)
    return Field(correction.workspace.image, region, correction.extra_axes, placement, channel)


def labels_in(field: Field, model: Path, should_stop: Callable[[], bool]) -> NDArray[Any]:
    """Return what a model finds in a field, over the axes of its layer. For a worker thread.

    Raises
    ------
    SeamlessError
        As `napari_seamless.segment` raises it.
    """
    load_engine()
    from napari_seamless.inference.run import segment
    from napari_seamless.viewer.segment.job import open_model

    region = dict(field.region)
    found = segment(field.image, open_model(model), region=region, channel=field.channel, should_stop=should_stop)
    labels = np.asarray(found)
    return np.expand_dims(labels, field.extra_axes) if field.extra_axes else labels


class FieldLayer:
    """A temporary Labels layer over the visible field. Main thread only.

    Parameters
    ----------
    viewer : napari.Viewer
    name : str
    """

    def __init__(self, viewer: napari.Viewer, name: str) -> None:
        self.layer: napari.layers.Labels | None = None
        self._viewer = viewer
        self._name = name

    @property
    def is_shown(self) -> bool:
        """Whether the layer is in the viewer; its user may have removed it."""
        return self.layer is not None and self.layer in self._viewer.layers

    def show(self, labels: NDArray[Any], field: Field, *, contour: int = 0) -> None:
        """Show labels at the place of a field; the layer that the user works on stays the active one."""
        if self.is_shown:
            self._move(labels, field)
            return
        active = self._viewer.layers.selection.active
        self.layer = self._viewer.add_labels(
            labels, name=self._name, metadata={METADATA_KEY: {"kind": "temporary"}}, **field.placement
        )
        self.layer.contour = contour
        self.layer.editable = False
        self._viewer.layers.selection.active = active

    def _move(self, labels: NDArray[Any], field: Field) -> None:
        self.layer.data = labels
        self.layer.editable = False
        self.layer.translate = field.placement["translate"]

    def refresh(self) -> None:
        """Show what became of the array."""
        if self.is_shown:
            self.layer.refresh(extent=False, thumbnail=False, highlight=False)

    def remove(self) -> None:
        """Take the layer out of the viewer."""
        if self.is_shown:
            self.layer.visible = False  # software OpenGL crashes when it draws what is left after a removal
            self._viewer.layers.remove(self.layer)
        self.layer = None
