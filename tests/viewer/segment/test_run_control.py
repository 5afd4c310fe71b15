"""Runs that are cancelled, fail, or lose their layers or their window; and that the viewer stays alive meanwhile."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication

from ..conftest import TIMEOUT_MS, above_middle


@pytest.fixture
def long_movie(spots) -> Image:
    """Thousands of frames: minutes of work, so that a run is surely under way when the test looks."""
    frames = np.broadcast_to(spots, (5000, *spots.shape))
    return Image(frames, name="movie", axis_labels=("t", "y", "x"), contrast_limits=(0, 200))


def start(qtbot: Any, viewer: Any, widget: Any) -> Any:
    """Press Segment and wait until there are tiles to be seen."""
    qtbot.mouseClick(widget.panel.start_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(viewer.layers) > 1, timeout=TIMEOUT_MS)
    return viewer.layers[-1]


def wait_for_end(qtbot: Any, widget: Any) -> None:
    qtbot.waitUntil(lambda: not widget.run.is_running, timeout=TIMEOUT_MS)


def test_cancel_keeps_the_tiles_that_are_done(open_dock, long_movie, spots, qtbot):
    viewer, widget = open_dock(long_movie)
    labels = start(qtbot, viewer, widget)
    assert not labels.editable
    qtbot.mouseClick(widget.panel.cancel_button, Qt.MouseButton.LeftButton)
    wait_for_end(qtbot, widget)
    assert labels.name == "movie · threshold (partial)"
    assert labels.metadata["napari_seamless"]["complete"] is False
    assert labels.editable
    done = int(widget.panel.status.text().split()[1].replace(",", ""))
    assert 0 < done < 5000
    np.testing.assert_array_equal(labels.data[done - 1], above_middle(spots))
    assert not labels.data[done:].any()
    assert widget.panel.start_button.isEnabled()


def test_tiles_appear_while_the_run_goes_on(open_dock, long_movie, spots, qtbot):
    viewer, widget = open_dock(long_movie)
    labels = start(qtbot, viewer, widget)
    viewer.dims.set_current_step(0, 0)
    assert widget.run.is_running
    np.testing.assert_array_equal(labels.data[0], above_middle(spots))
    assert widget.panel.bar.value() > 0
    assert "left" in widget.panel.status.text()
    widget.run.cancel()
    wait_for_end(qtbot, widget)


def test_removing_the_labels_stops_the_run_for_good(open_dock, long_movie, qtbot):
    viewer, widget = open_dock(long_movie)
    labels = start(qtbot, viewer, widget)
    viewer.layers.remove(labels)
    wait_for_end(qtbot, widget)
    assert [layer.name for layer in viewer.layers] == ["movie"]


def test_removing_the_image_stops_the_run_and_keeps_the_labels(open_dock, long_movie, qtbot):
    viewer, widget = open_dock(long_movie)
    start(qtbot, viewer, widget)
    viewer.layers[-1].visible = False  # software OpenGL crashes when it draws what is left after a removal
    viewer.layers.remove("movie")
    wait_for_end(qtbot, widget)
    assert [layer.name for layer in viewer.layers] == ["movie · threshold (partial)"]
    assert not widget.panel.start_button.isEnabled()
    assert "Open an image" in widget.panel.start_button.toolTip()


def test_closing_the_dock_stops_the_run(open_dock, long_movie, qtbot):
    viewer, widget = open_dock(long_movie)
    start(qtbot, viewer, widget)
    future = widget.run.job.future
    viewer.window.remove_dock_widget(widget)
    qtbot.waitUntil(future.done, timeout=TIMEOUT_MS)


def test_closing_the_viewer_stops_the_run(open_dock, long_movie, qtbot):
    viewer, widget = open_dock(long_movie)
    start(qtbot, viewer, widget)
    future = widget.run.job.future
    del widget
    viewer.close()
    qtbot.waitUntil(future.done, timeout=TIMEOUT_MS)


def test_error_becomes_a_notification_and_the_widget_is_ready_again(open_dock, segment_and_wait, spots, notifications):
    broken = spots.astype(np.float32)
    broken[40, 50] = np.nan
    viewer, widget = open_dock(Image(broken, name="broken", contrast_limits=(0, 200)))
    segment_and_wait(widget)
    assert [layer.name for layer in viewer.layers] == ["broken"]
    message = notifications[-1]
    assert str(message.severity) == "error"
    assert "NaN" in message.message
    assert "(40, 50)" in message.message.replace("Y=", "").replace("X=", "") or "40" in message.message
    assert widget.panel.start_button.isEnabled()
    assert widget.panel.status.text().startswith("Failed")


def test_existing_file_is_not_overwritten_without_asking(
    open_dock, segment_and_wait, spots, tmp_path, notifications, qtbot
):
    path = tmp_path / "labels.ome.tif"
    path.write_text("mine")
    _, widget = open_dock(Image(spots, name="spots"))
    widget.output.line.setText(str(path))
    segment_and_wait(widget)  # at once, before the program has looked at the path by itself
    assert "exists" in notifications[-1].message
    assert path.read_text() == "mine"
    qtbot.waitUntil(lambda: not widget.panel.start_button.isEnabled(), timeout=TIMEOUT_MS)
    assert "exists" in widget.panel.start_button.toolTip()
    widget.output.line.clear()
    assert widget.panel.start_button.isEnabled()


def test_unexpected_error_ends_in_a_notification_too(open_dock, segment_and_wait, spots, notifications, monkeypatch):
    def fail(*args: Any, **settings: Any) -> None:
        raise ZeroDivisionError("by a tile of nothing")

    _, widget = open_dock(Image(spots, name="spots"))
    monkeypatch.setattr("napari_seamless.inference.run.segment", fail)
    segment_and_wait(widget)
    assert "by a tile of nothing" in notifications[-1].message
    assert widget.panel.start_button.isEnabled()


def test_viewer_is_never_blocked_while_segmenting(open_dock, long_movie, qtbot):
    viewer, widget = open_dock(long_movie, show=True)
    # The first Labels layer costs napari half a second of imports and shaders, whoever adds it.
    viewer.layers.remove(viewer.add_labels(np.zeros((90, 120), np.uint8)))
    # The processor time that passes between two beats, of all threads together: a blocked event loop waits for one of
    # them, while on a crowded machine only the clock on the wall runs on.
    beats: list[float] = []
    heart = QTimer()
    heart.timeout.connect(lambda: beats.append(time.process_time()))
    start(qtbot, viewer, widget)
    heart.start(5)
    qtbot.waitUntil(lambda: len(beats) > 200, timeout=TIMEOUT_MS)
    heart.stop()
    assert widget.run.is_running
    widget.run.cancel()
    wait_for_end(qtbot, widget)
    assert max(np.diff(beats)) < 0.2


def test_nothing_is_left_behind(open_dock, segment_and_wait, spots, qtbot):
    before = set(QApplication.topLevelWidgets())
    viewer, widget = open_dock(Image(spots, name="spots"), show=True)
    segment_and_wait(widget)
    del widget
    viewer.close()
    qtbot.waitUntil(lambda: not visible(set(QApplication.topLevelWidgets()) - before), timeout=TIMEOUT_MS)


def visible(widgets: set[Any]) -> list[Any]:
    return [widget for widget in widgets if widget.isVisible()]
