"""The pixels of a TIFF series, read region by region.

tifffile finds the pages and knows every encoding. Here the strips and tiles that a region touches are read and decoded,
and nothing is passed over: a strip that is cut off is an error, never a patch of zeros.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_seamless.errors import FileReadError
from napari_seamless.images.blocks import Box
from napari_seamless.images.sources import Source, cells


@dataclass(frozen=True, slots=True)
class _Page:
    path: Path
    offsets: tuple[int, ...]
    byte_counts: tuple[int, ...]
    jpeg_tables: bytes | None


class TiffSource(Source):
    """One resolution level of one series of a TIFF file.

    Axes are those of the series: frame axes first, one page per combination, then the axes of a page.

    Parameters
    ----------
    path : pathlib.Path
        The file, for messages; the pages of a series may lie in several.
    level : tifffile.TiffPageSeries
        The series, while its file is open. It is not used after the constructor.

    Raises
    ------
    FileReadError
        When pages are missing, or end beyond the end of the file.
    """

    def __init__(self, path: Path, level: tifffile.TiffPageSeries) -> None:
        keyframe = level.keyframe
        if level.dtype is None or keyframe.dtype is None or level.transform is not None:
            raise FileReadError(f"{path} holds pixels of a kind that is not read; export it as OME-TIFF from Fiji")
        self.path = path
        self.shape = tuple(int(length) for length in level.shape)
        self.dtype = np.dtype(level.dtype).newbyteorder("=")
        self._decode = keyframe.decode
        self._jpeg_header = keyframe.jpegheader
        self._nodata = keyframe.nodata
        self._shaped: tuple[int, ...] = tuple(keyframe.shaped)
        self._is_tiled = bool(keyframe.is_tiled)
        self._raw_dtype = np.dtype(keyframe.parent.byteorder + np.dtype(keyframe.dtype).char)
        self._segment_shape = _segment_shape(keyframe)
        self._is_plain = bool(keyframe.is_final)
        self._n_frame_axes = _count_frame_axes(self.shape, math.prod(self._shaped))
        self._page_axes = _page_axes(self.shape[self._n_frame_axes :], self._shaped)
        self._contiguous_offset = level.dataoffset
        self._pages = [_page(path, level[0])] if level.dataoffset is not None else [_page(path, p) for p in level]
        self.chunks = self._chunks()
        self._check_extent()

    def read(self, box: Box) -> NDArray[Any]:
        """Return the pixels of a box."""
        frames, page_box = self._split(box)
        out = np.empty((len(frames), *(span.stop - span.start for span in page_box)), self.dtype)
        if self._contiguous_offset is not None:
            n_frames = math.prod(self.shape[: self._n_frame_axes])
            stack = self._mapped(self._pages[0].path, self._contiguous_offset, n_frames)
            for frame, target in zip(frames, out, strict=True):
                target[...] = stack[frame][page_box]
        else:
            for frame, target in zip(frames, out, strict=True):
                self._read_page(self._pages[frame], page_box, target)
        return out.reshape([span.stop - span.start for span in box])

    def _split(self, box: Box) -> tuple[list[int], Box]:
        frame_shape = self.shape[: self._n_frame_axes]
        frames = [0]
        for span, length in zip(box, frame_shape, strict=False):
            frames = [frame * length + index for frame in frames for index in range(span.start, span.stop)]
        page_box = [slice(0, length) for length in self._shaped]
        for span, axis in zip(box[self._n_frame_axes :], self._page_axes, strict=True):
            if axis is not None:
                page_box[axis] = span
        return frames, tuple(page_box)

    def _read_page(self, page: _Page, box: Box, target: NDArray[Any]) -> None:
        if self._is_plain and _is_contiguous(page):
            target[...] = self._mapped(page.path, page.offsets[0], 1)[0][box]
            return
        with _open(page.path) as file:
            for index, corner in self._segments(box):
                self._read_segment(file, page, index, corner, box, target)

    def _mapped(self, path: Path, offset: int, n_frames: int) -> NDArray[Any]:
        """Map uncompressed frames for one read: that touches only the rows asked for, and leaves no file open."""
        needed = offset + n_frames * math.prod(self._shaped) * self._raw_dtype.itemsize
        if path.stat().st_size < needed:
            raise _cut_off(path, needed)
        return np.asarray(np.memmap(path, self._raw_dtype, "r", offset, (n_frames, *self._shaped)))

    def _segments(self, box: Box) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield the number and the first pixel of all strips or tiles that a box of a page touches."""
        grid = [-(-length // side) for length, side in zip(self._shaped[:4], self._segment_shape[:4], strict=True)]
        for cell in cells(box[:4], self._segment_shape[:4]):
            number = 0
            for position, count in zip(cell, grid, strict=True):
                number = number * count + position
            corner = tuple(position * side for position, side in zip(cell, self._segment_shape[:4], strict=True))
            yield number, corner

    def _read_segment(
        self, file: BinaryIO, page: _Page, number: int, corner: tuple[int, ...], box: Box, target: NDArray[Any]
    ) -> None:
        spans = [
            slice(max(span.start, start), min(span.stop, start + side))
            for span, start, side in zip(box[:4], corner, self._segment_shape[:4], strict=True)
        ]
        into = tuple(slice(at.start - span.start, at.stop - span.start) for at, span in zip(spans, box, strict=False))
        data = self._segment_bytes(file, page, number)
        if data is None:
            target[into] = self._nodata
            return
        segment: NDArray[Any]
        segment = self._decode(data, number, jpegtables=page.jpeg_tables, jpegheader=self._jpeg_header)[0]  # type: ignore[assignment]
        part = tuple(slice(at.start - start, at.stop - start) for at, start in zip(spans[1:], corner[1:], strict=True))
        target[into] = segment[(*part, box[4])][np.newaxis]

    def _segment_bytes(self, file: BinaryIO, page: _Page, number: int) -> bytes | None:
        missing = number >= len(page.offsets) or number >= len(page.byte_counts)
        if missing or page.offsets[number] == 0 or page.byte_counts[number] == 0:
            if self._is_tiled:
                return None  # slide scanners leave out tiles without tissue
            raise FileReadError(f"{page.path} lacks the strip {number} of a page: its writing was never finished")
        file.seek(page.offsets[number])
        data = file.read(page.byte_counts[number])
        if len(data) < page.byte_counts[number]:
            raise _cut_off(page.path, page.offsets[number] + page.byte_counts[number])
        return data

    def _chunks(self) -> tuple[int, ...]:
        stored = (1, 1, 1, self._shaped[3], self._shaped[4]) if self._is_plain else self._segment_shape
        page = [min(stored[axis], self._shaped[axis]) if axis is not None else 1 for axis in self._page_axes]
        return (1,) * self._n_frame_axes + tuple(page)

    def _check_extent(self) -> None:
        """Refuse at once what visibly ends too early, as far as looking at it takes no time."""
        ends: dict[Path, int] = {}
        for page in itertools.chain(self._pages[:1], self._pages[-64:]):
            ends[page.path] = max(
                [ends.get(page.path, 0), *map(sum, zip(page.offsets, page.byte_counts, strict=False))]
            )
        if self._contiguous_offset is not None:
            total = self._contiguous_offset + math.prod(self.shape) * self._raw_dtype.itemsize
            ends = {self._pages[0].path: total}
        for path, end in ends.items():
            if path.stat().st_size < end:
                raise _cut_off(path, end)


def _page(path: Path, page: tifffile.TiffPage | tifffile.TiffFrame | None) -> _Page:
    if page is None:
        raise FileReadError(
            f"{path} lacks some of the planes that its metadata announce: acquisition or copy was not finished, "
            "or files that belong to it are missing; save the complete planes as a new file, for example with Fiji"
        )
    return _Page(
        Path(page.parent.filehandle.path), tuple(page.dataoffsets), tuple(page.databytecounts), page.jpegtables
    )


def _segment_shape(keyframe: tifffile.TiffPage) -> tuple[int, ...]:
    """Return a strip's or tile's shape in a page's five axes: separate sample, depth, length, width, joint sample."""
    samples = keyframe.shaped[4]
    if keyframe.is_tiled:
        return 1, keyframe.tiledepth, keyframe.tilelength, keyframe.tilewidth, samples
    return 1, 1, min(keyframe.rowsperstrip, keyframe.shaped[2]), keyframe.shaped[3], samples


def _count_frame_axes(shape: tuple[int, ...], page_size: int) -> int:
    """Return how many leading axes count pages."""
    for n_frame_axes in range(len(shape) + 1):
        if math.prod(shape[n_frame_axes:]) == page_size:
            return n_frame_axes
    raise FileReadError(f"the shape {shape} that the file announces is no multiple of its pages of {page_size} pixels")


def _page_axes(shape: tuple[int, ...], shaped: tuple[int, ...]) -> tuple[int | None, ...]:
    """Return for each axis of a page which of the page's five axes it is; None for a length-1 axis that is none."""
    axes: list[int | None] = []
    candidates = [axis for axis, length in enumerate(shaped) if length > 1]
    for length in shape:
        axes.append(candidates.pop(0) if length > 1 and candidates and shaped[candidates[0]] == length else None)
        if length > 1 and axes[-1] is None:
            raise FileReadError(f"the shape {shape} that the file announces does not fit its pages of shape {shaped}")
    return tuple(axes)


def _is_contiguous(page: _Page) -> bool:
    ends = (offset + count for offset, count in zip(page.offsets, page.byte_counts, strict=False))
    return all(end == start for end, start in zip(ends, page.offsets[1:], strict=False))


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise FileReadError(f"{path} cannot be opened any more: {error.strerror or error}") from error


def _cut_off(path: Path, needed: int) -> FileReadError:
    return FileReadError(
        f"{path} is cut off: its pixels need {needed} bytes and the file has {path.stat().st_size}; copy it again"
    )
