"""A viewer with the dock widget in it, and models whose answer is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from npe2 import PluginManager

import napari_seamless as ns
from napari_seamless.images.intensity import Normalization

TIMEOUT_MS = 30_000


def above_middle(image: np.ndarray) -> np.ndarray:
    """What the threshold model answers."""
    low, high = image.min(), image.max()
    return (image > low + (high - low) / 2).astype(np.uint8)


@pytest.fixture(scope="session", autouse=True)
def _plugins() -> None:
    """Let napari find the installed plugins, as it does when its first window opens."""
    PluginManager.instance().discover()


def save_threshold_model(path: Path, *, spatial_dims: int = 2, instances: bool = False) -> Path:
    """Save a model that labels exactly the pixels above the middle of the image's range.

    The first block passes the pixel on, the decoder passes its skip connection on, the head compares it with one half;
    all other weights are zero. For instances those pixels are cores, and rims do not occur.
    """
    config = ns.NetworkConfig(
        spatial_dims=spatial_dims, features=(1, 1), norm="none", out_channels=3 if instances else 2
    )
    task = "instances" if instances else "semantic"
    model = ns.create_model(config, task=task, normalization=Normalization(0.0, 100.0), name=path.name)
    weights = {name: tensor * 0 for name, tensor in model.network.state_dict().items()}
    centre = (0, 0, *(1,) * spatial_dims)
    for name in ("blocks.x_0_0.0", "blocks.x_0_0.2", "blocks.x_0_1.0", "blocks.x_0_1.2"):
        weights[f"{name}.weight"][centre] = 1.0
    weights["classifiers.1.weight"][-1] = 100.0
    weights["classifiers.1.bias"][-1] = -50.0
    if instances:
        weights["classifiers.1.bias"][1] = -1000.0
    return ns.save_model(model.with_weights(weights), path)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model library of the user that holds one model, ``threshold``."""
    folder = tmp_path / "library"
    folder.mkdir()
    monkeypatch.setenv("NAPARI_SEAMLESS_MODELS", str(folder))
    save_threshold_model(folder / "threshold")
    return folder


@pytest.fixture
def open_dock(library: Path, make_napari_viewer: Any, qtbot: Any) -> Callable[..., tuple[Any, Any]]:
    """Return a function that opens a viewer, docks Segment through the manifest and chooses a model."""

    def open_one(*images: Any, model: Path | str = "threshold", show: bool = False) -> tuple[Any, Any]:
        viewer = make_napari_viewer(show=show)
        for image in images:
            viewer.add_layer(image)
        _, widget = viewer.window.add_plugin_dock_widget("napari-seamless", "Segment")
        qtbot.waitUntil(lambda: widget.device.count() > 1, timeout=TIMEOUT_MS)
        widget.models.add_model(library / model)
        return viewer, widget

    return open_one


@pytest.fixture
def segment_and_wait(qtbot: Any) -> Callable[[Any], None]:
    """Return a function that presses Segment and waits for the end of the run."""
    from qtpy.QtCore import Qt

    def segment(widget: Any) -> None:
        with qtbot.waitSignal(widget.run.ended, timeout=TIMEOUT_MS):
            qtbot.mouseClick(widget.panel.start_button, Qt.MouseButton.LeftButton)

    return segment


@pytest.fixture
def spots() -> np.ndarray:
    """An image of 90 x 120 pixels with bright squares on a dark, uneven ground."""
    generator = np.random.default_rng(0)
    image = generator.integers(0, 90, (90, 120)).astype(np.uint16)
    for top in range(5, 80, 25):
        for left in range(5, 110, 30):
            image[top : top + 9, left : left + 11] = 200
    return image


@pytest.fixture
def notifications() -> Iterator[list[Any]]:
    """The notifications that napari shows during a test."""
    notification_manager.records.clear()
    yield notification_manager.records
    notification_manager.records.clear()
