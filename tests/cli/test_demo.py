"""``demo``: the main job on the image that scikit-image brings along."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from imagecodecs import png_decode
from skimage.color import rgb2hed
from skimage.data import immunohistochemistry

from napari_seamless import open_image
from napari_seamless.cli import demo as demo_module
from napari_seamless.cli.overlay import GAP


def test_labels_and_picture_are_written_and_named(
    run: Callable[..., object], tmp_path: Path, colour_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_module, "DEMO_MODEL", str(colour_model))
    out = tmp_path / "new" / "folder"
    answer = run("demo", "--out", out)
    assert answer.code == 0, answer.err
    image, labels, picture = (out / name for name in ("tissue.png", "labels.ome.tif", "overlay.png"))
    assert np.array_equal(np.asarray(open_image(image).data), immunohistochemistry())
    assert open_image(labels).data.shape == (512, 512)
    pixels = png_decode(picture.read_bytes())
    assert pixels.shape == (512, 2 * 512 + GAP, 3)
    assert np.array_equal(pixels[:, :512], immunohistochemistry())
    for path in (labels, picture):
        assert str(path) in answer.out
    stain = out / "nuclear_stain.ome.tif"
    assert np.array_equal(np.asarray(open_image(stain).data), rgb2hed(pixels[:, :512])[..., 0].astype(np.float32))
    assert f"napari-seamless segment {stain}" in answer.out
    assert run("demo", "--out", out).code == 0, "a second run replaces the first"


def test_folder_that_cannot_be_made(run: Callable[..., object], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    answer = run("demo", "--out", tmp_path / "file" / "results")
    assert answer.code == 1
    assert "--out" in answer.err
