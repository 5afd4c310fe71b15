"""The files of a workspace, and the image it belongs to.

::

    cells.tif.seamless/
      workspace.json    format version; the image's name, path, axes, shape, pixel type and voxel size
      labels/           zarr 3, uint32, over the image's axes without channels
      verified/         zarr 3, uint8, same shape: bit 1 painted by a person, bit 2 marked as right; 0 not verified
      journal/          JSON lines: everything that was done, with the pixels that an edit changed
      state.json        verified regions, next free object id, undo steps, the last journal entry that the arrays hold
      undo/             one file for each bulk change that can be undone
      models/           adopted models and their lineage
      runs/             training runs
      lock              who has the workspace open

Deleting the folder forgets everything; nothing else is touched.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_seamless.errors import FileWriteError, OutputExistsError, WorkspaceError
from napari_seamless.images.image import Image
from napari_seamless.workspace.chunk_files import ChunkFiles, chunk_shape_for
from napari_seamless.workspace.disk import named_errors, replace_file

FORMAT_VERSION = 1
ENDING = ".seamless"
MANIFEST = "workspace.json"


@dataclass(frozen=True)
class WorkspaceInfo:
    """What ``workspace.json`` says.

    Attributes
    ----------
    image_name : str
        File name of the image, or the name that was given to an array.
    image_path : str or None
        Where the image is: relative to the workspace's folder where possible. None for arrays.
    axes, shape, dtype
        Of the image.
    voxel_size_um : tuple of float or None
    labels_axes, labels_shape, chunk_shape
        Of the labels.
    """

    image_name: str
    image_path: str | None
    axes: str
    shape: tuple[int, ...]
    dtype: str
    voxel_size_um: tuple[float, ...] | None
    labels_axes: str
    labels_shape: tuple[int, ...]
    chunk_shape: tuple[int, ...]

    def find_image(self, folder: Path) -> Path | None:
        """Return the image's path if it is still there."""
        path = None if self.image_path is None else folder / self.image_path
        return path if path is not None and path.exists() else None


def default_folder(image: Image) -> Path:
    """Return ``<image name>.seamless`` beside the image's file.

    Raises
    ------
    WorkspaceError
        If the image has no file.
    """
    if image.path is None:
        raise WorkspaceError("the image is no file, so it has no place beside it: choose a folder for the workspace")
    return image.path.with_name(image.path.name + ENDING)


def find_workspace(image: Image, folder: Path | None = None) -> Path | None:
    """Return the folder of an image's workspace if there is one."""
    place = default_folder(image) if folder is None else Path(folder)
    return place if (place / MANIFEST).is_file() else None


def info_of(image: Image, folder: Path, name: str = "") -> WorkspaceInfo:
    """Return what ``workspace.json`` says of an image."""
    axes = "".join(axis for axis in image.axes if axis not in "CS")
    shape = tuple(image.sizes[axis] for axis in axes)
    return WorkspaceInfo(
        image_name=name or ("" if image.path is None else image.path.name),
        image_path=None if image.path is None else _relative(image.path, folder),
        axes=image.axes,
        shape=image.shape,
        dtype=image.dtype.name,
        voxel_size_um=image.voxel_size_um,
        labels_axes=axes,
        labels_shape=shape,
        chunk_shape=chunk_shape_for(shape, axes),
    )


def read_info(folder: Path) -> WorkspaceInfo:
    """Read ``workspace.json``.

    Raises
    ------
    WorkspaceError
        If the folder is no workspace, or it is damaged or of a newer format.
    """
    path = Path(folder) / MANIFEST
    try:
        values = json.loads(path.read_bytes())
        version = int(values.pop("format_version"))
    except OSError as error:
        raise WorkspaceError(f"{folder} is no workspace: {MANIFEST} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WorkspaceError(f"{path} is damaged ({error}): put it back from a copy; nothing was changed") from error
    if version > FORMAT_VERSION:
        raise WorkspaceError(
            f"{folder}: the workspace has format version {version}, this program reads up to {FORMAT_VERSION}: "
            "update napari-seamless; nothing was changed"
        )
    try:
        found: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        return WorkspaceInfo(**found)
    except TypeError as error:
        raise WorkspaceError(f"{path} is damaged ({error}): put it back from a copy; nothing was changed") from error


def check_belongs(info: WorkspaceInfo, image: WorkspaceInfo, folder: Path) -> None:
    """Raise WorkspaceError unless a workspace was made for this image."""
    names_differ = info.image_name != image.image_name and info.image_name != "" and image.image_name != ""
    theirs = (info.axes, info.shape, info.dtype)
    ours = (image.axes, image.shape, image.dtype)
    if theirs != ours or names_differ:
        raise WorkspaceError(
            f"{folder} is the workspace of another image: {_described(info)}; this one is {_described(image)}. "
            "Choose another folder, or open the image it belongs to; nothing was changed"
        )


def create_workspace(folder: Path, info: WorkspaceInfo) -> None:
    """Make an empty workspace: under a temporary name, renamed when it is whole.

    Raises
    ------
    OutputExistsError
        If the folder exists and holds other things.
    FileWriteError
        If it cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputExistsError(f"{folder} exists and is no workspace: choose another folder")
    if not folder.parent.is_dir():
        raise FileWriteError(f"{folder}: there is no folder {folder.parent}; make it first")
    draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        with named_errors(folder):
            draft.mkdir()
            ChunkFiles.create(draft / "labels", info.labels_shape, info.chunk_shape, np.uint32, info.labels_axes)
            ChunkFiles.create(draft / "verified", info.labels_shape, info.chunk_shape, np.uint8, info.labels_axes)
            for name in ("journal", "undo", "models", "runs"):
                (draft / name).mkdir()
            manifest: dict[str, Any] = {"format_version": FORMAT_VERSION, **asdict(info)}
            replace_file(draft / MANIFEST, json.dumps(manifest, indent=2).encode() + b"\n")
            if folder.exists():
                folder.rmdir()
            draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _relative(path: Path, folder: Path) -> str:
    try:
        return os.path.relpath(path.absolute(), Path(folder).absolute())
    except ValueError:  # on another drive
        return str(path.absolute())


def _described(info: WorkspaceInfo) -> str:
    return f"{info.image_name or 'an array'} with axes {info.axes}, shape {info.shape}, pixels {info.dtype}"
