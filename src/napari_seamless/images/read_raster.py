"""Open PNG and JPEG files of any size: the header tells the shape, the first read decodes."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import FileReadError
from napari_seamless.images.axes import canonical_order, check_axes
from napari_seamless.images.blocks import Box
from napari_seamless.images.image import Image
from napari_seamless.images.sources import Source, in_order, lazy

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"

# Samples that stay, by PNG colour type: grey, RGB, palette (as RGB), grey with alpha (as grey), RGBA.
_PNG_SAMPLES = {0: 1, 2: 3, 3: 3, 4: 1, 6: 4}

_START_OF_SCAN = 0xDA
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))
_TAIL = 2**16


class RasterSource(Source):
    """A PNG or JPEG file; grey or RGB(A), alpha beside grey is dropped. Any read decodes the whole file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            self._is_png = file.read(len(_PNG)) == _PNG
            self.shape, self.dtype = _png_header(path, file) if self._is_png else _jpeg_header(path, file)
        self.chunks = self.shape

    def read(self, box: Box) -> NDArray[Any]:
        """Return the pixels of a box."""
        data = self.path.read_bytes()
        pixels = imagecodecs.png_decode(data) if self._is_png else imagecodecs.jpeg_decode(data)
        if pixels.ndim == 3:  # with an alpha that a transparent colour makes, beyond what the header says
            pixels = pixels[..., : self.shape[2]] if len(self.shape) == 3 else pixels[..., 0]
        if pixels.shape != self.shape:
            raise FileReadError(f"{self.path} is damaged: its header announces {self.shape}, it holds {pixels.shape}")
        return np.asarray(pixels[box])


def is_raster(path: Path) -> bool:
    """Return whether a file starts like a PNG or a JPEG."""
    with path.open("rb") as file:
        return file.read(len(_PNG)).startswith((_PNG, _JPEG))


def open_raster(path: Path, axes: str | None = None) -> Image:
    """Open a PNG or JPEG file; axes are YX or YXS.

    Raises
    ------
    FileReadError
        For a file that is damaged or cut off: at once where its structure shows it, else when it is decoded.
    AxesError
        When ``axes`` does not fit.
    """
    source = RasterSource(path)
    letters = check_axes(axes or "YXS"[: source.ndim], source.shape)
    order = canonical_order(letters)
    return Image(data=lazy(in_order(source, letters, order)), axes=order, path=path)


def _png_header(path: Path, file: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    header = b""
    name = b""
    while name != b"IEND":
        prefix = file.read(8)
        if len(prefix) < 8:
            raise _cut_off(path)
        length, name = struct.unpack(">I4s", prefix)
        if name == b"IHDR":
            header = file.read(length)
            file.seek(4, 1)
        else:
            file.seek(length + 4, 1)
    if len(header) < 13:
        raise FileReadError(f"{path} is damaged: a PNG without its header")
    width, height, depth, colour = struct.unpack(">IIBB", header[:10])
    if colour not in _PNG_SAMPLES:
        raise FileReadError(f"{path} is damaged: PNG has no colour type {colour}")
    samples = _PNG_SAMPLES[colour]
    return (height, width, samples)[: 2 + (samples > 1)], np.dtype(np.uint16 if depth == 16 else np.uint8)


def _jpeg_header(path: Path, file: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    file.seek(2)
    frame = b""
    while True:
        marker, payload = _jpeg_segment(path, file)
        if marker in _FRAME_HEADERS:
            frame = payload
        if marker == _START_OF_SCAN:
            break
    _check_jpeg_end(path, file)
    if len(frame) < 6:
        raise FileReadError(f"{path} is damaged: a JPEG without its header")
    depth, height, width, samples = struct.unpack(">BHHB", frame[:6])
    if samples not in (1, 3) or depth > 16:
        raise FileReadError(f"{path} is a JPEG of {samples} inks; convert it to RGB or grey, for example with Fiji")
    return (height, width, samples)[: 2 + (samples > 1)], np.dtype(np.uint8 if depth <= 8 else np.uint16)


def _jpeg_segment(path: Path, file: BinaryIO) -> tuple[int, bytes]:
    mark = file.read(2)
    while len(mark) == 2 and mark[0] == 0xFF and mark[1] == 0xFF:  # fill bytes
        mark = mark[1:] + file.read(1)
    if len(mark) < 2:
        raise _cut_off(path)
    if mark[0] != 0xFF:
        raise FileReadError(f"{path} is damaged: no JPEG marker where one belongs")
    if mark[1] in _WITHOUT_LENGTH:
        return mark[1], b""
    size = file.read(2)
    payload = file.read(max(0, int.from_bytes(size, "big") - 2))
    if len(size) < 2 or len(payload) < int.from_bytes(size, "big") - 2:
        raise _cut_off(path)
    return mark[1], payload


def _check_jpeg_end(path: Path, file: BinaryIO) -> None:
    """Look for the end marker behind the pixels: decoders fill up with grey, without a word, when it is missing."""
    start = file.tell()
    end = file.seek(0, 2)
    file.seek(max(start, end - _TAIL))
    if b"\xff\xd9" in file.read():
        return
    file.seek(start)
    if b"\xff\xd9" not in file.read():
        raise _cut_off(path)


def _cut_off(path: Path) -> FileReadError:
    return FileReadError(f"{path} is cut off: it ends before its last pixel; copy it again")
