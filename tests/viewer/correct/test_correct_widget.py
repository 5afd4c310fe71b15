"""The Correct widget in a real viewer, opened through the manifest: what it offers, does and says."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Labels
from npe2 import PluginManager
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QAbstractButton, QComboBox, QLineEdit, QTableWidget

from napari_seamless.images.write import write_array

from ..conftest import TIMEOUT_MS

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture(autouse=True)
def _user_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_data_path", lambda *args, **options: tmp_path / "user")


@pytest.fixture
def open_correct(make_napari_viewer: Any, qtbot: Any) -> Callable[..., tuple[Any, Any]]:
    """Return a function that opens a viewer with layers and the Correct widget."""

    def open_one(*layers: Any, show: bool = False) -> tuple[Any, Any]:
        viewer = make_napari_viewer(show=show)
        for layer in layers:
            viewer.add_layer(layer)
        _, widget = viewer.window.add_plugin_dock_widget("napari-seamless", "Correct")
        return viewer, widget

    return open_one


@pytest.fixture
def press_start(qtbot: Any) -> Callable[[Any], Any]:
    """Return a function that presses the button and waits for the correction."""

    def press(widget: Any) -> Any:
        qtbot.waitUntil(widget.setup.start_button.isEnabled, timeout=TIMEOUT_MS)
        qtbot.mouseClick(widget.setup.start_button, LEFT)
        qtbot.waitUntil(lambda: widget.correction is not None, timeout=TIMEOUT_MS)
        widget.show_state()
        return widget.correction

    return press


@pytest.fixture
def idle(qtbot: Any) -> Callable[[Any], None]:
    """Return a function that waits until nothing is being done and the widget shows it."""

    def wait(widget: Any) -> None:
        qtbot.waitUntil(lambda: not widget.correction.busy, timeout=TIMEOUT_MS)
        widget.show_state()

    return wait


def stack_of(spots: np.ndarray) -> Image:
    return Image(np.stack([spots] * 4), name="stack", axis_labels=("z", "y", "x"), scale=(3.0, 1.0, 1.0))


def test_without_an_image_the_widget_says_what_to_do(open_correct):
    _, widget = open_correct()
    assert not widget.setup.start_button.isEnabled()
    assert "Open an image first" in widget.setup.start_button.toolTip()
    assert widget.panel.isHidden()


def test_every_control_has_a_tooltip(open_correct, press_start, spots):
    _, widget = open_correct(stack_of(spots))

    def without() -> list[str]:
        controls = [
            control
            for kind in (QAbstractButton, QComboBox, QLineEdit, QTableWidget)
            for control in widget.findChildren(kind)
        ]
        named = [each for each in controls if each.objectName() and not each.objectName().startswith("qt_")]
        return [each.objectName() for each in named if not each.toolTip()]

    assert without() == []
    press_start(widget)
    assert without() == []


def test_starting_from_nothing_shows_the_panel_and_marks_the_slice(open_correct, press_start, idle, spots, qtbot):
    viewer, widget = open_correct(stack_of(spots))
    assert widget.setup.labels_box.currentText() == "start from nothing"
    correction = press_start(widget)
    assert widget.setup.isHidden()
    assert not widget.panel.isHidden()
    viewer.dims.set_current_step(0, 2)
    qtbot.mouseClick(widget.panel.slice_button, LEFT)
    idle(widget)
    assert [(region.kind, region.box[0]) for region in correction.workspace.regions] == [("slice", (2, 3))]
    table = widget.panel.regions.table
    assert [table.item(0, column).text() for column in range(3)] == ["Slice", "Z 2", "training"]
    assert widget.panel.note.text() == "This slice is right: Z 2; for training."


def test_labels_from_elsewhere_are_taken_over_and_left_alone(open_correct, press_start, spots):
    theirs = (np.stack([spots] * 4) > 150).astype(np.int64) * 5
    _, widget = open_correct(
        stack_of(spots), Labels(theirs, name="theirs"), Labels(np.zeros((3, 3), int), name="too small")
    )
    box = widget.setup.labels_box
    assert [box.itemText(index) for index in range(box.count())] == ["theirs", "start from nothing"]
    correction = press_start(widget)
    np.testing.assert_array_equal(np.asarray(correction.labels_layer.data), theirs)
    assert not correction.workspace.verified[:].any()
    correction.labels_layer.paint((0, 50, 50), 9)
    assert theirs[0, 50, 50] != 9
    assert correction.model_name == ""


def test_the_user_chooses_the_folder(open_correct, press_start, spots, tmp_path):
    _, widget = open_correct(stack_of(spots))
    widget.setup.folder_line.setText(str(tmp_path))
    assert press_start(widget).workspace.folder == tmp_path / "stack.seamless"


def test_earlier_corrections_are_offered_in_the_widget(open_correct, press_start, spots, tmp_path, qtbot):
    path = tmp_path / "flat.tif"
    write_array(path, spots, "YX")
    viewer, widget = open_correct()
    viewer.open(path, plugin="napari-seamless")
    widget.show_state()
    correction = press_start(widget)
    correction.labels_layer.paint((30, 30), 4)
    folder = correction.workspace.folder
    viewer.layers.remove(correction.labels_layer)
    qtbot.waitUntil(lambda: not (folder / "lock").exists(), timeout=TIMEOUT_MS)
    widget.show_state()
    assert widget.setup.labels_box.currentText() == "earlier corrections"
    assert "flat.tif.seamless" in widget.setup.offer.text()
    assert widget.setup.start_button.text() == "Restore corrections"
    assert press_start(widget).labels_layer.data[30, 30] == 4


def test_selected_rectangle_is_the_box_and_else_the_visible_field(open_correct, press_start, idle, spots, qtbot):
    viewer, widget = open_correct(stack_of(spots), show=True)
    correction = press_start(widget)
    viewer.dims.set_current_step(0, 1)
    rectangle = [[1, 9.6, 20.2], [1, 9.6, 40.4], [1, 30.4, 40.4], [1, 30.4, 20.2]]
    shapes = viewer.add_shapes([rectangle], shape_type="rectangle", scale=(3.0, 1.0, 1.0))
    shapes.selected_data = {0}
    qtbot.mouseClick(widget.panel.box_button, LEFT)
    idle(widget)
    assert correction.workspace.regions[0].box == ((1, 2), (10, 31), (21, 41))
    viewer.dims.set_current_step(0, 3)  # the rectangle is out of sight here
    viewer.scene.camera.zoom = 20.0
    viewer.scene.camera.center = (0, 45, 60)
    qtbot.mouseClick(widget.panel.box_button, LEFT)
    idle(widget)
    depth, (top, bottom), (left, right) = correction.workspace.regions[1].box
    assert depth == (3, 4)
    half = np.array(viewer.canvas.size) / 20.0 / 2
    np.testing.assert_allclose((bottom - top, right - left), 2 * half, atol=2)
    np.testing.assert_allclose(((top + bottom) / 2, (left + right) / 2), (45, 60), atol=1.5)


def test_table_jumps_changes_roles_and_unmarks(open_correct, press_start, idle, spots, qtbot):
    viewer, widget = open_correct(stack_of(spots))
    correction = press_start(widget)
    workspace = correction.workspace
    workspace.verify_slice({"Z": 3})
    workspace.verify_region({"Z": (1, 2), "Y": (10, 20), "X": (70, 110)})
    qtbot.waitUntil(lambda: widget.panel.regions.table.rowCount() == 2, timeout=TIMEOUT_MS)
    table = widget.panel.regions.table
    assert [table.item(row, 2).text() for row in range(2)] == ["training", "validation"]
    assert not widget.panel.regions.unmark_button.isEnabled()
    where = table.visualItemRect(table.item(1, 0)).center()
    qtbot.mouseClick(table.viewport(), LEFT, pos=where)
    assert viewer.dims.point[0] == 3.0
    np.testing.assert_allclose(viewer.scene.camera.center[1:], (14.5, 89.5))
    role = widget.panel.regions.role
    role.setCurrentIndex(role.findData("train"))
    role.activated.emit(role.currentIndex())
    assert [region.role for region in workspace.regions] == ["validation", "train"]
    assert table.item(1, 2).text() == "training"
    assert widget.panel.regions.selected_ids == [workspace.regions[1].id]
    qtbot.mouseClick(widget.panel.regions.unmark_button, LEFT)
    idle(widget)
    assert len(workspace.regions) == 1
    assert table.rowCount() == 1


def test_large_changes_are_undone_by_name(open_correct, press_start, idle, spots, qtbot):
    _, widget = open_correct(stack_of(spots))
    workspace = press_start(widget).workspace
    assert not widget.panel.undo.isEnabled()
    assert "Ctrl+Z takes back strokes" in widget.panel.undo.toolTip()
    workspace.labels[0, :4, :4] = 3
    workspace.write_prediction(np.full((4, 90, 120), 1, np.uint8), name="Segment with model-of-a-long-name")
    before = workspace.labels[:]
    widget.show_state()
    qtbot.mouseClick(widget.panel.clear, LEFT)
    idle(widget)
    assert np.count_nonzero(workspace.labels[:]) == 16
    assert widget.panel.undo.text() == "Undo Clear"
    qtbot.mouseClick(widget.panel.undo, LEFT)
    idle(widget)
    np.testing.assert_array_equal(workspace.labels[:], before)
    assert widget.panel.redo.text() == "Redo Clear"
    assert widget.panel.undo.text() == "Undo Segment with model-of-a-lon…"
    assert "model-of-a-long-name" in widget.panel.undo.toolTip()
    qtbot.mouseClick(widget.panel.redo, LEFT)
    idle(widget)
    assert np.count_nonzero(workspace.labels[:]) == 16


def test_overlay_follows_what_is_verified_and_goes_with_the_labels(open_correct, press_start, spots, qtbot):
    viewer, widget = open_correct(stack_of(spots))
    correction = press_start(widget)
    viewer.dims.set_current_step(0, 1)
    viewer.layers.selection.active = correction.labels_layer
    widget.panel.overlay.click()
    overlay = viewer.layers["stack · verified"]
    assert viewer.layers.selection.active is correction.labels_layer
    assert not overlay.editable
    assert not overlay._slice.image.raw.any()
    correction.labels_layer.paint((1, 30, 30), 4)
    qtbot.waitUntil(lambda: overlay._slice.image.raw[30, 30] == 1, timeout=TIMEOUT_MS)
    qtbot.mouseClick(widget.panel.slice_button, LEFT)
    qtbot.waitUntil(lambda: overlay._slice.image.raw[80, 80] == 2, timeout=TIMEOUT_MS)
    widget.panel.overlay.click()
    assert not overlay.visible
    viewer.layers.remove(correction.labels_layer)
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=TIMEOUT_MS)


def test_reasons_are_given_where_nothing_can_be_marked(open_correct, press_start, spots):
    viewer, widget = open_correct(stack_of(spots))
    press_start(widget)
    viewer.dims.ndisplay = 3
    widget.show_state()
    for button in (widget.panel.slice_button, widget.panel.box_button):
        assert not button.isEnabled()
        assert "3D view" in button.toolTip()


def test_annotate_menu_has_the_keys(open_correct):
    manifest = PluginManager.instance().get_manifest("napari-seamless")
    menu = [item.command for item in manifest.contributions.menus["napari/layers/annotate"]]
    titles = {command.id: command.title for command in manifest.contributions.commands}
    assert titles[menu[0]] == "Correct…"
    assert [titles[command] for command in menu[1:3]] == [
        "This slice is right (Alt+S)",
        "This box is right (Alt+B)",
    ]


def test_menu_commands_act_in_the_current_viewer(open_correct, press_start, idle, spots, monkeypatch):
    viewer, widget = open_correct(stack_of(spots))
    correction = press_start(widget)
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    PluginManager.instance().commands.execute("napari-seamless.mark_slice")
    idle(widget)
    assert len(correction.workspace.regions) == 1
    PluginManager.instance().commands.execute("napari-seamless.undo_bulk")
    idle(widget)
    assert not correction.workspace.regions


@contextmanager
def full_disk() -> Iterator[None]:
    """Let every write end as on a full disk."""
    write = os.write

    def refuse(handle: int, content: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    os.write = refuse
    try:
        yield
    finally:
        os.write = write


def test_full_disk_is_told_once_and_costs_nothing(open_correct, press_start, spots, notifications, qtbot):
    _, widget = open_correct(stack_of(spots))
    correction = press_start(widget)
    with full_disk():
        correction.labels_layer.paint((1, 30, 30), 4)
        qtbot.waitUntil(lambda: bool(notifications), timeout=TIMEOUT_MS)
        correction.labels_layer.paint((1, 60, 60), 5)
        qtbot.wait(1500)
        assert len(notifications) == 1
        assert "No space left on device" in notifications[0].message
        widget.panel.show_state()
        assert widget.panel.state.text().startswith("Not saved: ")
    qtbot.waitUntil(lambda: len(notifications) == 2, timeout=TIMEOUT_MS)
    assert "works again" in notifications[1].message
    made, on_disk = correction.workspace.changes
    assert made == on_disk
    assert correction.labels_layer.data[1, 30, 30] == 4
    assert correction.labels_layer.data[1, 60, 60] == 5


def test_no_control_blocks_the_event_loop_on_a_large_stack(open_correct, press_start, idle, qtbot):
    """Processor time between two beats, of all threads together: see the test of the same kind for Segment."""
    image = Image(np.zeros((50, 2048, 2048), np.uint8), name="large", axis_labels=("z", "y", "x"))
    viewer, widget = open_correct(image, show=True)
    viewer.layers.remove(viewer.add_labels(np.zeros((90, 120), np.uint8)))  # napari's first labels cost half a second
    correction = press_start(widget)
    viewer.dims.set_current_step(0, 25)
    widget.panel.overlay.click()
    qtbot.wait(500)
    beats: list[float] = []
    heart = QTimer()
    heart.timeout.connect(lambda: beats.append(time.process_time()))
    heart.start(5)
    for act in (
        lambda: correction.labels_layer.paint((25, 500, 500), 4),
        widget.panel.slice_button.click,
        widget.panel.box_button.click,
        lambda: widget.panel.regions.table.cellClicked.emit(0, 0),
        widget.panel.undo.click,
        widget.panel.redo.click,
        widget.panel.new_object.click,
        widget.panel.clear.click,
    ):
        QTimer.singleShot(0, act)
        qtbot.wait(20)
        idle(widget)
        qtbot.wait(400)
    heart.stop()
    assert max(np.diff(beats)) < 0.2
