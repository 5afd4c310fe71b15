"""Beginning to correct from elsewhere: a result of Segment, a dropped workspace, or one found beside an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import Notification, notification_manager

from napari_seamless.errors import SeamlessError, WorkspaceError
from napari_seamless.viewer.controls import single_shot
from napari_seamless.viewer.correct.labels import path_of
from napari_seamless.viewer.correct.opening import beside
from napari_seamless.viewer.image_choice import ImageChoice, image_choices
from napari_seamless.viewer.layers import METADATA_KEY, axes_choices, full_resolution
from napari_seamless.viewer.reporting import report
from napari_seamless.workspace.layout import MANIFEST, WorkspaceInfo, read_info

if TYPE_CHECKING:
    import napari
    import napari.layers

    from napari_seamless.viewer.correct.workspaces import Workspaces


def begin_to_correct(
    viewer: napari.Viewer,
    workspaces: Workspaces,
    image: ImageChoice,
    axes: str,
    labels: napari.layers.Labels | None = None,
    folder: Path | None = None,
) -> None:
    """Open the workspace of an image with some labels, and the Correct panel."""
    if any(layer not in viewer.layers for layer in (*image.layers, *([] if labels is None else [labels]))):
        return  # removed meanwhile, so there is nothing to correct
    viewer.window.add_plugin_dock_widget("napari-seamless", "Correct", tabify=True)
    try:
        workspaces.start(image, axes, labels, folder)
    except SeamlessError as error:
        report(error)


def axes_of(layer: napari.layers.Image, info: WorkspaceInfo) -> str:
    """Return what the axes of a layer mean, given the workspace of its image.

    Raises
    ------
    WorkspaceError
        If the layer shows another image.
    """
    shape = tuple(full_resolution(layer).shape)
    for axes in axes_choices(layer):
        sizes = {axis: length for axis, length in zip(axes, shape, strict=False) if axis != "C"}
        if "".join(sizes) == info.labels_axes and tuple(sizes.values()) == info.labels_shape:
            return axes
    raise WorkspaceError(
        f"the layer '{layer.name}' has shape {shape}, the corrections belong to an image of shape {info.shape}, "
        f"axes {info.axes}: open that image"
    )


def known_axes(image: ImageChoice, axes: str, folder: Path | None) -> str:
    """Return the axes that an image was corrected with before, where it was; else those that were chosen now."""
    file = path_of(image.layers[0])
    place = folder if folder is not None or file is None else beside(file)
    if place is None or not (place / MANIFEST).is_file():
        return axes
    try:
        return axes_of(image.layers[0], read_info(place))
    except SeamlessError:
        return axes  # opening it says what is wrong


class _Offer(Notification):
    """A notification whose text is all there is to read."""

    @property
    def source(self) -> str:
        """Nothing: napari would show the address of an object in memory."""
        return ""


class Offers:
    """Watches for images that have been corrected before.

    Corrections that were dropped onto napari are opened as soon as their image is there; of those beside an image that
    was opened, the user is told, once, with a button.

    Parameters
    ----------
    viewer : napari.Viewer
    workspaces : Workspaces
    """

    def __init__(self, viewer: napari.Viewer, workspaces: Workspaces) -> None:
        self._layers = viewer.layers
        self._workspaces = workspaces
        self._offered: set[Path] = set()
        # A file may become several layers, one after the other.
        self._soon = single_shot(0, self._look, workspaces)
        self._new: list[Any] = []

    def image_added(self, layer: napari.layers.Image) -> None:
        """Look what belongs to an image, once all layers of its file are there."""
        self._new.append(layer)
        self._soon.start()

    def _look(self) -> None:
        new, self._new = self._new, []
        folders = {}
        for layer in new:
            dropped = layer.metadata.get(METADATA_KEY, {}).get("workspace")
            file = path_of(layer)
            if layer not in self._layers or self._workspaces.of_layer(layer) is not None:
                continue
            if dropped is not None:
                folders[Path(dropped)] = (layer, True)
            elif file is not None and (beside(file) / MANIFEST).is_file() and beside(file) not in self._open_folders():
                folders.setdefault(beside(file), (layer, False))
        for folder, (layer, is_dropped) in folders.items():
            if is_dropped:
                self.restore(layer, folder)
            elif folder not in self._offered:
                self._offered.add(folder)
                self._offer(layer, folder)

    def _open_folders(self) -> set[Path]:
        return {correction.workspace.folder for correction in self._workspaces.corrections}

    def _offer(self, layer: napari.layers.Image, folder: Path) -> None:
        message = f"'{layer.name}' has been corrected before. To go on, press the button, or open the Correct panel."
        restore = ("Restore corrections", lambda dialog: self.restore(layer, folder))
        notification_manager.dispatch(_Offer(message, severity="info", actions=[restore]))

    def restore(self, layer: napari.layers.Image, folder: Path) -> None:
        """Open the workspace of a layer's image."""
        viewer = self._workspaces.viewer
        if viewer is None or layer not in viewer.layers or self._workspaces.of_layer(layer) is not None:
            return
        try:
            axes = axes_of(layer, read_info(folder))
        except SeamlessError as error:
            report(error)
            return
        containing = [choice for choice in image_choices(viewer.layers) if layer in choice.layers]
        begin_to_correct(viewer, self._workspaces, containing[-1], axes, folder=folder)
