"""Random edits, undos, redos, predictions, marks, bulk undos, restarts and crashes against arrays in memory."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import zarr
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from napari_seamless.workspace import layout, storage
from napari_seamless.workspace.flusher import Flusher
from napari_seamless.workspace.opening import open_workspace

from .conftest import image_of, small_chunk_shape

SHAPE = (2, 18, 12)
PAINTED, MARKED = 1, 2


@st.composite
def boxes(draw: st.DrawFn) -> tuple[slice, ...]:
    starts = [draw(st.integers(0, length - 1)) for length in SHAPE]
    return tuple(slice(a, draw(st.integers(a + 1, length))) for a, length in zip(starts, SHAPE, strict=True))


class WorkspaceMachine(RuleBasedStateMachine):
    """The model: labels and flags as arrays; napari's own undo list; what each bulk change replaced."""

    @initialize()
    def begin(self) -> None:
        self.patches = [
            mock.patch.object(layout, "chunk_shape_for", small_chunk_shape),
            mock.patch.object(storage, "BLOCK_SIDE", 16),
            mock.patch.object(Flusher, "SECONDS_TO_JOURNAL", 3600.0),
            mock.patch.object(os, "fsync", return_value=None),
        ]
        for patch in self.patches:
            patch.start()
        self.root = Path(tempfile.mkdtemp())
        self.folder = self.root / "w"
        self.labels, self.flags = np.zeros(SHAPE, np.uint32), np.zeros(SHAPE, np.uint8)
        self.steps: list[tuple[np.ndarray, ...]] = []
        self.undone_steps: list[tuple[np.ndarray, ...]] = []
        self.used_ids = {0}
        self.open()

    def open(self) -> None:
        self.workspace = open_workspace(image_of(SHAPE), self.folder)
        self.napari_undo: list[Any] = []
        self.napari_redo: list[Any] = []
        self.recognised: list[Any] = []
        self.recognised_back: list[Any] = []

    def teardown(self) -> None:
        self.workspace.close()
        np.testing.assert_array_equal(zarr.open_array(self.folder / "labels", mode="r")[:], self.labels)
        np.testing.assert_array_equal(zarr.open_array(self.folder / "verified", mode="r")[:], self.flags)
        shutil.rmtree(self.root)
        for patch in self.patches:
            patch.stop()

    # Edits, as napari makes them

    def write(self, box: tuple[slice, ...], new: np.ndarray) -> None:
        self.workspace.labels[box] = new
        before, old_flags = self.labels.copy(), self.flags.copy()
        self.labels[box] = new
        changed = before != self.labels
        if not changed.any():
            return
        edit = (changed, before[changed], self.labels[changed], old_flags[changed])
        if self.recognised and same(edit, backwards(self.recognised[-1])):
            self.recognised_back.append(self.recognised.pop())
            self.flags[changed] = self.recognised_back[-1][3]
            return
        self.flags[changed] |= PAINTED
        if self.recognised_back and same(edit, self.recognised_back[-1]):
            self.recognised.append(self.recognised_back.pop())
            return
        self.recognised_back.clear()
        self.recognised.append(edit)

    @rule(box=boxes(), label=st.integers(0, 4), share=st.sampled_from([0.3, 1.0]), seed=st.integers(0, 99))
    def paint(self, box: tuple[slice, ...], label: int, share: float, seed: int) -> None:
        old = self.labels[box].copy()
        mask = np.random.default_rng(seed).random(old.shape) < share
        new = np.where(mask, np.uint32(label), old)
        self.write(box, new)
        self.used_ids.add(label)
        self.napari_undo.append((box, mask, old, label))
        self.napari_redo.clear()

    @precondition(lambda self: self.napari_undo)
    @rule()
    def undo(self) -> None:
        box, mask, old, label = self.napari_undo.pop()
        self.napari_redo.append((box, mask, old, label))
        self.write(box, np.where(mask, old, self.labels[box]))

    @precondition(lambda self: self.napari_redo)
    @rule()
    def redo(self) -> None:
        box, mask, old, label = self.napari_redo.pop()
        self.napari_undo.append((box, mask, old, label))
        self.write(box, np.where(mask, np.uint32(label), self.labels[box]))

    def forget_history(self) -> None:
        self.recognised.clear()
        self.recognised_back.clear()

    # Bulk changes

    def bulk_done(self, labels: np.ndarray, flags: np.ndarray) -> None:
        self.steps.append((self.labels, self.flags, labels, flags))
        self.steps = self.steps[-10:]
        self.undone_steps.clear()
        self.labels, self.flags = labels.copy(), flags.copy()

    @rule(box=boxes(), label=st.integers(0, 4))
    def predict_classes(self, box: tuple[slice, ...], label: int) -> None:
        labels = self.labels.copy()
        labels[box] = np.where(self.flags[box] == 0, label, labels[box])
        self.workspace.write_prediction(
            np.full(labels[box].shape, label, np.uint8), self.workspace_region(box), instances=False
        )
        self.used_ids.add(label)
        self.bulk_done(labels, self.flags.copy())

    @rule(seed=st.integers(0, 99))
    def predict_objects(self, seed: int) -> None:
        prediction = np.random.default_rng(seed).integers(0, 3, (1, 3, 3)).repeat(2, 0).repeat(6, 1).repeat(4, 2)
        self.workspace.write_prediction(prediction)
        labels, verified = self.workspace.labels[:], self.flags != 0
        np.testing.assert_array_equal(labels[verified], self.labels[verified])
        new_ids = set(np.unique(labels).tolist()) - set(np.unique(self.labels[verified]).tolist()) - {0}
        assert not new_ids & self.used_ids
        assert self.workspace.next_id > max(self.used_ids | new_ids)
        self.used_ids |= new_ids
        assert not labels[~verified & (prediction == 0)].any()
        self.bulk_done(labels, self.flags.copy())

    @rule(box=boxes())
    def verify(self, box: tuple[slice, ...]) -> None:
        self.workspace.verify_region(self.workspace_region(box))
        self.forget_history()
        flags = self.flags.copy()
        flags[box] |= MARKED
        self.bulk_done(self.labels.copy(), flags)

    @precondition(lambda self: self.workspace.regions)
    @rule(data=st.data())
    def unverify(self, data: st.DataObject) -> None:
        region = data.draw(st.sampled_from(self.workspace.regions))
        others = [other.box for other in self.workspace.regions if other.kind != "edit" and other is not region]
        self.workspace.unverify_region(region.id)
        self.forget_history()
        flags, cleared = self.flags.copy(), np.zeros(SHAPE, bool)
        cleared[tuple(slice(*pair) for pair in region.box)] = True
        for box in others:
            cleared[tuple(slice(*pair) for pair in box)] = False
        flags[cleared] &= ~np.uint8(PAINTED if region.kind == "edit" else MARKED)
        self.bulk_done(self.labels.copy(), flags)

    @rule(undo=st.booleans())
    def move_bulk(self, undo: bool) -> None:
        source, target = (self.steps, self.undone_steps) if undo else (self.undone_steps, self.steps)
        moved = self.workspace.undo_bulk() if undo else self.workspace.redo_bulk()
        assert (moved is not None) == bool(source)
        if not source:
            return
        self.forget_history()
        step = source.pop()
        target.append(step)
        from_labels, from_flags, to_labels, to_flags = (*step[2:], *step[:2]) if undo else step
        new = (from_labels != to_labels) | (from_flags != to_flags)
        new &= (self.labels == from_labels) | (from_labels == to_labels)
        new &= self.flags == from_flags
        self.labels = np.where(new & (from_labels != to_labels), to_labels, self.labels)
        self.flags = np.where(new, to_flags, self.flags)

    # Restarts

    @rule()
    def restart(self) -> None:
        self.workspace.close()
        self.open()

    @rule(arrays=st.booleans())
    def crash(self, arrays: bool) -> None:
        """Open what is on disk after a save, as if the program had been killed then."""
        self.workspace._storage.flush(arrays=arrays)
        left = self.root / "left"
        shutil.copytree(self.folder, left)
        (left / "lock").unlink()
        with open_workspace(image_of(SHAPE), left) as found:
            verified = self.flags != 0
            np.testing.assert_array_equal(found.verified[:], self.flags)
            np.testing.assert_array_equal(found.labels[:][verified], self.labels[verified])
            assert found.regions == self.workspace.regions
            assert found.next_id >= self.workspace.next_id
            if arrays:
                np.testing.assert_array_equal(found.labels[:], self.labels)
        shutil.rmtree(left)

    @invariant()
    def labels_are_the_models(self) -> None:
        if hasattr(self, "workspace"):
            np.testing.assert_array_equal(self.workspace.labels[:], self.labels)
            np.testing.assert_array_equal(self.workspace.verified[:], self.flags)

    @invariant()
    def regions_cover_what_is_verified(self) -> None:
        if hasattr(self, "workspace"):
            covered = np.zeros(SHAPE, bool)
            for region in self.workspace.regions:
                box = tuple(slice(*pair) for pair in region.box)
                covered[box] = True
                assert region.kind == "edit" or (self.flags[box] & MARKED).all()
            assert not (self.flags[~covered] & MARKED).any()

    def workspace_region(self, box: tuple[slice, ...]) -> dict[str, tuple[int, int]]:
        return {axis: (part.start, part.stop) for axis, part in zip("ZYX", box, strict=True)}


def same(edit: tuple[np.ndarray, ...], other: tuple[np.ndarray, ...]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(edit[:3], other[:3], strict=True))


def backwards(edit: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    return (edit[0], edit[2], edit[1], edit[3])


TestWorkspaceMachine = WorkspaceMachine.TestCase
TestWorkspaceMachine.settings = settings(
    max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
