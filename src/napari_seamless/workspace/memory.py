"""The chunks that are in use: read once, changed in memory, handed out to be saved. Not thread-safe by itself."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_seamless.images.boxes import (
    Box,
    ChunkIndex,
    as_slices,
    box_shape,
    chunk_box,
    chunks_in,
    intersection,
    relative,
)
from napari_seamless.workspace.changes import ChunkChange
from napari_seamless.workspace.chunk_files import ChunkFiles, chunk_bytes

CACHE_BYTES = 256 * 2**20
Part = Literal["labels", "flags"]


@dataclass(eq=False)
class ChunkPair:
    """One chunk of labels and of verified flags; `version` counts its changes, `saved` is the version on disk."""

    labels: NDArray[np.uint32]
    flags: NDArray[np.uint8]
    version: int = 0
    saved: int = 0

    @property
    def is_dirty(self) -> bool:
        """Whether there are changes that are not on disk."""
        return self.version != self.saved

    def copy(self) -> ChunkPair:
        """Return the pair as it is now."""
        return ChunkPair(self.labels.copy(), self.flags.copy(), self.version, self.saved)


class ChunkMemory:
    """Labels and flags of one array, over files.

    Parameters
    ----------
    labels, flags : ChunkFiles
    shape : tuple of int
        The array's shape.
    cache_bytes : int
        Unchanged chunks are forgotten beyond this.
    """

    def __init__(
        self, labels: ChunkFiles, flags: ChunkFiles, shape: tuple[int, ...], cache_bytes: int = CACHE_BYTES
    ) -> None:
        self.shape = shape
        self.chunk_shape = labels.chunk_shape
        self._files = {"labels": labels, "flags": flags}
        self._pairs: OrderedDict[ChunkIndex, ChunkPair] = OrderedDict()
        self._dirty: set[ChunkIndex] = set()
        self._most_pairs = max(1, cache_bytes // chunk_bytes(self.chunk_shape))

    @property
    def dirty_bytes(self) -> int:
        """Memory of the chunks that are not on disk as they are."""
        return len(self._dirty) * chunk_bytes(self.chunk_shape)

    def box_of(self, index: ChunkIndex) -> Box:
        """Return the part of the array that a chunk holds."""
        return chunk_box(index, self.chunk_shape, self.shape)

    def pair(self, index: ChunkIndex) -> ChunkPair:
        """Return a chunk, from memory or from its files."""
        pair = self._pairs.get(index)
        if pair is None:
            pair = ChunkPair(self._files["labels"].read(index), self._files["flags"].read(index))
            self._pairs[index] = pair
            self.forget_some()
        self._pairs.move_to_end(index)
        return pair

    def is_empty(self, index: ChunkIndex, part: Part) -> bool:
        """Whether a chunk was never written, as far as that is known without reading it."""
        return index not in self._pairs and not self._files[part].exists(index)

    def apply(self, change: ChunkChange) -> None:
        """Give pixels their new labels and flags."""
        pair = self.pair(change.chunk)
        if change.has_labels:
            pair.labels.reshape(-1)[change.positions] = change.new_labels
        pair.flags.reshape(-1)[change.positions] = change.new_flags
        pair.version += 1
        self._dirty.add(change.chunk)

    def still_new(self, change: ChunkChange) -> NDArray[np.bool_]:
        """Return which pixels of a change are as it left them, labels and flags."""
        pair = self.pair(change.chunk)
        same: NDArray[np.bool_] = pair.flags.reshape(-1)[change.positions] == change.new_flags
        if change.has_labels:
            same &= pair.labels.reshape(-1)[change.positions] == change.new_labels
        return same

    def read(self, box: Box, part: Part) -> NDArray[Any]:
        """Return the labels (uint32) or flags (uint8) of a box."""
        out: NDArray[Any] = np.zeros(box_shape(box), self._files[part].dtype)
        if not out.size:
            return out
        for index in chunks_in(box, self.chunk_shape):
            if self.is_empty(index, part):
                continue
            held = self.box_of(index)
            shared = intersection(held, box)
            if shared is not None:
                pair = self.pair(index)
                values = pair.labels if part == "labels" else pair.flags
                out[as_slices(relative(shared, box))] = values[as_slices(relative(shared, held))]
        return out

    def copy_dirty(self) -> dict[ChunkIndex, ChunkPair]:
        """Return the chunks that are not on disk, as they are now."""
        return {index: self._pairs[index].copy() for index in sorted(self._dirty)}

    def saved(self, index: ChunkIndex, version: int) -> None:
        """Note that a version of a chunk is on disk."""
        pair = self._pairs[index]
        pair.saved = version
        if not pair.is_dirty:
            self._dirty.discard(index)

    def write(self, index: ChunkIndex, pair: ChunkPair, *, sync: bool) -> int:
        """Write a chunk's files; return the bytes written.

        Flags go first: a pixel that is marked as painted with its old label for a moment is repaired by the journal,
        a painted label without its mark could be overwritten.
        """
        written = self._files["flags"].write(index, pair.flags, sync=sync)
        return written + self._files["labels"].write(index, pair.labels, sync=sync)

    def forget_all(self) -> None:
        """Forget every chunk, changed ones too: for what another program has written since."""
        self._pairs.clear()
        self._dirty.clear()

    def forget_some(self) -> None:
        """Forget chunks that are on disk, those that were not used for long, until memory is within its bound."""
        if len(self._pairs) <= self._most_pairs + len(self._dirty):
            return
        for index in list(self._pairs):
            if index not in self._dirty:
                del self._pairs[index]
                if len(self._pairs) <= self._most_pairs + len(self._dirty):
                    return
