"""What a workspace gives to training, read from the disk alone."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_seamless.errors import WorkspaceError
from napari_seamless.images.image import Image
from napari_seamless.images.read import open_image
from napari_seamless.training.examples import MARKED, PAINTED
from napari_seamless.workspace.opening import open_workspace
from napari_seamless.workspace.training_examples import is_workspace, keep_image, workspace_examples

PIXELS = np.random.default_rng(0).integers(0, 255, (3, 100, 120)).astype(np.uint8)


@pytest.fixture
def workspace(tmp_path):
    tifffile.imwrite(tmp_path / "cells.tif", PIXELS, metadata={"axes": "ZYX"}, photometric="minisblack")
    with open_workspace(open_image(tmp_path / "cells.tif", axes="ZYX")) as opened:
        yield opened


def test_regions_become_examples_with_their_roles(workspace):
    workspace.record_edit({"Z": (1, 2), "Y": (10, 20), "X": (10, 20)}, 5)
    workspace.verify_region({"Z": (2, 3), "Y": (0, 50), "X": (60, 100)})
    workspace.flush()
    assert is_workspace(workspace.folder)
    painted, marked = workspace_examples(workspace.folder)
    assert (painted.role, marked.role) == ("train", "validation")
    np.testing.assert_array_equal(np.asarray(painted.image.data), PIXELS)
    flags = painted.read_verified(((1, 2), (0, 100), (0, 120)))
    assert (flags == PAINTED).sum() == 100
    assert (painted.read_labels(((1, 2), (10, 20), (10, 20))) == 5).all()
    assert (marked.read_verified(((2, 3), (0, 100), (0, 120))) == MARKED).sum() == 50 * 40


def test_a_single_region_leaves_the_roles_open(workspace):
    workspace.verify_region({"Z": (0, 1)})
    workspace.flush()
    (only,) = workspace_examples(workspace.folder)
    assert only.role is None


def test_nothing_verified_is_refused(workspace):
    with pytest.raises(WorkspaceError, match=r"nothing in .* is verified yet"):
        workspace_examples(workspace.folder)


def test_an_image_that_has_gone_is_named(workspace):
    workspace.verify_region({"Z": (0, 1)})
    workspace.flush()
    (workspace.folder.parent / "cells.tif").unlink()
    with pytest.raises(WorkspaceError, match=r"the image of .* \(cells.tif\) is not there any more at .*cells.tif"):
        workspace_examples(workspace.folder)


def test_an_image_without_a_file_is_kept_in_the_workspace(tmp_path):
    image = Image.from_array(PIXELS, "ZYX", (2.0, 0.5, 0.5))
    with open_workspace(image, tmp_path / "array.seamless", name="array") as opened:
        opened.verify_region({"Z": (0, 1)})
        opened.flush()
        with pytest.raises(WorkspaceError, match="is not there any more"):
            workspace_examples(opened.folder)
        keep_image(image, opened.folder)
        keep_image(image, opened.folder)
        (only,) = workspace_examples(opened.folder)
    np.testing.assert_array_equal(np.asarray(only.image.data), PIXELS)
    assert only.image.voxel_size_um == (2.0, 0.5, 0.5)
