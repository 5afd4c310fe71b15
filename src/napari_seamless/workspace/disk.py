"""Bytes to disk: every write of a workspace goes through here, whole or not at all, and says what went wrong."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_seamless.errors import FileReadError, FileWriteError


@contextmanager
def named_errors(place: Path) -> Iterator[None]:
    """Turn what the system says about a failed write into one message for the person at the screen."""
    try:
        yield
    except (FileWriteError, FileReadError):
        raise
    except OSError as error:
        raise FileWriteError(
            f"the workspace {place} cannot be written: {error.strerror or error}; make room on the disk or allow "
            "writing. What was painted is kept in memory and saved as soon as that works"
        ) from error


def replace_file(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Give a file a new content by a temporary name and a rename: readers see the old or the new one, never a part.

    Raises
    ------
    OSError
        What the system says; the file is then as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            write_all(handle, content)
            if sync:
                os.fsync(handle)
        finally:
            os.close(handle)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_all(handle: int, content: bytes) -> None:
    """Write all bytes to an open file."""
    view = memoryview(content)
    while view:
        view = view[os.write(handle, view) :]


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk."""
    if os.name != "posix":
        return  # elsewhere folders cannot be opened, and renaming is written through
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class AppendFile:
    """A file that only grows, by whole pieces: a piece that could not be written whole is cut off again.

    Parameters
    ----------
    path : pathlib.Path
    length : int
        How many bytes of the file are good; what follows is overwritten by the next piece.
    """

    def __init__(self, path: Path, length: int) -> None:
        self.path = path
        self.length = length

    def append(self, piece: bytes) -> None:
        """Add a piece and bring it to the disk.

        Raises
        ------
        OSError
            What the system says; the good part of the file is as it was.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        try:
            os.ftruncate(handle, self.length)
            os.lseek(handle, self.length, os.SEEK_SET)
            try:
                write_all(handle, piece)
                os.fsync(handle)
            except BaseException:
                os.ftruncate(handle, self.length)
                raise
        finally:
            os.close(handle)
        self.length += len(piece)
