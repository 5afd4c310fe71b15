"""PNG and JPEG files in the forms that cameras and programs write."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from napari_seamless.errors import FileReadError
from napari_seamless.images.read import open_image


def noise(shape: tuple[int, ...], dtype: str = "uint8", high: int = 250) -> np.ndarray:
    return np.random.default_rng(0).integers(0, high, shape).astype(dtype)


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *more: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("shape", "dtype", "axes"),
    [
        ((20, 30), "uint8", "YX"),
        ((20, 30), "uint16", "YX"),
        ((20, 30, 3), "uint8", "YXS"),
        ((20, 30, 3), "uint16", "YXS"),
        ((20, 30, 4), "uint8", "YXS"),
    ],
)
def test_png_gives_every_bit_back(tmp_path: Path, shape: tuple[int, ...], dtype: str, axes: str) -> None:
    data = noise(shape, dtype, high=2 ** (8 * np.dtype(dtype).itemsize))
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(data))
    image = open_image(tmp_path / "a.png")
    assert (image.axes, image.shape, image.dtype) == (axes, shape, np.dtype(dtype))
    np.testing.assert_array_equal(image.data, data)
    np.testing.assert_array_equal(image.data[3:9, 5], data[3:9, 5])


def test_alpha_beside_grey_is_dropped(tmp_path: Path) -> None:
    data = noise((20, 30, 2))
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(data))
    image = open_image(tmp_path / "a.png")
    assert image.axes == "YX"
    np.testing.assert_array_equal(image.data, data[..., 0])


def test_a_palette_becomes_rgb_with_and_without_a_transparent_colour(tmp_path: Path) -> None:
    rows = b"\x00\x00\x01\x00\x01\x00"  # two rows of two pixels, each after its filter byte
    palette = bytes([255, 0, 0, 0, 0, 9])
    for name, more in (("a.png", []), ("b.png", [(b"tRNS", b"\x00")])):
        (tmp_path / name).write_bytes(png(2, 2, 8, 3, rows, (b"PLTE", palette), *more))
        image = open_image(tmp_path / name)
        assert (image.axes, image.shape) == ("YXS", (2, 2, 3))
        np.testing.assert_array_equal(image.data, [[[255, 0, 0], [0, 0, 9]], [[0, 0, 9], [255, 0, 0]]])


@pytest.mark.parametrize("samples", [1, 3])
def test_jpeg_is_what_the_decoder_gives(tmp_path: Path, samples: int) -> None:
    ramp = np.add.outer(np.arange(40), np.arange(60)).astype(np.uint8)
    data = ramp if samples == 1 else np.stack([ramp, ramp * 2, 200 - ramp], -1)
    encoded = imagecodecs.jpeg_encode(data, level=95)
    (tmp_path / "a.jpg").write_bytes(encoded)
    image = open_image(tmp_path / "a.jpg")
    assert image.axes == "YXS"[: data.ndim]
    np.testing.assert_array_equal(image.data, imagecodecs.jpeg_decode(encoded))
    assert np.abs(np.asarray(image.data).astype(int) - data).mean() < 5


def test_jpeg_with_a_thumbnail_is_not_taken_for_complete(tmp_path: Path) -> None:
    thumbnail = imagecodecs.jpeg_encode(noise((8, 8)))
    encoded = imagecodecs.jpeg_encode(noise((60, 70)))
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    whole = encoded[:2] + segment + encoded[2:]
    (tmp_path / "a.jpg").write_bytes(whole)
    assert open_image(tmp_path / "a.jpg").shape == (60, 70)
    (tmp_path / "a.jpg").write_bytes(whole[:-200])
    with pytest.raises(FileReadError, match="cut off"):
        open_image(tmp_path / "a.jpg")


def test_jpeg_of_inks_is_refused(tmp_path: Path) -> None:
    encoded = imagecodecs.jpeg_encode(noise((16, 16, 4)), colorspace="CMYK", outcolorspace="CMYK")
    (tmp_path / "a.jpg").write_bytes(encoded)
    with pytest.raises(FileReadError, match="JPEG of 4 inks; convert it"):
        open_image(tmp_path / "a.jpg")


def test_the_kind_is_told_by_the_first_bytes(tmp_path: Path) -> None:
    data = noise((20, 30))
    (tmp_path / "a.tif").write_bytes(imagecodecs.png_encode(data))
    np.testing.assert_array_equal(open_image(tmp_path / "a.tif").data, data)


def test_given_axes_win(tmp_path: Path) -> None:
    data = noise((20, 30, 3))
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(data))
    image = open_image(tmp_path / "a.png", "YXC")
    assert image.axes == "CYX"
    np.testing.assert_array_equal(image.data, np.moveaxis(data, -1, 0))


def test_opening_decodes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(50_000, 40_000, 16, 2, b""))
    image = open_image(tmp_path / "a.png")
    assert (image.shape, image.dtype) == ((40_000, 50_000, 3), np.uint16)
