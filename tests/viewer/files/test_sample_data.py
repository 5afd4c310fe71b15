"""The images under File > Open Sample."""

from __future__ import annotations

import numpy as np
from napari.components import ViewerModel
from skimage.measure import label

from napari_seamless.viewer.files.sample_data import make_nuclei


def test_tissue_comes_in_colour_and_with_its_nuclear_stain():
    viewer = ViewerModel()
    tissue, stain = viewer.open_sample("napari-seamless", "tissue")
    assert tissue.rgb
    assert tissue.data.shape == (512, 512, 3)
    assert stain.data.shape == (512, 512)
    assert not stain.visible


def test_stack_of_nuclei_is_anisotropic_and_has_units():
    viewer = ViewerModel()
    (layer,) = viewer.open_sample("napari-seamless", "nuclei_stack")
    assert layer.data.dtype == np.uint16
    assert layer.axis_labels == ("z", "y", "x")
    np.testing.assert_allclose(layer.scale, (1.0, 0.4, 0.4))
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 3


def test_nuclei_are_the_same_every_time_and_differ_by_seed():
    shape = (12, 48, 48)
    first = make_nuclei(shape, n_nuclei=6, seed=1)
    np.testing.assert_array_equal(first, make_nuclei(shape, n_nuclei=6, seed=1))
    assert (first != make_nuclei(shape, n_nuclei=6, seed=2)).any()


def test_nuclei_stand_out_from_the_ground():
    stack = make_nuclei((30, 96, 96), n_nuclei=8, seed=3)
    bright = stack > (np.percentile(stack, 1) + np.percentile(stack, 99.8)) / 2
    found = label(bright)
    sizes = np.bincount(found.ravel())[1:]
    assert 3 <= (sizes > 300).sum() <= 8
    assert 0.005 < bright.mean() < 0.2
