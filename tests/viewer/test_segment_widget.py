"""The dock widget in a real viewer, opened through the manifest."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QAbstractSlider, QApplication, QComboBox, QLabel, QLineEdit, QPushButton, QRadioButton
from skimage.measure import label

import napari_seamless as ns
from napari_seamless.images.write import write_array

from .conftest import TIMEOUT_MS, save_threshold_model


def above_middle(image: np.ndarray) -> np.ndarray:
    """What the threshold model answers."""
    low, high = image.min(), image.max()
    return (image > low + (high - low) / 2).astype(np.uint8)


def test_labels_have_the_values_type_and_place_of_the_image(open_dock, segment_and_wait, spots):
    stack = np.stack([spots, spots[::-1], spots[:, ::-1]])
    layer = Image(
        stack,
        name="stack",
        scale=(2.0, 0.5, 0.25),
        translate=(10.0, 20.0, 30.0),
        units=("micrometer",) * 3,
        axis_labels=("z", "y", "x"),
    )
    viewer, widget = open_dock(layer)
    segment_and_wait(widget)
    labels = viewer.layers["stack · threshold"]
    np.testing.assert_array_equal(labels.data, above_middle(stack))
    assert labels.data.dtype == np.uint8
    np.testing.assert_allclose(labels.scale, layer.scale)
    np.testing.assert_allclose(labels.translate, layer.translate)
    assert labels.units == layer.units
    assert labels.axis_labels == layer.axis_labels
    assert labels.editable
    assert widget.panel.status.text().startswith("Done in")


def test_labels_know_what_made_them(open_dock, segment_and_wait, spots, library):
    viewer, widget = open_dock(Image(spots, name="spots"))
    segment_and_wait(widget)
    facts = viewer.layers["spots · threshold"].metadata["napari_seamless"]
    assert facts["model"] == "threshold"
    assert facts["model_path"] == str(library / "threshold")
    assert facts["image"] == "spots"
    assert facts["axes"] == "YX"
    assert facts["complete"] is True
    assert facts["plan"]["n_tiles"] == 1
    assert facts["plan"]["device"] == "cpu"


def test_objects_get_ids_of_their_own(open_dock, segment_and_wait, spots, library):
    save_threshold_model(library / "objects", instances=True)
    viewer, widget = open_dock(Image(spots, name="spots"), model="objects")
    segment_and_wait(widget)
    labels = viewer.layers["spots · objects"].data
    assert labels.dtype == np.uint32
    np.testing.assert_array_equal(labels, label(above_middle(spots)))
    assert widget.panel.status.text().startswith(f"Found {labels.max()} objects")


def test_current_slice_alone_is_segmented_and_lies_where_it_was(open_dock, segment_and_wait, spots):
    stack = np.stack([spots, spots // 2, spots // 4])
    viewer, widget = open_dock(Image(stack, name="stack", scale=(3.0, 1.0, 1.0)))
    viewer.dims.set_current_step(0, 2)
    widget.scope.buttons["slice"].click()
    segment_and_wait(widget)
    labels = viewer.layers["stack · threshold"]
    assert labels.data.shape == (1, *spots.shape)
    np.testing.assert_allclose(labels.translate, (6.0, 0.0, 0.0))
    # The range is that of the whole stack, whatever part of it is segmented.
    np.testing.assert_array_equal(labels.data[0], above_middle(stack)[2])


def test_visible_field_alone_is_segmented(open_dock, segment_and_wait, spots):
    viewer, widget = open_dock(Image(np.tile(spots, (8, 8)), name="mosaic"), show=True)
    viewer.scene.camera.zoom = 8.0
    viewer.scene.camera.center = (0, 300.0, 400.0)
    widget.scope.buttons["field"].click()
    segment_and_wait(widget)
    labels = viewer.layers["mosaic · threshold"]
    half = np.array(viewer.canvas.size) / 8.0 / 2
    np.testing.assert_allclose(labels.data.shape, 2 * half, atol=2)
    top, left = labels.translate.astype(int)
    np.testing.assert_allclose((top, left), np.array((300, 400)) - half, atol=1.5)
    height, width = labels.data.shape
    expected = above_middle(np.tile(spots, (8, 8)))[top : top + height, left : left + width]
    np.testing.assert_array_equal(labels.data, expected)


def test_colour_image_becomes_labels_without_the_colour_axis(open_dock, segment_and_wait, spots):
    grey = (spots > 150).astype(np.uint8) * 255
    viewer, widget = open_dock(Image(np.dstack([grey] * 3), rgb=True, name="colour"))
    segment_and_wait(widget)
    np.testing.assert_array_equal(viewer.layers["colour · threshold"].data, above_middle(grey))


def test_chosen_channel_is_segmented(open_dock, segment_and_wait, spots):
    image = Image(np.stack([spots, spots[::-1, ::-1]]), axis_labels=("c", "y", "x"), name="channels")
    viewer, widget = open_dock(image)
    assert widget.images.axes == "CYX"
    widget.images.channel_box.setCurrentIndex(1)
    segment_and_wait(widget)
    labels = viewer.layers["channels · threshold"]
    np.testing.assert_array_equal(labels.data, above_middle(spots[::-1, ::-1]))


def test_channels_that_are_layers_can_be_given_to_a_model_together(
    open_dock, segment_and_wait, spots, library, tmp_path
):
    channels = np.stack([spots, spots[::-1]])
    write_array(tmp_path / "two.ome.zarr", channels, "CYX", channel_names=("first", "second"))
    config = ns.NetworkConfig(in_channels=2, features=(2, 2))
    model = ns.create_model(config, seed=5)
    ns.save_model(model, library / "pair")
    viewer, widget = open_dock(model="pair")
    viewer.open(tmp_path / "two.ome.zarr", plugin="napari-seamless")
    box = widget.images.image_box
    assert [box.itemText(index) for index in range(box.count())] == [
        "two · second",
        "two · first",
        "two, all 2 channels",
    ]
    box.setCurrentIndex(2)
    assert not widget.images.channel_box.isEnabled()
    segment_and_wait(widget)
    labels = viewer.layers["two · pair"].data
    np.testing.assert_array_equal(labels, ns.segment(channels, model, axes="CYX"))


def test_channel_axis_after_time_keeps_labels_under_every_channel(open_dock, segment_and_wait, spots):
    movie = np.stack([np.stack([spots, spots]), np.stack([spots[::-1], spots])])
    viewer, widget = open_dock(Image(movie, axis_labels=("t", "c", "y", "x"), name="movie"))
    segment_and_wait(widget)
    labels = viewer.layers["movie · threshold"]
    assert labels.data.shape == (2, 1, *spots.shape)
    for time_point, channel in np.ndindex(2, 2):
        index = np.round(labels.world_to_data((time_point, channel, 8, 8))).astype(int)
        assert labels.data[tuple(index)] == above_middle(movie[:, 0])[time_point, 8, 8]


def test_pyramid_is_segmented_at_full_resolution(open_dock, segment_and_wait, spots):
    viewer, widget = open_dock(Image([spots, spots[::2, ::2]], multiscale=True, name="pyramid"))
    segment_and_wait(widget)
    np.testing.assert_array_equal(viewer.layers["pyramid · threshold"].data, above_middle(spots))


def test_three_dimensional_model_runs_on_a_stack(open_dock, segment_and_wait, spots, library):
    save_threshold_model(library / "volume", spatial_dims=3)
    stack = np.stack([spots] * 6)
    viewer, widget = open_dock(Image(stack, name="stack"), model="volume")
    segment_and_wait(widget)
    np.testing.assert_array_equal(viewer.layers["stack · volume"].data, above_middle(stack))


def test_labels_are_also_written_to_the_chosen_file(open_dock, segment_and_wait, spots, tmp_path):
    viewer, widget = open_dock(Image(spots, name="spots", scale=(0.5, 0.5), units=("micrometer",) * 2))
    widget.output.line.setText(str(tmp_path / "labels.ome.tif"))
    segment_and_wait(widget)
    written = ns.open_image(tmp_path / "labels.ome.tif")
    np.testing.assert_array_equal(written.data.compute(), above_middle(spots))
    assert written.voxel_size_um == (0.5, 0.5)
    assert viewer.layers["spots · threshold"].editable


def test_zarr_output_is_shown_itself_so_that_painting_reaches_the_file(open_dock, segment_and_wait, spots, tmp_path):
    viewer, widget = open_dock(Image(spots, name="spots"))
    widget.output.line.setText(str(tmp_path / "labels.ome.zarr"))
    segment_and_wait(widget)
    labels = viewer.layers["spots · threshold"]
    labels.data_setitem((np.array([3]), np.array([4])), 7)
    assert ns.open_image(tmp_path / "labels.ome.zarr").data[3, 4].compute() == 7


def test_labels_larger_than_memory_go_to_a_temporary_file(open_dock, segment_and_wait, spots, library, monkeypatch):
    monkeypatch.setattr("napari_seamless.viewer.provisional.MEMORY_SHARE", 0.0)
    save_threshold_model(library / "objects", instances=True)
    viewer, widget = open_dock(Image(spots, name="spots"), model="objects")
    segment_and_wait(widget)
    labels = viewer.layers["spots · objects"].data
    assert not isinstance(labels, np.ndarray)
    np.testing.assert_array_equal(np.asarray(labels), label(above_middle(spots)))


# Cancel, errors, and the end of layers and widgets


@pytest.fixture
def long_movie(spots) -> Image:
    """Thousands of frames: minutes of work, so that a run is surely under way when the test looks."""
    frame = da.from_array(spots)
    return Image(da.stack([frame] * 5000), name="movie", axis_labels=("t", "y", "x"), contrast_limits=(0, 200))


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


@pytest.fixture
def notifications() -> Iterator[list[Any]]:
    """The notifications that napari shows during a test."""
    notification_manager.records.clear()
    yield notification_manager.records
    notification_manager.records.clear()


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


def test_existing_file_is_not_overwritten_without_asking(open_dock, segment_and_wait, spots, tmp_path, notifications):
    path = tmp_path / "labels.ome.tif"
    path.write_text("mine")
    _, widget = open_dock(Image(spots, name="spots"))
    widget.output.line.setText(str(path))
    segment_and_wait(widget)
    assert "exists" in notifications[-1].message
    assert path.read_text() == "mine"


def test_unexpected_error_ends_in_a_notification_too(open_dock, segment_and_wait, spots, notifications, monkeypatch):
    def fail(*args: Any, **settings: Any) -> None:
        raise ZeroDivisionError("by a tile of nothing")

    _, widget = open_dock(Image(spots, name="spots"))
    monkeypatch.setattr("napari_seamless.inference.run.segment", fail)
    segment_and_wait(widget)
    assert "by a tile of nothing" in notifications[-1].message
    assert widget.panel.start_button.isEnabled()


# Before the run


def test_estimate_says_tiles_memory_time_and_device(open_dock, spots, qtbot):
    _, widget = open_dock(Image(spots, name="spots"))
    qtbot.waitUntil(lambda: "tile" in widget.panel.estimate.text(), timeout=TIMEOUT_MS)
    text = widget.panel.estimate.text()
    assert text.startswith("1 tile of ")
    assert "MB of memory" in text
    assert "second" in text
    assert text.endswith("on cpu.")


def test_estimate_follows_what_is_to_be_segmented(open_dock, spots, qtbot):
    _, widget = open_dock(Image(np.stack([spots] * 7), name="stack"))
    qtbot.waitUntil(lambda: widget.panel.estimate.text().startswith("7 tiles"), timeout=TIMEOUT_MS)
    widget.scope.buttons["slice"].click()
    qtbot.waitUntil(lambda: widget.panel.estimate.text().startswith("1 tile "), timeout=TIMEOUT_MS)


def test_what_does_not_fit_is_said_before_the_run(open_dock, spots, library, qtbot):
    save_threshold_model(library / "volume", spatial_dims=3)
    _, widget = open_dock(Image(spots, name="flat"), model="volume")
    qtbot.waitUntil(lambda: not widget.panel.start_button.isEnabled(), timeout=TIMEOUT_MS)
    assert "3" in widget.panel.estimate.text()
    assert widget.panel.start_button.toolTip() == widget.panel.estimate.text()


def test_damaged_model_is_refused_with_the_reason(open_dock, spots, library, notifications):
    _, widget = open_dock(Image(spots, name="spots"))
    (library / "threshold" / "model.json").write_text("{}")
    widget.models.add_model(library / "threshold")
    assert "cannot be used" in notifications[-1].message


def test_controls_without_use_say_why(open_dock, spots):
    _, widget = open_dock(Image(spots, name="spots"))
    reasons = {
        widget.images.axes_box: "flat image",
        widget.images.channel_box: "one channel",
        widget.models.level.slider: "U-Net has one level",
        widget.scope.buttons["slice"]: "single slice",
        widget.panel.cancel_button: "Nothing is running",
    }
    for control, reason in reasons.items():
        assert not control.isEnabled()
        assert reason in control.toolTip()


def test_nothing_can_be_started_without_an_image(open_dock):
    _, widget = open_dock()
    assert not widget.panel.start_button.isEnabled()
    assert "Open an image" in widget.panel.start_button.toolTip()
    assert "Open an image" in widget.images.image_box.toolTip()


def test_every_control_has_a_tooltip(open_dock, spots):
    _, widget = open_dock(Image(spots, name="spots"))
    kinds = (QComboBox, QPushButton, QRadioButton, QLineEdit, QAbstractSlider)
    controls = [control for kind in kinds for control in widget.findChildren(kind)]
    assert len(controls) > 12
    silent = [control for control in controls if not control.toolTip() and control.parent().objectName() != "output"]
    assert silent == []


def test_all_text_fits_a_small_window(open_dock, spots, qtbot):
    viewer, widget = open_dock(Image(spots, name="spots"), show=True)
    viewer.window.resize(1280, 800)
    qtbot.waitUntil(lambda: "tile" in widget.panel.estimate.text(), timeout=TIMEOUT_MS)
    qtbot.wait(50)
    for text in widget.findChildren(QLabel):
        if text.isVisible():
            needed = text.heightForWidth(text.width()) if text.wordWrap() else text.sizeHint().height()
            assert text.height() >= needed, text.text()
            assert text.wordWrap() or text.width() >= text.sizeHint().width(), text.text()
    for button in widget.findChildren(QRadioButton):
        assert button.width() >= button.sizeHint().width()


def test_renamed_and_new_layers_are_offered(open_dock, spots):
    viewer, widget = open_dock(Image(spots, name="first"))
    viewer.add_image(spots, name="second")
    viewer.layers["first"].name = "renamed"
    offered = [widget.images.image_box.itemText(index) for index in range(widget.images.image_box.count())]
    assert offered == ["second", "renamed"]
    assert widget.images.choice.text == "renamed"


def test_levels_of_a_unetpp_can_be_chosen(open_dock, segment_and_wait, spots, library):
    config = ns.NetworkConfig(architecture="unetpp", features=(2, 2, 2), out_channels=2)
    model = ns.create_model(config, seed=3)
    ns.save_model(model, library / "nested")
    viewer, widget = open_dock(Image(spots, name="spots"), model="nested")
    assert widget.models.level.level == "auto"
    widget.models.level.auto.click()
    widget.models.level.slider.setValue(1)
    assert "level 1 of 2" in widget.models.level.caption.text()
    segment_and_wait(widget)
    np.testing.assert_array_equal(viewer.layers["spots · nested"].data, ns.segment(spots, model, axes="YX", level=1))
    widget.models.level.slider.setValue(3)
    assert widget.models.level.level == "accurate"


# The viewer stays alive


def test_viewer_is_never_blocked_while_segmenting(open_dock, long_movie, qtbot):
    viewer, widget = open_dock(long_movie, show=True)
    # The first Labels layer costs napari half a second of imports and shaders, whoever adds it.
    viewer.layers.remove(viewer.add_labels(np.zeros((90, 120), np.uint8)))
    beats: list[float] = []
    heart = QTimer()
    heart.timeout.connect(lambda: beats.append(time.perf_counter()))
    start(qtbot, viewer, widget)
    qtbot.wait(300)
    heart.start(5)
    qtbot.wait(3000)
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


def test_models_of_the_library_are_listed_when_the_widget_opens(library: Path, make_napari_viewer, qtbot):
    save_threshold_model(library / "another")
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-seamless", "Segment")
    qtbot.waitUntil(lambda: widget.models.model_box.count() > 0, timeout=TIMEOUT_MS)
    names = [widget.models.model_box.itemText(index) for index in range(widget.models.model_box.count())]
    assert {"another", "threshold"} <= set(names)
    qtbot.waitUntil(lambda: widget.device.count() > 1, timeout=TIMEOUT_MS)
