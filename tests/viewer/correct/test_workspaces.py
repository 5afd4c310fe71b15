"""Workspaces behind the layers of a viewer: opened, watched, closed with it; and what may happen to the layers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from napari.layers import Image

from napari_seamless.images.write import write_array
from napari_seamless.viewer.correct import actions
from napari_seamless.viewer.correct.correction import Correction
from napari_seamless.viewer.correct.workspaces import Workspaces, workspaces_of
from napari_seamless.viewer.image_choice import image_choices

from ..conftest import TIMEOUT_MS

Start = Callable[..., Correction]


@pytest.fixture(autouse=True)
def _user_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep workspaces of images without a file among the test's files."""
    monkeypatch.setattr("platformdirs.user_data_path", lambda *args, **options: tmp_path / "user")


@pytest.fixture
def start(qtbot: Any) -> Start:
    """Return a function that begins to correct the topmost image and waits until its workspace is open."""

    def begin(viewer: Any, axes: str = "ZYX", **options: Any) -> Correction:
        workspaces = workspaces_of(viewer)
        opened: list[Correction] = []
        choice = image_choices(viewer.layers)[0]
        workspaces.start(choice, axes, on_open=opened.append, **options)
        qtbot.waitUntil(lambda: bool(opened), timeout=TIMEOUT_MS)
        return opened[0]

    return begin


@pytest.fixture
def stack(spots: np.ndarray) -> np.ndarray:
    return np.stack([spots, spots[::-1], spots[:, ::-1]])


@pytest.fixture
def viewer(make_napari_viewer: Any, stack: np.ndarray, tmp_path: Path) -> Any:
    """A viewer with a stack that was read from a file."""
    viewer = make_napari_viewer()
    write_array(tmp_path / "cells.ome.tif", stack, "ZYX", voxel_size_um=(2.0, 0.5, 0.5))
    viewer.open(tmp_path / "cells.ome.tif", plugin="napari-seamless")
    return viewer


def settled(qtbot: Any, correction: Correction) -> None:
    qtbot.waitUntil(lambda: correction.workspace.changes[0] == correction.workspace.changes[1], timeout=2000)


def on_disk(folder: Path, part: str = "labels") -> np.ndarray:
    return np.asarray(zarr.open_array(folder / part, mode="r")[:])


def test_there_is_one_object_a_viewer_and_it_knows_both_layers(viewer, start):
    workspaces = workspaces_of(viewer)
    assert workspaces_of(viewer) is workspaces
    correction = start(viewer)
    assert workspaces.of_layer(viewer.layers["cells"]) is correction
    assert workspaces.of_layer(correction.labels_layer) is correction
    assert workspaces.of_layer(viewer.add_points(np.zeros((1, 3)))) is None
    assert correction.image_layer is viewer.layers["cells"]


def test_workspace_lies_beside_the_file_and_labels_lie_on_the_image(viewer, start, tmp_path):
    correction = start(viewer)
    labels, image = correction.labels_layer, viewer.layers["cells"]
    assert correction.workspace.folder == tmp_path / "cells.ome.tif.seamless"
    np.testing.assert_allclose(labels.scale, image.scale)
    assert labels.units == image.units
    assert labels.axis_labels == image.axis_labels
    assert labels.data.shape == image.data.shape
    assert labels.editable


def test_image_without_a_file_has_its_workspace_among_the_users_data(make_napari_viewer, stack, start, tmp_path):
    viewer = make_napari_viewer()
    viewer.add_layer(Image(stack, name="a/b: nuclei"))
    folder = start(viewer).workspace.folder
    assert folder.parent == tmp_path / "user" / "workspaces"
    assert folder.name.startswith("a_b_ nuclei-")


def test_another_array_of_the_same_name_has_another_workspace(make_napari_viewer, stack, start):
    viewer = make_napari_viewer()
    viewer.add_layer(Image(stack, name="Image"))
    first = start(viewer).workspace.folder
    viewer.layers.clear()
    viewer.add_layer(Image(stack[::-1] + 1, name="Image"))
    assert start(viewer).workspace.folder != first


def test_strokes_are_on_disk_within_two_seconds(viewer, start):
    correction = start(viewer)
    began = time.monotonic()
    correction.labels_layer.paint((1, 30, 40), 7)
    journal = correction.workspace.folder / "journal" / "00000001.jsonl"
    while not journal.exists() or '"kind":"edit"' not in journal.read_text():
        assert time.monotonic() - began < 2.0
        time.sleep(0.02)


