"""Who may write: one at a time, and not for ever after a crash."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import psutil
import pytest

from napari_seamless.workspace.lock import FolderLock


def write_holder(path: Path, **changes: object) -> None:
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "started": psutil.Process().create_time(), "token": "t"}
    path.write_text(json.dumps({**holder, **changes}))


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path / "lock"), FolderLock(tmp_path / "lock")
    assert first.acquire() == ""
    assert second.acquire() == f"process {os.getpid()} on {socket.gethostname()}"
    second.release()
    assert second.acquire() != ""
    first.release()
    assert second.acquire() == ""
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


@pytest.mark.parametrize("stale", [{"pid": 2**22 + 5}, {"started": 1.0}], ids=["no such process", "number used again"])
def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path, stale: dict[str, object]) -> None:
    write_holder(tmp_path / "lock", **stale)
    assert FolderLock(tmp_path / "lock").acquire() == ""


def test_a_torn_lock_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text('{"pid"')
    assert FolderLock(tmp_path / "lock").acquire() == ""


def test_the_lock_of_another_host_is_respected(tmp_path: Path) -> None:
    write_holder(tmp_path / "lock", host="elsewhere", pid=2**22 + 5)
    assert FolderLock(tmp_path / "lock").acquire() == f"process {2**22 + 5} on elsewhere"
