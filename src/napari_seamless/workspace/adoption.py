"""Labels that came from elsewhere: ``layer.data = array`` puts another array into a layer and says no more."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_seamless.errors import AxesError
from napari_seamless.images.boxes import Box, as_slices, blocks_in, box_shape, relative
from napari_seamless.workspace.corrections import Corrections, as_labels
from napari_seamless.workspace.storage import Storage


def differing_blocks(storage: Storage, array: Any, box: Box) -> list[Box]:
    """Return the blocks in which an array, of the box's shape, differs from the labels.

    Raises
    ------
    AxesError
        If the array has another shape.
    """
    if tuple(array.shape) != box_shape(box):
        raise AxesError(f"the array has shape {tuple(array.shape)}, its place among the labels {box_shape(box)}")
    found = []
    for block in blocks_in(box, storage.block_shape):
        theirs = as_labels(array[as_slices(relative(block, box))])
        with storage.lock:
            ours = storage.memory.read(block, "labels")
        if not np.array_equal(theirs, ours):
            found.append(block)
    return found


def adopt(storage: Storage, corrections: Corrections, array: Any, box: Box, source: str) -> int:
    """Record as edits whatever differs, as one step that can be undone; return the number of changed pixels."""
    blocks = differing_blocks(storage, array, box)
    if not blocks:
        return 0
    step = storage.begin_step(f"Labels {source}")
    total = 0
    for block in blocks:
        total += corrections.write_box(block, array[as_slices(relative(block, box))], source, step)
        storage.relieve()
    return total
