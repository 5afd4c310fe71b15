"""Random edits, undos, redos, runs, marks and restarts through a Labels layer: the layer, the workspace and the disk
agree, and no verified voxel is ever changed by the program."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtWidgets import QApplication

from napari_seamless.viewer.correct.output import Delivery
from napari_seamless.viewer.correct.workspaces import Workspaces
from napari_seamless.viewer.image_choice import image_choices

from ..conftest import TIMEOUT_MS

SHAPE = (3, 24, 32)
BULK = ("Segment with fake", "Clear", "Verify slice", "Unverify slice", "Unverify edit", "Unverify box")

places = st.tuples(*(st.integers(0, length - 1) for length in SHAPE))
ids = st.integers(0, 5)


@pytest.fixture(autouse=True)
def _application(qapp: Any) -> None:
    """The event loop that results come through."""


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_MS / 1000
    while not is_true():
        assert time.monotonic() < deadline
        QApplication.processEvents()
        time.sleep(0.001)


def blobs(seed: int) -> np.ndarray:
    """A prediction: rectangles with ids from 1."""
    random = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, np.uint32)
    for number in range(1, 5):
        low = [random.integers(0, length - 3) for length in SHAPE[1:]]
        high = [start + random.integers(3, 14) for start in low]
        labels[:, low[0] : high[0], low[1] : high[1]] = number
    return labels


class LayerMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.patches = [mock.patch.object(os, name, return_value=None) for name in ("fsync", "sync")]
        for patch in self.patches:
            patch.start()
        self.root = Path(tempfile.mkdtemp())
        self.folder = self.root / "w.seamless"
        self.viewer = ViewerModel()
        self.viewer.add_layer(Image(np.zeros(SHAPE, np.uint8), name="image", axis_labels=("z", "y", "x")))
        self.workspaces = Workspaces(self.viewer)
        self.open()

    def open(self) -> None:
        self.workspaces.start(image_choices(self.viewer.layers)[0], "ZYX", folder=self.folder)
        wait_until(lambda: bool(self.workspaces.corrections))
        self.correction = self.workspaces.corrections[0]
        self.layer = self.correction.labels_layer
        self.workspace = self.correction.workspace

    def close(self) -> None:
        shown = np.asarray(self.layer.data)
        self.viewer.layers.remove(self.layer)
        wait_until(lambda: not (self.folder / "lock").exists())
        np.testing.assert_array_equal(zarr.open_array(self.folder / "labels", mode="r")[:], shown)

    def teardown(self) -> None:
        self.close()
        self.workspaces.deleteLater()
        for patch in self.patches:
            patch.stop()
        shutil.rmtree(self.root)

    # A person, and other programs

    def verified_where_changed(self, act: Callable[[], Any]) -> None:
        before = self.workspace.labels[:]
        act()
        changed = before != self.workspace.labels[:]
        assert (self.workspace.verified[:][changed] != 0).all()

    @rule(place=places, label=ids, size=st.integers(1, 9), dimensions=st.sampled_from([2, 3]))
    def paint(self, place: tuple[int, ...], label: int, size: int, dimensions: int) -> None:
        self.layer.brush_size, self.layer.n_edit_dimensions = size, dimensions
        taken_back = self.workspace.labels[:], self.workspace.verified[:]
        self.layer.paint(place, label)
        changed = taken_back[0] != self.workspace.labels[:]
        # Painting back exactly what the last stroke changed is its undo.
        is_undo = bool(changed.any()) and not (self.workspace.verified[:][changed] != 0).all()
        assert not is_undo or (taken_back[1][changed] != 0).all()

    @rule(place=places, label=ids)
    def fill(self, place: tuple[int, ...], label: int) -> None:
        self.layer.n_edit_dimensions = 2
        self.layer.fill(place, label)

    @rule(z=st.integers(0, SHAPE[0] - 1), seed=st.integers(0, 9), label=ids)
    def polygon(self, z: int, seed: int, label: int) -> None:
        corners = np.random.default_rng(seed).uniform(0, SHAPE[1:], (4, 2))
        self.layer.n_edit_dimensions = 2
        self.layer.paint_polygon([(z, *corner) for corner in corners], label)

    @rule()
    def undo(self) -> None:
        self.layer.undo()

    @rule()
    def redo(self) -> None:
        self.layer.redo()

    @rule(z=st.integers(0, SHAPE[0] - 1), label=ids)
    def write_as_other_code(self, z: int, label: int) -> None:
        self.layer.data[z, 3:9, 4:12] = label
        self.layer.refresh()

    @rule(seed=st.integers(0, 9))
    def replace_the_array(self, seed: int) -> None:
        array = np.asarray(self.layer.data)
        array[1] = blobs(seed)[1]

        def replace() -> None:
            self.layer.data = array
            wait_until(lambda: self.correction.is_shown and not self.correction.busy)

        self.verified_where_changed(replace)
        np.testing.assert_array_equal(self.workspace.labels[:], array)

    # The program

    def leaves_verified_alone(self, act: Callable[[], Any]) -> None:
        before, verified = self.workspace.labels[:], self.workspace.verified[:] != 0
        act()
        np.testing.assert_array_equal(self.workspace.labels[:][verified], before[verified])

    def run(self, function: Callable[[], Any]) -> None:
        self.workspaces.run(self.correction, "…", function)
        wait_until(lambda: not self.correction.busy)

    @rule(seed=st.integers(0, 99), instances=st.booleans(), z=st.none() | st.integers(0, SHAPE[0] - 1))
    def segment(self, seed: int, instances: bool, z: int | None) -> None:
        labels, region = blobs(seed), {}
        if z is not None:
            labels, region = labels[z : z + 1], {"Z": (z, z + 1)}
        request = SimpleNamespace(region=region, source=SimpleNamespace(axes="ZYX"), model="fake")
        delivery = Delivery(self.workspaces, self.correction, request, "fake", None)
        self.leaves_verified_alone(lambda: delivery(labels, instances, lambda: False))
        self.correction.refresh()

    @rule()
    def clear(self) -> None:
        self.leaves_verified_alone(lambda: self.run(self.workspace.clear_predictions))

    @rule(z=st.integers(0, SHAPE[0] - 1))
    def mark(self, z: int) -> None:
        self.leaves_verified_alone(lambda: self.run(lambda: self.workspace.verify_slice({"Z": z})))
        assert (self.workspace.verified[z] != 0).all()

    @precondition(lambda self: self.workspace.regions)
    @rule(number=st.integers(0, 9))
    def unmark(self, number: int) -> None:
        region = self.workspace.regions[number % len(self.workspace.regions)]
        self.leaves_verified_alone(lambda: self.run(lambda: self.workspace.unverify_region(region.id)))

    @precondition(lambda self: self.workspace.undo_step is not None and self.workspace.undo_step.name in BULK)
    @rule()
    def undo_bulk(self) -> None:
        self.leaves_verified_alone(lambda: self.run(self.workspace.undo_bulk))

    @precondition(lambda self: self.workspace.redo_step is not None and self.workspace.redo_step.name in BULK)
    @rule()
    def redo_bulk(self) -> None:
        self.leaves_verified_alone(lambda: self.run(self.workspace.redo_bulk))

    @rule()
    def restart(self) -> None:
        before = self.workspace.labels[:], self.workspace.verified[:], self.workspace.regions
        self.close()
        self.open()
        np.testing.assert_array_equal(self.workspace.labels[:], before[0])
        np.testing.assert_array_equal(self.workspace.verified[:], before[1])
        assert self.workspace.regions == before[2]

    @invariant()
    def everything_agrees(self) -> None:
        if not hasattr(self, "layer"):
            return
        shown = np.asarray(self.layer.data)
        np.testing.assert_array_equal(shown, self.workspace.labels[:])
        np.testing.assert_array_equal(self.layer._slice.image.raw, shown[self.viewer.dims.current_step[0]])
        assert self.workspace.next_id > shown.max()


TestLayerMachine = LayerMachine.TestCase
TestLayerMachine.settings = settings(
    max_examples=12, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
