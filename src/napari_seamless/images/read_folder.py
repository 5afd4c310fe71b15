"""Open a folder of slices as one image."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import FileReadError
from napari_seamless.images.axes import canonical_order, check_axes
from napari_seamless.images.blocks import Box
from napari_seamless.images.image import Image
from napari_seamless.images.sources import Source, in_order, lazy

OpenFile = Callable[[Path], Image]


class FolderSource(Source):
    """Files of one shape and type, stacked along a new first axis. Files are opened when they are read."""

    def __init__(self, path: Path, files: Sequence[Path], first: Image, open_file: OpenFile) -> None:
        self._files = tuple(files)
        self._open_file = open_file
        self._axes = first.axes
        self.path = path
        self.shape = (len(files), *first.shape)
        self.dtype = first.dtype
        self.chunks = (1, *(int(length) for length in first.data.chunksize))

    def read(self, box: Box) -> NDArray[Any]:
        """Return the pixels of a box."""
        shape = [span.stop - span.start for span in box]
        out = np.empty(shape, self.dtype)
        for target, file in zip(out, self._files[box[0]], strict=True):
            image = self._open_file(file)
            check_alike(self, file, image, self._files[0])
            target[...] = image.data[box[1:]].compute(scheduler="synchronous")
        return out

    @property
    def file_axes(self) -> str:
        """Axes of each file."""
        return self._axes


def check_alike(source: FolderSource, file: Path, image: Image, first: Path) -> None:
    """Raise FileReadError when a file is not of the shape, axes and pixel type of the first."""
    if (image.shape, image.axes, image.dtype) != (source.shape[1:], source.file_axes, source.dtype):
        raise FileReadError(
            f"{source.path} is no stack: slices have one shape and pixel type, but {first.name} is "
            f"{source.file_axes} {source.shape[1:]} {source.dtype} and {file.name} is "
            f"{image.axes} {image.shape} {image.dtype}; move what does not belong to the stack elsewhere"
        )


def open_folder(path: Path, endings: Sequence[str], open_file: OpenFile, axes: str | None = None) -> Image:
    """Open the images in a folder as one stack, in the order of the numbers in their names.

    Planes become Z, stacks T. Voxel sizes are those of the first file where they are known for every axis.

    Parameters
    ----------
    path : pathlib.Path
        The folder. Hidden files and files with other endings are passed over.
    endings : sequence of str
        Endings of the files that belong to a stack.
    open_file : callable
        Opens one file.
    axes : str, optional
        Letters for the whole stack: first the one that counts files, then those of a file in the order TCZYXS.

    Raises
    ------
    FileReadError
        For a folder without images, or whose images differ in shape or pixel type.
    AxesError
        When ``axes`` does not fit.
    """
    files = slices_of(path, endings)
    if not files:
        raise FileReadError(f"{path} holds no image; a stack is a folder of files ending in {', '.join(endings)}")
    first = open_file(files[0])
    source = FolderSource(path, files, first, open_file)
    for file in files[1:]:
        check_alike(source, file, open_file(file), files[0])
    stacked = next((axis for axis in "ZTC" if axis not in first.axes), None)
    if axes is None and stacked is None:
        raise FileReadError(f"{path} holds images with axes {first.axes}: there is no axis left to stack them along")
    letters = check_axes(axes or f"{stacked}{first.axes}", source.shape)
    order = canonical_order(letters)
    keeps_voxels = first.voxel_size_um is not None and letters[0] not in "ZYX" and letters[1:] == first.axes
    return Image(
        data=lazy(in_order(source, letters, order)),
        axes=order,
        voxel_size_um=first.voxel_size_um if keeps_voxels else None,
        channel_names=first.channel_names if letters[1:] == first.axes else (),
        path=path,
    )


def slices_of(path: Path, endings: Sequence[str]) -> list[Path]:
    """Return the image files of a folder, ``z2`` before ``z10``."""
    found = [
        file
        for file in path.iterdir()
        if file.is_file() and not file.name.startswith(".") and file.name.lower().endswith(tuple(endings))
    ]
    return sorted(found, key=_natural)


def _natural(file: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", file.name.lower())
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]
