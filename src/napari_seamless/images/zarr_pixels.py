"""The pixels of a zarr array, read region by region."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import LocalStore

from napari_seamless.errors import FileReadError
from napari_seamless.images.blocks import Box
from napari_seamless.images.sources import Source

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")
_BLOSC_HEADER = 16


class ZarrSource(Source):
    """A zarr array. Chunks that were never written hold the fill value, as zarr defines it."""

    def __init__(self, path: Path, array: zarr.Array[Any]) -> None:
        self._array = _with_checked_blosc(array)
        self.path = path
        self.shape = tuple(int(length) for length in array.shape)
        self.dtype = np.dtype(array.dtype).newbyteorder("=")
        self.chunks = tuple(int(length) for length in array.chunks)

    def read(self, box: Box) -> NDArray[Any]:
        """Return the pixels of a box."""
        return np.asarray(self._array[box]).astype(self.dtype, copy=False)


class _CheckedBloscStore(LocalStore):
    """Refuses Blosc chunks shorter than they say: the decoder reads on beyond their end, into foreign memory."""

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        value = await super().get(key, prototype, byte_range)
        if value is None or byte_range is not None or key.rpartition("/")[2] in _METADATA:
            return value
        header = value[:_BLOSC_HEADER].to_bytes()
        announced = int.from_bytes(header[12:_BLOSC_HEADER], "little")
        if len(header) < _BLOSC_HEADER or len(value) < announced:
            raise FileReadError(f"{self.root / key} is cut off: a chunk of {len(value)} bytes; copy it again")
        return value


def _with_checked_blosc(array: zarr.Array[Any]) -> zarr.Array[Any]:
    is_blosc = bool(array.compressors) and type(array.compressors[-1]).__name__ in ("Blosc", "BloscCodec")
    if not is_blosc or array.shards is not None or not isinstance(array.store, LocalStore):
        return array
    store = _CheckedBloscStore(array.store.root, read_only=True)
    checked: zarr.Array[Any] = zarr.open_array(store, path=array.path, mode="r", zarr_format=array.metadata.zarr_format)
    return checked
