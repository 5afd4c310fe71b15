"""Objects of an array that is too large for memory: block by block, and exactly the objects of the whole.

Three passes over the blocks, with the output itself as the only large store:

1. *Cores*: the connected pieces of core of each block get provisional ids; pieces that touch across a block's face are
   noted as pairs. Afterwards the pairs are joined, and the joined cores are ranked by their first pixel in raster
   order: a rank that does not depend on the blocks.
2. *Growth*: each block is read with `grow_steps` pixels around it and its cores grow into the foreground, smaller ranks
   first where they meet. Growth never changes a core pixel, so the cores around a block can be read from the
   output whether or not a neighbour has been through this pass: its core pixels carry provisional ids before and
   the joined core's own provisional id after, and both have the same rank.
3. *Numbering*: objects that are too small go, the others are numbered without gaps.

Memory is one block with its surroundings, and a few numbers for each object and each pair.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from napari_seamless.errors import AxesError, Cancelled
from napari_seamless.events import Event, OnEvent, ShouldStop, ignore_event, never_stop
from napari_seamless.objects.instances import (
    CORE,
    InstanceRule,
    compact_ids,
    grow_labels,
    label_cores,
    require_two_or_three_dims,
)


class ReadableBlocks(Protocol):
    """What is read by slices: a numpy or zarr array."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, region: Any, /) -> Any: ...


class WritableBlocks(ReadableBlocks, Protocol):
    """What is also written by slices."""

    @property
    def dtype(self) -> Any: ...

    def __setitem__(self, region: Any, block: Any, /) -> None: ...


Region = tuple[slice, ...]


def stitch_instances(
    states: ReadableBlocks,
    out: WritableBlocks,
    rule: InstanceRule,
    *,
    block_shape: Sequence[int],
    first_id: int = 1,
    on_event: OnEvent = ignore_event,
    should_stop: ShouldStop = never_stop,
) -> int:
    """Turn states into labelled objects, block by block.

    The result equals ``instances.instances_from_states`` of the whole array for every `block_shape`.

    Parameters
    ----------
    states : array-like, integer, 2 or 3 dimensions
        0 background, 1 rim, 2 core; read by slices.
    out : array-like, integer of at least 32 bits, same shape
        Receives the labels: 0 for background, else ``first_id`` onwards in raster order of each object's first core
        pixel. Read and written by slices; what it holds beforehand is ignored. Blocks aligned to its chunks are fast.
    rule : InstanceRule
    block_shape : sequence of int
        Pixels of a block along each axis: what bounds the memory.
    first_id : int
    on_event : callable
        Receives ``stitch`` events with ``done`` and ``total`` (blocks, over all passes).
    should_stop : callable
        Asked between blocks.

    Returns
    -------
    int
        Number of objects.

    Raises
    ------
    AxesError
        If shapes or dimensions do not fit.
    TypeError
        If `out` cannot hold 32-bit ids.
    Cancelled
        If `should_stop` answered True; `out` then holds provisional ids.
    """
    block_shape = tuple(int(side) for side in block_shape)
    _check(states, out, block_shape)
    regions = list(_block_regions(states.shape, block_shape))
    progress = _Progress(3 * len(regions), on_event, should_stop)
    rank_of, root_of = _label_all_cores(states, out, regions, block_shape, progress)
    areas = _grow_all(states, out, rule, regions, rank_of, root_of, progress)
    final_of_rank = compact_ids(areas, rule.min_size, first_id)
    _renumber_all(out, regions, final_of_rank[rank_of], progress)
    return int(np.count_nonzero(final_of_rank))


@dataclass
class _Progress:
    """Counts blocks, tells the listener, and stops when asked."""

    total: int
    on_event: OnEvent
    should_stop: ShouldStop
    done: int = 0

    def check(self) -> None:
        if self.should_stop():
            raise Cancelled("Joining the objects was stopped; the labels written until then are provisional.")

    def advance(self) -> None:
        self.done += 1
        self.on_event(Event("stitch", {"done": self.done, "total": self.total}))


