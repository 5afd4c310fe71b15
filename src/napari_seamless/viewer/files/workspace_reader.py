"""Drag and drop of a workspace folder: its image becomes layers, and its labels follow when it is open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_seamless.errors import WorkspaceError

if TYPE_CHECKING:
    import napari

    from napari_seamless.images.image import Image
    from napari_seamless.workspace.layout import WorkspaceInfo

LayerData = tuple[Any, ...]

NOTHING: list[LayerData] = [(None,)]
"""What a reader returns when there is nothing to add."""


def is_workspace(path: Path) -> bool:
    """Whether a folder is a workspace."""
    from napari_seamless.workspace.layout import MANIFEST

    return path.is_dir() and (path / MANIFEST).is_file()


def look_for_corrections(path: Path) -> None:
    """Let the viewer look whether an image that is about to be added has been corrected before."""
    from napari_seamless.viewer.correct.opening import beside

    viewer = _current_viewer() if is_workspace(beside(path)) else None
    if viewer is not None:
        from napari_seamless.viewer.correct.workspaces import workspaces_of

        workspaces_of(viewer)  # watches the layers from now on


def read_workspace_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Return the image of a workspace; its viewer opens the labels then. Without a viewer the labels come along.

    Raises
    ------
    WorkspaceError
        If the image is no longer where it was, or the workspace is of a newer format, or damaged.
    """
    from napari_seamless.viewer.correct.labels import path_of
    from napari_seamless.viewer.files.reader import image_layers, name_of
    from napari_seamless.viewer.layers import METADATA_KEY
    from napari_seamless.workspace.layout import read_info

    folder = Path(str(path)).absolute()
    info = read_info(folder)
    file = _image_of(folder, info)
    viewer = _current_viewer()
    if viewer is not None and _is_there(viewer, folder, file, path_of):
        return NOTHING
    image = _open(file, info)
    layers = image_layers(image, name_of(file))
    for _, attributes, _ in layers:
        attributes["metadata"][METADATA_KEY]["workspace"] = str(folder)
    return layers if viewer is not None else [*layers, _labels(folder, image, name_of(file))]


def _is_there(viewer: napari.Viewer, folder: Path, file: Path, path_of: Any) -> bool:
    """Whether the viewer has the image already; its corrections are shown or opened then."""
    from napari.layers import Image

    from napari_seamless.viewer.correct.workspaces import workspaces_of

    workspaces = workspaces_of(viewer)
    for correction in workspaces.corrections:
        if correction.workspace.folder.absolute() == folder:
            viewer.layers.selection.active = correction.labels_layer
            return True
    for layer in viewer.layers:
        own = path_of(layer) if isinstance(layer, Image) else None
        if own is not None and own.resolve() == file:
            workspaces.restore(layer, folder)
            return True
    return False


def _image_of(folder: Path, info: WorkspaceInfo) -> Path:
    file = info.find_image(folder)
    if file is None:
        place = "is not in a file" if info.image_path is None else f"is no longer at {folder / info.image_path}"
        raise WorkspaceError(
            f"{folder} holds corrections of '{info.image_name}', which {place}: open the image, then choose this "
            "folder in the Correct panel"
        )
    return file.resolve()


def _open(file: Path, info: WorkspaceInfo) -> Image:
    """Open the image with the axes that it was corrected with."""
    from napari_seamless.images.image import Image
    from napari_seamless.images.read import open_image

    image = open_image(file)
    if image.axes == info.axes or image.shape != info.shape:
        return image
    return replace(Image.from_array(image.data, info.axes, info.voxel_size_um, image.channel_names), path=image.path)


def _labels(folder: Path, image: Image, name: str) -> LayerData:
    """Return the labels as they are on disk; they can't be changed without the viewer that writes the journal."""
    import dask.array as da

    from napari_seamless.viewer.files.reader import placement

    return da.from_zarr(folder / "labels"), placement(image) | {"name": f"{name} · corrections"}, "labels"


def _current_viewer() -> napari.Viewer | None:
    import napari

    return napari.current_viewer()
