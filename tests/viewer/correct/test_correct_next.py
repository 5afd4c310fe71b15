"""The row "Where next?" of the Correct widget: the map, the places it leads to, and what becomes of both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.layers import Image, Shapes
from qtpy.QtCore import Qt

from napari_seamless.images.boxes import intersection
from napari_seamless.images.write import write_array
from napari_seamless.viewer.correct.workspaces import workspaces_of
from napari_seamless.viewer.image_choice import image_choices
from napari_seamless.workspace.origin import Origin
from napari_seamless.workspace.uncertainty_file import UNCERTAINTY, read_map

from ..conftest import TIMEOUT_MS

DARK, UNSURE, BRIGHT = 0, 100, 200
"""What the model of these tests is sure of, and the grey value exactly between, of which it knows nothing."""


@pytest.fixture(autouse=True)
def _user_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_data_path", lambda *args, **options: tmp_path / "user")


@pytest.fixture
def cells() -> np.ndarray:
    """An image of 300 x 600 pixels with two places that the model can't decide, the larger one on the right."""
    image = np.full((300, 600), DARK, np.uint16)
    image[:150, :50] = BRIGHT
    image[30:130, 400:500] = UNSURE
    image[180:220, 60:120] = UNSURE
    return image


@pytest.fixture
def open_correct(make_napari_viewer: Any, library: Path, qtbot: Any) -> Callable[..., tuple[Any, Any, Any]]:
    """Return a function that corrects an image whose labels the model ``threshold`` made, in the real widget."""

    def begin(
        layer: Any, axes: str, model: str = "threshold", channel: int | None = None, show: bool = False
    ) -> tuple[Any, Any, Any]:
        viewer = make_napari_viewer(show=show)
        if isinstance(layer, Path):
            viewer.open(layer, plugin="napari-seamless")
        else:
            viewer.add_layer(layer)
        _, widget = viewer.window.add_plugin_dock_widget("napari-seamless", "Correct")
        workspaces = workspaces_of(viewer)
        workspaces.start(image_choices(viewer.layers)[0], axes)
        qtbot.waitUntil(lambda: bool(workspaces.corrections), timeout=TIMEOUT_MS)
        correction = workspaces.corrections[0]
        correction.origin = Origin(model, str(library / model) if model else "", channel=channel)
        workspaces.changed.emit()
        row = widget.panel.next_place
        qtbot.waitUntil(lambda: row.map_button.isEnabled() == bool(model), timeout=TIMEOUT_MS)
        return viewer, widget.panel, correction

    return begin


def press(qtbot: Any, button: Any) -> None:
    assert button.isEnabled(), button.toolTip()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def make_map(qtbot: Any, row: Any) -> None:
    press(qtbot, row.map_button)
    qtbot.waitUntil(lambda: row.job is None, timeout=TIMEOUT_MS)


def go(qtbot: Any, row: Any) -> str:
    press(qtbot, row.next_button)
    qtbot.waitUntil(lambda: not row.finder.is_searching, timeout=TIMEOUT_MS)
    return row.status.text()


def rectangle(viewer: Any) -> np.ndarray:
    (layer,) = (layer for layer in viewer.layers if isinstance(layer, Shapes))
    assert len(layer.data) == 1
    return layer.data[0]


def test_without_a_model_or_a_map_the_buttons_say_why(open_correct, cells, qtbot):
    viewer, panel, correction = open_correct(Image(cells, name="cells"), "YX", model="")
    row = panel.next_place
    qtbot.waitUntil(lambda: "press Segment first" in row.map_button.toolTip(), timeout=TIMEOUT_MS)
    assert "press Segment first" in row.next_button.toolTip()
    correction.origin = Origin("threshold")
    workspaces_of(viewer).changed.emit()
    qtbot.waitUntil(row.map_button.isEnabled, timeout=TIMEOUT_MS)
    assert not row.next_button.isEnabled()
    assert "Map the uncertainty first" in row.next_button.toolTip()
    assert "flat image" in row.kind_box.toolTip()


