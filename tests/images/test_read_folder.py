"""Folders of slices."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from napari_seamless.errors import AxesError, FileReadError
from napari_seamless.images.read import open_image


def write_slices(folder: Path, data: np.ndarray, names: list[str] | None = None) -> None:
    folder.mkdir(exist_ok=True)
    for index, plane in enumerate(data):
        photometric = "rgb" if plane.ndim == 3 and plane.shape[-1] == 3 else "minisblack"
        tifffile.imwrite(folder / (names[index] if names else f"z{index}.tif"), plane, photometric=photometric)


def noise(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


def test_slices_are_stacked_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    data = noise((12, 20, 30))
    write_slices(tmp_path / "stack", data)
    image = open_image(tmp_path / "stack")
    assert (image.axes, image.shape, image.voxel_size_um) == ("ZYX", (12, 20, 30), None)
    np.testing.assert_array_equal(image.data, data)
    np.testing.assert_array_equal(image.data[9:, 3:8, 5], data[9:, 3:8, 5])


def test_names_with_several_numbers_and_capitals(tmp_path: Path) -> None:
    data = noise((4, 8, 9))
    write_slices(tmp_path / "stack", data, ["s1_z2.tif", "S1_Z10.TIF", "s2_z1.tif", "s10_z1.tiff"])
    np.testing.assert_array_equal(open_image(tmp_path / "stack").data, data)


def test_colours_stay_last(tmp_path: Path) -> None:
    data = noise((4, 8, 9, 3), "uint8")
    write_slices(tmp_path / "stack", data)
    image = open_image(tmp_path / "stack")
    assert image.axes == "ZYXS"
    np.testing.assert_array_equal(image.data, data)


def test_stacks_become_a_time_series_with_their_voxel_size(tmp_path: Path) -> None:
    data = noise((3, 4, 8, 9))
    (tmp_path / "series").mkdir()
    for index, stack in enumerate(data):
        options = {"imagej": True, "metadata": {"axes": "ZYX", "unit": "um", "spacing": 2}, "resolution": (4, 4)}
        tifffile.imwrite(tmp_path / "series" / f"t{index}.tif", stack, **options)
    image = open_image(tmp_path / "series")
    assert (image.axes, image.voxel_size_um) == ("TZYX", (2.0, 0.25, 0.25))
    np.testing.assert_array_equal(image.data, data)


def test_what_the_files_count_can_be_said(tmp_path: Path) -> None:
    data = noise((3, 8, 9))
    write_slices(tmp_path / "stack", data)
    assert open_image(tmp_path / "stack", "TYX").axes == "TYX"
    image = open_image(tmp_path / "stack", "CYX")
    assert image.channel_names == ("channel 0", "channel 1", "channel 2")
    with pytest.raises(AxesError, match="name 2 axes"):
        open_image(tmp_path / "stack", "YX")


def test_png_slices_and_other_files_beside_them(tmp_path: Path) -> None:
    data = noise((3, 8, 9), "uint8")
    for index, plane in enumerate(data):
        (tmp_path / f"{index}.png").write_bytes(imagecodecs.png_encode(plane))
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_bytes(b"not an image either")
    (tmp_path / "folder.tif").mkdir()
    np.testing.assert_array_equal(open_image(tmp_path).data, data)


@pytest.mark.parametrize(
    ("odd", "found"),
    [
        pytest.param(np.zeros((8, 10), np.uint16), r"YX \(8, 10\) uint16", id="shape"),
        pytest.param(np.zeros((8, 9), np.uint8), r"YX \(8, 9\) uint8", id="type"),
        pytest.param(np.zeros((8, 9, 3), np.uint16), r"YXS \(8, 9, 3\) uint16", id="colour"),
    ],
)
def test_slices_that_differ_are_no_stack(tmp_path: Path, odd: np.ndarray, found: str) -> None:
    write_slices(tmp_path / "stack", noise((3, 8, 9)))
    write_slices(tmp_path / "stack", odd[None], ["z9.tif"])
    message = rf"stack is no stack: .*z0\.tif is YX \(8, 9\) uint16 and z9\.tif is {found}"
    with pytest.raises(FileReadError, match=message):
        open_image(tmp_path / "stack")


def test_a_slice_that_changes_after_opening(tmp_path: Path) -> None:
    write_slices(tmp_path / "stack", noise((3, 8, 9)))
    image = open_image(tmp_path / "stack")
    write_slices(tmp_path / "stack", noise((1, 8, 10)), ["z1.tif"])
    with pytest.raises(FileReadError, match=r"z1\.tif is YX \(8, 10\)"):
        np.asarray(image.data)


def test_a_damaged_slice(tmp_path: Path) -> None:
    write_slices(tmp_path / "stack", noise((3, 8, 9)))
    (tmp_path / "stack" / "z1.tif").write_bytes(b"II*\0")
    with pytest.raises(FileReadError, match=r"z1\.tif"):
        open_image(tmp_path / "stack")


def test_a_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(FileReadError, match=r"holds no image; a stack is a folder of files ending in \.tif"):
        open_image(tmp_path)


def test_no_axis_left_to_stack_along(tmp_path: Path) -> None:
    data = noise((2, 2, 2, 2, 8, 9))
    (tmp_path / "stack").mkdir()
    for index, image in enumerate(data):
        metadata = {"axes": "TCZYX"}
        path = tmp_path / "stack" / f"{index}.ome.tif"
        tifffile.imwrite(path, image, ome=True, photometric="minisblack", metadata=metadata)
    with pytest.raises(FileReadError, match="no axis left"):
        open_image(tmp_path / "stack")
