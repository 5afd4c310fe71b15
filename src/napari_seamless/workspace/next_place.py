"""Where to correct next: the fields or slices of an image that a model is least sure of, and nobody has verified.

A correction teaches most where the model is in doubt. That is active learning by uncertainty sampling (Lewis & Gale
1994, doi 10.1007/978-1-4471-2099-5_1) with the entropy of the classes, or by the disagreement of a committee (Seung et
al. 1992, doi 10.1145/130385.130417), which the heads of a UNet++ are. A field's worth is the mean uncertainty over its
pixels that are not verified: the maximum would follow single odd pixels, and the sum would pass over what is left of
fields that are verified in part. As in suggestive annotation (Yang et al. 2017, arXiv 1706.04737), suggestions also
spread out, since the most uncertain fields lie side by side and teach the same: no two share a pixel, and what lies
right above or below another, or next to it in time, is put off until there is nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import AxesError, Cancelled
from napari_seamless.events import ShouldStop, never_stop
from napari_seamless.images.boxes import BLOCK_SIDE, Box, as_slices, blocks_in, chunk_box, chunks_in, whole

FIELD_SIDE = 256
"""Side of a field, in pixels along Y and X: what a person corrects in some minutes."""

MOST_VERIFIED = 0.5
"""A field of which more than this share is verified is not suggested."""

_POSITIONS_PER_SIDE = 4
_SMALL_BLOCK = 512
_GONE = -1.0
_DECIMALS = 9
"""What differs by less is rounding; fields that are worth the same come in the order of their places."""

Sums = NDArray[np.float64]
Index = tuple[int, ...]


@dataclass(frozen=True)
class Suggestion:
    """A field or slice to correct.

    Attributes
    ----------
    box : tuple of (start, stop)
        One pair per axis of the map; one step long along T and Z.
    uncertainty : float
        Mean over its pixels that are not verified.
    verified : float
        Share of its pixels that are.
    """

    box: Box
    uncertainty: float
    verified: float


def rank_fields(
    uncertainty: Any,
    verified: Any,
    axes: str,
    *,
    side: int = FIELD_SIDE,
    most_verified: float = MOST_VERIFIED,
    should_stop: ShouldStop = never_stop,
) -> Iterator[Suggestion]:
    """Suggest fields, the most useful first.

    Parameters
    ----------
    uncertainty : array-like, float, not negative
        Over the labels' axes; read block by block.
    verified : array-like of bool or integer, same shape, or None
        Not 0 means verified. None: nothing is.
    axes : str
        ``YX`` or ``[T][Z]YX``.
    side : int
        Of a field, along Y and X; an image that is smaller is taken whole. Fields lie in planes.
    most_verified : float
        Fields of which a larger share is verified are left out.
    should_stop : callable

    Yields
    ------
    Suggestion
        No two share a pixel.

    Raises
    ------
    AxesError
        If the axes do not fit the arrays.
    Cancelled
        On request.
    """
    yield from Ranking(uncertainty, axes, side, should_stop).suggest(verified, most_verified=most_verified)


def rank_slices(
    uncertainty: Any,
    verified: Any,
    axes: str,
    *,
    most_verified: float = MOST_VERIFIED,
    should_stop: ShouldStop = never_stop,
) -> Iterator[Suggestion]:
    """Suggest whole planes, the most useful first; parameters and errors as for `rank_fields`."""
    yield from Ranking(uncertainty, axes, None, should_stop).suggest(verified, most_verified=most_verified)


class Ranking:
    """An uncertainty map, summed up once, to be asked again whenever more is verified.

    Parameters
    ----------
    uncertainty : array-like, float
    axes : str
    side : int or None
        Of a field; None for whole planes.
    should_stop : callable
        Asked before every block.

    Raises
    ------
    AxesError, Cancelled
        As `rank_fields`.
    """

    def __init__(
        self, uncertainty: Any, axes: str, side: int | None = FIELD_SIDE, should_stop: ShouldStop = never_stop
    ) -> None:
        self._map = uncertainty
        self._shape = tuple(int(length) for length in uncertainty.shape)
        if len(axes) != len(self._shape) or axes[-2:] != "YX":
            raise AxesError(f"a map of shape {self._shape} needs one axis for each length, Y and X last, not {axes!r}")
        self._should_stop = should_stop
        self._rows, self._columns = (_Windows.along(length, side) for length in self._shape[-2:])
        self._n_pixels = self._rows.side * self._columns.side
        blocks = blocks_in(whole(self._shape), self._plane_block(BLOCK_SIDE))
        self._all = self._sums(blocks, lambda box: self._read(self._map, box))

    def suggest(
        self,
        verified: Any,
        *,
        within: Sequence[Box] | None = None,
        skip: Sequence[Box] = (),
        most_verified: float = MOST_VERIFIED,
    ) -> Iterator[Suggestion]:
        """Suggest places, the most useful first.

        Parameters
        ----------
        verified : array-like of bool or integer, shape of the map, or None
        within : sequence of boxes, optional
            Nothing is verified outside of these: only there `verified` is read.
        skip : sequence of boxes
            Suggested before: what shares a pixel with them is left out, what lies next to them is put off.
        most_verified : float

        Yields
        ------
        Suggestion
        """
        counts, known = self._verified(verified, within)
        worth = np.maximum(self._all - known, 0) / np.maximum(self._n_pixels - counts, 1)
        worth = np.round(worth, _DECIMALS)
        is_done = counts > most_verified * self._n_pixels
        now, later = np.where(is_done, _GONE, worth), np.full_like(worth, _GONE)
        _put_off(now, later, _beside(is_done))
        for box in skip:
            self._take(now, later, box)
        for scores in (now, later):
            while (index := _best(scores)) is not None:
                box = self._box_of(index)
                yield Suggestion(box, float(worth[index]), float(counts[index] / self._n_pixels))
                self._take(now, later, box)

    def _verified(self, verified: Any, within: Sequence[Box] | None) -> tuple[Sums, Sums]:
        """Return for each window how many pixels are verified, and the sum of their uncertainty."""
        block_shape = self._plane_block(_SMALL_BLOCK)
        boxes = [whole(self._shape)] if within is None else within
        indices = sorted({index for box in boxes for index in chunks_in(box, block_shape)})
        if verified is None:
            indices = []
        blocks = [chunk_box(index, block_shape, self._shape) for index in indices]
        counts = self._sums(blocks, lambda box: self._read(verified, box) != 0)
        known = self._sums(blocks, lambda box: self._read(self._map, box) * (self._read(verified, box) != 0))
        return counts, known

    def _plane_block(self, side: int) -> tuple[int, ...]:
        return (*(1,) * (len(self._shape) - 2), side, side)

    def _read(self, array: Any, box: Box) -> NDArray[Any]:
        block = np.asarray(array[as_slices(box)])
        return block.reshape(block.shape[-2:])

    def _sums(self, blocks: Iterable[Box], values: Callable[[Box], NDArray[Any]]) -> Sums:
        """Return the sum of what `values` gives for blocks of planes over each window, (*planes, rows, columns)."""
        cells = np.zeros((*self._shape[:-2], len(self._rows.edges) - 1, len(self._columns.edges) - 1))
        for box in blocks:
            if self._should_stop():
                raise Cancelled("the ranking was stopped; nothing was changed")
            rows, columns = self._rows.cells(box[-2]), self._columns.cells(box[-1])
            sums = np.add.reduceat(values(box), rows.starts, axis=0, dtype=np.float64)
            sums = np.add.reduceat(sums, columns.starts, axis=1)
            place: tuple[Any, ...] = (*(start for start, _ in box[:-2]), rows.cells, columns.cells)
            cells[place] += np.nan_to_num(sums)
        padded = np.pad(cells, [(0, 0)] * (cells.ndim - 2) + [(1, 0), (1, 0)])
        up_to = padded.cumsum(-2).cumsum(-1)
        strips = up_to[..., self._rows.last, :] - up_to[..., self._rows.first, :]
        found: Sums = strips[..., self._columns.last] - strips[..., self._columns.first]
        return found

    def _box_of(self, index: Index) -> Box:
        planes = tuple((position, position + 1) for position in index[:-2])
        return (*planes, self._rows.span(index[-2]), self._columns.span(index[-1]))

    def _take(self, now: Sums, later: Sums, box: Box) -> None:
        """Leave out what shares a pixel with a box, and put off what lies next to it in the neighbouring planes."""
        planes = [slice(start, stop) for start, stop in box[:-2]]
        inside = (self._rows.meeting(box[-2]), self._columns.meeting(box[-1]))
        for axis, plane in enumerate(planes):
            beside = np.zeros(now.shape, np.bool_)
            wider = slice(max(0, plane.start - 1), plane.stop + 1)
            beside[(*planes[:axis], wider, *planes[axis + 1 :], *inside)] = True
            _put_off(now, later, beside)
        for scores in (now, later):
            scores[(*planes, *inside)] = _GONE


@dataclass(frozen=True)
class _Cells:
    """Where the cells in a block begin, counted from the block's start, and which they are."""

    starts: NDArray[np.intp]
    cells: slice