def test_map_next_mark_next(open_correct, cells, qtbot):
    viewer, panel, correction = open_correct(Image(cells, name="cells", scale=(0.5, 0.5)), "YX")
    row = panel.next_place
    make_map(qtbot, row)
    shown = viewer.layers["cells · uncertainty"]
    np.testing.assert_allclose(np.asarray(shown.data), cells == UNSURE, atol=1e-3)
    np.testing.assert_allclose(shown.scale, (0.5, 0.5))
    assert (shown.colormap.name, shown.opacity, shown.contrast_limits) == ("magma", 0.5, [0.0, 1.0])
    assert viewer.layers.index(shown) < viewer.layers.index(correction.labels_layer)
    assert viewer.layers.selection.active is correction.labels_layer
    assert [choice.name for choice in image_choices(viewer.layers)] == ["cells"]

    assert "0.15 unsure" in go(qtbot, row)  # 100 x 100 of 256 x 256 pixels
    corners = rectangle(viewer)
    (top, left), (bottom, right) = corners.min(0) + 0.5, corners.max(0) + 0.5
    assert (bottom - top, right - left) == (256, 256)
    assert top <= 30 <= 130 <= bottom
    assert left <= 400 <= 500 <= right
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (corners.mean(0)) * 0.5)

    qtbot.waitUntil(panel.box_button.isEnabled, timeout=TIMEOUT_MS)
    press(qtbot, panel.box_button)
    qtbot.waitUntil(lambda: len(correction.workspace.regions) == 1, timeout=TIMEOUT_MS)
    (region,) = correction.workspace.regions
    assert region.box == ((top, bottom), (left, right))
    qtbot.waitUntil(lambda: not len(viewer.layers["cells · next"].data), timeout=TIMEOUT_MS)

    assert "0.04 unsure" in go(qtbot, row)
    corners = rectangle(viewer)
    second = tuple((int(low + 0.5), int(high + 0.5)) for low, high in zip(corners.min(0), corners.max(0), strict=True))
    assert intersection(region.box, second) is None
    assert second[1][0] <= 60 <= 120 <= second[1][1]
    assert "No other field" in go(qtbot, row)


def test_hide_show_and_delete(open_correct, cells, qtbot):
    viewer, panel, _ = open_correct(Image(cells, name="cells"), "YX")
    row = panel.next_place
    assert row.map_button.text() == "Map uncertainty"
    make_map(qtbot, row)
    assert row.map_button.text() == "Hide uncertainty"
    press(qtbot, row.map_button)
    assert not viewer.layers["cells · uncertainty"].visible
    assert row.map_button.text() == "Show uncertainty"
    viewer.layers["cells · uncertainty"].visible = True
    assert row.map_button.text() == "Hide uncertainty"
    viewer.layers.remove("cells · uncertainty")
    assert row.map_button.text() == "Show uncertainty"
    press(qtbot, row.map_button)
    assert viewer.layers["cells · uncertainty"].visible


def test_a_map_of_another_model_says_so_and_is_replaced(open_correct, cells, qtbot, library):
    viewer, panel, correction = open_correct(Image(cells, name="cells"), "YX")
    row = panel.next_place
    make_map(qtbot, row)
    (library / "threshold").rename(library / "newer")
    correction.origin = Origin("newer", str(library / "newer"))
    workspaces_of(viewer).changed.emit()
    qtbot.waitUntil(lambda: row.is_stale and row.map_button.text() == "Map anew", timeout=TIMEOUT_MS)
    assert "of 'threshold'; the labels are of 'newer'" in row.status.text()
    assert "of 'newer' now" in go(qtbot, row)  # it still leads somewhere
    make_map(qtbot, row)
    assert not row.is_stale
    assert read_map(correction.workspace.folder, cells.shape).model == "newer"
    assert row.map_button.text() == "Hide uncertainty"


def test_next_goes_to_the_slice_and_to_fields_in_slices(open_correct, cells, qtbot, tmp_path):
    stack = np.stack([np.where(cells == UNSURE, DARK, cells)] * 6)
    stack[4] = cells
    stack[1, :10, :10] = UNSURE
    write_array(tmp_path / "stack.ome.tif", stack, "ZYX", voxel_size_um=(2.0, 0.5, 0.5))
    viewer, panel, correction = open_correct(tmp_path / "stack.ome.tif", "ZYX")
    row = panel.next_place
    make_map(qtbot, row)
    row.kind_box.setCurrentIndex(row.kind_box.findData("slice"))
    assert go(qtbot, row).startswith("Z 4: ")
    assert viewer.dims.point[0] == 4 * 2.0
    assert not any(isinstance(layer, Shapes) and len(layer.data) for layer in viewer.layers)
    press(qtbot, panel.slice_button)
    qtbot.waitUntil(lambda: len(correction.workspace.regions) == 1, timeout=TIMEOUT_MS)
    assert go(qtbot, row).startswith("Z 1: ")
    row.kind_box.setCurrentIndex(row.kind_box.findData("field"))
    viewer.dims.ndisplay = 3
    assert go(qtbot, row).startswith("Z 1, Y 0-255, X 0-255: ")
    assert viewer.dims.ndisplay == 2
    np.testing.assert_array_equal(rectangle(viewer)[:, 0], 1)


def test_the_map_lies_on_images_with_channels_before_which_time_stands(open_correct, cells, qtbot, tmp_path):
    movie = np.zeros((2, 2, *cells.shape), np.uint16)
    movie[:, 0] = cells[:, ::-1]
    movie[:, 1] = cells
    viewer, panel, correction = open_correct(Image(movie, name="movie"), "TCYX", channel=1)
    row = panel.next_place
    make_map(qtbot, row)
    shown = viewer.layers["movie · uncertainty"]
    assert shown.data.shape == correction.labels_layer.data.shape == (2, 1, *cells.shape)
    np.testing.assert_allclose(np.asarray(shown.data)[1, 0], cells == UNSURE, atol=1e-3)
    assert go(qtbot, row).startswith("T 0, ")
    press(qtbot, panel.box_button)
    qtbot.waitUntil(lambda: len(correction.workspace.regions) == 1, timeout=TIMEOUT_MS)
    np.testing.assert_array_equal(np.array(correction.workspace.regions[0].box)[0], (0, 1))


