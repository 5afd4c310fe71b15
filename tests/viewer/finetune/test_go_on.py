"""A training that was interrupted goes on from its checkpoint; what is kept of runs."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from napari_seamless.training.checkpoint import checkpoint_path
from napari_seamless.viewer.correct.workspaces import workspaces_of
from napari_seamless.viewer.finetune import child, run_folder
from napari_seamless.viewer.finetune.progress import RESUMED, TrainingProgress
from napari_seamless.viewer.finetune.run_folder import (
    MOST_DECIDED,
    Run,
    RunRecord,
    decide,
    tidy,
    undecided,
    write_record,
)
from napari_seamless.viewer.image_choice import image_choices

from .conftest import TIMEOUT_MS, click, dock, finish


def go_on(qtbot, widget):
    with qtbot.waitSignal(widget.control.finished, timeout=TIMEOUT_MS):
        click(qtbot, widget.result.go_on_button)


def the_run(widget) -> Path:
    (folder,) = widget.form.corrections[0].workspace.runs_folder.iterdir()
    return folder


def test_crashed_training_goes_on_from_its_checkpoint_and_ends_well(open_finetune, qtbot, fake, notifications):
    fake("crash")
    _, widget = open_finetune()
    finish(qtbot, widget)
    assert "It can go on from where it last saved everything" in notifications[-1].message
    assert widget.result.go_on_button.isVisibleTo(widget)
    first_words = json.loads((the_run(widget) / "run.json").read_text())["command"]
    fake("")
    go_on(qtbot, widget)
    assert json.loads((the_run(widget) / "run.json").read_text())["command"] == [*first_words, "--resume"]
    assert [step for step, _ in widget.control.progress.losses] == [10, 20, 30, 40, 50]
    assert widget.panel.curves.loss.steps == [10, 20, 30, 40, 50]
    assert widget.control.progress.description == "Going on from step 20."
    assert len(notifications) == 1
    assert "IoU 0.71 → 0.83" in widget.result.verdict.text()
    assert not widget.result.go_on_button.isVisibleTo(widget)
    assert widget.result.adopt_button.toolTip() != ""
    qtbot.waitUntil(lambda: widget.result.adopt_button.isEnabled(), timeout=TIMEOUT_MS)


def test_training_that_crashed_before_it_showed_weights_can_go_on_or_be_discarded(open_finetune, qtbot, fake):
    fake("crash early")
    _, widget = open_finetune()
    finish(qtbot, widget)
    assert widget.result.verdict.text() == "Interrupted after 30 steps, before there were weights to look at."
    for control in (widget.result.adopt_button, widget.result.name, widget.result.field_button):
        assert not control.isEnabled()
        assert "There are no weights yet" in control.toolTip()
    assert not widget.result.anyway.isVisibleTo(widget)
    go_on(qtbot, widget)  # crashes once more, and can go on once more
    assert widget.result.go_on_button.isEnabled()
    click(qtbot, widget.result.discard_button)
    qtbot.waitUntil(lambda: widget.pages.current == 0, timeout=TIMEOUT_MS)
    assert undecided(widget.form.corrections[0].workspace.runs_folder) == []
    assert sorted(path.name for path in the_run(widget).iterdir()) == ["run.json"]


def test_stopped_training_can_go_on(open_finetune, qtbot, fake):
    fake("slow")
    _, widget = open_finetune()
    click(qtbot, widget.panel.start_button)
    qtbot.waitUntil(lambda: len(widget.control.progress.losses) > 3, timeout=TIMEOUT_MS)
    with qtbot.waitSignal(widget.control.finished, timeout=TIMEOUT_MS):
        click(qtbot, widget.panel.stop_button)
    steps = widget.control.progress.step
    click(qtbot, widget.result.go_on_button)
    qtbot.waitUntil(lambda: widget.control.progress.step > steps, timeout=TIMEOUT_MS)
    assert widget.pages.current == 0
    assert not widget.panel.start_button.isEnabled()
    with qtbot.waitSignal(widget.control.finished, timeout=TIMEOUT_MS):
        click(qtbot, widget.panel.stop_button)


def test_other_regions_need_a_new_training(open_finetune, qtbot, fake, notifications):
    fake("crash")
    _, widget = open_finetune()
    finish(qtbot, widget)
    workspace = widget.form.corrections[0].workspace
    region = workspace.verify_region({"Y": (60, 80), "X": (60, 80)})
    workspace.set_role(region.id, "train")
    go_on(qtbot, widget)
    assert "the regions to learn from are others now" in notifications[-1].message
    assert widget.pages.current == 1
    assert widget.result.discard_button.isEnabled()


def test_training_that_ended_with_napari_is_offered_when_the_image_is_corrected_again(
    open_finetune, qtbot, fake, answers
):
    fake("crash")
    viewer, widget = open_finetune()
    finish(qtbot, widget)
    fake("")
    viewer.window.remove_dock_widget(widget)
    again = dock(viewer, qtbot)
    qtbot.waitUntil(lambda: again.pages.current == 1, timeout=TIMEOUT_MS)
    assert "after 10 steps" in again.result.verdict.text()
    go_on(qtbot, again)
    assert [step for step, _ in again.control.progress.losses] == [10, 20, 30, 40, 50]


def test_training_that_was_killed_while_napari_was_away_is_offered_at_the_next_start(
    open_finetune, make_napari_viewer, qtbot, fake, answers, image_file, notifications
):
    fake("slow")
    viewer, widget = open_finetune()
    click(qtbot, widget.panel.start_button)
    qtbot.waitUntil(lambda: len(widget.control.progress.losses) > 3, timeout=TIMEOUT_MS)
    run = widget.control.run
    answers.append("go on")
    del widget
    viewer.close()
    process = child._started.pop(run.key.pid)  # another program knows nothing of it
    process.kill()
    process.wait()
    notifications.clear()
    fake("")
    second = make_napari_viewer()
    second.open(image_file, plugin="napari-seamless")
    workspaces = workspaces_of(second)
    workspaces.start(image_choices(second.layers)[0], "YX")
    widget = dock(second, qtbot)
    qtbot.waitUntil(lambda: widget.pages.current == 1, timeout=TIMEOUT_MS)
    (message,) = [each.message for each in notifications if str(each.severity) == "error"]
    assert message.startswith("The training ended while nobody was watching")
    assert "It can go on" in message
    go_on(qtbot, widget)
    steps = [step for step, _ in widget.control.progress.losses]
    assert steps == sorted(set(steps))
    assert steps[0] == 10
    assert "IoU 0.71 → 0.83" in widget.result.verdict.text()


def test_curves_go_back_to_the_checkpoint():
    progress = TrainingProgress()
    for step in (10, 20, 30):
        progress.apply({"event": "epoch", "epoch": 1, "step": step, "loss": 1.0})
        progress.apply({"event": "validation", "epoch": 1, "step": step, "score": 0.5})
    progress.apply({"event": RESUMED})
    progress.apply({"event": "notice", "message": "Going on from step 20."})
    assert [step for step, _ in progress.losses] == [10, 20, 30]
    progress.apply({"event": "step", "epoch": 3, "step": 21, "loss": 0.5})
    progress.apply({"event": "epoch", "epoch": 3, "step": 30, "loss": 0.5})
    assert [step for step, _ in progress.losses] == [10, 20, 21]
    assert [step for step, _ in progress.scores] == [10, 20]
    assert progress.returns == 1


# What is kept


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def make_run(runs: Path, name: str, *files: str, decision: str = "") -> Run:
    folder = runs / name
    folder.mkdir(parents=True)
    for file in files:
        path = folder / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    record = RunRecord(("finetune",), 0, 0.0, "", "model", "model", (str(runs.parent),), 30.0, (), None, decision)
    run = Run(folder, record)
    write_record(run)
    return run


def names(runs: Path) -> list[str]:
    return sorted(path.relative_to(runs).as_posix() for path in runs.rglob("*") if path.is_file())


def test_checkpoint_is_looked_for_where_the_command_line_puts_it(runs):
    run = make_run(runs, "1", "model.checkpoint.safetensors")
    assert checkpoint_path(run.model) == run.folder / "model.checkpoint.safetensors"
    assert run.can_go_on
    assert not make_run(runs, "2").can_go_on


def test_decided_run_keeps_its_record_and_curves(runs):
    left = ("model/model.json", "preview/model.json", "model.checkpoint.safetensors", "model.curves.png", "log.txt")
    run = make_run(runs, "1", *left)
    assert decide(run, "adopted").record.decision == "adopted"
    assert names(runs) == ["1/model.curves.png", "1/run.json"]


def test_what_waits_stays_and_what_came_to_nothing_goes(runs):
    make_run(runs, "1", "model/model.json", "log.txt")
    make_run(runs, "2", "model.checkpoint.safetensors")
    make_run(runs, "3", "log.txt", "events.jsonl")
    make_run(runs, "4", "log.txt", "model.curves.csv", decision="discarded")
    (runs / "young").mkdir()
    (runs / "old").mkdir()
    os.utime(runs / "old", (0, time.time() - 2 * 86_400))
    tidy(runs)
    kept = ["1/log.txt", "1/model/model.json", "1/run.json", "2/model.checkpoint.safetensors", "2/run.json"]
    assert names(runs) == [*kept, "4/model.curves.csv", "4/run.json"]
    assert (runs / "young").exists()
    assert not (runs / "old").exists()


def test_decided_runs_are_bounded(runs, monkeypatch):
    monkeypatch.setattr(run_folder, "MOST_DECIDED", 3)
    for number in range(6):
        make_run(runs, f"{number}", decision="adopted")
    tidy(runs)
    assert [path.name for path in sorted(runs.iterdir())] == ["3", "4", "5"]
    assert MOST_DECIDED >= 10


def test_next_training_tidies(open_finetune, qtbot, fake):
    fake("refuse")
    _, widget = open_finetune()
    with qtbot.waitSignal(widget.control.ended, timeout=TIMEOUT_MS):
        click(qtbot, widget.panel.start_button)
    refused = the_run(widget)
    assert (refused / "log.txt").exists()
    fake("")
    time.sleep(1.0)  # folders are named after the second
    finish(qtbot, widget)
    assert the_run(widget) != refused
