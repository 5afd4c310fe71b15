"""Files that are cut off or damaged: one clear error, never silence, zeros, or a library's own exception."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numcodecs
import numpy as np
import pytest
import tifffile
import zarr

from napari_seamless.errors import FileReadError
from napari_seamless.images.read import open_image
from napari_seamless.images.write import write_array


def noise(shape: tuple[int, ...], dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


def tiff(data: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, data, **{"photometric": "minisblack", **options})
    return buffer.getvalue()


def pages(**options: Any) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for page in noise((9, 40, 50)):
            writer.write(page, metadata=None, contiguous=False, **options)
    return buffer.getvalue()


STACK = noise((9, 40, 50), "uint16")
FILES: dict[str, Callable[[], bytes]] = {
    "plain.tif": lambda: tiff(noise((200, 100))),
    "stack.tif": lambda: tiff(STACK),
    "stack_zlib.tif": lambda: tiff(STACK, compression="zlib"),
    "strips_lzw.tif": lambda: tiff(STACK, compression="lzw", rowsperstrip=8),
    "strips_packbits.tif": lambda: tiff(STACK, compression="packbits", rowsperstrip=8),
    "tiles.tif": lambda: tiff(STACK, tile=(16, 16)),
    "tiles_zstd.tif": lambda: tiff(STACK, tile=(16, 16), compression="zstd"),
    "jpeg.tif": lambda: tiff(noise((64, 64, 3)), photometric="rgb", compression="jpeg", tile=(16, 16)),
    "big.tif": lambda: tiff(STACK, bigtiff=True, byteorder=">", compression="zlib"),
    "imagej.tif": lambda: tiff(STACK, imagej=True, metadata={"axes": "ZYX"}, photometric=None),
    "ome.ome.tif": lambda: tiff(STACK, ome=True, metadata={"axes": "ZYX"}, compression="zlib"),
    "ome_plain.ome.tif": lambda: tiff(STACK, ome=True, metadata={"axes": "ZYX"}),
    "pages.tif": lambda: pages(compression="zlib"),
    "pages_plain.tif": lambda: pages(),
    "image.png": lambda: imagecodecs.png_encode(noise((60, 70, 3))),
    "image.jpg": lambda: imagecodecs.jpeg_encode(noise((60, 70, 3))),
    "grey.jpeg": lambda: imagecodecs.jpeg_encode(noise((60, 70))),
}


@pytest.mark.parametrize("name", list(FILES))
@pytest.mark.parametrize("kept", [0.01, 0.1, 0.5, 0.9])
def test_a_file_that_is_cut_off(tmp_path: Path, name: str, kept: float) -> None:
    whole = FILES[name]()
    path = tmp_path / name
    path.write_bytes(whole)
    np.asarray(open_image(path).data)
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(FileReadError, match=name) as caught:
        np.asarray(open_image(path).data)
    assert type(caught.value) is FileReadError
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".tif")])
def test_a_file_that_is_cut_off_after_it_was_opened(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name]())
    image = open_image(path)
    path.write_bytes(b"II*\0")
    with pytest.raises(FileReadError, match="is cut off"):
        np.asarray(image.data)


@pytest.mark.parametrize("name", list(FILES))
def test_a_file_that_vanishes_after_it_was_opened(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name]())
    image = open_image(path)
    path.unlink()
    with pytest.raises(FileReadError, match=name):
        np.asarray(image.data)


@pytest.mark.parametrize("name", ["stack_zlib.tif", "tiles_zstd.tif", "image.png"])
def test_bytes_that_do_not_decode(tmp_path: Path, name: str) -> None:
    whole = bytearray(FILES[name]())
    middle = len(whole) // 2
    whole[middle : middle + 200] = bytes([0xAA]) * 200
    (tmp_path / name).write_bytes(whole)
    with pytest.raises(FileReadError, match=name):
        np.asarray(open_image(tmp_path / name).data)


def test_only_what_is_read_needs_to_be_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, compression="zlib", photometric="minisblack")
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[6]
        offset, count = page.dataoffsets[0], page.databytecounts[0]
    with path.open("rb+") as file:
        file.seek(offset)
        file.write(b"\xff" * count)
    image = open_image(path)
    np.testing.assert_array_equal(image.data[:6], STACK[:6])
    with pytest.raises(FileReadError, match=r"a\.tif cannot be decoded at \[6:7"):
        image.data[6].compute()


def test_a_strip_that_was_never_written_is_no_black_stripe(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise((64, 40)), compression="zlib", rowsperstrip=16)
    with tifffile.TiffFile(path, mode="r+b") as tif:
        counts = list(tif.pages[0].databytecounts)
        counts[2] = 0
        tif.pages[0].tags["StripByteCounts"].overwrite(counts)
    with pytest.raises(FileReadError, match="lacks the strip 2"):
        np.asarray(open_image(path).data)


def test_a_tile_that_a_slide_scanner_left_out_is_empty(tmp_path: Path) -> None:
    data = noise((32, 48))
    data[:16, 16:32] = 0
    tiles = [data[y : y + 16, x : x + 16] for y in (0, 16) for x in (0, 16, 32)]
    sparse = (None if index == 1 else tile for index, tile in enumerate(tiles))
    tifffile.imwrite(tmp_path / "a.tif", sparse, shape=data.shape, dtype="uint8", tile=(16, 16))
    np.testing.assert_array_equal(open_image(tmp_path / "a.tif").data, data)


def test_a_file_of_another_kind_than_its_name_says(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("not an image")
    with pytest.raises(FileReadError, match=r"a\.tif is damaged: its first bytes are not those of a \.tif file"):
        open_image(tmp_path / "a.tif")


def zarr_image(folder: Path) -> Path:
    path = folder / "a.ome.zarr"
    write_array(path, noise((40, 50)), "YX")
    return path


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"zarr_format": 3, "node_type": "group", "attributes": 5}'])
@pytest.mark.parametrize("file", ["zarr.json", "0/zarr.json"])
def test_zarr_metadata_that_cannot_be_read(tmp_path: Path, file: str, text: str) -> None:
    path = zarr_image(tmp_path)
    (path / file).write_text(text)
    with pytest.raises(FileReadError, match=r"a\.ome\.zarr"):
        open_image(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"multiscales": []}, "name no array", id="no image"),
        pytest.param({"multiscales": [{"datasets": [{"path": "7"}]}]}, "level '7', which is not there", id="no level"),
        pytest.param({"multiscales": 5}, "name no array", id="a number"),
        pytest.param({"plate": {}}, "a plate of many images", id="plate"),
        pytest.param({"version": "0.5"}, "without an image of its own; open what is in it: 0", id="no multiscales"),
    ],
)
def test_ome_metadata_that_make_no_image(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = zarr_image(tmp_path)
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"]["ome"] = change
    (path / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(FileReadError, match=message):
        open_image(path)


@pytest.mark.parametrize("kept", [3, 100, 0.999])
@pytest.mark.parametrize("codec", ["written here", "blosc of version 3", "blosc of version 2", "gzip"])
def test_a_zarr_chunk_that_is_cut_off(tmp_path: Path, codec: str, kept: float) -> None:
    path = tmp_path / "a.zarr"
    data = noise((40, 50))
    if codec == "written here":
        write_array(path, data, "YX")
    elif codec == "blosc of version 2":
        zarr.create_array(path, data=data, chunks=(40, 50), zarr_format=2, compressors=numcodecs.Blosc())
    else:
        compressor = zarr.codecs.BloscCodec() if "blosc" in codec else zarr.codecs.GzipCodec()
        zarr.create_array(path, data=data, chunks=(40, 50), compressors=compressor)
    np.testing.assert_array_equal(open_image(path).data, data)
    chunk = max((file for file in path.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[: kept if kept >= 1 else int(len(whole) * kept)])
    image = open_image(path)
    with pytest.raises(FileReadError, match=r"a\.zarr"):
        np.asarray(image.data)


def test_a_chunk_written_here_that_changed_on_the_disk(tmp_path: Path) -> None:
    path = zarr_image(tmp_path)
    chunk = path / "0" / "c" / "0" / "0"
    damaged = bytearray(chunk.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    chunk.write_bytes(damaged)
    image = open_image(path)
    with pytest.raises(FileReadError, match=r"a\.ome\.zarr cannot be decoded at \[0:40, 0:50\]"):
        np.asarray(image.data)


def test_a_zarr_chunk_that_was_never_written_holds_the_fill_value(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", shape=(8, 9), chunks=(4, 4), dtype="u1", fill_value=3)
    assert (np.asarray(open_image(tmp_path / "a.zarr").data) == 3).all()


def test_a_zarr_folder_without_metadata(tmp_path: Path) -> None:
    (tmp_path / "a.ome.zarr" / "0").mkdir(parents=True)
    with pytest.raises(FileReadError, match="a zarr folder without its metadata"):
        open_image(tmp_path / "a.ome.zarr")