def test_removing_the_labels_saves_and_closes(viewer, start, qtbot, notifications):
    correction = start(viewer)
    correction.labels_layer.paint((1, 30, 40), 7)
    painted = np.asarray(correction.labels_layer.data)
    viewer.layers.remove(correction.labels_layer)
    folder = correction.workspace.folder
    qtbot.waitUntil(lambda: not (folder / "lock").exists(), timeout=TIMEOUT_MS)
    np.testing.assert_array_equal(on_disk(folder), painted)
    assert workspaces_of(viewer).of_layer(viewer.layers["cells"]) is None
    qtbot.waitUntil(lambda: bool(notifications), timeout=TIMEOUT_MS)
    assert str(folder) in notifications[-1].message


def test_closing_the_viewer_saves_and_closes(viewer, start, qtbot):
    correction = start(viewer)
    correction.labels_layer.paint((1, 30, 40), 7)
    painted = np.asarray(correction.labels_layer.data)
    folder = correction.workspace.folder
    viewer.close()
    qtbot.waitUntil(lambda: not (folder / "lock").exists(), timeout=TIMEOUT_MS)
    np.testing.assert_array_equal(on_disk(folder), painted)


def test_renamed_layers_are_still_known(viewer, start):
    correction = start(viewer)
    correction.labels_layer.name, correction.image_layer.name = "x", "y"
    assert workspaces_of(viewer).of_layer(viewer.layers["x"]) is correction
    assert workspaces_of(viewer).of_layer(viewer.layers["y"]) is correction


def test_corrections_go_on_without_their_image_and_take_it_back(viewer, start, tmp_path):
    correction = start(viewer)
    viewer.layers[-1].visible = False  # software OpenGL crashes when it draws what is left after a removal
    viewer.layers.remove("cells")
    assert correction.image_layer is None
    correction.labels_layer.paint((1, 30, 40), 7)
    assert correction.workspace.labels[1, 30, 40] == 7
    viewer.open(tmp_path / "cells.ome.tif", plugin="napari-seamless")
    assert correction.image_layer is viewer.layers["cells"]


def test_replaced_pixels_of_the_image_end_in_one_message(viewer, start, notifications):
    correction = start(viewer)
    correction.labels_layer.paint((1, 30, 40), 7)
    viewer.layers["cells"].data = np.zeros((3, 90, 120), np.uint16)
    assert [str(note.severity) for note in notifications] == ["warning"]
    assert "were replaced" in notifications[0].message
    assert workspaces_of(viewer).of_layer(viewer.layers["cells"]) is None
    assert workspaces_of(viewer).of_layer(correction.labels_layer) is correction
    assert correction.workspace.labels[1, 30, 40] == 7


def test_second_viewer_is_told_and_opens_read_only(viewer, start, make_napari_viewer, tmp_path, notifications):
    first = start(viewer)
    first.labels_layer.paint((1, 30, 40), 7)
    first.workspace.flush()
    other = make_napari_viewer()
    other.open(tmp_path / "cells.ome.tif", plugin="napari-seamless")
    second = start(other)
    assert second.workspace.read_only
    assert not second.labels_layer.editable
    assert "is open in process" in notifications[-1].message
    assert second.labels_layer.data[1, 30, 40] == 7
    assert "Read-only" in second.state


def test_second_viewer_follows_the_first(viewer, start, make_napari_viewer, tmp_path, qtbot, notifications):
    first = start(viewer)
    other = make_napari_viewer()
    other.open(tmp_path / "cells.ome.tif", plugin="napari-seamless")
    second = start(other)
    plane = other.dims.current_step[0]
    first.labels_layer.paint((plane, 30, 40), 7)
    shown = second.labels_layer
    qtbot.waitUntil(lambda: 7 in np.asarray(shown._slice.image.raw), timeout=TIMEOUT_MS)
    assert second.workspace.regions == first.workspace.regions
    first.workspace.verify_slice({"Z": 0})
    qtbot.waitUntil(lambda: len(second.workspace.regions) == len(first.workspace.regions), timeout=TIMEOUT_MS)
    actions.undo(viewer, first)
    qtbot.waitUntil(lambda: second.workspace.redo_step is not None, timeout=TIMEOUT_MS)
    assert second.state.startswith("Read-only: ")
    viewer.layers.remove(first.labels_layer)
    qtbot.waitUntil(lambda: "nobody else has it open any more" in second.state, timeout=TIMEOUT_MS)
    assert second.labels_layer.data[plane, 30, 40] == 7
    other.layers.remove(second.labels_layer)
    qtbot.waitUntil(lambda: not workspaces_of(other).corrections, timeout=TIMEOUT_MS)
    assert not start(other).workspace.read_only


def test_damage_is_told_once_and_no_longer_followed(viewer, start, make_napari_viewer, tmp_path, qtbot, notifications):
    first = start(viewer)
    first.labels_layer.paint((1, 30, 40), 7)
    settled(qtbot, first)
    other = make_napari_viewer()
    other.open(tmp_path / "cells.ome.tif", plugin="napari-seamless")
    second = start(other)
    notifications.clear()
    first.workspace.flush()
    whole = (first.workspace.folder / "state.json").read_bytes()
    (first.workspace.folder / "state.json").write_text("{")
    qtbot.waitUntil(lambda: bool(notifications), timeout=TIMEOUT_MS)
    qtbot.wait(2500)
    assert len([note for note in notifications if "state.json is damaged" in note.message]) == 1
    assert second.labels_layer.data[1, 30, 40] == 7
    (first.workspace.folder / "state.json").write_bytes(whole)


