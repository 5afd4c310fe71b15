"""Segment on an image that is corrected: it writes around what is verified, and never over it."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from napari.layers import Image
from qtpy.QtCore import Qt

from napari_seamless.images.write import write_array
from napari_seamless.viewer.correct.actions import redo, undo
from napari_seamless.viewer.correct.workspaces import workspaces_of

from ..conftest import TIMEOUT_MS, above_middle, save_threshold_model


@pytest.fixture(autouse=True)
def _user_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_data_path", lambda *args, **options: tmp_path / "user")


@pytest.fixture
def correct_result(qtbot: Any) -> Any:
    """Return a function that presses 'Correct this result' and waits for the workspace."""

    def press(viewer: Any, widget: Any) -> Any:
        assert not widget.panel.correct_button.isHidden()
        qtbot.mouseClick(widget.panel.correct_button, Qt.MouseButton.LeftButton)
        workspaces = workspaces_of(viewer)
        qtbot.waitUntil(lambda: bool(workspaces.corrections), timeout=TIMEOUT_MS)
        return workspaces.corrections[0]

    return press


def test_result_becomes_editable_in_its_own_layer(open_dock, segment_and_wait, correct_result, spots):
    viewer, widget = open_dock(Image(spots, name="spots", scale=(0.5, 0.25)))
    assert widget.panel.correct_button.isHidden()
    segment_and_wait(widget)
    layer = viewer.layers["spots · threshold"]
    correction = correct_result(viewer, widget)
    assert widget.panel.correct_button.isHidden()
    assert correction.labels_layer.unique_id == layer.unique_id
    assert layer.name == "spots · corrections"
    assert layer.editable
    np.testing.assert_array_equal(np.asarray(layer.data), above_middle(spots))
    assert correction.model_name == "threshold"
    assert not correction.workspace.verified[:].any()
    assert correction.workspace.undo_step.name == "Segment with threshold"


def test_next_run_goes_around_what_is_verified_and_can_be_undone(
    open_dock, segment_and_wait, correct_result, spots, library
):
    save_threshold_model(library / "objects", instances=True)
    viewer, widget = open_dock(Image(spots, name="spots"), model="objects")
    segment_and_wait(widget)
    correction = correct_result(viewer, widget)
    layer = correction.labels_layer
    layer.paint_polygon([(0, 0), (0, 60), (40, 60), (40, 0)], correction.workspace.next_id)
    layer.paint((80, 100), 0)
    before = np.asarray(layer.data)
    verified = correction.workspace.verified[:] != 0
    segment_and_wait(widget)
    after = np.asarray(layer.data)
    np.testing.assert_array_equal(after[verified], before[verified])
    np.testing.assert_array_equal(after[~verified] > 0, above_middle(spots)[~verified] > 0)
    assert [item.name for item in viewer.layers] == ["spots", "spots · corrections"]
    assert "left as they were" in widget.panel.status.text()
    assert widget.panel.correct_button.isHidden()
    assert correction.model_name == "objects"
    correction.workspace.undo_bulk()
    np.testing.assert_array_equal(np.asarray(layer.data), before)


def test_labels_of_a_slice_begin_corrections_of_the_whole_stack(open_dock, segment_and_wait, correct_result, spots):
    viewer, widget = open_dock(Image(np.stack([spots, spots[::-1]]), name="stack", axis_labels=("z", "y", "x")))
    viewer.dims.set_current_step(0, 1)
    widget.scope.buttons["slice"].click()
    segment_and_wait(widget)
    correction = correct_result(viewer, widget)
    assert not viewer.layers["stack · threshold"].visible
    assert correction.labels_layer.data.shape == (2, *spots.shape)
    np.testing.assert_array_equal(correction.workspace.labels[1], above_middle(spots[::-1]))
    assert not correction.workspace.labels[0].any()
    viewer.dims.set_current_step(0, 0)
    segment_and_wait(widget)
    np.testing.assert_array_equal(correction.workspace.labels[0], above_middle(spots))


def test_tiles_never_cover_what_is_verified_even_what_is_painted_meanwhile(open_dock, spots, qtbot):
    frames = np.broadcast_to(spots, (5000, *spots.shape))
    viewer, widget = open_dock(Image(frames, name="movie", axis_labels=("t", "y", "x"), contrast_limits=(0, 200)))
    workspaces = workspaces_of(viewer)
    workspaces.start(widget.images.choice, "TYX")
    qtbot.waitUntil(lambda: bool(workspaces.corrections), timeout=TIMEOUT_MS)
    correction = workspaces.corrections[0]
    viewer.dims.set_current_step(0, 0)
    correction.labels_layer.paint((0, 9, 9), 5)
    viewer.layers.selection.active = correction.labels_layer
    qtbot.mouseClick(widget.panel.start_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "movie · threshold (running)" in viewer.layers, timeout=TIMEOUT_MS)
    assert viewer.layers.selection.active is correction.labels_layer
    tiles = viewer.layers["movie · threshold (running)"]
    assert not tiles.editable
    correction.labels_layer.paint((0, 9, 99), 6)
    verified = correction.workspace.verified[0] != 0
    expected = np.where(verified, 0, above_middle(spots))
    qtbot.waitUntil(lambda: np.array_equal(tiles._slice.image.raw, expected), timeout=TIMEOUT_MS)
    before = np.asarray(correction.workspace.labels[:3])
    widget.run.cancel()
    qtbot.waitUntil(lambda: not widget.run.is_running, timeout=TIMEOUT_MS)
    assert [item.name for item in viewer.layers] == ["movie", "movie · corrections"]
    np.testing.assert_array_equal(correction.workspace.labels[:3], before)
    assert widget.panel.status.text() == "Cancelled. The labels are as they were."


def test_channel_axis_after_time_is_left_out_of_the_workspace(open_dock, segment_and_wait, correct_result, spots):
    movie = np.stack([np.stack([spots, spots]), np.stack([spots[::-1], spots])])
    viewer, widget = open_dock(Image(movie, axis_labels=("t", "c", "y", "x"), name="movie"))
    segment_and_wait(widget)
    correction = correct_result(viewer, widget)
    assert correction.labels_layer.data.shape == (2, 1, *spots.shape)
    assert correction.workspace.shape == (2, *spots.shape)
    np.testing.assert_array_equal(correction.workspace.labels[:], above_middle(movie[:, 0]))
    correction.labels_layer.paint((1, 0, 40, 40), 1)
    before = correction.workspace.labels[:]
    segment_and_wait(widget)
    np.testing.assert_array_equal(correction.workspace.labels[:], before)


def test_read_only_corrections_leave_segment_as_it_was(
    open_dock, segment_and_wait, spots, make_napari_viewer, qtbot, tmp_path
):
    viewer, widget = open_dock(Image(spots, name="spots"))
    workspaces = workspaces_of(viewer)
    folder = tmp_path / "w.seamless"
    workspaces.start(widget.images.choice, "YX", folder=folder)
    qtbot.waitUntil(lambda: bool(workspaces.corrections), timeout=TIMEOUT_MS)
    viewer.layers.remove(workspaces.corrections[0].labels_layer)
    qtbot.waitUntil(lambda: not (folder / "lock").exists(), timeout=TIMEOUT_MS)
    from napari_seamless.images.image import Image as CoreImage
    from napari_seamless.workspace.opening import open_workspace

    with open_workspace(CoreImage.from_array(spots, "YX"), folder, name="spots"):
        workspaces.start(widget.images.choice, "YX", folder=folder)
        qtbot.waitUntil(lambda: bool(workspaces.corrections), timeout=TIMEOUT_MS)
        assert workspaces.corrections[0].workspace.read_only
        segment_and_wait(widget)
        np.testing.assert_array_equal(viewer.layers["spots · threshold"].data, above_middle(spots))


@pytest.fixture
def long_run(open_dock: Any, spots: np.ndarray, qtbot: Any) -> tuple[Any, Any, Any]:
    """A movie that is corrected and that Segment will be busy with for minutes: viewer, widget, correction."""
    frames = np.broadcast_to(spots, (5000, *spots.shape))
    viewer, widget = open_dock(Image(frames, name="movie", axis_labels=("t", "y", "x"), contrast_limits=(0, 200)))
    workspaces = workspaces_of(viewer)
    workspaces.start(widget.images.choice, "TYX")
    qtbot.waitUntil(lambda: bool(workspaces.corrections), timeout=TIMEOUT_MS)
    workspaces.corrections[0].labels_layer.paint((0, 9, 9), 5)
    qtbot.mouseClick(widget.panel.start_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "movie · threshold (running)" in viewer.layers, timeout=TIMEOUT_MS)
    return viewer, widget, workspaces.corrections[0]


def test_removing_the_labels_during_a_run_saves_and_stops(long_run, qtbot, notifications):
    viewer, widget, correction = long_run
    folder = correction.workspace.folder
    viewer.layers.remove(correction.labels_layer)
    qtbot.waitUntil(lambda: not widget.run.is_running, timeout=TIMEOUT_MS)
    qtbot.waitUntil(lambda: not (folder / "lock").exists(), timeout=TIMEOUT_MS)
    assert [layer.name for layer in viewer.layers] == ["movie"]
    assert zarr.open_array(folder / "labels", mode="r")[0, 9, 9] == 5
    qtbot.waitUntil(lambda: bool(notifications), timeout=TIMEOUT_MS)
    assert all("are saved in" in note.message for note in notifications)


def test_renaming_and_replacing_layers_during_a_run(long_run, qtbot, notifications):
    viewer, widget, correction = long_run
    correction.labels_layer.name, viewer.layers["movie"].name = "mine", "other"
    viewer.layers["other"].data = np.zeros((7, 90, 120), np.uint8)
    assert "were replaced" in notifications[-1].message
    widget.run.cancel()
    qtbot.waitUntil(lambda: not widget.run.is_running, timeout=TIMEOUT_MS)
    assert correction.workspace.labels[0, 9, 9] == 5
    assert [layer.name for layer in viewer.layers] == ["other", "mine"]


def test_full_disk_while_a_result_is_written_leaves_the_labels_as_they_were(
    open_dock, segment_and_wait, correct_result, spots, notifications, monkeypatch
):
    viewer, widget = open_dock(Image(spots, name="spots"))
    segment_and_wait(widget)
    correction = correct_result(viewer, widget)
    correction.labels_layer.paint((9, 9), 5)
    before = np.asarray(correction.labels_layer.data)

    def refuse(handle: int, content: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.write", refuse)
    segment_and_wait(widget)
    monkeypatch.undo()
    assert widget.panel.status.text().startswith("Failed: ")
    assert "The labels are as they were." in widget.panel.status.text()
    assert any("No space left" in note.message for note in notifications)
    np.testing.assert_array_equal(np.asarray(correction.labels_layer.data), before)
    correction.workspace.flush()


def test_one_of_several_channels_is_noted_as_what_the_labels_were_made_of(
    open_dock, segment_and_wait, correct_result, spots, tmp_path
):
    write_array(tmp_path / "two.ome.zarr", np.stack([spots[::-1], spots]), "CYX", channel_names=("first", "second"))
    viewer, widget = open_dock()
    viewer.open(tmp_path / "two.ome.zarr", plugin="napari-seamless")
    box = widget.images.image_box
    box.setCurrentIndex(box.findText("two · second"))
    segment_and_wait(widget)
    correction = correct_result(viewer, widget)
    assert correction.origin.channel == 1
    assert len(correction.image_layers) == 2
    box.setCurrentIndex(box.findText("two · first"))
    segment_and_wait(widget)
    assert correction.origin.channel == 0
    np.testing.assert_array_equal(np.asarray(correction.labels_layer.data), above_middle(spots[::-1]))
    box.setCurrentIndex(box.findText("two, all 2 channels"))
    widget.images.channel_box.setCurrentIndex(1)
    segment_and_wait(widget)
    assert correction.origin.channel == 1
    np.testing.assert_array_equal(np.asarray(correction.labels_layer.data), above_middle(spots))


def test_undoing_a_run_sets_back_which_model_made_the_labels(
    open_dock, segment_and_wait, correct_result, spots, library, qtbot
):
    save_threshold_model(library / "later")
    viewer, widget = open_dock(Image(spots, name="spots"))
    segment_and_wait(widget)
    correction = correct_result(viewer, widget)
    _, finetune = viewer.window.add_plugin_dock_widget("napari-seamless", "Fine-tune")
    qtbot.waitUntil(lambda: finetune.form.model is not None, timeout=TIMEOUT_MS)
    widget.models.add_model(library / "later")
    segment_and_wait(widget)
    assert correction.model_name == "later"
    qtbot.waitUntil(lambda: finetune.form.model.name == "later", timeout=TIMEOUT_MS)
    undo(viewer, correction)
    qtbot.waitUntil(lambda: correction.model_name == "threshold", timeout=TIMEOUT_MS)
    qtbot.waitUntil(lambda: finetune.form.model.name == "threshold", timeout=TIMEOUT_MS)
    redo(viewer, correction)
    qtbot.waitUntil(lambda: correction.model_name == "later", timeout=TIMEOUT_MS)
