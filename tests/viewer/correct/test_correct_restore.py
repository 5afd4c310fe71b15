"""Coming back to corrections: an image that has some beside it, a workspace that is dropped, a program that died."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from napari._qt.dialogs.qt_notification import NapariQtNotification
from npe2 import read as npe2_read
from qtpy.QtWidgets import QLabel

from napari_seamless.errors import FileWriteError, WorkspaceError
from napari_seamless.images.image import Image
from napari_seamless.images.read import open_image
from napari_seamless.images.write import write_array
from napari_seamless.viewer.correct.opening import OpeningRequest, open_requested
from napari_seamless.viewer.correct.workspaces import workspaces_of
from napari_seamless.viewer.image_choice import image_choices
from napari_seamless.viewer.layers import LayerSource
from napari_seamless.workspace.opening import open_workspace

from ..conftest import TIMEOUT_MS


@pytest.fixture
def cells(tmp_path: Path, spots: np.ndarray) -> Path:
    """A stack of three slices in a file."""
    path = tmp_path / "cells.ome.tif"
    write_array(path, np.stack([spots] * 3), "ZYX", voxel_size_um=(2.0, 0.5, 0.5))
    return path


@pytest.fixture
def corrected(cells: Path) -> Path:
    """Its workspace, with an edit and a verified slice; closed."""
    with open_workspace(open_image(cells)) as workspace:
        workspace.labels[1, 10:20, 10:30] = 4
        workspace.verify_slice({"Z": 1})
        return workspace.folder


def the_correction(qtbot: Any, viewer: Any) -> Any:
    workspaces = workspaces_of(viewer)
    qtbot.waitUntil(lambda: bool(workspaces.corrections), timeout=TIMEOUT_MS)
    return workspaces.corrections[0]


def test_opening_the_image_offers_to_restore(make_napari_viewer, cells, corrected, notifications, qtbot):
    viewer = make_napari_viewer()
    viewer.open(cells, plugin="napari-seamless")
    qtbot.waitUntil(lambda: bool(notifications), timeout=TIMEOUT_MS)
    assert "has been corrected before" in notifications[0].message
    assert not workspaces_of(viewer).corrections
    text, restore = notifications[0].actions[0]
    assert text == "Restore corrections"
    restore(None)
    correction = the_correction(qtbot, viewer)
    assert correction.workspace.folder == corrected
    assert correction.labels_layer.data[1, 15, 15] == 4
    assert correction.image_layer is viewer.layers["cells"]


def test_offer_is_plain_text(make_napari_viewer, cells, corrected, notifications, qtbot):
    viewer = make_napari_viewer()
    viewer.open(cells, plugin="napari-seamless")
    qtbot.waitUntil(lambda: bool(notifications), timeout=TIMEOUT_MS)
    shown = NapariQtNotification.from_notification(notifications[0])
    qtbot.addWidget(shown)
    texts = [label.text() for label in shown.findChildren(QLabel)]
    assert [text for text in texts if text] == [notifications[0].message]
    assert notifications[0].message.endswith("press the button, or open the Correct panel.")


def test_images_without_corrections_offer_nothing(make_napari_viewer, cells, notifications, qtbot):
    viewer = make_napari_viewer()
    workspaces_of(viewer)
    viewer.open(cells, plugin="napari-seamless")
    qtbot.wait(50)
    assert not notifications


def test_dropped_workspace_opens_image_and_labels(make_napari_viewer, corrected, qtbot):
    viewer = make_napari_viewer()
    viewer.open(corrected, plugin="napari-seamless")
    correction = the_correction(qtbot, viewer)
    assert [layer.name for layer in viewer.layers] == ["cells", "cells · corrections"]
    np.testing.assert_allclose(viewer.layers["cells"].scale, (2.0, 0.5, 0.5))
    assert correction.labels_layer.data[1, 15, 15] == 4
    assert correction.labels_layer.editable
    viewer.open(corrected, plugin="napari-seamless")  # once more: it is there already
    assert len(viewer.layers) == 2
    assert viewer.layers.selection.active is correction.labels_layer


def test_dropped_workspace_of_an_image_that_is_open_already(make_napari_viewer, cells, corrected, qtbot):
    viewer = make_napari_viewer()
    viewer.open(cells, plugin="napari-seamless")
    viewer.open(corrected, plugin="napari-seamless")
    correction = the_correction(qtbot, viewer)
    assert [layer.name for layer in viewer.layers] == ["cells", "cells · corrections"]
    assert correction.image_layer is viewer.layers["cells"]


def test_dropped_workspace_of_a_file_with_channels(make_napari_viewer, tmp_path, spots, qtbot):
    path = tmp_path / "two.ome.zarr"
    write_array(path, np.stack([spots, spots[::-1]]), "CYX", channel_names=("first", "second"))
    with open_workspace(open_image(path)) as workspace:
        workspace.labels[10:20, 10:30] = 4
    viewer = make_napari_viewer()
    viewer.open(workspace.folder, plugin="napari-seamless")
    correction = the_correction(qtbot, viewer)
    assert [layer.name for layer in correction.image_layers] == ["two · first", "two · second"]
    assert correction.labels_layer.data.shape == spots.shape
    assert correction.workspace.image.axes == "CYX"


def test_workspace_keeps_the_axes_it_was_made_with(make_napari_viewer, tmp_path, spots, qtbot):
    path = tmp_path / "movie.tif"
    write_array(path, np.stack([spots] * 3), "ZYX")
    viewer = make_napari_viewer()
    viewer.open(path, plugin="napari-seamless")
    _, widget = viewer.window.add_plugin_dock_widget("napari-seamless", "Correct")
    widget.images.axes_box.setCurrentIndex(widget.images.axes_box.findData("TYX"))
    widget.start()
    correction = the_correction(qtbot, viewer)
    assert correction.workspace.axes == "TYX"
    assert correction.workspace.folder == tmp_path / "movie.tif.seamless"
    folder = correction.workspace.folder
    viewer.layers.clear()
    qtbot.waitUntil(lambda: not (folder / "lock").exists(), timeout=TIMEOUT_MS)
    viewer.open(folder, plugin="napari-seamless")
    assert the_correction(qtbot, viewer).workspace.axes == "TYX"


def test_workspace_without_its_image_says_what_to_do(cells, corrected):
    cells.unlink()
    with pytest.raises(WorkspaceError, match=r"is no longer at .*open the image, then choose this folder"):
        npe2_read([str(corrected)], stack=False, plugin_name="napari-seamless")


def test_without_a_viewer_labels_come_along(cells, corrected):
    image, labels = npe2_read([str(corrected)], stack=False, plugin_name="napari-seamless")
    assert image[2] == "image"
    assert labels[2] == "labels"
    assert int(labels[0][1, 15, 15].compute()) == 4
    assert labels[1]["scale"] == (2.0, 0.5, 0.5)


PAINTER = """
import sys, time
import napari
from qtpy.QtWidgets import QApplication
from napari_seamless.viewer.image_choice import image_choices
from napari_seamless.viewer.correct.opening import OpeningRequest, open_requested
from napari_seamless.viewer.image_choice import image_choices
from napari_seamless.viewer.layers import LayerSource
from napari_seamless.viewer.correct.workspaces import workspaces_of

