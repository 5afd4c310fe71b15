"""Opening by kind, files that are not read, open handles, threads."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import numpy as np
import psutil
import pytest
import tifffile
import zarr

from napari_seamless.errors import FileReadError
from napari_seamless.images.read import open_image, readable_endings

DATA = np.random.default_rng(0).integers(0, 60000, (6, 130, 140)).astype("uint16")


def write_folder(path: Path) -> None:
    path.mkdir()
    for index, plane in enumerate(DATA):
        tifffile.imwrite(path / f"z{index}.tif", plane)


KINDS: dict[str, Callable[[Path], None]] = {
    "plain.tif": lambda path: tifffile.imwrite(path, DATA, photometric="minisblack"),
    "strips.tif": lambda path: tifffile.imwrite(
        path, DATA, photometric="minisblack", compression="zlib", rowsperstrip=9
    ),
    "tiles.ome.tif": lambda path: tifffile.imwrite(
        path, DATA, photometric="minisblack", compression="lzw", tile=(32, 32), metadata={"axes": "ZYX"}
    ),
    "imagej.tif": lambda path: tifffile.imwrite(path, DATA, imagej=True, metadata={"axes": "ZYX"}),
    "a.zarr": lambda path: zarr.create_array(path, data=DATA, chunks=(2, 40, 50)),
    "b.zarr": lambda path: zarr.create_array(path, data=DATA, chunks=(2, 40, 50), zarr_format=2),
    "slices": write_folder,
}


@pytest.mark.parametrize("name", list(KINDS))
def test_no_file_stays_open(tmp_path: Path, name: str) -> None:
    KINDS[name](tmp_path / name)
    process = psutil.Process()
    before = process.num_fds() if os.name == "posix" else process.num_handles()
    image = open_image(tmp_path / name)
    np.testing.assert_array_equal(image.data, DATA)
    gc.collect()
    assert not [file.path for file in process.open_files() if str(tmp_path) in file.path]
    assert (process.num_fds() if os.name == "posix" else process.num_handles()) <= before + 4


@pytest.mark.parametrize("name", list(KINDS))
def test_threads_read_one_image_at_the_same_time(tmp_path: Path, name: str) -> None:
    KINDS[name](tmp_path / name)
    image = open_image(tmp_path / name)
    rng = np.random.default_rng(0)
    corners = rng.integers(0, [5, 90, 100], (60, 3)).tolist()

    def read(corner: list[int]) -> bool:
        region = tuple(slice(start, start + side) for start, side in zip(corner, (2, 37, 41), strict=True))
        return np.array_equal(image.data[region].compute(scheduler="synchronous"), DATA[region])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, corners))


def test_a_path_may_be_text(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", DATA[0])
    image = open_image(str(tmp_path / "a.tif"))
    assert image.path == tmp_path / "a.tif"


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileReadError, match=r"nowhere\.tif does not exist"):
        open_image(tmp_path / "nowhere.tif")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.tif").touch()
    with pytest.raises(FileReadError, match=r"a\.tif is empty"):
        open_image(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["a.czi", "a.nd2", "a.h5", "a.txt", "a"])
def test_other_kinds_are_refused_with_a_way_out(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"ZISRAWFILE or whatever it may be")
    with pytest.raises(FileReadError, match=r"what is read: TIFF .* OME-Zarr.* Save it as OME-TIFF"):
        open_image(tmp_path / name)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0")

    def refuse(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(FileReadError, match=r"a\.tif cannot be read: Permission denied"):
        open_image(tmp_path / "a.tif")


def test_endings_are_small_letters_with_a_dot() -> None:
    assert {".tif", ".tiff", ".zarr", ".png", ".jpg", ".jpeg"} <= set(readable_endings)
    assert all(ending.startswith(".") and ending == ending.lower() for ending in readable_endings)


def test_a_png_is_opened_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "a.dat").write_bytes(imagecodecs.png_encode(DATA[0]))
    np.testing.assert_array_equal(open_image(tmp_path / "a.dat").data, DATA[0])