def test_cancelled_there_is_no_map(open_correct, cells, qtbot):
    _, panel, correction = open_correct(Image(cells, name="cells"), "YX")
    row = panel.next_place
    press(qtbot, row.map_button)
    assert "being mapped" in row.map_button.toolTip()
    assert "being mapped" in row.next_button.toolTip()
    assert not row.bar.isHidden()
    press(qtbot, row.cancel_button)
    qtbot.waitUntil(lambda: row.job is None, timeout=TIMEOUT_MS)
    assert row.status.text() == "Cancelled."
    assert row.bar.isHidden()
    assert not (correction.workspace.folder / UNCERTAINTY).exists()
    make_map(qtbot, row)
    assert row.next_button.isEnabled()


def test_a_model_that_is_gone_is_named(open_correct, cells, qtbot, notifications):
    _, panel, correction = open_correct(Image(cells, name="cells"), "YX")
    correction.origin = Origin("lost", "/nowhere/lost")
    make_map(qtbot, panel.next_place)
    assert "'lost'" in panel.next_place.status.text()
    assert "no longer there" in notifications[-1].message
    notifications.clear()


def test_layers_go_with_the_correction_and_the_map_stays(open_correct, cells, qtbot, tmp_path):
    tifffile.imwrite(tmp_path / "cells.tif", cells)
    viewer, panel, correction = open_correct(tmp_path / "cells.tif", "YX")
    row = panel.next_place
    make_map(qtbot, row)
    go(qtbot, row)
    viewer.layers.remove(correction.labels_layer)
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=TIMEOUT_MS)
    qtbot.waitUntil(lambda: not row.map_button.isEnabled(), timeout=TIMEOUT_MS)
    workspaces = workspaces_of(viewer)
    workspaces.start(image_choices(viewer.layers)[0], "YX")
    qtbot.waitUntil(lambda: bool(workspaces.corrections), timeout=TIMEOUT_MS)
    qtbot.waitUntil(row.next_button.isEnabled, timeout=TIMEOUT_MS)
    assert "0.15 unsure" in go(qtbot, row)


def test_key_and_menu_do_what_the_button_does(open_correct, cells, qtbot):
    from napari_seamless.viewer.correct.next import next_place_command

    viewer, panel, _ = open_correct(Image(cells, name="cells"), "YX", show=True)
    row = panel.next_place
    make_map(qtbot, row)
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_N, Qt.KeyboardModifier.AltModifier)
    qtbot.waitUntil(lambda: "0.15 unsure" in row.status.text(), timeout=TIMEOUT_MS)
    next_place_command()
    qtbot.waitUntil(lambda: "0.04 unsure" in row.status.text(), timeout=TIMEOUT_MS)


def test_every_control_has_a_tooltip(open_correct, cells):
    _, panel, _ = open_correct(Image(cells, name="cells"), "YX")
    row = panel.next_place
    for control in (row.kind_box, row.map_button, row.next_button, row.cancel_button, row.bar, row.status):
        assert control.toolTip()


def test_a_new_map_is_shown_in_the_layer_of_the_one_before(open_correct, cells, qtbot, library):
    """Removing a layer lets napari collect all garbage, which holds the viewer up."""
    viewer, panel, correction = open_correct(Image(cells, name="cells"), "YX")
    make_map(qtbot, panel.next_place)
    (before,) = (layer for layer in viewer.layers if layer.name == "cells · uncertainty")
    shown = before.data
    before.visible = False
    removed = []
    viewer.layers.events.removed.connect(lambda event: removed.append(event.value))
    correction.origin = Origin("newer", str(library / "threshold"))
    workspaces_of(viewer).changed.emit()
    qtbot.waitUntil(lambda: panel.next_place.is_stale, timeout=TIMEOUT_MS)
    make_map(qtbot, panel.next_place)
    assert removed == []
    assert before.data is not shown
    assert before.visible


def test_place_is_marked_after_it_is_drawn(open_correct, cells, qtbot):
    viewer, panel, _ = open_correct(Image(cells, name="cells"), "YX")
    make_map(qtbot, panel.next_place)
    finder = panel.next_place.finder
    seen = []
    finder.changed.connect(lambda: seen.append((finder.is_searching, bool(finder.outcome), has_rectangle(viewer))))
    go(qtbot, panel.next_place)
    assert seen == [(True, False, False), (True, True, False), (False, True, True)]


def has_rectangle(viewer: Any) -> bool:
    return any(isinstance(layer, Shapes) and len(layer.data) for layer in viewer.layers)