def _label_all_cores(
    states: ReadableBlocks,
    out: WritableBlocks,
    regions: list[Region],
    block_shape: tuple[int, ...],
    progress: _Progress,
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Pass 1. Return, for each provisional id, its core's rank (from 1), and for each rank one provisional id."""
    first_pixels: list[NDArray[np.int64]] = [np.zeros(1, np.int64)]
    pairs: list[NDArray[np.uint32]] = []
    n_provisional = 0
    for region in regions:
        progress.check()
        labels, block_first = label_cores(np.asarray(states[region]))
        labels[labels > 0] += np.uint32(n_provisional)
        out[region] = labels
        pairs.extend(_pairs_across_faces(labels, out, region))
        first_pixels.append(_whole_array_index(block_first, region, states.shape))
        n_provisional += len(block_first)
        progress.advance()
    return _rank_joined_cores(np.concatenate(first_pixels), pairs)


def _pairs_across_faces(
    labels: NDArray[np.uint32], out: WritableBlocks, region: Region
) -> Iterator[NDArray[np.uint32]]:
    """Yield the (n, 2) distinct pairs of provisional ids that touch across the block's lower faces."""
    for axis, bounds in enumerate(region):
        if bounds.start == 0:
            continue
        beyond = (*region[:axis], slice(bounds.start - 1, bounds.start), *region[axis + 1 :])
        ours = labels[(slice(None),) * axis + (slice(0, 1),)].ravel()
        if not ours.any():
            continue
        theirs = np.asarray(out[beyond]).ravel()
        touching = (ours > 0) & (theirs > 0)
        if touching.any():
            yield np.unique(np.stack([ours[touching], theirs[touching].astype(np.uint32)], axis=1), axis=0)


def _rank_joined_cores(
    first_pixels: NDArray[np.int64], pairs: list[NDArray[np.uint32]]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Join the pairs and rank the joined cores by their first pixel; entry 0 of every table is the background."""
    n_ids = len(first_pixels)
    edges = np.concatenate(pairs) if pairs else np.zeros((0, 2), np.uint32)
    graph = coo_array((np.ones(len(edges), np.uint8), (edges[:, 0], edges[:, 1])), shape=(n_ids, n_ids))
    n_joined, joined_of = connected_components(graph, directed=False)
    joined_first = np.full(n_joined, np.iinfo(np.int64).max)
    np.minimum.at(joined_first, joined_of, first_pixels)
    joined_first[joined_of[0]] = -1  # the background comes first
    rank_of_joined = np.empty(n_joined, np.uint32)
    rank_of_joined[np.argsort(joined_first)] = np.arange(n_joined, dtype=np.uint32)
    rank_of = rank_of_joined[joined_of]
    root_of = np.zeros(n_joined, np.uint32)
    root_of[rank_of[::-1]] = np.arange(n_ids - 1, -1, -1, dtype=np.uint32)
    return rank_of, root_of


def _grow_all(
    states: ReadableBlocks,
    out: WritableBlocks,
    rule: InstanceRule,
    regions: list[Region],
    rank_of: NDArray[np.uint32],
    root_of: NDArray[np.uint32],
    progress: _Progress,
) -> NDArray[np.int64]:
    """Pass 2. Return the number of pixels of each rank."""
    areas = np.zeros(len(root_of), np.int64)
    for region in regions:
        progress.check()
        outer, inner = _with_surroundings(region, states.shape, rule.grow_steps)
        block_states = np.asarray(states[outer])
        if block_states.any():
            core_ids = np.where(block_states == CORE, np.asarray(out[outer]), 0)
            ranks = grow_labels(rank_of[core_ids], block_states > 0, rule.grow_steps)[inner]
            areas += np.bincount(ranks.ravel(), minlength=len(areas))
            out[region] = root_of[ranks]
        progress.advance()
    return areas


def _renumber_all(
    out: WritableBlocks, regions: list[Region], final_of: NDArray[np.uint64], progress: _Progress
) -> None:
    """Pass 3. Replace provisional ids by final ones."""
    final_of = final_of.astype(out.dtype)
    for region in regions:
        progress.check()
        provisional = np.asarray(out[region])
        if provisional.any():
            out[region] = final_of[provisional]
        progress.advance()


def _check(states: ReadableBlocks, out: WritableBlocks, block_shape: tuple[int, ...]) -> None:
    require_two_or_three_dims(len(states.shape))
    if tuple(states.shape) != tuple(out.shape):
        raise AxesError(f"states and labels must have one shape, not {tuple(states.shape)} and {tuple(out.shape)}")
    if len(block_shape) != len(states.shape) or any(side < 1 for side in block_shape):
        raise AxesError(f"block_shape needs {len(states.shape)} sides of at least 1, not {block_shape}")
    dtype = np.dtype(out.dtype)
    if dtype.kind not in "ui" or dtype.itemsize < 4:
        raise TypeError(f"labels are written as integers of at least 32 bits, not {dtype}: use uint32")


def _block_regions(shape: Sequence[int], block_shape: Sequence[int]) -> Iterator[Region]:
    starts = [range(0, length, side) for length, side in zip(shape, block_shape, strict=True)]
    for origin in itertools.product(*starts):
        yield tuple(
            slice(start, min(start + side, length))
            for start, side, length in zip(origin, block_shape, shape, strict=True)
        )


def _with_surroundings(region: Region, shape: Sequence[int], margin: int) -> tuple[Region, Region]:
    """Return the region enlarged by `margin` within the array, and where the region lies in it."""
    outer = tuple(
        slice(max(0, bounds.start - margin), min(length, bounds.stop + margin))
        for bounds, length in zip(region, shape, strict=True)
    )
    inner = tuple(
        slice(bounds.start - around.start, bounds.stop - around.start)
        for bounds, around in zip(region, outer, strict=True)
    )
    return outer, inner


def _whole_array_index(flat_in_block: NDArray[np.int64], region: Region, shape: Sequence[int]) -> NDArray[np.int64]:
    """Turn flat indices within a block into flat indices within the whole array."""
    block_shape = tuple(bounds.stop - bounds.start for bounds in region)
    positions = np.unravel_index(flat_in_block, block_shape)
    index = np.zeros(len(flat_in_block), np.int64)
    for position, bounds, length in zip(positions, region, shape, strict=True):
        index = index * length + (position + bounds.start)
    return index
