"""Opens the workspace of an image that napari shows: which pixels it belongs to, and where it lies. Worker thread."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_seamless.errors import FileWriteError, SeamlessError
from napari_seamless.viewer.layers import LayerSource, Region
from napari_seamless.workspace.layout import ENDING, MANIFEST, check_belongs, info_of, read_info
from napari_seamless.workspace.origin import Origin

if TYPE_CHECKING:
    from napari_seamless.images.image import Image
    from napari_seamless.workspace.session import Workspace

_SAMPLES = 16


@dataclass(frozen=True, eq=False)
class FirstLabels:
    """Labels that a workspace begins with.

    Attributes
    ----------
    array : array-like, integer
        Over the axes of the workspace's labels.
    region : mapping of str to (int, int)
        The part of the image they cover; axes that are not named are covered whole.
    name : str
        What the step is called: it can be undone.
    origin : Origin
        What made them.
    """

    array: Any
    name: str
    region: Region = field(default_factory=dict)
    origin: Origin = field(default_factory=Origin)


@dataclass(frozen=True, eq=False)
class OpeningRequest:
    """Everything that opening a workspace needs to know, taken from the layers on the main thread.

    Attributes
    ----------
    source : LayerSource
        The pixels of the layers.
    path : pathlib.Path or None
        The file they come from.
    name : str
        What the image is called.
    folder : pathlib.Path or None
        Where the user wants the workspace; None for beside the file, or among the user's data without one.
    labels : FirstLabels or None
        None to take what the workspace holds; nothing if it is new.
    """

    source: LayerSource
    path: Path | None
    name: str
    folder: Path | None = None
    labels: FirstLabels | None = None


def open_requested(request: OpeningRequest, should_stop: Callable[[], bool]) -> tuple[Workspace, Origin]:
    """Open the workspace that is asked for, or make it, and write the first labels into it.

    Raises
    ------
    SeamlessError
        As `open_workspace` and `Workspace.write_prediction` raise it; the workspace is closed again then.
    """
    from napari_seamless.workspace.opening import open_workspace

    image = image_behind(request.source, request.path)
    folder = request.folder or folder_of(image, request.name)
    _prepare(folder, is_own=request.folder is None and image.path is None)
    workspace = open_workspace(image, folder, name="" if image.path is not None else request.name)
    try:
        origin = workspace.origin
        if request.labels is not None and not workspace.read_only:
            origin = _write_first(workspace, request.labels, should_stop)
    except BaseException:
        workspace.close()
        raise
    return workspace, origin


def _prepare(folder: Path, *, is_own: bool) -> None:
    """Make the folder that workspaces of images without a file lie in; refuse a place that can't be written to."""
    if is_own:
        folder.parent.mkdir(parents=True, exist_ok=True)
    elif not folder.exists() and folder.parent.is_dir() and not os.access(folder.parent, os.W_OK):
        raise FileWriteError(
            f"your corrections can't be kept in {folder.parent}, which may not be written to: choose another folder in "
            "the Correct panel"
        )


def _write_first(workspace: Workspace, labels: FirstLabels, should_stop: Callable[[], bool]) -> Origin:
    # Into an empty workspace ids go as they are; among a person's objects they must not collide.
    instances = labels.origin.instances and bool(workspace.next_id > 1 or workspace.regions)
    workspace.write_prediction(
        labels.array,
        labels.region,
        instances=instances,
        name=labels.name,
        origin=labels.origin,
        should_stop=should_stop,
    )
    workspace.flush()
    return labels.origin


def image_behind(source: LayerSource, path: Path | None) -> Image:
    """Return the image of a file if a layer shows it, with all its channels; else the layer's own pixels.

    A layer may hold one channel of its file, under axes that its user chose; or something else, if another program
    read the file in its own way or the pixels were changed: those have no place beside the file.
    """
    own = source.image()
    if path is None:
        return own
    from napari_seamless.images.read import open_image

    try:
        found = open_image(path)
    except SeamlessError:
        # Read by another plugin. Its layer is all that is known of the file, and the file is where it belongs.
        return replace(own, path=path)
    return with_axes(found, own) or own


def with_axes(found: Image, own: Image) -> Image | None:
    """Return a file's image with the axes that a layer of it was given; None when the pixels can't be the same."""
    from napari_seamless.images.image import Image

    letters = [letter for letter in own.axes if letter not in "CS"]
    shape = [own.sizes[letter] for letter in letters]
    theirs = [found.sizes[letter] for letter in found.axes if letter not in "CS"]
    if theirs != shape or found.dtype != own.dtype:
        return None
    if [letter for letter in found.axes if letter not in "CS"] == letters:
        return found
    names = iter(letters)
    axes = "".join(letter if letter in "CS" else next(names) for letter in found.axes)
    return replace(Image.from_array(found.data, axes, own.voxel_size_um, found.channel_names), path=found.path)


def folder_of(image: Image, name: str) -> Path:
    """Return where the workspace of an image is by default.

    Images without a file have theirs among the user's data. It is named after some of the pixels, too, because many
    images are called "Image".
    """
    from platformdirs import user_data_path

    if image.path is not None:
        return beside(image.path)
    readable = re.sub(r"[^\w .-]+", "_", name).strip(" .") or "image"
    root = user_data_path("napari-seamless", appauthor=False) / "workspaces"
    return root / f"{readable}-{_fingerprint(image):08x}{ENDING}"


def beside(path: Path) -> Path:
    """Return where the workspace of a file is by default."""
    return path.with_name(path.name + ENDING)


def _fingerprint(image: Image) -> int:
    """Return a checksum of some pixels, the shape and the axes."""
    steps = {axis: slice(None, None, max(1, length // _SAMPLES)) for axis, length in image.sizes.items()}
    middle = {axis: slice(length // 2, length // 2 + 1) for axis, length in image.sizes.items() if axis in "TCZ"}
    sample = image.data[tuple((steps | middle)[axis] for axis in image.axes)]
    return zlib.crc32(np.ascontiguousarray(sample).tobytes(), zlib.crc32(f"{image.axes}{image.shape}".encode()))


def belongs(folder: Path, image: Image) -> bool:
    """Whether a folder is the workspace of an image."""
    if not (folder / MANIFEST).is_file():
        return False
    try:
        check_belongs(read_info(folder), info_of(image, folder), folder)
    except SeamlessError:
        return False  # it says so when it is opened
    return True
