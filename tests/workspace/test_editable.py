"""The array that a Labels layer gets: it reads and writes as numpy does, whatever the index."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_seamless.errors import FileWriteError
from napari_seamless.workspace.editable import normalised
from napari_seamless.workspace.session import Workspace

from .conftest import Opener

SHAPE = (3, 20, 28)


@st.composite
def point_lists(draw: st.DrawFn) -> tuple[np.ndarray, ...]:
    count = draw(st.integers(0, 6))
    return tuple(np.array(draw(st.lists(st.integers(-n, n - 1), min_size=count, max_size=count)), int) for n in SHAPE)


KEYS = st.one_of(
    hnp.basic_indices(SHAPE, allow_newaxis=True),
    point_lists(),
    hnp.arrays(bool, SHAPE, elements=st.just(False), fill=st.booleans()),
    st.tuples(st.integers(0, 2), point_lists().map(lambda points: points[1])),
    st.tuples(hnp.arrays(bool, (3,)), st.slices(20)),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(KEYS, st.integers(0, 5), st.booleans())
def test_reads_and_writes_as_numpy(workspace: Workspace, key: Any, label: int, many: bool) -> None:
    reference = workspace.labels[:]
    selected = reference[key]
    np.testing.assert_array_equal(workspace.labels[key], selected)
    values = (np.arange(selected.size).reshape(selected.shape) % 7).astype(np.uint32) if many else np.uint32(label)
    reference[key] = values
    workspace.labels[key] = values
    np.testing.assert_array_equal(workspace.labels[:], reference)


@given(hnp.basic_indices((5, 7, 9), allow_newaxis=True))
def test_an_index_is_a_box_and_an_index_within_it(key: Any) -> None:
    array = np.arange(5 * 7 * 9).reshape(5, 7, 9)
    box, local = normalised(key, array.shape)
    np.testing.assert_array_equal(array[tuple(slice(a, b) for a, b in box)][local], array[key])


@pytest.mark.parametrize("key", [(0, 0, 0, 0), (3,), (0, 20), (0, 0, -29), np.array([3])])
def test_indices_outside_are_refused_as_by_numpy(workspace: Workspace, key: Any) -> None:
    with pytest.raises(IndexError):
        workspace.labels[key]


def test_other_code_can_calculate_with_the_labels(workspace: Workspace) -> None:
    labels = workspace.labels
    labels[1, 2:4, 2:4] = 6
    assert (labels.ndim, labels.shape, labels.dtype, labels.size, len(labels)) == (3, SHAPE, np.uint32, 1680, 3)
    assert np.count_nonzero(labels == 6) == 4
    assert np.asarray(labels).sum() == 24
    assert labels.astype(np.uint8).max() == 6
    labels += 1
    assert workspace.labels[1, 2, 2] == 7
    assert (workspace.verified[:] != 0).all()
    with pytest.raises(ValueError, match="only be copied"):
        np.asarray(labels, copy=False)


def test_the_overlay_cannot_be_written_to(workspace: Workspace) -> None:
    with pytest.raises(TypeError):
        workspace.verified[0] = 1


def test_reading_from_disk_is_what_was_written(opener: Opener) -> None:
    values = (np.arange(np.prod(SHAPE)).reshape(SHAPE) % 251).astype(np.uint32)
    with opener() as workspace:
        workspace.labels[...] = values
    np.testing.assert_array_equal(opener().labels[:], values)


def test_memory_is_bounded_by_forgetting_what_is_saved(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = opener()
    monkeypatch.setattr(workspace._storage.memory, "_most_pairs", 2)
    workspace.labels[...] = 3
    workspace.flush()
    for z in range(3):
        assert (workspace.labels[z] == 3).all()
    assert len(workspace._storage.memory._pairs) <= 3


def test_a_workspace_whose_folder_went_says_so(opener: Opener, tmp_path: Path) -> None:
    workspace = opener()
    workspace.labels[0, 0, 0] = 1
    moved = tmp_path / "moved"
    workspace.folder.rename(moved)
    workspace.folder.write_text("in the way")
    with pytest.raises(FileWriteError, match="kept in memory"):
        workspace.flush()
    workspace.folder.unlink()
    shutil.move(moved, workspace.folder)
    workspace.flush()
