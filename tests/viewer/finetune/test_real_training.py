"""The whole way with the real command: correct, fine-tune a tiny network, compare, adopt, segment again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

import napari_seamless as ns
from napari_seamless.training.checkpoint import read_checkpoint
from napari_seamless.viewer.finetune import child
from napari_seamless.viewer.finetune import run as finetune_run
from napari_seamless.workspace.lineage import Lineage
from napari_seamless.workspace.origin import Origin

from ..conftest import TIMEOUT_MS, above_middle
from .conftest import LONGEST_STALL, click, dock, longest_stall


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the place of the stand-in: here the real command runs."""
    monkeypatch.setattr(finetune_run, "command_of", child.command_of)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def ignorant(library: Path) -> Path:
    """A tiny network that knows nothing."""
    config = ns.NetworkConfig(architecture="unetpp", features=(4, 8), out_channels=3)
    return ns.save_model(ns.create_model(config, task="instances", name="ignorant", seed=1), library / "ignorant")


def test_ignorant_model_learns_and_takes_over(correct, ignorant, qtbot, spots, monkeypatch):
    viewer, correction = correct(regions=0, show=True)
    workspace = correction.workspace
    truth, _ = ns_labels(above_middle(spots))
    for left in (0, 60):
        box = {"Y": (0, 45), "X": (left, left + 55)}
        workspace.record_edit(box, truth[0:45, left : left + 55])
        workspace.verify_region(box)
    verified = np.asarray(workspace.verified[:]) != 0
    mine = np.asarray(workspace.labels[:])[verified]
    correction.origin = Origin("ignorant", str(ignorant))
    widget = dock(viewer, qtbot)
    widget.form.budget_box.setCurrentIndex(widget.form.budget_box.findText("until stopped"))
    monkeypatch.setattr(finetune_run, "PREVIEW_SECONDS", 1)
    click(qtbot, widget.panel.preview_box)
    click(qtbot, widget.panel.start_button)
    qtbot.waitUntil(lambda: bool(widget.control.progress.scores) and widget.preview.shown > 0, timeout=TIMEOUT_MS)
    assert longest_stall(qtbot) < LONGEST_STALL
    click(qtbot, widget.panel.stop_button)
    qtbot.waitUntil(lambda: widget.pages.current == 1, timeout=TIMEOUT_MS)
    assert widget.control.progress.comparison.judged
    assert "on your validation regions: IoU" in widget.result.verdict.text()
    qtbot.waitUntil(lambda: bool(widget.result.name.text()), timeout=TIMEOUT_MS)
    if not widget.result.adopt_button.isEnabled():  # it learned for a few seconds only
        click(qtbot, widget.result.anyway)
    click(qtbot, widget.result.adopt_button)
    qtbot.waitUntil(lambda: "Adopted as 'ignorant-2'" in widget.result.verdict.text(), timeout=TIMEOUT_MS)
    adopted = ns.load_model("ignorant-2")
    assert adopted.parent == "ignorant"
    assert Lineage(workspace.models_folder).current == "ignorant-2"
    click(qtbot, widget.result.again_button)
    _, segment = viewer.window.add_plugin_dock_widget("napari-seamless", "Segment")
    qtbot.waitUntil(lambda: not segment.run.is_running, timeout=TIMEOUT_MS)
    qtbot.waitUntil(lambda: correction.model_name == "ignorant-2", timeout=TIMEOUT_MS)
    np.testing.assert_array_equal(np.asarray(workspace.labels[:])[verified], mine)


def ns_labels(mask: np.ndarray) -> tuple[np.ndarray, int]:
    from scipy.ndimage import label

    return label(mask)


def test_killed_training_goes_on_from_its_checkpoint(correct, ignorant, qtbot, monkeypatch):
    monkeypatch.setattr(finetune_run, "CHECKPOINT_SECONDS", 0.1)
    monkeypatch.setattr(finetune_run, "PREVIEW_SECONDS", 60)
    viewer, correction = correct(regions=2)
    correction.origin = Origin("ignorant", str(ignorant))
    widget = dock(viewer, qtbot)
    widget.form.budget_box.setItemData(0, 8.0)
    widget.form.budget_box.setCurrentIndex(0)
    click(qtbot, widget.panel.start_button)
    qtbot.waitUntil(
        lambda: bool(widget.control.progress.step) and reached(widget.control.run) > 0,
        timeout=TIMEOUT_MS,
    )
    run = widget.control.run
    os.kill(run.key.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: widget.pages.current == 1, timeout=TIMEOUT_MS)
    step = reached(run)
    assert step > 0
    click(qtbot, widget.result.go_on_button)
    with qtbot.waitSignal(widget.control.finished, timeout=2 * TIMEOUT_MS):
        pass
    assert "Going on from step" in widget.control.progress.description
    assert int(widget.control.progress.description.split("step ")[1].partition(",")[0]) == step
    assert widget.control.progress.step > step
    assert not widget.control.run.can_go_on
    assert widget.control.progress.comparison.judged
    history = (run.folder / "model.curves.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in history[1:]] == [str(epoch) for epoch in range(1, len(history))]


def reached(run) -> int:
    """Return the step that a run's checkpoint was written at; 0 without one."""
    path = run.folder / "model.checkpoint.safetensors"
    return read_checkpoint(path).facts["run"]["step"] if path.exists() else 0


def test_killed_training_offers_the_weights_so_far(correct, ignorant, qtbot, spots, notifications, monkeypatch):
    monkeypatch.setattr(finetune_run, "PREVIEW_SECONDS", 0.2)
    viewer, correction = correct(regions=2)
    correction.origin = Origin("ignorant", str(ignorant))
    widget = dock(viewer, qtbot)
    click(qtbot, widget.panel.start_button)
    qtbot.waitUntil(lambda: widget.control.progress.snapshots > 0, timeout=TIMEOUT_MS)
    child.kill(widget.control.run.key)
    qtbot.waitUntil(lambda: widget.pages.current == 1, timeout=TIMEOUT_MS)
    errors = [each.message for each in notifications if str(each.severity) == "error"]
    assert len(errors) == 1
    assert "ended from outside" in errors[0]
    qtbot.waitUntil(lambda: bool(widget.result.name.text()), timeout=TIMEOUT_MS)
    click(qtbot, widget.result.anyway)
    click(qtbot, widget.result.adopt_button)
    qtbot.waitUntil(lambda: "Adopted" in widget.result.verdict.text(), timeout=TIMEOUT_MS)
    assert ns.load_model("ignorant-2").parent == "ignorant"