def test_workspace_of_a_newer_version_is_refused_and_left_alone(viewer, qtbot, tmp_path, notifications, start):
    folder = start(viewer).workspace.folder
    viewer.layers.remove(viewer.layers[-1])
    qtbot.waitUntil(lambda: not (folder / "lock").exists(), timeout=TIMEOUT_MS)
    manifest = folder / "workspace.json"
    manifest.write_text(manifest.read_text().replace('"format_version": 1', '"format_version": 99'))
    before = manifest.read_text()
    workspaces: Workspaces = workspaces_of(viewer)
    notifications.clear()
    with qtbot.waitSignals([workspaces.changed] * 2, timeout=TIMEOUT_MS):
        workspaces.start(image_choices(viewer.layers)[0], "ZYX")
    assert "format version 99" in notifications[-1].message
    assert manifest.read_text() == before
    assert not workspaces.corrections


def test_arrays_put_into_the_layer_are_taken_over(viewer, start, qtbot):
    correction = start(viewer)
    layer = correction.labels_layer
    layer.paint((0, 10, 10), 3)
    other = np.asarray(layer.data)
    other[2, 50:60, 50:60] = 9
    layer.data = other.copy()
    qtbot.waitUntil(lambda: correction.is_shown and layer.editable, timeout=TIMEOUT_MS)
    np.testing.assert_array_equal(np.asarray(layer.data), other)
    assert correction.workspace.verified[2, 50:60, 50:60].all()
    assert correction.workspace.undo_step.name == "Labels replaced"


def test_arrays_of_another_shape_are_refused(viewer, start, qtbot, notifications):
    correction = start(viewer)
    correction.labels_layer.paint((0, 10, 10), 3)
    correction.labels_layer.data = np.zeros((3, 4, 5), np.uint8)
    qtbot.waitUntil(lambda: correction.is_shown, timeout=TIMEOUT_MS)
    assert "was not taken over" in notifications[-1].message
    assert correction.labels_layer.data[0, 10, 10] == 3


def test_new_objects_get_ids_that_were_never_used(viewer, start):
    correction = start(viewer)
    layer = correction.labels_layer
    assert layer.selected_label == 1
    layer.data[1, 5:9, 5:9] = 41
    from app_model.types import KeyBinding

    layer.keymap[KeyBinding.from_str("M")](layer)
    assert layer.selected_label == 42


def test_changes_by_anybody_are_told(viewer, start, qtbot):
    correction = start(viewer)
    with qtbot.waitSignal(workspaces_of(viewer).edited, timeout=TIMEOUT_MS) as told:
        correction.labels_layer.data[0, 3:5, 3:5] = 2  # as other plugins write
    assert told.args == [correction]
    settled(qtbot, correction)
    assert correction.state in ("Saving…", "Saved just now.", "Saved 1 s ago.")


def test_channels_that_are_layers_have_one_workspace(make_napari_viewer, spots, start, tmp_path, notifications):
    write_array(tmp_path / "two.ome.zarr", np.stack([spots, spots[::-1]]), "CYX", channel_names=("first", "second"))
    viewer = make_napari_viewer()
    viewer.open(tmp_path / "two.ome.zarr", plugin="napari-seamless")
    correction = start(viewer, "YX")
    assert correction.name == "two"
    assert [layer.name for layer in correction.image_layers] == ["two · first", "two · second"]
    assert workspaces_of(viewer).of_layer(viewer.layers["two · second"]) is correction
    viewer.layers.remove("two · first")
    assert [layer.name for layer in correction.image_layers] == ["two · second"]
    viewer.open(tmp_path / "two.ome.zarr", plugin="napari-seamless")
    assert [layer.metadata["napari_seamless"]["channel"] for layer in correction.image_layers] == [0, 1]


def test_same_workspace_is_not_opened_twice_in_a_viewer(viewer, start, tmp_path, notifications, qtbot):
    start(viewer)
    viewer.open(tmp_path / "cells.ome.tif", plugin="napari-seamless", name="again")
    notifications.clear()
    workspaces = workspaces_of(viewer)
    again = next(choice for choice in image_choices(viewer.layers) if choice.name == "again")
    workspaces.start(again, "ZYX")
    qtbot.waitUntil(lambda: bool(notifications), timeout=TIMEOUT_MS)
    assert "open in this window already" in notifications[0].message
    assert len(workspaces.corrections) == 1
