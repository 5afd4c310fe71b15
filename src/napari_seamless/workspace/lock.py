"""One writer a workspace: a file that names the process that has it open."""

from __future__ import annotations

import json
import os
import socket
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from napari_seamless.workspace.disk import write_all


@dataclass(frozen=True)
class Holder:
    """Who has a workspace open.

    Attributes
    ----------
    pid : int
    host : str
    started : float
        When the process began (seconds since 1970): process numbers are used again.
    token : str
        Tells two openings by one process apart.
    """

    pid: int
    host: str
    started: float
    token: str

    @property
    def is_gone(self) -> bool:
        """Whether the process certainly does not run any more; of other hosts that is not known."""
        if self.host != socket.gethostname():
            return False
        try:
            return bool(abs(psutil.Process(self.pid).create_time() - self.started) > 1.0)
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:
            return False


class FolderLock:
    """The lock of one workspace.

    Parameters
    ----------
    path : pathlib.Path
        The lock's file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        started = psutil.Process().create_time()
        self._own = Holder(os.getpid(), socket.gethostname(), started, uuid.uuid4().hex)

    def acquire_or_say(self) -> str:
        """Take the lock of a workspace; return an empty text, or why nothing can be changed in it."""
        folder = self.path.parent
        try:
            holder = self.acquire()
        except OSError as error:
            return f"the folder {folder} cannot be written to ({error.strerror})"
        return holder and (
            f"the workspace {folder} is open in {holder}; it can be looked at here, and changed only there. "
            "Close it there and open it again"
        )

    def acquire(self) -> str:
        """Take the lock; return an empty text, or who has it.

        Raises
        ------
        OSError
            If the folder cannot be written to.
        """
        for _ in range(3):
            if self._create():
                return ""
            holder = self._holder()
            if holder is not None and not holder.is_gone:
                return f"process {holder.pid} on {holder.host}"
            self._remove_stale(holder)
        return "another process, which took it at this moment"

    @property
    def is_free(self) -> bool:
        """Whether nobody has the lock, or only a process that is gone."""
        holder = self._holder()
        return not self.path.exists() if holder is None else holder.is_gone

    def release(self) -> None:
        """Give the lock back, if it is still ours."""
        if self._holder() == self._own:
            self.path.unlink(missing_ok=True)

    def _create(self) -> bool:
        # Made under another name and linked, so that nobody ever reads half a lock.
        content = json.dumps(asdict(self._own)).encode()
        draft = self.path.with_name(f".{self.path.name}.{self._own.token}")
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            try:
                write_all(handle, content)
            finally:
                os.close(handle)
            return self._publish(draft, content)
        finally:
            draft.unlink(missing_ok=True)

    def _publish(self, draft: Path, content: bytes) -> bool:
        try:
            os.link(draft, self.path)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            try:
                handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            except FileExistsError:
                return False
            try:
                write_all(handle, content)
            finally:
                os.close(handle)
        return True

    def _holder(self) -> Holder | None:
        """Return who has the lock; None when there is no lock or nobody can be read from it."""
        try:
            return Holder(**json.loads(self.path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def _remove_stale(self, stale: Holder | None) -> None:
        """Remove the lock of a process that is gone, unless another process was faster and has its own there."""
        aside = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}.stale")
        try:
            self.path.rename(aside)
        except FileNotFoundError:
            return
        moved = FolderLock(aside)._holder()
        if moved != stale and not self.path.exists():
            aside.rename(self.path)
        else:
            aside.unlink(missing_ok=True)
