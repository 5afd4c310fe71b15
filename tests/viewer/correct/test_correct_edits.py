"""Every way to change labels in napari, by mouse and keys where there are some: nothing escapes the workspace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from napari.layers import Image
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QPushButton

from napari_seamless.viewer.correct.correction import Correction
from napari_seamless.viewer.correct.workspaces import workspaces_of
from napari_seamless.viewer.image_choice import image_choices

from ..conftest import TIMEOUT_MS

LEFT = Qt.MouseButton.LeftButton
CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
ALT = Qt.KeyboardModifier.AltModifier


@pytest.fixture(autouse=True)
def _user_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_data_path", lambda *args, **options: tmp_path / "user")


@pytest.fixture
def correct(qtbot: Any) -> Callable[..., Correction]:
    """Return a function that begins to correct the topmost image of a viewer."""

    def begin(viewer: Any, axes: str) -> Correction:
        workspaces = workspaces_of(viewer)
        workspaces.start(image_choices(viewer.layers)[0], axes)
        qtbot.waitUntil(lambda: bool(workspaces.corrections), timeout=TIMEOUT_MS)
        return workspaces.corrections[-1]

    return begin


class Hand:
    """A person at the canvas: presses, drags and types where pixels of the visible plane are."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self.canvas = viewer.window._qt_viewer.canvas.native

    def at(self, row: float, column: float) -> QPoint:
        camera = self.viewer.scene.camera
        middle = np.array([self.canvas.height(), self.canvas.width()]) / 2
        y, x = middle + (np.array([row, column]) - np.array(camera.center[-2:])) * camera.zoom
        return QPoint(round(x), round(y))

    def click(self, row: float, column: float) -> None:
        QTest.mouseMove(self.canvas, self.at(row, column))
        QTest.mouseClick(self.canvas, LEFT, Qt.KeyboardModifier.NoModifier, self.at(row, column))

    def drag(self, *places: tuple[float, float]) -> None:
        QTest.mouseMove(self.canvas, self.at(*places[0]))
        QTest.mousePress(self.canvas, LEFT, Qt.KeyboardModifier.NoModifier, self.at(*places[0]))
        for place in places[1:]:
            self.move(*place)
        QTest.mouseRelease(self.canvas, LEFT, Qt.KeyboardModifier.NoModifier, self.at(*places[-1]))

    def move(self, row: float, column: float) -> None:
        """Move with the button held down, which QTest's moves do not tell."""
        there = QPointF(self.at(row, column))
        event = QMouseEvent(
            QEvent.Type.MouseMove,
            there,
            QPointF(self.canvas.mapToGlobal(there.toPoint())),
            Qt.MouseButton.NoButton,
            LEFT,
            Qt.KeyboardModifier.NoModifier,
        )
        QTest.qWait(20)  # moves that follow each other faster are dropped, and delivered a moment later
        QApplication.sendEvent(self.canvas, event)
        QTest.qWait(20)

    def press(self, key: Any, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
        QTest.keyClick(self.canvas, key, modifier)


@pytest.fixture
def studio(make_napari_viewer: Any, correct: Any, spots: np.ndarray, qtbot: Any) -> tuple[Any, Correction, Hand]:
    viewer = make_napari_viewer(show=True)
    viewer.add_layer(Image(spots, name="spots"))
    correction = correct(viewer, "YX")
    viewer.layers.selection.active = correction.labels_layer
    qtbot.wait(50)
    return viewer, correction, Hand(viewer)


def check(correction: Correction) -> None:
    """Labels in the viewer, in the workspace and on disk are the same; the screen shows them."""
    layer = correction.labels_layer
    correction.workspace.flush()
    shown = np.asarray(layer.data)
    np.testing.assert_array_equal(zarr.open_array(correction.workspace.folder / "labels", mode="r")[:], shown)
    if layer.ndim == 2:
        np.testing.assert_array_equal(layer._slice.image.raw, shown)


def test_mouse_and_keys_write_through(studio):
    _, correction, hand = studio
    layer = correction.labels_layer
    hand.press(Qt.Key.Key_2)  # the brush
    assert layer.mode == "paint"
    layer.brush_size = 5
    hand.drag((20, 20), (20, 40), (40, 40), (40, 20), (20, 20))
    assert layer.data[20, 30] == layer.data[30, 40] == 1
    assert layer.data[30, 30] == 0
    check(correction)

    hand.press(Qt.Key.Key_M)
    assert layer.selected_label == 2
    hand.press(Qt.Key.Key_4)  # the bucket
    hand.click(30, 30)
    assert layer.data[30, 30] == 2
    check(correction)

    hand.press(Qt.Key.Key_1)  # the eraser
    hand.drag((20, 18), (20, 45))
    assert layer.data[20, 30] == 0
    check(correction)
    assert correction.workspace.verified[20, 30] == 1

    hand.press(Qt.Key.Key_3)  # the polygon
    hand.press(Qt.Key.Key_M)
    for corner in ((60, 60), (60, 100), (80, 80)):
        hand.click(*corner)
    hand.press(Qt.Key.Key_Return)
    assert layer.data[65, 80] == 3
    check(correction)


def test_undo_and_redo_take_verification_along(studio):
    _, correction, hand = studio
    layer, workspace = correction.labels_layer, correction.workspace
    layer.mode = "paint"
    hand.drag((20, 20), (20, 40))
    painted = np.asarray(layer.data)
    assert painted.any()
    hand.press(Qt.Key.Key_Z, CTRL)
    assert not layer.data[:].any()
    assert not workspace.verified[:].any()
    assert not workspace.regions
    check(correction)
    hand.press(Qt.Key.Key_Z, CTRL | SHIFT)
    np.testing.assert_array_equal(layer.data[:], painted)
    np.testing.assert_array_equal(workspace.verified[:] == 1, painted > 0)
    check(correction)


def test_keys_mark_and_undo(studio, qtbot):
    viewer, correction, hand = studio
    workspace = correction.workspace
    hand.press(Qt.Key.Key_S, ALT)
    qtbot.waitUntil(lambda: [region.kind for region in workspace.regions] == ["slice"], timeout=TIMEOUT_MS)
    assert (workspace.verified[:] == 2).all()
    qtbot.waitUntil(lambda: not correction.busy, timeout=TIMEOUT_MS)
    viewer.layers.selection.active = viewer.layers["spots"]  # keys work whichever layer is active
    hand.press(Qt.Key.Key_Z, ALT)
    qtbot.waitUntil(lambda: not workspace.verified[:].any() and not correction.busy, timeout=TIMEOUT_MS)
    hand.press(Qt.Key.Key_Z, ALT | SHIFT)
    qtbot.waitUntil(lambda: bool(workspace.verified[:].all()) and not correction.busy, timeout=TIMEOUT_MS)
    viewer.scene.camera.zoom = 20
    viewer.scene.camera.center = (0, 45, 60)
    hand.press(Qt.Key.Key_B, ALT)
    qtbot.waitUntil(lambda: len(workspace.regions) == 2, timeout=TIMEOUT_MS)
    (top, bottom), (left, right) = workspace.regions[1].box
    assert 0 < top < 45 < bottom < 90
    assert 0 < left < 60 < right < 120
    qtbot.waitUntil(lambda: not correction.busy, timeout=TIMEOUT_MS)


def test_napari_button_new_gives_a_new_id(studio, qtbot):
    viewer, correction, _ = studio
    correction.labels_layer.data[3:6, 3:6] = 17
    correction.labels_layer.data[3:6, 3:6] = 0
    buttons = viewer.window._qt_window.findChildren(QPushButton, "newLabelButton")
    assert len(buttons) == 1
    qtbot.mouseClick(buttons[0], LEFT)
    assert correction.labels_layer.selected_label == 18


def test_preserved_labels_swapped_labels_and_other_code(studio):
    _, correction, _ = studio
    layer = correction.labels_layer
    layer.paint((30, 30), 4)
    layer.selected_label = 5
    layer.preserve_labels = True
    layer.paint((30, 35), 5)
    assert layer.data[30, 30] == 4
    layer.preserve_labels = False
    layer.data[layer.data[:] == 4] = 6  # a mask, as scripts write
    layer.data[50, 10:20] += np.uint32(7)
    layer.data_setitem((np.array([80, 81]), np.array([3, 4])), 8)
    layer.fill((0, 0), 9)
    layer.undo()
    layer.refresh()
    assert layer.data[30, 30] == 6
    assert layer.data[50, 15] == 7
    assert layer.data[81, 4] == 8
    assert layer.data[0, 0] == 0
    check(correction)


CASES = {
    "stack": ((4, 30, 40), "ZYX", {}),
    "anisotropic": ((4, 30, 40), "ZYX", {"scale": (5.0, 0.2, 0.3), "translate": (7.0, 1.0, -3.0)}),
    "movie": ((4, 30, 40), "TYX", {}),
    "movie of stacks": ((2, 4, 30, 40), "TZYX", {}),
    "channels after time": ((3, 2, 30, 40), "TCYX", {"scale": (1.0, 1.0, 0.5, 0.5)}),
    "channels first": ((2, 30, 40), "CYX", {}),
    "channels after depth": ((4, 2, 30, 40), "ZCYX", {}),
}


@pytest.mark.parametrize(("shape", "axes", "options"), CASES.values(), ids=CASES.keys())
def test_images_of_all_kinds(make_napari_viewer, correct, shape, axes, options):
    viewer = make_napari_viewer()
    viewer.add_layer(Image(np.zeros(shape, np.uint8), name="image", axis_labels=tuple(axes.lower()), **options))
    correction = correct(viewer, axes)
    layer = correction.labels_layer
    place = tuple(1 if axis in "ZT" else 0 if axis == "C" else 12 for axis in correction.labels_axes)
    for letter, index in zip(correction.labels_axes, place, strict=True):
        if letter in "ZT":
            viewer.dims.set_current_step(correction.labels_axes.index(letter) + viewer.dims.ndim - layer.ndim, index)
    np.testing.assert_allclose(layer.scale[-2:], viewer.layers["image"].scale[-2:])
    for dimensions in (2, layer.ndim):
        layer.n_edit_dimensions = dimensions
        layer.paint(place, 3)
        layer.fill(place, 4)
        layer.undo()
        assert layer.data[place] == 3
    own = tuple(index for letter, index in zip(correction.labels_axes, place, strict=True) if letter != "C")
    assert correction.workspace.labels[own] == 3
    assert correction.workspace.verified[own] == 1
    check_flat(correction)


def check_flat(correction: Correction) -> None:
    correction.workspace.flush()
    disk = zarr.open_array(correction.workspace.folder / "labels", mode="r")[:]
    np.testing.assert_array_equal(disk, np.asarray(correction.labels_layer.data).reshape(disk.shape))


def test_colour_image(make_napari_viewer, correct, spots):
    viewer = make_napari_viewer()
    viewer.add_layer(Image(np.dstack([spots.astype(np.uint8)] * 3), rgb=True, name="colour"))
    correction = correct(viewer, "YX")
    correction.labels_layer.paint((30, 30), 4)
    check(correction)
    assert correction.workspace.image.axes == "YXS"


def test_zarr_is_not_read_to_be_corrected(make_napari_viewer, correct, tmp_path, spots, monkeypatch):
    from napari_seamless.images.write import write_array

    write_array(tmp_path / "large.ome.zarr", np.stack([spots] * 4), "ZYX")
    viewer = make_napari_viewer()
    viewer.open(tmp_path / "large.ome.zarr", plugin="napari-seamless")
    reads: list[Any] = []
    whole = zarr.Array.__getitem__
    monkeypatch.setattr(zarr.Array, "__getitem__", lambda self, key: reads.append(self.path) or whole(self, key))
    correction = correct(viewer, "ZYX")
    assert not reads
    correction.labels_layer.paint((2, 30, 30), 4)
    check_flat(correction)
    assert correction.workspace.folder == tmp_path / "large.ome.zarr.seamless"
