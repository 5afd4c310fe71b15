"""Saving Labels layers the way napari does it."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels

import napari_seamless as ns


@pytest.mark.parametrize("file", ["saved.ome.tif", "saved.ome.zarr"])
def test_saved_labels_can_be_opened_again_with_their_voxel_size(tmp_path, file):
    data = np.random.default_rng(0).integers(0, 70_000, (3, 20, 30)).astype(np.uint32)
    layer = Labels(data, scale=(2.0, 0.5, 0.25), units=("micrometer",) * 3, axis_labels=("z", "y", "x"))
    (written,) = layer.save(str(tmp_path / file), plugin="napari-seamless")
    image = ns.open_image(written)
    assert image.axes == "ZYX"
    assert image.voxel_size_um == (2.0, 0.5, 0.25)
    np.testing.assert_array_equal(image.data.compute(), data)
