"""Bulk changes can be undone, many deep, after a restart too; what was painted since is kept."""

from __future__ import annotations

import numpy as np
import pytest

from napari_seamless.workspace import bulk_undo

from .conftest import Opener


def predicted(label: int) -> np.ndarray:
    return np.full((3, 20, 28), label, np.uint8)


def test_seven_changes_are_undone_and_done_again_after_a_restart(opener: Opener) -> None:
    workspace = opener()
    states = [workspace.labels[:]]
    for label in range(1, 8):
        workspace.write_prediction(predicted(label), instances=False, name=f"Segment {label}")
        states.append(workspace.labels[:])
    workspace.close()
    workspace = opener()
    for label in range(7, 0, -1):
        assert workspace.undo_step.name == f"Segment {label}"
        assert workspace.undo_bulk().id == label
        np.testing.assert_array_equal(workspace.labels[:], states[label - 1])
    assert workspace.undo_bulk() is None
    workspace.close()
    workspace = opener()
    for label in range(1, 8):
        assert workspace.redo_bulk().name == f"Segment {label}"
        np.testing.assert_array_equal(workspace.labels[:], states[label])
    assert workspace.redo_bulk() is None


def test_marks_and_their_regions_are_undone(opener: Opener) -> None:
    workspace = opener()
    workspace.labels[0, 2:4, 2:4] = 1
    before, flags = workspace.regions, workspace.verified[:]
    workspace.verify_slice({"Z": 0})
    marked, marked_flags = workspace.regions, workspace.verified[:]
    assert marked != before
    workspace.undo_bulk()
    assert workspace.regions == before
    np.testing.assert_array_equal(workspace.verified[:], flags)
    workspace.redo_bulk()
    assert workspace.regions == marked
    np.testing.assert_array_equal(workspace.verified[:], marked_flags)


def test_what_was_painted_since_is_kept(opener: Opener) -> None:
    workspace = opener()
    workspace.write_prediction(predicted(1), instances=False)
    workspace.labels[1, 5:9, 5:9] = 6
    workspace.undo_bulk()
    expected = np.zeros((3, 20, 28), np.uint32)
    expected[1, 5:9, 5:9] = 6
    np.testing.assert_array_equal(workspace.labels[:], expected)
    workspace.redo_bulk()
    np.testing.assert_array_equal(workspace.labels[:], np.where(expected == 6, 6, 1))


def test_a_new_change_forgets_what_was_undone(opener: Opener) -> None:
    workspace = opener()
    workspace.write_prediction(predicted(1), instances=False)
    workspace.undo_bulk()
    workspace.write_prediction(predicted(2), instances=False)
    assert workspace.redo_bulk() is None
    workspace.flush()
    assert [path.name for path in (workspace.folder / "undo").iterdir()] == ["000002.changes"]


@pytest.mark.parametrize(("most_bytes", "kept"), [(10**9, 10), (1, 5)], ids=["by number", "by bytes"])
def test_the_oldest_steps_go(opener: Opener, monkeypatch: pytest.MonkeyPatch, most_bytes: int, kept: int) -> None:
    monkeypatch.setattr(bulk_undo, "MOST_BYTES", most_bytes)
    workspace = opener()
    for label in range(1, 14):
        workspace.write_prediction(predicted(label), instances=False)
    workspace.flush()
    assert len(list((workspace.folder / "undo").iterdir())) == kept
    while workspace.undo_bulk():
        kept -= 1
    assert kept == 0
