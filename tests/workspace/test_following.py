"""A workspace that is open read-only follows the one that writes."""

from __future__ import annotations

import numpy as np
import pytest

from napari_seamless.errors import WorkspaceError
from napari_seamless.workspace.origin import Origin
from napari_seamless.workspace.session import Workspace

from .conftest import Opener


@pytest.fixture
def both(opener: Opener) -> tuple[Workspace, Workspace]:
    """The one that writes, and one that looks on."""
    writer, reader = opener(), opener()
    assert reader.read_only
    assert not writer.read_only
    return writer, reader


def assert_same(writer: Workspace, reader: Workspace) -> None:
    np.testing.assert_array_equal(reader.labels[:], writer.labels[:])
    np.testing.assert_array_equal(reader.verified[:], writer.verified[:])
    assert reader.regions == writer.regions
    assert reader.undo_step == writer.undo_step
    assert reader.redo_step == writer.redo_step
    assert reader.origin == writer.origin
    assert reader.changes[0] == writer.changes[0]


def test_strokes_are_seen_once_they_are_in_the_journal(both: tuple[Workspace, Workspace]) -> None:
    writer, reader = both
    assert reader.labels[0, 2, 2] == 0  # and is remembered
    writer.labels[0, 2:6, 2:12] = 7
    assert not reader.follow()
    writer._storage.flush(arrays=False)
    assert reader.follow()
    assert_same(writer, reader)
    assert not reader.follow()
    writer.flush()
    assert reader.follow()
    assert_same(writer, reader)


def test_bulk_changes_and_their_undo_are_seen(both: tuple[Workspace, Workspace]) -> None:
    writer, reader = both
    writer.labels[1, 2:6, 2:12] = 7
    for label, model in ((1, "first"), (2, "second")):
        labels = np.full((3, 20, 28), label, np.uint8)
        writer.write_prediction(labels, instances=False, name="Segment", origin=Origin(model))
        writer.flush()
        reader.follow()
        assert_same(writer, reader)
    writer.undo_bulk()
    reader.follow()
    assert_same(writer, reader)
    assert reader.origin == Origin("first")
    writer.redo_bulk()
    region = writer.verify_slice({"Z": 2})
    writer._storage.flush(arrays=False)
    reader.follow()
    assert_same(writer, reader)
    writer.unverify_region(region.id)
    writer._storage.flush(arrays=False)
    reader.follow()
    assert_same(writer, reader)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_done_is_seen(both: tuple[Workspace, Workspace], seed: int) -> None:
    writer, reader = both
    random = np.random.default_rng(seed)
    are_arrays_behind = False
    for _ in range(25):
        plane, top, left = (int(random.integers(0, end)) for end in (3, 16, 24))
        choice = int(random.integers(0, 6))
        if choice <= 1:
            writer.labels[plane, top : top + 4, left : left + 4] = int(random.integers(0, 5))
        elif choice == 2:
            labels = random.integers(0, 3, (3, 20, 28)).astype(np.uint8)
            writer.write_prediction(labels, instances=bool(random.integers(2)), origin=Origin(f"model {top}"))
        elif choice == 3:
            writer.verify_region({"Z": (plane, plane + 1), "Y": (top, top + 4), "X": (left, left + 4)})
        elif choice == 4:
            writer.undo_bulk()
        else:
            writer.redo_bulk()
        are_arrays_behind = are_arrays_behind or choice == 2  # predictions are in no journal
        if random.integers(2):
            arrays = bool(random.integers(2))
            writer._storage.flush(arrays=arrays)
            are_arrays_behind = are_arrays_behind and not arrays
            reader.follow()
            if not are_arrays_behind:
                assert_same(writer, reader)
    writer.flush()
    reader.follow()
    assert_same(writer, reader)


def test_nothing_can_be_changed_and_nothing_is_written(both: tuple[Workspace, Workspace]) -> None:
    writer, reader = both
    writer.labels[0, 2:6, 2:12] = 7
    writer._storage.flush(arrays=False)
    before = {path: path.stat().st_mtime_ns for path in writer.folder.rglob("*") if path.is_file()}
    reader.follow()
    reader.flush()
    assert {path: path.stat().st_mtime_ns for path in writer.folder.rglob("*") if path.is_file()} == before
    with pytest.raises(WorkspaceError, match="open read-only here"):
        reader.labels[0, 0, 0] = 1


def test_the_end_of_the_writer_is_seen(both: tuple[Workspace, Workspace]) -> None:
    writer, reader = both
    assert not reader.is_free
    writer.close()
    assert reader.is_free
    assert not writer.follow()


def test_what_is_shown_stays_when_the_folder_is_gone(both: tuple[Workspace, Workspace]) -> None:
    writer, reader = both
    writer.labels[0, 2:6, 2:12] = 7
    writer.flush()
    reader.follow()
    assert reader.labels[0, 3, 3] == 7
    writer.folder.rename(writer.folder.with_name("elsewhere"))
    assert not reader.follow()
    assert reader.labels[0, 3, 3] == 7
    writer.folder.with_name("elsewhere").rename(writer.folder)
