"""A zarr 3 array on disk, read and written chunk by chunk, each chunk whole or not at all.

The files are what zarr itself writes, so any zarr reader opens them. zarr's own writing is not used because not
every version of it that this package runs with replaces a chunk by a rename, and because a chunk that a program is
killed over must be the old one or the new one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import WorkspaceError
from napari_seamless.images.boxes import ChunkIndex
from napari_seamless.workspace.disk import replace_file

_LEVEL = 3


class ChunkFiles:
    """The chunks of one array.

    Parameters
    ----------
    folder : pathlib.Path
        The array's folder, made by `create`.
    shape, chunk_shape : sequence of int
    dtype : numpy dtype

    Raises
    ------
    WorkspaceError
        If the folder holds no such array.
    """

    def __init__(self, folder: Path, shape: Sequence[int], chunk_shape: Sequence[int], dtype: Any) -> None:
        self.folder = folder
        self.chunk_shape = tuple(chunk_shape)
        self.dtype = np.dtype(dtype)
        _check(folder, tuple(shape), self.chunk_shape, self.dtype)

    @staticmethod
    def create(folder: Path, shape: Sequence[int], chunk_shape: Sequence[int], dtype: Any, axes: str) -> None:
        """Make an array of zeros; chunks of zeros take no space."""
        import zarr
        from zarr.codecs import BloscCodec, BloscShuffle

        zarr.create_array(
            folder,
            shape=tuple(shape),
            chunks=tuple(chunk_shape),
            dtype=np.dtype(dtype),
            fill_value=0,
            dimension_names=list(axes.lower()),
            compressors=BloscCodec(cname="zstd", clevel=_LEVEL, shuffle=BloscShuffle.shuffle),
        )

    def path_of(self, index: ChunkIndex) -> Path:
        """Return a chunk's file."""
        return self.folder.joinpath("c", *map(str, index))

    def read(self, index: ChunkIndex) -> NDArray[Any]:
        """Return a whole chunk, writable; zeros where nothing was written yet. Chunks at the far ends are padded.

        Raises
        ------
        WorkspaceError
            If the chunk's file is damaged.
        """
        path = self.path_of(index)
        try:
            packed = path.read_bytes()
        except FileNotFoundError:
            return np.zeros(self.chunk_shape, self.dtype)
        try:
            values = np.frombuffer(imagecodecs.blosc_decode(packed), self.dtype.newbyteorder("<"))
            return values.reshape(self.chunk_shape).astype(self.dtype)
        except (RuntimeError, ValueError) as error:
            raise WorkspaceError(
                f"{path} is damaged ({error}): put this file back from a copy, or remove it to begin that part anew"
            ) from error

    def write(self, index: ChunkIndex, values: NDArray[Any], *, sync: bool) -> int:
        """Replace a whole chunk; return the bytes written. A chunk of zeros is removed.

        Raises
        ------
        OSError
            What the system says; the chunk is then as it was.
        """
        path = self.path_of(index)
        if not values.any():
            path.unlink(missing_ok=True)
            return 0
        raw = np.ascontiguousarray(values, self.dtype.newbyteorder("<")).tobytes()
        typesize = self.dtype.itemsize
        packed = bytes(imagecodecs.blosc_encode(raw, level=_LEVEL, compressor="zstd", typesize=typesize, shuffle=1))
        replace_file(path, packed, sync=sync)
        return len(packed)

    def exists(self, index: ChunkIndex) -> bool:
        """Whether a chunk holds anything but zeros."""
        return self.path_of(index).exists()


def chunk_shape_for(shape: Sequence[int], axes: str) -> tuple[int, ...]:
    """Return chunks such that a stroke costs what it touched: pieces of one plane, 256 x 256."""
    return tuple(min(length, 256) if axis in "YX" else 1 for length, axis in zip(shape, axes, strict=True))


def _check(folder: Path, shape: tuple[int, ...], chunk_shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise WorkspaceError unless the folder holds an array as `ChunkFiles.create` makes it."""
    try:
        found = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
        facts = (
            tuple(found["shape"]),
            tuple(found["chunk_grid"]["configuration"]["chunk_shape"]),
            found["data_type"],
            [codec["name"] for codec in found["codecs"]],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkspaceError(f"{folder} is missing or damaged ({error}): put it back from a copy") from error
    expected = (shape, chunk_shape, dtype.name, ["bytes", "blosc"])
    if facts != expected:
        raise WorkspaceError(
            f"{folder} holds an array of (shape, chunks, type, codecs) {facts}, expected {expected}: it was changed by "
            "another program, put it back from a copy"
        )


def chunk_bytes(chunk_shape: Sequence[int]) -> int:
    """Return the memory of one chunk of labels and of its verified flags."""
    return math.prod(chunk_shape) * 5
