"""Outputs: complete or not there at all, and readable by others."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr

from napari_seamless.errors import (
    AxesError,
    ChannelError,
    EmptyImageError,
    FileWriteError,
    OutputExistsError,
    PixelTypeError,
)
from napari_seamless.images import write
from napari_seamless.images.read import open_image
from napari_seamless.images.write import check_output, staged_output, write_array

OUTPUTS = ["out.ome.zarr", "out.zarr", "out.ome.tif", "out.tif", "OUT.TIFF"]
PLAIN = {"shape": (20, 30), "axes": "YX", "dtype": "uint16", "chunks": (8, 8)}


def noise(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("name", OUTPUTS)
def test_regions_written_one_by_one_become_the_file(tmp_path: Path, name: str) -> None:
    data = noise((2, 20, 30))
    options: dict[str, Any] = {"shape": data.shape, "axes": "ZYX", "dtype": "uint16", "chunks": (1, 8, 9)}
    with staged_output(tmp_path / name, voxel_size_um=(2, 0.5, 0.25), **options) as out:
        assert not (tmp_path / name).exists()
        assert (out.shape, out.dtype) == (data.shape, data.dtype)
        for z in range(2):
            for y in range(0, 20, 8):
                for x in range(0, 30, 9):
                    out[z, y : y + 8, x : x + 9] = data[z, y : y + 8, x : x + 9]
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    image = open_image(tmp_path / name)
    assert (image.axes, image.dtype, image.voxel_size_um) == ("ZYX", np.uint16, (2, 0.5, 0.25))
    np.testing.assert_array_equal(image.data, data)


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt(), OSError(errno.ENOENT, "some other file")])
@pytest.mark.parametrize("before", [False, True])
def test_after_an_exception_everything_is_as_before(
    tmp_path: Path, name: str, error: BaseException, before: bool
) -> None:
    if before:
        write_array(tmp_path / name, noise((9, 9)), "YX")
    was = contents(tmp_path)

    def work() -> None:
        with staged_output(tmp_path / name, overwrite=True, **PLAIN) as out:
            out[:8, :8] = 1
            raise error

    with pytest.raises(type(error)) as caught:
        work()
    assert caught.value is error
    assert contents(tmp_path) == was
    assert not any(entry.name.startswith(".") for entry in tmp_path.iterdir())


@pytest.mark.parametrize("name", OUTPUTS)
def test_overwriting_replaces_what_was_there(tmp_path: Path, name: str) -> None:
    write_array(tmp_path / name, noise((9, 9)), "YX")
    write_array(tmp_path / name, noise((30, 40)), "YX", overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    np.testing.assert_array_equal(open_image(tmp_path / name).data, noise((30, 40)))


@pytest.mark.parametrize("name", OUTPUTS)
def test_an_existing_output_is_refused(tmp_path: Path, name: str) -> None:
    write_array(tmp_path / name, noise((9, 9)), "YX")
    was = contents(tmp_path)
    with pytest.raises(OutputExistsError, match=rf"{name} exists; .*--overwrite"):
        write_array(tmp_path / name, noise((30, 40)), "YX")
    assert contents(tmp_path) == was


def test_an_output_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputExistsError, match="appeared while"),
        staged_output(tmp_path / "a.tif", **PLAIN),
    ):
        (tmp_path / "a.tif").write_text("somebody else's")
    assert contents(tmp_path) == {"a.tif": b"somebody else's"}


@pytest.mark.parametrize("name", ["out.png", "out", "out.ome", ".zarr", "out.zarr.gz"])
def test_other_endings_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileWriteError, match=r"an output ends in \.ome\.zarr, \.zarr, \.ome\.tif"):
        check_output(tmp_path / name)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileWriteError, match=r"there is no folder .*nowhere"):
        check_output(tmp_path / "nowhere" / "out.tif")


def test_overwriting_takes_no_other_kind_of_thing_away(tmp_path: Path) -> None:
    (tmp_path / "folder.tif").mkdir()
    with pytest.raises(FileWriteError, match=r"folder\.tif is a folder"):
        check_output(tmp_path / "folder.tif", overwrite=True)
    (tmp_path / "file.zarr").touch()
    with pytest.raises(FileWriteError, match=r"file\.zarr is a file"):
        check_output(tmp_path / "file.zarr", overwrite=True)
    (tmp_path / "thesis.zarr").mkdir()
    (tmp_path / "thesis.zarr" / "chapter1.txt").touch()
    with pytest.raises(FileWriteError, match="other things than a zarr image"):
        check_output(tmp_path / "thesis.zarr", overwrite=True)


def test_a_folder_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *arguments: False)
    with pytest.raises(FileWriteError, match="no permission to write into"):
        check_output(tmp_path / "a.tif")


def test_a_folder_that_refuses_the_first_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, *arguments: object, **keywords: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with (
        pytest.raises(FileWriteError, match=r"a\.tif cannot be written: Permission denied"),
        staged_output(tmp_path / "a.tif", **PLAIN),
    ):
        pytest.fail("the work must not begin")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        pytest.param({"axes": "XY"}, AxesError, "not in the order TCZYX", id="order"),
        pytest.param({"axes": "YXS", "shape": (9, 9, 3)}, AxesError, "written as channels", id="samples"),
        pytest.param({"axes": "ZYX"}, AxesError, "name 3 axes, the array has 2", id="axes"),
        pytest.param({"shape": (0, 9)}, EmptyImageError, "empty", id="empty"),
        pytest.param({"chunks": (8,)}, AxesError, "chunks", id="chunks"),
        pytest.param({"chunks": (0, 8)}, AxesError, "chunks", id="empty chunks"),
        pytest.param({"dtype": "complex64"}, PixelTypeError, "complex64", id="complex"),
        pytest.param({"dtype": "float32", "labels": True}, PixelTypeError, "labels are integers", id="labels"),
        pytest.param({"dtype": "int64"}, FileWriteError, "OME-TIFF has no pixels of type int64", id="int64"),
        pytest.param({"voxel_size_um": (1, 1, 1)}, AxesError, "has 3 entries", id="voxel size"),
        pytest.param({"channel_names": ("a",)}, ChannelError, "without an axis C", id="names without channels"),
    ],
)
def test_descriptions_that_do_not_fit_are_refused_before_the_work(
    tmp_path: Path, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message), staged_output(tmp_path / "a.tif", **{**PLAIN, **change}):
        pytest.fail("the work must not begin")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["out.zarr", "out.tif"])
def test_a_full_disk_while_regions_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    async def refuse(*arguments: object, **keywords: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def work() -> None:
        with staged_output(tmp_path / name, **PLAIN) as out:
            out[:8, :8] = 1
            monkeypatch.setattr(zarr.storage.LocalStore, "set", refuse)
            out[8:16, :8] = 1

    with pytest.raises(FileWriteError, match=rf"{name} cannot be written: No space left on device; make room"):
        work()
    assert not any(tmp_path.iterdir())


def test_a_full_disk_while_the_tiff_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_array(tmp_path / "out.tif", noise((9, 9)), "YX")
    was = contents(tmp_path)
    written = []

    def refuse(handle: Any, data: bytes, *arguments: object) -> int:
        written.append(data)
        if len(written) > 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return int(handle._fh.write(data))

    monkeypatch.setattr(tifffile.FileHandle, "write", refuse)
    with pytest.raises(FileWriteError, match="No space left on device"):
        write_array(tmp_path / "out.tif", noise((900, 900)), "YX", overwrite=True)
    assert contents(tmp_path) == was


def test_when_the_new_folder_cannot_take_its_place_the_old_one_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_array(tmp_path / "out.zarr", noise((9, 9)), "YX")
    was = contents(tmp_path)
    rename = Path.rename

    def refuse_the_new_one(path: Path, target: Path) -> Path:
        if path.name.endswith(".partial"):
            raise OSError(errno.EACCES, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse_the_new_one)
    with pytest.raises(FileWriteError, match="Permission denied"):
        write_array(tmp_path / "out.zarr", noise((30, 40)), "YX", overwrite=True)
    assert contents(tmp_path) == was


def test_the_old_output_is_there_until_the_new_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_array(tmp_path / "out.zarr", noise((9, 9)), "YX")
    removed = []
    rmtree = shutil.rmtree

    def look(path: Path, *arguments: object, **keywords: Any) -> None:
        removed.append((Path(path).suffix, open_image(tmp_path / "out.zarr").shape))
        rmtree(path, *arguments, **keywords)

    monkeypatch.setattr(shutil, "rmtree", look)
    write_array(tmp_path / "out.zarr", noise((30, 40)), "YX", overwrite=True)
    assert removed[0] == (".old", (30, 40))


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path: Path) -> None:
    write_array(tmp_path / "real.zarr", noise((9, 9)), "YX")
    (tmp_path / "link.zarr").symlink_to(tmp_path / "real.zarr")
    write_array(tmp_path / "link.zarr", noise((30, 40)), "YX", overwrite=True)
    assert open_image(tmp_path / "real.zarr").shape == (9, 9)
    assert open_image(tmp_path / "link.zarr").shape == (30, 40)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["link.zarr", "real.zarr"]


def test_metadata_of_ome_zarr(tmp_path: Path) -> None:
    options: dict[str, Any] = {"voxel_size_um": (2, 0.5, 0.25), "channel_names": ("DAPI", "µ")}
    write_array(tmp_path / "mito.ome.zarr", noise((3, 2, 4, 8, 9), "uint8"), "TCZYX", **options)
    group = json.loads((tmp_path / "mito.ome.zarr" / "zarr.json").read_text(encoding="utf-8"))
    assert (group["zarr_format"], group["node_type"]) == (3, "group")
    ome = group["attributes"]["ome"]
    assert ome["version"] == "0.5"
    assert ome["multiscales"] == [
        {
            "name": "image",
            "axes": [
                {"name": "t", "type": "time"},
                {"name": "c", "type": "channel"},
                {"name": "z", "type": "space", "unit": "micrometer"},
                {"name": "y", "type": "space", "unit": "micrometer"},
                {"name": "x", "type": "space", "unit": "micrometer"},
            ],
            "datasets": [
                {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, 1.0, 2.0, 0.5, 0.25]}]}
            ],
        }
    ]
    assert [channel["label"] for channel in ome["omero"]["channels"]] == ["DAPI", "µ"]
    assert ome["omero"]["channels"][0]["window"] == {"min": 0.0, "max": 255.0, "start": 0.0, "end": 255.0}
    array = json.loads((tmp_path / "mito.ome.zarr" / "0" / "zarr.json").read_text())
    assert array["dimension_names"] == ["t", "c", "z", "y", "x"]


def test_labels_are_marked_in_ome_zarr(tmp_path: Path) -> None:
    write_array(tmp_path / "a.zarr", noise((8, 9), "uint32"), "YX", labels=True)
    ome = zarr.open_group(tmp_path / "a.zarr", mode="r").attrs["ome"]
    assert "image-label" in ome
    assert "omero" not in ome
    write_array(tmp_path / "b.zarr", noise((8, 9), "uint32"), "YX")
    assert "image-label" not in zarr.open_group(tmp_path / "b.zarr", mode="r").attrs["ome"]


@pytest.mark.parametrize(
    ("highest", "stored"), [(3, "uint16"), (65535, "uint16"), (65536, "uint32"), (2**32 - 1, "uint32")]
)
def test_labels_in_tiff_take_the_smallest_type(tmp_path: Path, highest: int, stored: str) -> None:
    labels = np.zeros((3, 40, 50), np.uint64)
    labels[1, 20, 30] = highest
    write_array(tmp_path / "a.tif", labels, "ZYX", labels=True)
    image = open_image(tmp_path / "a.tif")
    assert image.dtype == stored
    np.testing.assert_array_equal(image.data, labels)


@pytest.mark.parametrize("wrong", [-1, 2**32])
def test_labels_that_tiff_cannot_hold(tmp_path: Path, wrong: int) -> None:
    labels = np.full((9, 9), wrong, np.int64)
    with pytest.raises(FileWriteError, match=r"labels are 0 to 4294967295 in OME-TIFF"):
        write_array(tmp_path / "a.tif", labels, "YX", labels=True)
    assert not any(tmp_path.iterdir())


def test_tiff_is_tiled_compressed_and_ome(tmp_path: Path) -> None:
    write_array(tmp_path / "a.tif", noise((2, 3, 700, 1200)), "TZYX", voxel_size_um=(2, 0.5, 0.25))
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.is_ome
        assert not tif.is_bigtiff
        assert tif.series[0].axes == "TZYX"
        page = tif.pages[0]
        assert page.tile == (512, 512)
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert 'PhysicalSizeXUnit="µm"' in tif.ome_metadata
        assert 'PhysicalSizeZ="2' in tif.ome_metadata


def test_the_same_labels_make_the_same_tiff_whatever_it_is_called_and_however_it_was_filled(tmp_path: Path) -> None:
    labels = noise((2, 700, 900), "uint32")
    for name, chunk in (("a.tif", 64), ("b.ome.tif", 600)):
        chunks = (1, chunk, chunk)
        with staged_output(
            tmp_path / name, shape=labels.shape, axes="ZYX", dtype="uint32", chunks=chunks, labels=True
        ) as out:
            out[:] = labels
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.ome.tif").read_bytes()


def test_tiff_beyond_2_gb_is_bigtiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_seamless.images.write_tiff._BIG_BYTES", 1000)
    write_array(tmp_path / "a.tif", noise((30, 40)), "YX")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.is_bigtiff


def test_tiles_are_read_in_bands_that_fit_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_seamless.images.write_tiff._BAND_BYTES", 1)
    data = noise((1100, 1600))
    write_array(tmp_path / "a.tif", data, "YX")
    np.testing.assert_array_equal(open_image(tmp_path / "a.tif").data, data)


def test_lazy_arrays_are_written_block_by_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "_BLOCK_ELEMENTS", 1000)
    largest = []
    data = noise((6, 50, 60))

    def note(block: np.ndarray) -> np.ndarray:
        largest.append(block.size)
        return block

    lazy = da.from_array(data, chunks=(1, 50, 60)).map_blocks(note, dtype=data.dtype, meta=data[:0, :0, :0])
    write_array(tmp_path / "a.tif", lazy, "TYX")
    assert max(largest) <= 3000
    np.testing.assert_array_equal(open_image(tmp_path / "a.tif").data, data)


def test_chunks_that_tiff_is_staged_in_divide_those_asked_for(tmp_path: Path) -> None:
    options: dict[str, Any] = {"shape": (3, 4100, 200), "axes": "ZYX", "dtype": "uint8", "chunks": (2, 2048, 192)}
    with staged_output(tmp_path / "a.tif", **options) as out:
        assert out.chunks == (1, 512, 192)


def test_booleans_become_numbers_and_axes_their_order(tmp_path: Path) -> None:
    mask = noise((8, 9, 3)) > 100
    for name in ("a.zarr", "a.tif"):
        write_array(tmp_path / name, mask, "yxz")
        image = open_image(tmp_path / name)
        assert (image.axes, image.dtype) == ("ZYX", np.uint8)
        np.testing.assert_array_equal(image.data, np.moveaxis(mask, -1, 0))
