"""The process that trains: what it says arrives, it is stopped, it crashes, it is left and found again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from napari_seamless.errors import TrainingError
from napari_seamless.viewer.finetune import child as child_module
from napari_seamless.viewer.finetune.child import Child, EventFile, ProcessKey, is_alive, kill, start_process

from ..conftest import TIMEOUT_MS, save_threshold_model

ENDED_AT_ONCE = "exit code" if sys.platform == "win32" else "SIGKILL"
FAKE = Path(__file__).with_name("fake_finetune.py")


class Watch:
    """A child and what it said."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.events: list[dict[str, Any]] = []
        self.endings: list[Any] = []
        child.event.connect(self.events.append)
        child.ended.connect(self.endings.append)

    @property
    def names(self) -> list[str]:
        return [event["event"] for event in self.events]


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qapp: Any) -> Iterator[Callable[..., Watch]]:
    """Return a function that starts the stand-in with a behaviour, and looks after it; it is killed at the end."""
    model = save_threshold_model(tmp_path / "model")
    keys: list[ProcessKey] = []

    def begin_one(behaviour: str = "") -> Watch:
        monkeypatch.setenv("FAKE_FINETUNE", behaviour)
        command = [sys.executable, str(FAKE), "--model", str(model), "--out", str(tmp_path / "out")]
        key = start_process(command, tmp_path / "events.jsonl", tmp_path / "log.txt")
        keys.append(key)
        return Watch(Child(key, tmp_path / "events.jsonl", tmp_path / "log.txt"))

    yield begin_one
    for key in keys:
        kill(key)
        if key.pid in child_module._started:
            child_module._started.pop(key.pid).wait()


def test_events_arrive_in_order_and_then_the_end(begin, qtbot):
    watch = begin()
    qtbot.waitUntil(lambda: bool(watch.endings), timeout=TIMEOUT_MS)
    assert watch.names == ["notice", *["epoch", "validation"] * 5, "written", "comparison", "done"]
    assert [event["loss"] for event in watch.events if event["event"] == "epoch"] == [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]
    assert (watch.endings[0].message, watch.endings[0].stopped) == ("", False)
    assert len(watch.endings) == 1


def test_events_arrive_while_it_runs(begin, qtbot):
    watch = begin("slow")
    qtbot.waitUntil(lambda: "epoch" in watch.names, timeout=TIMEOUT_MS)
    assert is_alive(watch.child.key)
    assert not watch.endings


def test_stop_keeps_the_result(begin, qtbot, tmp_path):
    watch = begin("slow")
    qtbot.waitUntil(lambda: "epoch" in watch.names, timeout=TIMEOUT_MS)
    watch.child.stop()
    qtbot.waitUntil(lambda: bool(watch.endings), timeout=TIMEOUT_MS)
    assert watch.names[-3:] == ["written", "comparison", "done"]
    assert (watch.endings[0].message, watch.endings[0].stopped) == ("", True)
    assert (tmp_path / "out" / "model.json").is_file()


def test_process_that_does_not_stop_is_killed_after_a_while(begin, qtbot, monkeypatch):
    monkeypatch.setattr(child_module, "GRACE_SECONDS", 0.5)
    monkeypatch.setattr(child_module, "_event_in", lambda line: None)  # it says nothing that we understand
    watch = begin("deaf")
    qtbot.wait(300)
    watch.child.stop()
    qtbot.waitUntil(lambda: bool(watch.endings), timeout=TIMEOUT_MS)
    assert not is_alive(watch.child.key)
    assert watch.endings[0].stopped


def test_second_stop_ends_it_at_once(begin, qtbot):
    watch = begin("deaf")
    qtbot.waitUntil(lambda: "epoch" in watch.names, timeout=TIMEOUT_MS)
    watch.child.stop()
    qtbot.wait(200)
    assert is_alive(watch.child.key)
    watch.child.stop()
    qtbot.waitUntil(lambda: bool(watch.endings), timeout=TIMEOUT_MS)
    assert not is_alive(watch.child.key)


def test_crash_becomes_one_message_with_the_last_lines(begin, qtbot):
    watch = begin("crash")
    qtbot.waitUntil(lambda: bool(watch.endings), timeout=TIMEOUT_MS)
    assert ENDED_AT_ONCE in watch.endings[0].message
    assert "out of luck" in watch.endings[0].message
    assert len(watch.endings) == 1


def test_refusal_is_shown_in_its_own_words(begin, qtbot):
    watch = begin("refuse")
    qtbot.waitUntil(lambda: bool(watch.endings), timeout=TIMEOUT_MS)
    assert watch.endings[0].message == "The training failed: nothing is verified: paint first"


def test_process_that_was_left_is_found_again_with_all_it_said(begin, qtbot, tmp_path):
    watch = begin("slow")
    qtbot.waitUntil(lambda: "epoch" in watch.names, timeout=TIMEOUT_MS)
    watch.child.leave()
    said = len(watch.events)
    own = child_module._started.pop(watch.child.key.pid)  # as another napari sees it: no child of its own
    qtbot.wait(200)
    assert len(watch.events) == said
    assert is_alive(watch.child.key)
    again = Watch(Child(watch.child.key, tmp_path / "events.jsonl", tmp_path / "log.txt"))
    qtbot.waitUntil(lambda: len(again.events) > said, timeout=TIMEOUT_MS)
    assert again.events[:said] == watch.events
    again.child.stop()
    qtbot.waitUntil(lambda: bool(again.endings), timeout=TIMEOUT_MS)
    assert again.endings[0].message == ""
    assert own.wait() == child_module.INTERRUPTED


def test_number_of_another_process_is_not_taken_for_ours(begin):
    watch = begin("slow")
    key = watch.child.key
    own = child_module._started.pop(key.pid)
    try:
        assert is_alive(key)
        assert not is_alive(ProcessKey(key.pid, key.began - 100.0))
    finally:
        child_module._started[key.pid] = own


def test_command_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="could not be started"):
        start_process([str(tmp_path / "nothing")], tmp_path / "events", tmp_path / "log")


def test_lines_are_read_as_they_are_completed(tmp_path):
    file = EventFile(tmp_path / "events.jsonl")
    assert file.read_new() == []
    with file.path.open("ab", buffering=0) as writer:
        writer.write(b'{"event": "epoch", "loss": 1}\n{"event": "ep')
        assert file.read_new() == [{"event": "epoch", "loss": 1}]
        assert file.read_new() == []
        writer.write('och", "message": "IoU 0.7 → 0.8"}\nno event\n[1]\n{"loss": 2}\n'.encode())
        assert file.read_new() == [{"event": "epoch", "message": "IoU 0.7 → 0.8"}]


def test_process_that_is_killed_from_outside_becomes_a_message(begin, qtbot):
    watch = begin("slow")
    qtbot.waitUntil(lambda: "epoch" in watch.names, timeout=TIMEOUT_MS)
    kill(watch.child.key)
    qtbot.waitUntil(lambda: bool(watch.endings), timeout=TIMEOUT_MS)
    assert ENDED_AT_ONCE in watch.endings[0].message
