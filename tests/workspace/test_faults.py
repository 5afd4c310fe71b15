"""Killed programs, torn journals, full disks: nothing that was painted is lost, and nothing is damaged."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_seamless.errors import FileWriteError
from napari_seamless.events import Event
from napari_seamless.workspace import disk
from napari_seamless.workspace.flusher import Flusher
from napari_seamless.workspace.session import Workspace

from .conftest import Opener, image_of

PAINTER = """
import sys, time
from pathlib import Path
import numpy as np
from napari_seamless.images.image import Image
from napari_seamless.workspace.opening import open_workspace

workspace = open_workspace(Image.from_array(np.zeros((3, 600, 700), np.uint8), "ZYX"), Path(sys.argv[1]))
number = 0
while True:
    number += 1
    y, x = divmod(number * 7, 690)
    workspace.labels[number % 3, y % 590 : y % 590 + 9, x : x + 9] = number
    print(number, time.monotonic(), flush=True)
    time.sleep(0.002)
"""


def test_of_a_killed_program_at_most_two_seconds_are_missing(tmp_path: Path, opener: Opener) -> None:
    folder = tmp_path / "killed"
    command = [sys.executable, "-c", PAINTER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        strokes = []
        started = time.monotonic()
        for line in process.stdout:
            number, at = line.split()
            strokes.append((int(number), float(at)))
            if strokes and strokes[-1][1] - strokes[0][1] > 2.6:
                process.send_signal(signal.SIGKILL)
                break
            assert time.monotonic() - started < 60
        rest = process.stdout.read().splitlines()
    strokes += [(int(line.split()[0]), float(line.split()[1])) for line in rest if len(line.split()) == 2]
    killed_at = strokes[-1][1]
    workspace = opener(image_of((3, 600, 700)), folder)
    assert not workspace.read_only, "the lock of a dead process is taken over"
    assert workspace.restored > 0
    saved = workspace.next_id - 1
    durable = max(number for number, at in strokes if at < killed_at - 2.0)
    assert saved >= durable
    expected = np.zeros((3, 600, 700), np.uint32)
    for number in range(1, saved + 1):
        y, x = divmod(number * 7, 690)
        expected[number % 3, y % 590 : y % 590 + 9, x : x + 9] = number
    np.testing.assert_array_equal(workspace.labels[:], expected)
    np.testing.assert_array_equal(workspace.verified[:] != 0, expected != 0)


def test_a_stroke_is_on_disk_within_two_seconds(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Flusher, "SECONDS_TO_JOURNAL", 0.05)
    workspace = opener()
    workspace.labels[1, 2:4, 2:4] = 3
    deadline = time.monotonic() + 2.0
    chunk = workspace.folder / "labels/c/1/0/0"
    while not chunk.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert chunk.exists()
    assert workspace.written_bytes > 0


@pytest.mark.parametrize("cut", [1, 20, 80])
def test_a_torn_last_line_of_the_journal_is_dropped(opener: Opener, tmp_path: Path, cut: int) -> None:
    workspace = opener()
    workspace.labels[0, 0, 0] = 1
    workspace._storage.flush(arrays=False)
    length = len((workspace.folder / "journal/00000001.jsonl").read_bytes())
    workspace.labels[0, 0, 1] = 2
    workspace._storage.flush(arrays=False)
    left = tmp_path / "left"
    shutil.copytree(workspace.folder, left)
    (left / "lock").unlink()
    journal = left / "journal/00000001.jsonl"
    journal.write_bytes(journal.read_bytes()[:-cut])
    with opener(folder=left) as found:
        assert found.restored == 1
        assert found.labels[0, 0, :2].tolist() == [1, 0]
        found.labels[0, 0, 2] = 3
        found._storage.flush(arrays=False)
        assert journal.read_bytes()[:length].count(b"\n") == 1
    assert opener(folder=left).labels[0, 0, :3].tolist() == [1, 0, 3]


def test_a_damaged_line_costs_no_other_and_is_kept_aside(opener: Opener, tmp_path: Path) -> None:
    workspace = opener()
    for x in range(3):
        workspace.labels[0, 0, x] = x + 1
    workspace._storage.flush(arrays=False)
    left = tmp_path / "left"
    shutil.copytree(workspace.folder, left)
    (left / "lock").unlink()
    journal = left / "journal/00000001.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + b"\0" * 40 + b"\n" + lines[2])
    found = opener(folder=left)
    assert found.labels[0, 0, :3].tolist() == [1, 0, 3]
    assert (found.restored, found.damaged_lines) == (2, 1)
    assert (left / "journal/00000001.damaged").exists()


class FullDisk:
    """Lets some bytes through, then says that the disk is full, in the middle of a write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = 10**12
        self._write = os.write
        monkeypatch.setattr(disk, "write_all", self.write_all)

    def write_all(self, handle: int, content: bytes) -> None:
        part = content[: self.room]
        self._write(handle, part)
        self.room -= len(part)
        if len(part) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> FullDisk:
    return FullDisk(monkeypatch)


