"""Trainings that are watched live, that outlive the panel and the window, and that never hold the viewer up."""

from __future__ import annotations

import numpy as np

from napari_seamless.viewer.correct.workspaces import workspaces_of
from napari_seamless.viewer.finetune.child import is_alive
from napari_seamless.viewer.finetune.run_folder import tidy, undecided
from napari_seamless.viewer.image_choice import image_choices

from ..conftest import TIMEOUT_MS, above_middle
from .conftest import LONGEST_STALL, click, dock, longest_stall


def begin(qtbot, widget):
    click(qtbot, widget.panel.start_button)
    qtbot.waitUntil(lambda: widget.control.progress.snapshots > 0, timeout=TIMEOUT_MS)


def stop(qtbot, widget):
    with qtbot.waitSignal(widget.control.finished, timeout=TIMEOUT_MS):
        widget.control.stop()


def tell_snapshot(widget):
    """Let another snapshot be announced, as the training does every few seconds."""
    widget.control.snapshot.emit(widget.control.progress.snapshot)


def test_preview_outlines_what_the_model_finds_now(open_finetune, qtbot, fake, spots):
    fake("slow")
    viewer, widget = open_finetune(show=True)
    viewer.layers.selection.active = viewer.layers[0]
    begin(qtbot, widget)
    assert "preview" not in viewer.layers
    click(qtbot, widget.panel.preview_box)
    tell_snapshot(widget)
    qtbot.waitUntil(lambda: "preview" in viewer.layers, timeout=TIMEOUT_MS)
    layer = viewer.layers["preview"]
    top, left = layer.translate.astype(int)
    height, width = layer.data.shape
    np.testing.assert_array_equal(layer.data, above_middle(spots)[top : top + height, left : left + width])
    assert viewer.layers.selection.active is viewer.layers[0]
    viewer.scene.camera.zoom *= 4
    tell_snapshot(widget)
    qtbot.waitUntil(lambda: layer.data.shape[0] < height, timeout=TIMEOUT_MS)
    top, left = layer.translate.astype(int)
    smaller = tuple(slice(start, start + length) for start, length in zip((top, left), layer.data.shape, strict=True))
    np.testing.assert_array_equal(layer.data, above_middle(spots)[smaller])
    stop(qtbot, widget)
    assert "preview" not in viewer.layers


def test_preview_that_is_removed_by_hand_stays_away(open_finetune, qtbot, fake):
    fake("slow")
    viewer, widget = open_finetune(show=True)
    begin(qtbot, widget)
    click(qtbot, widget.panel.preview_box)
    tell_snapshot(widget)
    qtbot.waitUntil(lambda: "preview" in viewer.layers, timeout=TIMEOUT_MS)
    viewer.layers["preview"].visible = False  # software OpenGL crashes when it draws what is left after a removal
    viewer.layers.remove("preview")
    tell_snapshot(widget)
    assert not widget.panel.preview_box.isChecked()
    qtbot.wait(200)
    assert "preview" not in viewer.layers
    stop(qtbot, widget)


def test_closing_the_panel_can_leave_the_training_and_opening_it_finds_it_again(open_finetune, qtbot, fake, answers):
    fake("slow")
    viewer, widget = open_finetune()
    begin(qtbot, widget)
    key = widget.control.run.key
    answers.append("go on")
    viewer.window.remove_dock_widget(widget)
    assert answers == []
    assert is_alive(key)
    again = dock(viewer, qtbot)
    qtbot.waitUntil(lambda: bool(again.control.progress.losses), timeout=TIMEOUT_MS)
    assert again.control.run.key == key
    assert not again.panel.start_button.isEnabled()
    stop(qtbot, again)
    assert "IoU 0.71 → 0.83" in again.result.verdict.text()


def test_closing_the_panel_can_stop_the_training_and_its_result_waits(open_finetune, qtbot, fake, answers):
    fake("slow")
    viewer, widget = open_finetune()
    begin(qtbot, widget)
    key = widget.control.run.key
    answers.append("stop")
    viewer.window.remove_dock_widget(widget)
    qtbot.waitUntil(lambda: not is_alive(key), timeout=TIMEOUT_MS)
    again = dock(viewer, qtbot)
    qtbot.waitUntil(lambda: again.pages.current == 1, timeout=TIMEOUT_MS)
    assert "IoU 0.71 → 0.83" in again.result.verdict.text()


def test_closing_the_window_asks_and_can_be_cancelled(open_finetune, qtbot, fake, answers):
    fake("slow")
    viewer, widget = open_finetune(show=True)
    begin(qtbot, widget)
    qtbot.waitUntil(lambda: widget.isVisible(), timeout=TIMEOUT_MS)
    window = viewer.window.main_menu.window()
    answers.append("cancel")
    assert not window.close()
    assert answers == []
    assert window.isVisible()
    stop(qtbot, widget)
    assert is_closing_unasked(window, widget)


def is_closing_unasked(window, widget):
    """Whether nothing is asked when nothing is being trained; the list of answers is empty."""
    return widget.closing.answer(window, can_cancel=True) == "go on"


def test_training_outlives_the_viewer_and_its_result_is_found_at_the_next_start(
    open_finetune, make_napari_viewer, qtbot, fake, answers, image_file
):
    fake("slow")
    viewer, widget = open_finetune()
    begin(qtbot, widget)
    key = widget.control.run.key
    answers.append("go on")
    del widget
    viewer.close()
    assert is_alive(key)
    second = make_napari_viewer()
    second.open(image_file, plugin="napari-seamless")
    workspaces = workspaces_of(second)
    workspaces.start(image_choices(second.layers)[0], "YX")
    widget = dock(second, qtbot)
    qtbot.waitUntil(lambda: bool(widget.control.progress.losses), timeout=TIMEOUT_MS)
    assert widget.control.run.key == key
    stop(qtbot, widget)


def test_viewer_is_never_blocked_while_training(open_finetune, qtbot, fake):
    fake("slow")
    _, widget = open_finetune(show=True)
    begin(qtbot, widget)
    assert longest_stall(qtbot) < LONGEST_STALL
    assert widget.control.is_running
    assert widget.panel.curves.draw_seconds < 0.05
    stop(qtbot, widget)


def test_run_of_a_newer_program_is_left_alone(open_finetune, qtbot):
    _, widget = open_finetune()
    runs = widget.form.corrections[0].workspace.runs_folder
    (runs / "2030-01-01_000000").mkdir()
    (runs / "2030-01-01_000000" / "run.json").write_text('{"unknown": 1}')
    assert undecided(runs) == []
    tidy(runs)
    assert (runs / "2030-01-01_000000" / "run.json").exists()
