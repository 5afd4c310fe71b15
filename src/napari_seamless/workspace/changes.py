"""What changed in one chunk: the one form in which edits, predictions, marks and their undo are kept."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.images.boxes import Box, ChunkIndex

PAINTED = 1
MARKED = 2
"""Bits of the verified flags: a person painted this pixel; a person said that this place is right."""

_HEAD = struct.Struct("<BBII")


@dataclass(frozen=True, eq=False)
class ChunkChange:
    """Pixels of one chunk before and after.

    Attributes
    ----------
    chunk : tuple of int
        The chunk's index.
    positions : ndarray, uint32, shape (n,)
        Flat positions (C order) in the whole chunk, ascending.
    old_labels, new_labels : ndarray, uint32, shape (n,) or (0,)
        Empty where the labels are left alone and only flags change.
    old_flags, new_flags : ndarray, uint8, shape (n,)
        Verified flags: bits PAINTED and MARKED.
    """

    chunk: ChunkIndex
    positions: NDArray[np.uint32]
    old_labels: NDArray[np.uint32]
    new_labels: NDArray[np.uint32]
    old_flags: NDArray[np.uint8]
    new_flags: NDArray[np.uint8]

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(self.positions.size)

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return 14 * self.size + 200

    @property
    def has_labels(self) -> bool:
        """Whether labels are concerned, and not flags alone."""
        return self.new_labels.size == self.positions.size

    def part(self, chosen: NDArray[np.bool_]) -> ChunkChange:
        """Return the change of some of the pixels."""
        labels = chosen if self.has_labels else slice(0, 0)
        return ChunkChange(
            self.chunk,
            self.positions[chosen],
            self.old_labels[labels],
            self.new_labels[labels],
            self.old_flags[chosen],
            self.new_flags[chosen],
        )

    def reversed(self) -> ChunkChange:
        """Return the change back."""
        return replace(
            self,
            old_labels=self.new_labels,
            new_labels=self.old_labels,
            old_flags=self.new_flags,
            new_flags=self.old_flags,
        )

    def with_new_flags(self, flags: NDArray[np.uint8]) -> ChunkChange:
        """Return the same change of labels with other flags after it."""
        return replace(self, new_flags=flags)

    def undoes(self, other: ChunkChange) -> bool:
        """Whether this change of labels is exactly the other one backwards."""
        return (
            self.chunk == other.chunk
            and np.array_equal(self.positions, other.positions)
            and np.array_equal(self.new_labels, other.old_labels)
            and np.array_equal(self.old_labels, other.new_labels)
        )

    def encode(self) -> bytes:
        """Return the change as bytes; `decode` reads them."""
        steps = np.diff(self.positions, prepend=np.uint32(0)).astype("<u4")
        numbers = (steps, self.old_labels.astype("<u4"), self.new_labels.astype("<u4"))
        planes = [array.view(np.uint8).reshape(-1, 4).T.tobytes() for array in numbers]  # equal bytes side by side
        body = b"".join((*planes, self.old_flags.tobytes(), self.new_flags.tobytes()))
        head = _HEAD.pack(1, len(self.chunk), self.size, self.new_labels.size)
        return zlib.compress(head + struct.pack(f"<{len(self.chunk)}I", *self.chunk) + body, 1)

    @classmethod
    def decode(cls, packed: bytes) -> ChunkChange:
        """Read what `encode` returned.

        Raises
        ------
        ValueError
            If the bytes are damaged.
        """
        try:
            raw = zlib.decompress(packed)
            version, ndim, n, n_labels = _HEAD.unpack_from(raw)
            chunk = struct.unpack_from(f"<{ndim}I", raw, _HEAD.size)
        except (zlib.error, struct.error) as error:
            raise ValueError(f"the record of a change is damaged ({error})") from error
        body = np.frombuffer(raw, np.uint8, offset=_HEAD.size + 4 * ndim)
        if version != 1 or body.size != 6 * n + 8 * n_labels or n_labels not in (0, n):
            raise ValueError("the record of a change has another format or length")
        steps, old_labels, new_labels, old_flags, new_flags = np.split(
            body, np.cumsum([4 * n, 4 * n_labels, 4 * n_labels, n])
        )
        positions = np.cumsum(_numbers(steps), dtype=np.uint32)
        return cls(chunk, positions, _numbers(old_labels), _numbers(new_labels), old_flags.copy(), new_flags.copy())


def _numbers(planes: NDArray[np.uint8]) -> NDArray[np.uint32]:
    return np.ascontiguousarray(planes.reshape(4, -1).T).view("<u4").ravel().astype(np.uint32)


def bounding_box(changes: list[ChunkChange], chunk_shape: tuple[int, ...]) -> Box | None:
    """Return the smallest box around all pixels of some changes, in the array's frame; None without any."""
    lows: list[NDArray[Any]] = []
    highs: list[NDArray[Any]] = []
    for change in changes:
        if not change.size:
            continue
        places = np.array(np.unravel_index(change.positions.astype(np.intp), chunk_shape))
        origin = np.array(change.chunk) * np.array(chunk_shape)
        lows.append(places.min(axis=1) + origin)
        highs.append(places.max(axis=1) + origin + 1)
    if not lows:
        return None
    low, high = np.min(lows, axis=0), np.max(highs, axis=0)
    return tuple((int(start), int(stop)) for start, stop in zip(low, high, strict=True))