def paint_and_predict(workspace: Workspace) -> np.ndarray:
    workspace.labels[0, 2:12, 2:12] = 7
    workspace.verify_slice({"Z": 2})
    workspace.labels[1, 3:5, 20:27] = 8
    return workspace.labels[:]


def test_a_disk_that_is_full_at_any_byte_loses_nothing(opener: Opener, full_disk: FullDisk, tmp_path: Path) -> None:
    whole = opener(folder=tmp_path / "measure")
    paint_and_predict(whole)
    whole.flush()
    total = whole.written_bytes
    for number, room in enumerate(range(0, total, max(1, total // 12))):
        workspace = opener(folder=tmp_path / f"w{number}")
        workspace.labels[1, 15:18, 2:4] = 3
        workspace.flush()
        expected = paint_and_predict(workspace)
        flags = workspace.verified[:]
        full_disk.room = room
        with pytest.raises(FileWriteError, match="No space left on device; make room on the disk"):
            workspace.flush()
        np.testing.assert_array_equal(workspace.labels[:], expected)
        left = tmp_path / f"left{number}"
        shutil.copytree(workspace.folder, left)
        (left / "lock").unlink()
        full_disk.room = 10**12
        with opener(folder=left) as crashed:  # whole, if not up to date
            assert (crashed.labels[1, 15:18, 2:4] == 3).all()
        workspace.close()
        with opener(folder=workspace.folder) as again:
            np.testing.assert_array_equal(again.labels[:], expected)
            np.testing.assert_array_equal(again.verified[:], flags)
            assert again.damaged_lines == 0


def test_trouble_is_told_once_and_so_is_its_end(opener: Opener, full_disk: FullDisk) -> None:
    events: list[Event] = []
    workspace = opener(on_event=events.append)
    workspace.labels[0, 0, 0] = 1
    full_disk.room = 0
    for _ in range(3):
        workspace._flusher.save(arrays=True)
    assert [event.name for event in events] == ["trouble"]
    assert "No space left" in events[0].fields["message"]
    assert isinstance(workspace.trouble, FileWriteError)
    with pytest.raises(FileWriteError):
        workspace.close()
    workspace.labels[0, 0, 1] = 2
    full_disk.room = 10**9
    workspace._flusher.save(arrays=True)
    assert [event.name for event in events] == ["trouble", "saved"]
    assert workspace.trouble is None
    workspace.close()
    assert opener().labels[0, 0, :2].tolist() == [1, 2]


def test_a_workspace_that_cannot_be_made_leaves_nothing(opener: Opener, full_disk: FullDisk, tmp_path: Path) -> None:
    full_disk.room = 5
    with pytest.raises(FileWriteError, match="No space left"):
        opener()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_stops_a_prediction_and_leaves_the_labels(opener: Opener, full_disk: FullDisk) -> None:
    workspace = opener()
    workspace.labels[0, 2:5, 2:5] = 4
    before = workspace.labels[:]
    full_disk.room = 30
    with pytest.raises(FileWriteError):
        workspace.write_prediction(np.ones((3, 20, 28), np.uint8))
    np.testing.assert_array_equal(workspace.labels[:], before)
    full_disk.room = 10**9
    workspace.write_prediction(np.ones((3, 20, 28), np.uint8))