@dataclass(frozen=True)
class _Windows:
    """Overlapping windows along one axis, and the edges of the smallest cells that they are put together from."""

    side: int
    starts: NDArray[np.intp]
    edges: NDArray[np.intp]

    @classmethod
    def along(cls, length: int, side: int | None) -> _Windows:
        side = length if side is None else min(side, length)
        step = max(1, side // _POSITIONS_PER_SIDE)
        starts = np.unique(np.append(np.arange(0, length - side + 1, step), length - side))
        return cls(side, starts, np.unique(np.concatenate([starts, starts + side])))

    @property
    def first(self) -> NDArray[np.intp]:
        """The first cell of each window."""
        return np.searchsorted(self.edges, self.starts)

    @property
    def last(self) -> NDArray[np.intp]:
        """The cell after the last one of each window."""
        return np.searchsorted(self.edges, self.starts + self.side)

    def cells(self, span: tuple[int, int]) -> _Cells:
        start, stop = span
        inner = self.edges[(self.edges > start) & (self.edges < stop)]
        first = int(np.searchsorted(self.edges, start, side="right")) - 1
        return _Cells(np.append(0, inner - start), slice(first, first + 1 + len(inner)))

    def meeting(self, span: tuple[int, int]) -> slice:
        """Return which windows share a pixel with a span."""
        first = int(np.searchsorted(self.starts, span[0] - self.side, side="right"))
        return slice(first, int(np.searchsorted(self.starts, span[1], side="left")))

    def span(self, index: int) -> tuple[int, int]:
        start = int(self.starts[index])
        return start, start + self.side


def _best(scores: Sums) -> Index | None:
    """Return where the highest score is, the first of equal ones; None when nothing is left."""
    place = int(scores.argmax())
    if scores.flat[place] < 0:
        return None
    return tuple(int(position) for position in np.unravel_index(place, scores.shape))


def _beside(chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which windows lie at the same place as a chosen one, one step before or after it along T or Z."""
    beside = np.zeros_like(chosen)
    for axis in range(chosen.ndim - 2):
        moved, found = np.moveaxis(chosen, axis, 0), np.moveaxis(beside, axis, 0)
        found[1:] |= moved[:-1]
        found[:-1] |= moved[1:]
    return beside


def _put_off(now: Sums, later: Sums, chosen: NDArray[np.bool_]) -> None:
    waiting = chosen & (now >= 0)
    later[waiting] = now[waiting]
    now[waiting] = _GONE
