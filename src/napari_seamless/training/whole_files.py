"""Files that are replaced as a whole: whoever reads, or comes after a crash, finds the old one or the new one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from napari_seamless.errors import FileWriteError


def staged_name(path: Path) -> Path:
    """Return the name under which a file is written before it takes its place; always the same one."""
    return path.with_name(f".{path.name}.partial")


def replace_file(path: Path, write: Callable[[Path], object], what: str, *, refused: type[Exception] = OSError) -> None:
    """Let `write` make a file beside `path`, and rename it.

    Parameters
    ----------
    path : pathlib.Path
    write : callable
        Receives the path to write to.
    what : str
        What the file is, for the message: ``"the checkpoint"``.
    refused : type of Exception
        What `write` raises beside OSError when the disk refuses.

    Raises
    ------
    FileWriteError
        If there is no room or no permission; what was there before is still there.
    """
    staged = staged_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(staged)
        with staged.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(staged, path)
    except (OSError, refused) as error:
        if staged.exists():
            staged.unlink()
        reason = getattr(error, "strerror", None) or error
        raise FileWriteError(
            f"{what} {path} cannot be written ({reason}): make room, or choose another folder"
        ) from error
