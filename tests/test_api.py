"""The public names, as the README and scripts use them."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import napari_seamless as ns


@pytest.mark.parametrize("name", ns.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(ns, name).__doc__
    assert name in dir(ns)


def test_unknown_names_are_refused_in_python_s_own_words() -> None:
    with pytest.raises(AttributeError, match="module 'napari_seamless' has no attribute 'segmentt'"):
        getattr(ns, "segmentt")  # noqa: B009


def test_version_is_the_distribution_s() -> None:
    assert ns.__version__ == version("napari-seamless")


def test_errors_are_the_built_in_ones_too() -> None:
    with pytest.raises(ValueError, match="architecture must be one of"):
        ns.NetworkConfig(architecture="vnet")
    with pytest.raises(ns.SeamlessError):
        ns.NetworkConfig(architecture="vnet")


def test_from_a_new_model_to_scores(tmp_path: Path) -> None:
    config = ns.NetworkConfig(architecture="unetpp", features=(4, 8, 16), in_channels=1, out_channels=2)
    model = ns.create_model(config, task="semantic", classes=("background", "cell"), seed=0)
    saved = ns.save_model(model, tmp_path / "cells")
    model = ns.load_model(saved)
    pixels = np.random.default_rng(0).random((70, 90), dtype=np.float32)
    image = ns.Image.from_array(pixels, "YX")

    labels = ns.segment(image, model, device="cpu", precision="fp32")
    tiled = ns.segment(pixels, model, axes="YX", device="cpu", precision="fp32", tile_size=16)
    assert labels.shape == (70, 90)
    assert np.array_equal(labels, tiled)

    probabilities = ns.predict_probabilities(pixels, model, axes="YX", tile_size=None, device="cpu")
    assert probabilities.shape == (2, 70, 90)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, rtol=1e-5)
    assert np.array_equal(labels, probabilities.argmax(axis=0))

    plan = ns.plan_segmentation(image, model, device="cpu", tile_size=16)
    assert plan.n_tiles == 5 * 6
    assert ns.evaluate(labels, labels)["iou"] == 1.0


def test_module_runs_as_a_program() -> None:
    run = subprocess.run([sys.executable, "-m", "napari_seamless", "--version"], capture_output=True, text=True)
    assert run.returncode == 0
    assert run.stdout == f"napari-seamless {ns.__version__}\n"
