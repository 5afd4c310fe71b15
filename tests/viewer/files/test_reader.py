"""Files and folders as layers, through napari's own way of opening them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from napari.components import ViewerModel
from npe2 import PluginManager

import napari_seamless as ns
from napari_seamless.errors import FileReadError
from napari_seamless.images.read import readable_endings
from napari_seamless.images.write import write_array
from napari_seamless.viewer.files.reader import get_reader, name_of


def opened(path: Path) -> list[Any]:
    """The layers that a drop of `path` brings."""
    viewer = ViewerModel()
    return viewer.open(path, plugin="napari-seamless")


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 60_000, shape).astype(np.uint16)


def test_stack_of_tiff_is_lazy_and_keeps_its_voxel_size(tmp_path):
    data = pixels(4, 20, 30)
    write_array(tmp_path / "stack.ome.tif", data, "ZYX", voxel_size_um=(2.0, 0.5, 0.25))
    (layer,) = opened(tmp_path / "stack.ome.tif")
    assert isinstance(layer.data, da.Array)
    np.testing.assert_array_equal(layer.data.compute(), data)
    assert layer.name == "stack"
    np.testing.assert_allclose(layer.scale, (2.0, 0.5, 0.25))
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
    assert layer.axis_labels == ("z", "y", "x")


def test_channels_become_layers_with_names_and_colours(tmp_path):
    data = pixels(3, 2, 5, 20, 30)
    names = ("DAPI", "actin")
    write_array(tmp_path / "movie.ome.zarr", data, "TCZYX", voxel_size_um=(2.0, 0.5, 0.5), channel_names=names)
    first, second = opened(tmp_path / "movie.ome.zarr")
    assert (first.name, second.name) == ("movie · DAPI", "movie · actin")
    assert (first.colormap.name, second.colormap.name) == ("blue", "green")
    assert (first.blending, second.blending) == ("translucent_no_depth", "additive")
    np.testing.assert_array_equal(second.data.compute(), data[:, 1])
    np.testing.assert_allclose(second.scale, (1.0, 2.0, 0.5, 0.5))
    assert second.axis_labels == ("t", "z", "y", "x")
    assert second.metadata["napari_seamless"]["channel"] == 1


def test_colour_image_is_one_colour_layer(tmp_path):
    data = pixels(20, 30, 3).astype(np.uint8)
    tifffile.imwrite(tmp_path / "tissue.tif", data, photometric="rgb")
    (layer,) = opened(tmp_path / "tissue.tif")
    assert layer.rgb
    assert layer.ndim == 2
    np.testing.assert_array_equal(np.asarray(layer.data), data)


def test_pyramid_becomes_a_multiscale_layer(tmp_path):
    data = pixels(64, 96)
    group = zarr.open_group(tmp_path / "pyramid.ome.zarr", mode="w", zarr_format=3)
    steps = (1, 2, 4)
    for level, step in enumerate(steps):
        group.create_array(str(level), data=data[::step, ::step])
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [
            {
                "axes": [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"],
                "datasets": [
                    {
                        "path": str(level),
                        "coordinateTransformations": [{"type": "scale", "scale": [0.5 * step] * 2}],
                    }
                    for level, step in enumerate(steps)
                ],
            }
        ],
    }
    (layer,) = opened(tmp_path / "pyramid.ome.zarr")
    assert layer.multiscale
    assert [level.shape for level in layer.data] == [(64, 96), (32, 48), (16, 24)]
    np.testing.assert_allclose(layer.scale, (0.5, 0.5))


def test_folder_of_slices_is_a_stack(tmp_path):
    folder = tmp_path / "slices"
    folder.mkdir()
    data = pixels(3, 20, 30)
    for index, plane in enumerate(data):
        tifffile.imwrite(folder / f"z{index}.tif", plane)
    (layer,) = opened(folder)
    assert layer.axis_labels == ("z", "y", "x")
    np.testing.assert_array_equal(layer.data.compute(), data)


def test_labels_file_becomes_a_labels_layer_to_paint_on(tmp_path):
    data = pixels(20, 30).astype(np.uint32)
    write_array(tmp_path / "labels.ome.zarr", data, "YX", voxel_size_um=(0.5, 0.5), labels=True)
    (layer,) = opened(tmp_path / "labels.ome.zarr")
    assert type(layer).__name__ == "Labels"
    np.testing.assert_array_equal(layer.data, data)
    np.testing.assert_allclose(layer.scale, (0.5, 0.5))
    layer.paint((3, 4), 7)
    assert layer.data[3, 4] == 7


def test_labels_inside_an_image_come_with_it(tmp_path):
    data = pixels(20, 30)
    write_array(tmp_path / "image.ome.zarr", data, "YX")
    inside = zarr.open_group(tmp_path / "image.ome.zarr" / "labels", mode="w", zarr_format=3)
    inside.attrs["ome"] = {"version": "0.5", "labels": ["nuclei"]}
    write_array(tmp_path / "nuclei.zarr", (data > 30_000).astype(np.uint8), "YX", labels=True)
    (tmp_path / "nuclei.zarr").rename(tmp_path / "image.ome.zarr" / "labels" / "nuclei")
    image, labels = opened(tmp_path / "image.ome.zarr")
    assert (type(image).__name__, type(labels).__name__) == ("Image", "Labels")
    assert labels.name == "nuclei"
    np.testing.assert_array_equal(labels.data, data > 30_000)


def test_labels_with_a_channel_axis_become_a_layer_per_channel(tmp_path):
    data = pixels(2, 20, 30).astype(np.uint32)
    write_array(tmp_path / "one.ome.zarr", data[:1], "CYX", labels=True)
    (layer,) = opened(tmp_path / "one.ome.zarr")
    np.testing.assert_array_equal(layer.data, data[0])
    write_array(tmp_path / "two.ome.zarr", data, "CYX", labels=True)
    first, second = opened(tmp_path / "two.ome.zarr")
    assert (first.name, second.name) == ("two · channel 0", "two · channel 1")
    np.testing.assert_array_equal(second.data, data[1])


def test_colours_follow_the_stain_and_are_not_used_twice(tmp_path):
    names = ("H2B-mRFP1", "membrane", "eGFP", "other")
    write_array(tmp_path / "stains.ome.zarr", pixels(4, 20, 30), "CYX", channel_names=names)
    colours = [layer.colormap.name for layer in opened(tmp_path / "stains.ome.zarr")]
    assert colours == ["red", "magenta", "green", "cyan"]


def test_plain_zarr_and_png_are_read(tmp_path):
    data = pixels(5, 20, 30)
    zarr.create_array(tmp_path / "plain.zarr", data=data)
    (layer,) = opened(tmp_path / "plain.zarr")
    np.testing.assert_array_equal(layer.data.compute(), data)
    from skimage.io import imsave

    flat = pixels(20, 30).astype(np.uint8)
    imsave(tmp_path / "flat.png", flat, check_contrast=False)
    (layer,) = opened(tmp_path / "flat.png")
    np.testing.assert_array_equal(np.asarray(layer.data), flat)
    np.testing.assert_allclose(layer.scale, (1.0, 1.0))


def test_damaged_file_ends_in_the_error_of_the_core(tmp_path):
    path = tmp_path / "damaged.tif"
    path.write_bytes(b"this is no image at all")
    with pytest.raises(FileReadError) as of_core:
        ns.open_image(path)
    read = get_reader(str(path))
    assert read is not None
    with pytest.raises(FileReadError) as of_reader:
        read(str(path))
    assert str(of_reader.value) == str(of_core.value)


def test_what_it_does_not_read_is_left_to_others(tmp_path):
    assert get_reader(str(tmp_path / "notes.txt")) is None
    assert get_reader([str(tmp_path / "a.tif"), str(tmp_path / "b.tif")]) is None


def test_manifest_names_every_ending_that_is_read():
    manifest = PluginManager.instance().get_manifest("napari-seamless")
    (reader,) = manifest.contributions.readers
    assert set(reader.filename_patterns) == {f"*{ending}" for ending in (*readable_endings, ".seamless", ".zip")}
    assert reader.accepts_directories


@pytest.mark.parametrize(
    ("file", "name"),
    [("a.ome.tif", "a"), ("a.b.tiff", "a.b"), ("a.OME.ZARR", "a"), ("slices", "slices"), ("a.png", "a")],
)
def test_layers_are_called_like_their_files(file, name):
    assert name_of(Path(file)) == name
