"""The uncertainty map beside the labels: what it says about itself, replaced whole, and what damage does."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_seamless.errors import Cancelled, WorkspaceError
from napari_seamless.images.image import Image
from napari_seamless.inference.uncertainty_map import predict_uncertainty
from napari_seamless.models.model import Model, create_model
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.workspace.session import Workspace
from napari_seamless.workspace.uncertainty_file import UNCERTAINTY, make_map, read_map

SHAPE = (2, 20, 28)
PIXELS = np.random.default_rng(0).integers(0, 255, SHAPE).astype(np.uint8)
IMAGE = Image.from_array(PIXELS, "ZYX")


def model_called(name: str) -> Model:
    return create_model(NetworkConfig(architecture="unetpp", features=(2, 2, 2)), name=name, seed=0)


def test_there_is_none_at_first(workspace: Workspace) -> None:
    assert read_map(workspace.folder, SHAPE) is None


def test_it_names_its_model_and_is_replaced(tmp_path: Path) -> None:
    make_map(tmp_path, IMAGE, model_called("first"))
    found = read_map(tmp_path, SHAPE)
    assert found is not None
    assert (found.model, found.measure, found.made[:2]) == ("first", "disagreement", "20")
    expected = predict_uncertainty(PIXELS, model_called("first"), axes="ZYX")
    np.testing.assert_allclose(found.array[:], expected, atol=1e-3)
    assert found.highest == pytest.approx(expected.max(), abs=1e-3)
    make_map(tmp_path, IMAGE, model_called("second"))
    replaced = read_map(tmp_path, SHAPE)
    assert replaced is not None
    assert replaced.model == "second"
    assert [file.name for file in tmp_path.iterdir()] == [UNCERTAINTY]


def test_cancelled_it_stays_as_it_was(tmp_path: Path) -> None:
    make_map(tmp_path, IMAGE, model_called("first"))
    with pytest.raises(Cancelled):
        make_map(tmp_path, IMAGE, model_called("second"), should_stop=lambda: True)
    found = read_map(tmp_path, SHAPE)
    assert found is not None
    assert found.model == "first"


@pytest.mark.parametrize("lost", ["zarr.json", "0", "0/zarr.json"])
def test_damage_is_told_and_mended(lost: str, tmp_path: Path) -> None:
    make_map(tmp_path, IMAGE, model_called("first"))
    path = tmp_path / UNCERTAINTY / lost
    shutil.rmtree(path) if path.is_dir() else path.write_text("{")
    if lost != "zarr.json":  # the description of the folder itself holds nothing that is needed here
        with pytest.raises(WorkspaceError, match="map the uncertainty again"):
            read_map(tmp_path, SHAPE)
    make_map(tmp_path, IMAGE, model_called("second"))
    assert read_map(tmp_path, SHAPE) is not None


def test_a_map_of_another_image_is_refused(tmp_path: Path) -> None:
    make_map(tmp_path, IMAGE, model_called("first"))
    with pytest.raises(WorkspaceError, match="has shape"):
        read_map(tmp_path, (3, 20, 28))
