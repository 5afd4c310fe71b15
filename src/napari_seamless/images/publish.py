"""Give a finished output its name, so that its place holds the old one or the new one and nothing between."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from napari_seamless.errors import FileWriteError, OutputExistsError, SeamlessError

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
PERMISSION_ERRORS = (errno.EACCES, errno.EPERM)

_FILES_TO_SYNC_ONE_BY_ONE = 256


def temporary_name(path: Path, purpose: str) -> Path:
    """Return a hidden name beside ``path`` that nobody else has."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.{purpose}")


@contextmanager
def named_errors(path: Path, numbers: Sequence[int]) -> Iterator[None]:
    """Turn what a disk refuses into one clear error. Other errors of the operating system pass: they are the work's.

    Parameters
    ----------
    path : pathlib.Path
        The output, for the message.
    numbers : sequence of int
        The errors' numbers.

    Raises
    ------
    FileWriteError
        Instead of an OSError with one of these numbers.
    """
    try:
        yield
    except SeamlessError:
        raise
    except OSError as error:
        if error.errno not in numbers:
            raise
        raise FileWriteError(
            f"{path} cannot be written: {error.strerror}; make room, or choose another disk or folder"
        ) from error


def publish(finished: Path, path: Path, overwrite: bool) -> None:
    """Move a finished file or folder to ``path``; what was there before goes only after that.

    Raises
    ------
    OutputExistsError
        When something is there and ``overwrite`` is false.
    """
    _flush(finished)
    if not os.path.lexists(path):
        finished.rename(path)
    elif not overwrite:
        raise OutputExistsError(f"{path} appeared while the output was being made; choose another name")
    elif finished.is_file():
        finished.replace(path)
    else:
        _swap_folders(finished, path)
    _flush_folder(path.parent)


def _swap_folders(finished: Path, path: Path) -> None:
    old = temporary_name(path, "old")
    path.rename(old)
    try:
        finished.rename(path)
    except BaseException:
        old.rename(path)
        raise
    if old.is_symlink():
        old.unlink()
    else:
        shutil.rmtree(old, ignore_errors=True)


def _flush(output: Path) -> None:
    """Bring the output to the disk before it gets its name, so that a power cut leaves the old or the new one."""
    files = [output] if output.is_file() else [file for file in output.rglob("*") if file.is_file()]
    if len(files) > _FILES_TO_SYNC_ONE_BY_ONE and hasattr(os, "sync"):
        os.sync()
        return
    for file in files:
        with file.open("rb+") as handle:
            os.fsync(handle.fileno())


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # elsewhere folders cannot be opened, and renaming is written through
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
