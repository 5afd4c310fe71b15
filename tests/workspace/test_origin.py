"""What made the labels is written down beside them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_seamless.errors import Cancelled, WorkspaceError
from napari_seamless.workspace.bulk_undo import MOST_STEPS
from napari_seamless.workspace.origin import ORIGIN, Origin, read_origin, write_origin

FIRST, SECOND = Origin("first", "/models/first"), Origin("second", "/models/second", instances=False, channel=1)


def segment(workspace, origin, label=1):
    labels = np.full((3, 20, 28), label, np.uint8)
    workspace.write_prediction(labels, instances=False, name=f"Segment with {origin.model}", origin=origin)


def test_origin_is_read_as_it_was_written(tmp_path):
    origin = Origin("nuclei-2d", "/models/nuclei-2d", instances=False, channel=2)
    write_origin(tmp_path, origin)
    assert read_origin(tmp_path) == origin
    assert json.loads((tmp_path / ORIGIN).read_text())["model"] == "nuclei-2d"


def test_nothing_is_known_without_the_file(tmp_path):
    assert read_origin(tmp_path) == Origin(model="", model_path="", instances=True, channel=None)


@pytest.mark.parametrize("content", ["{", "[]", '{"colour": 1}'], ids=["cut short", "no object", "unknown key"])
def test_damaged_file_is_named(tmp_path, content):
    (tmp_path / ORIGIN).write_text(content)
    with pytest.raises(WorkspaceError, match=r"origin\.json is damaged .*remove it; only the model's name is lost"):
        read_origin(tmp_path)


def test_a_later_origin_replaces_the_first_and_leaves_no_other_file(tmp_path):
    write_origin(tmp_path, Origin("first"))
    write_origin(tmp_path, Origin("second"))
    assert read_origin(tmp_path).model == "second"
    assert [path.name for path in tmp_path.iterdir()] == [ORIGIN]


def test_undo_and_redo_set_back_and_forth_what_made_the_labels(opener):
    workspace = opener()
    told = [workspace.origin]
    segment(workspace, FIRST)
    workspace.verify_slice({"Z": 0})
    segment(workspace, SECOND, 2)
    told += [workspace.origin, read_origin(workspace.folder)]
    workspace.undo_bulk()
    told += [workspace.origin, read_origin(workspace.folder)]
    workspace.undo_bulk()  # the mark
    workspace.undo_bulk()
    told.append(workspace.origin)
    workspace.redo_bulk()
    told.append(workspace.origin)
    assert told == [Origin(), SECOND, SECOND, FIRST, FIRST, Origin(), FIRST]


def test_what_made_the_labels_survives_a_restart_between_undo_and_redo(opener):
    workspace = opener()
    segment(workspace, FIRST)
    segment(workspace, SECOND, 2)
    workspace.undo_bulk()
    workspace.close()
    workspace = opener()
    assert workspace.origin == FIRST
    workspace.redo_bulk()
    workspace.close()
    assert opener().origin == SECOND


def test_a_killed_program_forgets_neither(opener, tmp_path):
    workspace = opener()
    segment(workspace, FIRST)
    segment(workspace, SECOND, 2)
    workspace.undo_bulk()
    write_origin(workspace.folder, SECOND)  # as if it had been killed before it came to this file
    (workspace.folder / "lock").unlink()
    assert opener().origin == FIRST
    assert read_origin(workspace.folder) == FIRST


def test_a_prediction_that_fails_leaves_what_made_the_labels(opener):
    workspace = opener()
    segment(workspace, FIRST)
    labels = np.full((3, 20, 28), 2, np.uint8)
    with pytest.raises(Cancelled):
        workspace.write_prediction(labels, instances=False, origin=SECOND, should_stop=lambda: True)
    assert workspace.origin == read_origin(workspace.folder) == FIRST


@pytest.mark.parametrize("is_undone", [False, True], ids=["done", "undone"])
def test_what_made_the_labels_outlives_the_steps_that_tell_it(opener, is_undone):
    workspace = opener()
    segment(workspace, FIRST)
    segment(workspace, SECOND, 2)
    if is_undone:
        workspace.undo_bulk()
    for index in range(MOST_STEPS + 1):
        workspace.verify_slice({"Z": index % 3})
    workspace.close()
    workspace = opener()
    assert "Segment with first" not in [step.name for step in workspace._storage.steps]
    assert workspace.origin == (FIRST if is_undone else SECOND)
