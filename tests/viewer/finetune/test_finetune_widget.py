"""The Fine-tune widget: what it offers, and a training from its start to its end."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtWidgets import (
    QAbstractButton,
    QApplication,
    QCheckBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QSlider,
)

from napari_seamless.images.write import write_array
from napari_seamless.viewer.correct.workspaces import workspaces_of
from napari_seamless.viewer.finetune import run as finetune_run
from napari_seamless.viewer.image_choice import image_choices
from napari_seamless.workspace.origin import Origin

from .conftest import TIMEOUT_MS, click, dock, finish


def test_without_corrections_it_says_what_to_do_first(make_napari_viewer, qtbot, library):
    widget = dock(make_napari_viewer(), qtbot)
    assert not widget.panel.start_button.isEnabled()
    assert "Correct…" in widget.panel.start_button.toolTip()
    assert "Correct…" in widget.form.data_line.text()


def test_counts_follow_what_is_verified(open_finetune, qtbot):
    _, widget = open_finetune(regions=0)
    assert "Nothing is verified yet" in widget.form.data_line.text()
    assert not widget.panel.start_button.isEnabled()
    workspace = widget.form.corrections[0].workspace
    workspace.verify_region({"Y": (0, 20), "X": (0, 20)})
    qtbot.waitUntil(lambda: "1 region to learn from, 0 to judge by" in widget.form.data_line.text(), timeout=TIMEOUT_MS)
    assert "Mark a second region to have one for validation" in widget.form.data_line.text()
    assert widget.panel.start_button.isEnabled()
    workspace.verify_region({"Y": (30, 50), "X": (0, 20)})
    qtbot.waitUntil(
        lambda: widget.form.data_line.text() == "1 region to learn from, 1 to judge by.", timeout=TIMEOUT_MS
    )


def test_model_that_made_the_labels_is_chosen(open_finetune):
    _, widget = open_finetune()
    assert widget.form.model.name == "threshold"
    assert not widget.form.task_box.isVisibleTo(widget)
    widget.form.model_box.setCurrentIndex(widget.form.model_box.findText("New model from scratch"))
    assert widget.form.model is None
    assert widget.form.task_box.isVisibleTo(widget)


def test_training_runs_to_a_result_in_the_workspace(open_finetune, qtbot):
    _, widget = open_finetune()
    workspace = widget.form.corrections[0].workspace
    finish(qtbot, widget)
    (folder,) = workspace.runs_folder.iterdir()
    assert (folder / "model" / "model.json").is_file()
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines() if line.startswith("{")]
    assert events[-1]["event"] == "done"
    record = json.loads((folder / "run.json").read_text())
    assert record["model_name"] == "threshold"
    assert record["trained_on"] == ["spots.tif: box Y 0-25 X 0-30"]
    assert record["command"][:3] == ["finetune", "--model", str(widget.form.model.path)]
    assert widget.panel.curves.loss.values == [1 / epoch for epoch in range(1, 6)]
    assert len(widget.panel.curves.score.values) == 5
    assert widget.panel.status.text() == "Done."
    assert "IoU 0.71 → 0.83" in widget.result.verdict.text()


def test_corrections_are_on_disk_before_the_training_starts(open_finetune, qtbot, monkeypatch):
    _, widget = open_finetune()
    workspace = widget.form.corrections[0].workspace
    workspace.record_edit({"Y": (60, 70), "X": (60, 70)}, 9)
    seen = []
    really_start = finetune_run.start_process

    def look_and_start(*words: object) -> object:
        seen.append(workspace.changes)
        return really_start(*words)

    monkeypatch.setattr(finetune_run, "start_process", look_and_start)
    finish(qtbot, widget)
    made, on_disk = seen[0]
    assert made == on_disk


def test_stop_keeps_what_was_learned(open_finetune, qtbot, fake):
    fake("slow")
    _, widget = open_finetune()
    click(qtbot, widget.panel.start_button)
    qtbot.waitUntil(lambda: bool(widget.control.progress.losses), timeout=TIMEOUT_MS)
    assert not widget.panel.start_button.isEnabled()
    assert not widget.form.model_box.isEnabled()
    qtbot.waitUntil(lambda: "steps" in widget.panel.status.text(), timeout=TIMEOUT_MS)
    with qtbot.waitSignal(widget.control.finished, timeout=TIMEOUT_MS):
        click(qtbot, widget.panel.stop_button)
        assert widget.control.is_stopping
    assert widget.panel.status.text() == "Stopped."
    assert not widget.panel.stop_button.isEnabled()


def test_crash_is_one_message_and_the_weights_so_far_are_offered(open_finetune, qtbot, fake, notifications):
    fake("crash")
    _, widget = open_finetune()
    finish(qtbot, widget)
    errors = [each.message for each in notifications if str(each.severity) == "error"]
    assert len(errors) == 1
    assert "out of luck" in errors[0]
    assert "The weights that it had saved on the way are kept" in errors[0]
    assert "after 10 steps" in widget.result.verdict.text()
    assert not widget.result.adopt_button.isEnabled()
    click(qtbot, widget.result.anyway)
    qtbot.waitUntil(widget.result.adopt_button.isEnabled, timeout=TIMEOUT_MS)


def test_refusal_is_shown_and_the_widget_is_ready_again(open_finetune, qtbot, fake, notifications):
    fake("refuse")
    _, widget = open_finetune()
    with qtbot.waitSignal(widget.control.ended, timeout=TIMEOUT_MS):
        click(qtbot, widget.panel.start_button)
    assert notifications[-1].message == "The training failed: nothing is verified: paint first"
    assert widget.panel.status.text() == "The training failed: nothing is verified: paint first"
    assert widget.panel.start_button.isEnabled()


def test_command_is_the_one_that_is_run(open_finetune, qtbot, fake):
    fake("slow")
    _, widget = open_finetune()
    workspace = widget.form.corrections[0].workspace
    widget.form.budget_box.setCurrentIndex(widget.form.budget_box.findText("30 seconds"))
    click(qtbot, widget.panel.copy_button)
    words = shlex.split(QApplication.clipboard().text())
    assert words[:2] == ["napari-seamless", "finetune"]
    assert words[words.index("--workspace") + 1] == str(workspace.folder)
    assert words[words.index("--seconds") + 1] == "30"
    assert Path(words[words.index("--out") + 1]).parent.parent == workspace.runs_folder
    click(qtbot, widget.panel.start_button)
    qtbot.waitUntil(lambda: bool(widget.control.progress.losses), timeout=TIMEOUT_MS)
    click(qtbot, widget.panel.copy_button)
    assert shlex.split(QApplication.clipboard().text())[1:] == list(widget.control.run.record.command)
    with qtbot.waitSignal(widget.control.finished, timeout=TIMEOUT_MS):
        widget.control.stop()


def test_new_model_from_scratch_is_trained_by_train(open_finetune, qtbot, fake):
    _, widget = open_finetune()
    widget.form.model_box.setCurrentIndex(widget.form.model_box.findText("New model from scratch"))
    widget.form.task_box.setCurrentIndex(1)
    widget.form.budget_box.setCurrentIndex(widget.form.budget_box.findText("until stopped"))
    arguments = widget.form.request.arguments(Path("out"))
    folder = str(widget.form.corrections[0].workspace.folder)
    assert arguments == ["train", folder, "--task", "semantic", "--out", "out", "--until-stopped"]


@pytest.fixture
def two_channels(make_napari_viewer, qtbot, tmp_path, spots, library):
    """A file whose second channel holds the spots, with corrections of labels that were made of that channel."""
    path = tmp_path / "two.ome.zarr"
    write_array(path, np.stack([spots * 0, spots]), "CYX", channel_names=("empty", "spots"))
    viewer = make_napari_viewer(show=True)
    viewer.open(path, plugin="napari-seamless")
    workspaces = workspaces_of(viewer)
    workspaces.start(image_choices(viewer.layers)[0], "YX")
    qtbot.waitUntil(lambda: bool(workspaces.corrections), timeout=TIMEOUT_MS)
    correction = workspaces.corrections[0]
    correction.origin = Origin("threshold", str(library / "threshold"), channel=1)
    correction.workspace.verify_region({"Y": (0, 25)})
    return viewer


def test_channel_that_the_labels_were_made_of_is_learned_from(two_channels, qtbot, fake):
    widget = dock(two_channels, qtbot)
    assert widget.form.channel_box.isVisibleTo(widget)
    assert widget.form.channel_box.currentText() == "spots"
    arguments = widget.form.request.arguments(Path("out"))
    assert arguments[arguments.index("--channel") + 1] == "1"
    finish(qtbot, widget)
    qtbot.waitUntil(lambda: widget.view.is_shown, timeout=TIMEOUT_MS)
    assert two_channels.layers["before | after"].data.any()
    widget.form.model_box.setCurrentIndex(widget.form.model_box.findText("New model from scratch"))
    assert not widget.form.channel_box.isVisibleTo(widget)
    assert widget.form.request.channel is None


def test_all_text_fits_a_small_window(open_finetune, qtbot):
    viewer, widget = open_finetune(show=True)
    viewer.window.resize(1280, 800)
    widget.form.model_box.setCurrentIndex(widget.form.model_box.findText("New model from scratch"))
    qtbot.wait(50)
    assert cut_off(widget) == []
    finish(qtbot, widget)
    qtbot.waitUntil(lambda: widget.view.is_shown, timeout=TIMEOUT_MS)
    qtbot.wait(50)
    assert cut_off(widget) == []


def cut_off(widget) -> list[str]:
    """Return the sentences and captions that have less room than they need."""
    found = []
    for text in widget.findChildren(QLabel):
        needed = text.heightForWidth(text.width()) if text.wordWrap() else text.sizeHint().height()
        if text.isVisible() and (text.height() < needed or not (text.wordWrap() or fits(text))):
            found.append(text.text())
    return found + [button.text() for button in widget.findChildren(QAbstractButton) if not fits(button)]


def fits(control) -> bool:
    return not control.isVisible() or control.width() >= control.minimumSizeHint().width()


def test_every_control_has_a_tooltip(open_finetune):
    _, widget = open_finetune()
    kinds = (QComboBox, QPushButton, QCheckBox, QRadioButton, QLineEdit, QSlider)
    controls = [control for kind in kinds for control in widget.findChildren(kind)]
    assert len(controls) > 14
    assert [control.objectName() for control in controls if not control.toolTip()] == []
