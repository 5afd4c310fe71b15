"""Predictions go around what is verified; objects at its border follow the stated rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_seamless.errors import AxesError, Cancelled, WorkspaceError
from napari_seamless.events import Event
from napari_seamless.workspace import new_ids
from napari_seamless.workspace.session import Workspace

from .conftest import Opener, image_of


def plane(*objects: tuple[int, slice, slice]) -> np.ndarray:
    """Return labels of shape (1, 20, 28) with some rectangles."""
    labels = np.zeros((1, 20, 28), np.uint32)
    for number, rows, columns in objects:
        labels[0, rows, columns] = number
    return labels


@pytest.fixture
def flat(opener: Opener) -> Workspace:
    """A workspace of one plane whose columns 0 to 9 were verified, with a person's object 5 that ends there."""
    workspace = opener(image_of((1, 20, 28)))
    workspace.labels[0, 4:10, 4:10] = 5
    workspace.verify_region({"X": (0, 10)})
    return workspace


def test_new_objects_get_ids_that_were_never_used(workspace: Workspace) -> None:
    prediction = np.zeros((3, 20, 28), np.uint32)
    prediction[0, 2:5, 2:5], prediction[2, 15:19, 20:27] = 1, 2
    assert workspace.write_prediction(prediction).changed == 9 + 28
    np.testing.assert_array_equal(workspace.labels[:], prediction)
    workspace.record_edit({"Z": (1, 2)}, 40)
    assert workspace.write_prediction(prediction).kept == 20 * 28
    assert np.unique(workspace.labels[:]).tolist() == [0, 40, 41, 42]
    workspace.undo_bulk()
    workspace.write_prediction(prediction)
    assert np.unique(workspace.labels[:]).tolist() == [0, 40, 43, 44]
    assert workspace.next_id == 45


CASES: dict[str, tuple[Any, int, dict[str, int]]] = {
    # what is predicted, the label expected outside at (6, 12), and what the summary counts
    "half of a cell that goes on": ((1, slice(4, 10), slice(4, 16)), 5, {"continued": 1}),
    "sliver inside of a cell outside": ((1, slice(4, 10), slice(9, 20)), 6, {"cut": 1}),
    "touches, no overlap": ((1, slice(4, 10), slice(10, 20)), 6, {}),
    "covers half of the person's": ((1, slice(4, 7), slice(4, 28)), 5, {"continued": 1}),
    "mostly in verified background": ((1, slice(0, 20), slice(0, 13)), 5, {"continued": 1}),
    "mostly in background, beside": ((1, slice(12, 20), slice(0, 13)), 0, {"dropped": 1}),
    "a little in background": ((1, slice(12, 20), slice(8, 20)), 6, {"cut": 1}),
}


@pytest.mark.parametrize("case", CASES)
def test_objects_at_the_border_of_what_is_verified(flat: Workspace, case: str) -> None:
    predicted, expected, counts = CASES[case]
    before = flat.labels[0, :, :10]
    summary = flat.write_prediction(plane(predicted))
    row = 14 if predicted[1].start == 12 else 6
    assert flat.labels[0, row, 12] == expected
    np.testing.assert_array_equal(flat.labels[0, :, :10], before)
    assert {"continued": 0, "cut": 0, "dropped": 0} | counts == {
        "continued": summary.continued,
        "cut": summary.cut,
        "dropped": summary.dropped,
    }


def test_a_stroke_names_the_object_it_lies_in_also_in_3d(workspace: Workspace) -> None:
    workspace.labels[1, 8:10, 8:14] = 9
    prediction = np.zeros((3, 20, 28), np.uint32)
    prediction[:, 3:17, 3:25] = 2
    prediction[:, 18:, :] = 1
    workspace.write_prediction(prediction)
    np.testing.assert_array_equal(workspace.labels[:], np.select([prediction == 2, prediction == 1], [9, 10], 0))


def test_of_two_verified_objects_the_larger_overlap_counts(opener: Opener) -> None:
    workspace = opener(image_of((1, 20, 28)))
    workspace.labels[0, 5, 5:8] = 3
    workspace.labels[0, 9, 5:10] = 2
    workspace.write_prediction(plane((1, slice(3, 15), slice(3, 15))))
    assert workspace.labels[0, 12, 12] == 2
    assert workspace.labels[0, 5, 6] == 3


def test_classes_are_written_where_nothing_is_verified(flat: Workspace) -> None:
    before = flat.labels[:]
    summary = flat.write_prediction(np.full((1, 20, 28), 3, np.uint8), instances=False)
    assert (summary.kept, summary.changed) == (200, 360)
    np.testing.assert_array_equal(flat.labels[0], np.where(np.arange(28) < 10, before[0], 3))
    flat.clear_predictions({"X": (0, 20)})
    np.testing.assert_array_equal(flat.labels[0], np.where(np.arange(28) < 10, before[0], np.arange(28) // 20 * 3))


def test_a_region_is_written_alone(workspace: Workspace) -> None:
    workspace.write_prediction(np.ones((1, 5, 9), np.int64), {"Z": (2, 3), "Y": (7, 12), "X": (3, 12)})
    expected = np.zeros((3, 20, 28), np.uint32)
    expected[2, 7:12, 3:12] = 1
    np.testing.assert_array_equal(workspace.labels[:], expected)
    with pytest.raises(AxesError, match="the prediction has shape"):
        workspace.write_prediction(np.ones((1, 5, 9)), {"Z": (2, 3)})


def test_what_is_painted_meanwhile_keeps_its_place_and_its_id(opener: Opener) -> None:
    workspace = opener(image_of((2, 20, 28)))
    prediction = np.zeros((2, 20, 28), np.uint32)
    prediction[0, :8, :8], prediction[1, 10:, 10:] = 1, 2

    def paint(event: Event) -> None:
        if event.fields["done"] == 1:
            workspace.labels[1, 12:14, 12:14] = 2  # the id that the second predicted object was to have
            workspace.labels[1, :2, :2] = 2

    workspace.write_prediction(prediction, on_event=paint)
    assert (workspace.labels[1, 12:14, 12:14] == 2).all()
    assert workspace.labels[1, 19, 19] not in (0, 1, 2)
    assert np.count_nonzero(workspace.labels[:] == 2) == 8


def test_a_prediction_that_is_stopped_leaves_everything_as_it_was(workspace: Workspace) -> None:
    workspace.labels[0, 3:6, 3:6] = 8
    before = workspace.labels[:]
    answers = iter([False] * 5)
    with pytest.raises(Cancelled):
        workspace.write_prediction(np.ones((3, 20, 28), np.uint8), should_stop=lambda: next(answers, True))
    np.testing.assert_array_equal(workspace.labels[:], before)
    assert workspace.undo_step is None


def test_ids_that_are_used_up_are_said_to_be(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_ids, "LARGEST_ID", 900)
    with pytest.raises(WorkspaceError, match="used up"):
        workspace.write_prediction(np.ones((3, 20, 28), np.uint8))
    assert not workspace.labels[:].any()


def test_more_objects_than_a_page_of_ids(opener: Opener) -> None:
    workspace = opener(image_of((4, 20, 28)))
    prediction = np.arange(4 * 560, dtype=np.uint32).reshape(4, 20, 28)
    workspace.labels[0, 0, 0] = 3
    workspace.write_prediction(prediction)
    found = workspace.labels[:]
    assert np.unique(found).size == 4 * 560
    assert workspace.next_id == int(found.max()) + 1