viewer = napari.Viewer(show=False)
viewer.open(sys.argv[1], plugin="napari-seamless")
workspaces = workspaces_of(viewer)
workspaces.start(image_choices(viewer.layers)[0], "ZYX")
while not workspaces.corrections:
    QApplication.processEvents()
    time.sleep(0.01)
layer = workspaces.corrections[0].labels_layer
layer.brush_size = 3
for column in range(3, 117):
    if column == 4:
        print("painting", flush=True)
    layer.paint((1, 40, column), 9)
    print(column, time.monotonic(), flush=True)
    ends = time.monotonic() + 0.05
    while time.monotonic() < ends:
        QApplication.processEvents()
"""


def test_killed_program_loses_at_most_two_seconds(cells, make_napari_viewer, notifications, qtbot):
    process = subprocess.Popen([sys.executable, "-c", PAINTER, str(cells)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        while process.stdout.readline().strip() != "painting":
            assert process.poll() is None
        time.sleep(3.2)
    finally:
        process.kill()
    killed_at = time.monotonic()
    out = process.communicate()[0]
    strokes = [line.split() for line in out.splitlines() if len(line.split()) == 2]
    safe = [int(column) for column, at in strokes if killed_at - float(at) > 2.0]
    assert len(safe) > 5
    viewer = make_napari_viewer()
    viewer.open(cells, plugin="napari-seamless")
    qtbot.waitUntil(lambda: bool(notifications), timeout=TIMEOUT_MS)
    notifications[0].actions[0][1](None)
    correction = the_correction(qtbot, viewer)
    assert correction.workspace.restored > 0
    assert any("Restored" in note.message for note in notifications)
    row = np.asarray(correction.labels_layer.data[1, 40])
    assert (row[3 : max(safe) + 1] == 9).all()
    assert (correction.workspace.verified[1, 40, 3 : max(safe) + 1] != 0).all()
    assert not row[int(strokes[-1][0]) + 4 :].any()


def test_axes_of_earlier_corrections_count_and_new_results_go_around_them(make_napari_viewer, tmp_path, spots, qtbot):
    path = tmp_path / "movie.tif"
    write_array(path, np.stack([spots] * 3), "ZYX")
    movie = replace(Image.from_array(open_image(path).data, "TYX"), path=path)
    with open_workspace(movie) as workspace:
        workspace.labels[1, 10:20, 10:30] = 4
        workspace.verify_slice({"T": 1})
    viewer = make_napari_viewer()
    viewer.open(path, plugin="napari-seamless")
    theirs = viewer.add_labels(np.full((3, *spots.shape), 2, np.uint8), name="theirs")
    workspaces = workspaces_of(viewer)
    workspaces.start(image_choices(viewer.layers)[0], "ZYX", theirs)
    correction = the_correction(qtbot, viewer)
    assert correction.workspace.axes == "TYX"
    assert "stayed as it was" in correction.note
    labels = correction.workspace.labels[:]
    assert (labels[1, 10:20, 10:30] == 4).all()
    assert np.count_nonzero(labels[1]) == 200
    assert labels[0].all()
    assert labels[2].all()


def test_labels_stay_in_view_when_the_workspace_can_only_be_read(make_napari_viewer, cells, corrected, spots, qtbot):
    viewer = make_napari_viewer()
    viewer.open(cells, plugin="napari-seamless")
    theirs = viewer.add_labels(np.full((3, *spots.shape), 2, np.uint8), name="theirs")
    with open_workspace(open_image(cells)):
        workspaces_of(viewer).start(image_choices(viewer.layers)[0], "ZYX", theirs)
        correction = the_correction(qtbot, viewer)
        assert correction.workspace.read_only
        assert theirs.visible
        assert theirs.editable
        assert correction.labels_layer.data[1, 15, 15] == 4


def test_place_that_may_not_be_written_to_is_refused_with_a_remedy(cells, monkeypatch):
    image = open_image(cells)
    source = LayerSource((image.data,), "ZYX")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(FileWriteError, match="choose another folder in the Correct panel"):
        open_requested(OpeningRequest(source, cells, "cells"), lambda: False)
    assert not cells.with_name("cells.ome.tif.seamless").exists()


CLOSER = """
import sys
import napari
from qtpy.QtCore import QCoreApplication, QEvent
from qtpy.QtWidgets import QApplication
from napari_seamless.viewer.correct.workspaces import workspaces_of

viewer = napari.Viewer(show=False)
viewer.open(sys.argv[1], plugin="napari-seamless")
workspaces = workspaces_of(viewer)
while not workspaces.corrections:
    QApplication.processEvents()
correction = workspaces.corrections[0]
correction.labels_layer.paint((2, 40, 40), 8)
viewer.window._qt_window.close()
QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
print(correction.workspace.changes, (correction.workspace.folder / "lock").exists())
"""


def test_closing_the_window_by_its_frame_saves_and_closes(corrected):
    """In a process of its own: the test fixture for viewers closes them itself."""
    process = subprocess.run(
        [sys.executable, "-c", CLOSER, str(corrected)], capture_output=True, text=True, timeout=120, check=False
    )
    assert process.stdout.splitlines()[-1].endswith("False"), process.stderr
    assert zarr.open_array(corrected / "labels", mode="r")[2, 40, 40] == 8
