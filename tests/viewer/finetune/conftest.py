"""An image that is being corrected, the Fine-tune widget in its viewer, and a stand-in for the training."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QCheckBox

from napari_seamless.viewer.correct.workspaces import workspaces_of
from napari_seamless.viewer.finetune import child as child_module
from napari_seamless.viewer.finetune import closing as finetune_closing
from napari_seamless.viewer.finetune import run as finetune_run
from napari_seamless.viewer.image_choice import image_choices
from napari_seamless.workspace.origin import Origin

from ..conftest import TIMEOUT_MS

LONGEST_STALL = 0.2 if os.environ.get("CI") else 0.1

FAKE = Path(__file__).with_name("fake_finetune.py")


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch, library: Path) -> Callable[[str], None]:
    """Let the stand-in be started in place of the real training; return what chooses its behaviour."""
    monkeypatch.setattr(finetune_run, "command_of", lambda words: [sys.executable, str(FAKE), *words])
    monkeypatch.setenv("FAKE_FINETUNE_SCRATCH", str(library / "threshold"))
    monkeypatch.setenv("FAKE_FINETUNE", "")
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # a test's disk may be slow, and no test pulls the plug
    return lambda behaviour: monkeypatch.setenv("FAKE_FINETUNE", behaviour)


@pytest.fixture(autouse=True)
def _nothing_runs_on() -> Iterator[None]:
    """End what a test left running."""
    yield
    for process in list(child_module._started.values()):
        process.kill()
        process.wait()
    child_module._started.clear()


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Answers to the question what becomes of a training, taken from the front; without any left, it stops."""
    given: list[str] = []
    monkeypatch.setattr(finetune_closing, "ask", lambda parent, **settings: given.pop(0) if given else "stop")
    return given


@pytest.fixture
def image_file(tmp_path: Path, spots: np.ndarray) -> Path:
    path = tmp_path / "spots.tif"
    tifffile.imwrite(path, spots)
    return path


@pytest.fixture
def correct(make_napari_viewer: Any, qtbot: Any, image_file: Path, library: Path) -> Callable[..., tuple[Any, Any]]:
    """Return a function that opens the image in a viewer and begins to correct it, with some regions verified."""

    def begin(regions: int = 2, show: bool = False) -> tuple[Any, Any]:
        viewer = make_napari_viewer(show=show)
        viewer.open(image_file, plugin="napari-seamless")
        workspaces = workspaces_of(viewer)
        workspaces.start(image_choices(viewer.layers)[0], "YX")
        qtbot.waitUntil(lambda: bool(workspaces.corrections), timeout=TIMEOUT_MS)
        correction = workspaces.corrections[0]
        correction.origin = Origin("threshold", str(library / "threshold"))
        for index in range(regions):
            left = 30 * index
            correction.workspace.record_edit({"Y": (5, 14), "X": (left + 5, left + 16)}, index + 1)
            correction.workspace.verify_region({"Y": (0, 25), "X": (left, left + 30)})
        return viewer, correction

    return begin


@pytest.fixture
def open_finetune(correct: Callable[..., tuple[Any, Any]], qtbot: Any) -> Callable[..., tuple[Any, Any]]:
    """Return a function that does so and docks Fine-tune through the manifest."""

    def open_one(regions: int = 2, show: bool = False) -> tuple[Any, Any]:
        viewer, _ = correct(regions, show)
        return viewer, dock(viewer, qtbot)

    return open_one


def dock(viewer: Any, qtbot: Any) -> Any:
    """Dock Fine-tune and wait until it has looked around."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-seamless", "Fine-tune")
    qtbot.waitUntil(lambda: widget.form.model_box.count() > 1 and widget.panel.curves is not None, timeout=TIMEOUT_MS)
    return widget


def click(qtbot: Any, button: Any) -> None:
    assert button.isEnabled(), button.toolTip()
    if isinstance(button, QCheckBox):
        button.click()  # its middle may lie beside its text, where a click does nothing
    else:
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def finish(qtbot: Any, widget: Any) -> None:
    """Press Fine-tune and wait for the result."""
    with qtbot.waitSignal(widget.control.finished, timeout=TIMEOUT_MS):
        click(qtbot, widget.panel.start_button)


def longest_stall(qtbot: Any) -> float:
    """Return the longest time that the event loop did not turn, in seconds on the clock.

    A crowded machine holds everybody up at random, what this program does holds it up each time: the best of a few.
    """
    stalls = []
    for _ in range(4):
        beats: list[float] = []
        heart = QTimer()
        heart.timeout.connect(lambda beats=beats: beats.append(time.monotonic()))
        heart.start(5)
        qtbot.wait(1200)
        heart.stop()
        stalls.append(float(np.diff(beats).max()))
        if stalls[-1] < LONGEST_STALL / 2:
            break
    return min(stalls)
