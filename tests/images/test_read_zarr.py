"""OME-Zarr of all versions and plain zarr, as other programs write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_seamless.errors import AxesError, FileReadError
from napari_seamless.images.read import open_image


def noise(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


def axis(name: str, unit: str | None = None) -> dict[str, str]:
    kind = {"t": "time", "c": "channel"}.get(name, "space")
    return {"name": name, "type": kind} | ({"unit": unit} if unit else {})


def write_group(
    path: Path, levels: list[np.ndarray], multiscale: dict[str, Any], version: str = "0.5", **more: Any
) -> None:
    zarr_format = 3 if version == "0.5" else 2
    ome = {"multiscales": [{"version": version, **multiscale}], **more}
    attributes = {"ome": {"version": "0.5", **ome}} if version == "0.5" else ome
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format, attributes=attributes)
    for index, level in enumerate(levels):
        separator = {"name": "v2", "separator": "/"} if zarr_format == 2 else None
        options: dict[str, Any] = {"chunks": (8,) * level.ndim, "chunk_key_encoding": separator}
        group.create_array(f"s{index}", shape=level.shape, dtype=level.dtype, **options)[...] = level


def datasets(*scales: list[float]) -> list[dict[str, Any]]:
    return [
        {
            "path": f"s{index}",
            "coordinateTransformations": [
                {"type": "scale", "scale": scale},
                {"type": "translation", "translation": [0.5] * len(scale)},
            ],
        }
        for index, scale in enumerate(scales)
    ]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_with_levels_units_and_channels(tmp_path: Path, version: str) -> None:
    data = noise((2, 3, 5, 20, 30))
    small = data[..., ::2, ::2]
    write_group(
        tmp_path / "a.ome.zarr",
        [data, small],
        {
            "axes": [axis("t"), axis("c"), axis("z", "micrometer"), axis("y", "nanometer"), axis("x", "millimeter")],
            "datasets": datasets([1, 1, 2, 500, 0.0005], [1, 1, 2, 1000, 0.001]),
            "coordinateTransformations": [{"type": "scale", "scale": [3, 1, 2, 2, 2]}],
        },
        version,
        omero={"channels": [{"label": "DAPI"}, {"label": 7}, {}]},
    )
    image = open_image(tmp_path / "a.ome.zarr")
    assert (image.axes, image.shape, image.dtype) == ("TCZYX", data.shape, data.dtype)
    assert image.voxel_size_um == pytest.approx((4, 1, 1))
    assert image.channel_names == ("DAPI", "7", "channel 2")
    assert [level.shape for level in image.pyramid] == [data.shape, small.shape]
    np.testing.assert_array_equal(image.data, data)
    np.testing.assert_array_equal(image.data[1, :, 2, 5:9, 25], data[1, :, 2, 5:9, 25])
    np.testing.assert_array_equal(image.pyramid[1], small)


def test_a_level_by_itself_knows_its_axes_and_its_size(tmp_path: Path) -> None:
    data = noise((5, 20, 30))
    write_group(
        tmp_path / "a.ome.zarr",
        [data, data[:, ::2, ::2]],
        {
            "axes": [axis("z", "micrometer"), axis("y", "micrometer"), axis("x", "micrometer")],
            "datasets": datasets([2, 0.5, 0.5], [2, 1, 1]),
        },
    )
    image = open_image(tmp_path / "a.ome.zarr" / "s1")
    assert (image.axes, image.shape, image.pyramid) == ("ZYX", (5, 10, 15), ())
    assert image.voxel_size_um == (2, 1, 1)


@pytest.mark.parametrize("transformations", [None, [], [{"type": "identity"}], [{"type": "scale", "path": "scale"}]])
def test_without_unit_or_scale_the_voxel_size_is_unknown(tmp_path: Path, transformations: Any) -> None:
    entry: dict[str, Any] = {"path": "s0"}
    if transformations is not None:
        entry["coordinateTransformations"] = transformations
    write_group(tmp_path / "a.zarr", [noise((9, 9))], {"axes": [axis("y"), axis("x")], "datasets": [entry]})
    image = open_image(tmp_path / "a.zarr")
    assert (image.axes, image.voxel_size_um, image.pyramid) == ("YX", None, ())


@pytest.mark.parametrize(
    ("axes", "shape", "expected"),
    [
        pytest.param(None, (1, 2, 3, 9, 9), "TCZYX", id="0.1 and 0.2: none"),
        pytest.param(["z", "y", "x"], (3, 9, 9), "ZYX", id="0.3: names"),
        pytest.param([{"name": "Channel"}, {"name": "y"}, {"name": "x"}], (3, 9, 9), "CYX", id="spelt out"),
    ],
)
def test_axes_of_old_versions(tmp_path: Path, axes: Any, shape: tuple[int, ...], expected: str) -> None:
    multiscale: dict[str, Any] = {"datasets": [{"path": "s0"}]} | ({"axes": axes} if axes else {})
    data = noise(shape)
    write_group(tmp_path / "a.zarr", [data], multiscale, "0.1")
    image = open_image(tmp_path / "a.zarr")
    assert image.axes == expected
    np.testing.assert_array_equal(image.data, data)


def test_axes_that_are_no_image_axes_have_to_be_named(tmp_path: Path) -> None:
    multiscale = {"axes": [axis("angle"), axis("y"), axis("x")], "datasets": [{"path": "s0"}]}
    write_group(tmp_path / "a.zarr", [noise((3, 9, 9))], multiscale)
    with pytest.raises(AxesError, match="is not an axis"):
        open_image(tmp_path / "a.zarr")
    assert open_image(tmp_path / "a.zarr", "TYX").axes == "TYX"


def test_labels_inside_an_image(tmp_path: Path) -> None:
    data = noise((9, 9))
    multiscale = {"axes": [axis("y"), axis("x")], "datasets": [{"path": "s0"}]}
    write_group(tmp_path / "a.zarr", [data], multiscale)
    write_group(tmp_path / "a.zarr" / "labels" / "nuclei", [data // 50], multiscale, **{"image-label": {}})
    np.testing.assert_array_equal(open_image(tmp_path / "a.zarr" / "labels" / "nuclei").data, data // 50)


def test_the_first_image_of_a_converted_microscope_file(tmp_path: Path) -> None:
    data = noise((9, 9))
    zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2, attributes={"bioformats2raw.layout": 3})
    multiscale = {"axes": [axis("y"), axis("x")], "datasets": [{"path": "s0"}]}
    write_group(tmp_path / "a.zarr" / "0", [data], multiscale, "0.4")
    np.testing.assert_array_equal(open_image(tmp_path / "a.zarr").data, data)


def test_a_plate_says_what_to_open(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2, attributes={"plate": {"wells": []}})
    with pytest.raises(FileReadError, match=r"plate of many images; open one field"):
        open_image(tmp_path / "a.zarr")


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("shape", "dtype", "axes"),
    [
        ((20, 30), "uint16", "YX"),
        ((4, 20, 30), "uint16", "ZYX"),
        ((20, 30, 3), "uint8", "YXS"),
        ((20, 30, 3), "uint16", "ZYX"),
        ((2, 4, 20, 30), "float32", "CZYX"),
        ((2, 2, 4, 20, 30), "uint16", "TCZYX"),
    ],
)
def test_plain_arrays(tmp_path: Path, zarr_format: Any, shape: tuple[int, ...], dtype: str, axes: str) -> None:
    data = noise(shape, dtype)
    zarr.create_array(tmp_path / "a.zarr", data=data, chunks=(8,) * len(shape), zarr_format=zarr_format)
    image = open_image(tmp_path / "a.zarr")
    assert image.axes == axes
    np.testing.assert_array_equal(image.data, data)


def test_dimension_names_tell_the_axes(tmp_path: Path) -> None:
    data = noise((4, 20, 30))
    zarr.create_array(tmp_path / "a.zarr", data=data, dimension_names=["time", "y", "x"])
    assert open_image(tmp_path / "a.zarr").axes == "TYX"
    array = zarr.create_array(tmp_path / "b.zarr", data=data, zarr_format=2)
    array.attrs["_ARRAY_DIMENSIONS"] = ["y", "x", "z"]
    image = open_image(tmp_path / "b.zarr")
    assert image.axes == "ZYX"
    np.testing.assert_array_equal(image.data, data.transpose(2, 0, 1))


def test_given_axes_win(tmp_path: Path) -> None:
    data = noise((4, 20, 30))
    zarr.create_array(tmp_path / "a.zarr", data=data)
    np.testing.assert_array_equal(open_image(tmp_path / "a.zarr", "XYZ").data, data.transpose(2, 1, 0))


def test_too_many_axes_have_to_be_named(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=noise((2,) * 6))
    with pytest.raises(AxesError, match="has 6 axes"):
        open_image(tmp_path / "a.zarr")


@pytest.mark.parametrize("dtype", [">u2", "<f4", ">f8", "bool", "int8", "uint64"])
def test_pixels_come_in_the_order_of_the_machine(tmp_path: Path, dtype: str) -> None:
    data = noise((20, 30)).astype(dtype)
    zarr.create_array(tmp_path / "a.zarr", data=data, zarr_format=2)
    image = open_image(tmp_path / "a.zarr")
    assert image.dtype.isnative
    assert np.asarray(image.data).dtype == image.dtype
    np.testing.assert_array_equal(image.data, data)


def test_a_sharded_array(tmp_path: Path) -> None:
    data = noise((40, 60))
    codec = zarr.codecs.BloscCodec()
    options: dict[str, Any] = {"shards": (40, 60), "chunks": (8, 10), "compressors": codec}
    zarr.create_array(tmp_path / "a.zarr", shape=data.shape, dtype=data.dtype, **options)[...] = data
    image = open_image(tmp_path / "a.zarr")
    np.testing.assert_array_equal(image.data[3:20, 15:42], data[3:20, 15:42])


def test_opening_reads_no_chunk(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", data=noise((40, 60)), chunks=(20, 20))
    for chunk in (tmp_path / "a.zarr" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"unreadable")
    image = open_image(tmp_path / "a.zarr")
    assert image.shape == (40, 60)


def test_a_huge_array_opens_at_once_and_a_region_reads_its_chunks_alone(tmp_path: Path) -> None:
    path = tmp_path / "huge.zarr"
    array = zarr.create_array(path, shape=(2048, 2304, 2304), chunks=(64, 64, 64), dtype="u2")
    assert array.nbytes > 20e9
    array[1000, 500:628, 512:640] = 7
    elsewhere = path / "c" / "3" / "3" / "3"
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_bytes(b"not to be read")
    image = open_image(path)
    assert image.data.npartitions < 5000
    region = image.data[1000, 400:900, 400:900]
    assert int((region == 7).sum().compute()) == 128 * 128
