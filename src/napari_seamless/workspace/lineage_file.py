"""``lineage.json``: what a folder of models knows about where each came from."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from napari_seamless.errors import FileWriteError, SeamlessError, WorkspaceError
from napari_seamless.workspace.disk import replace_file
from napari_seamless.workspace.lock import FolderLock

FORMAT_VERSION = 1
LINEAGE = "lineage.json"
LOCK = ".lock"
WAIT_SECONDS = 60.0
"""How long to wait for others: they may be copying a large model."""

_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class LineageEntry:
    """One model and where it came from.

    Attributes
    ----------
    name : str
        The model's name and its folder's.
    parent : str or None
        Name of the model it was fine-tuned from.
    adopted : str
        ISO 8601, UTC.
    before, after : dict of str to float
        Scores of the parent and of this model on the same held-out regions.
    trained_on : tuple of str
        The corrections it learned from, for example ``cells.tif: slice Z 12``.
    verdict : str
        The sentence that was shown when it was adopted.
    deleted : bool
        Whether it lies in the trash.
    """

    name: str
    parent: str | None = None
    adopted: str = ""
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    trained_on: tuple[str, ...] = ()
    verdict: str = ""
    deleted: bool = False


def read_lineage(folder: Path) -> tuple[list[LineageEntry], str | None]:
    """Return the models that were recorded, and the name of the current one; none without a file.

    Raises
    ------
    WorkspaceError
        If the file is damaged or of a newer format.
    """
    path = folder / LINEAGE
    try:
        state = dict(json.loads(path.read_bytes()))
        version = int(state["format_version"])
        if version <= FORMAT_VERSION:
            models = [
                LineageEntry(**{**values, "trained_on": tuple(values["trained_on"])}) for values in state["models"]
            ]
            return models, state.get("current")
    except FileNotFoundError:
        return [], None
    except (ValueError, KeyError, TypeError) as error:
        raise WorkspaceError(f"{path} is damaged ({error}): put it back from a copy; nothing was changed") from error
    raise WorkspaceError(
        f"{path} has format version {version}, this program reads up to {FORMAT_VERSION}: update napari-seamless"
    )


def write_lineage(folder: Path, entries: Sequence[LineageEntry], current: str | None) -> None:
    """Replace the file.

    Raises
    ------
    FileWriteError
        If that fails; it is then as it was.
    """
    models = [asdict(entry) for entry in entries]
    state = {"format_version": FORMAT_VERSION, "current": current, "models": models}
    with changing(folder):
        replace_file(folder / LINEAGE, json.dumps(state, indent=2).encode() + b"\n")


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep others from changing a folder of models; wait while somebody does, and take over from one that is gone.

    Raises
    ------
    FileWriteError
        If the folder cannot be written to, or others are at it for longer than `WAIT_SECONDS`.
    """
    lock = FolderLock(folder / LOCK)
    deadline = time.monotonic() + WAIT_SECONDS
    with changing(folder):
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        while holder := lock.acquire():
            if time.monotonic() > deadline:
                raise FileWriteError(
                    f"the models in {folder} are being changed by {holder}: try again when it has ended, or delete "
                    f"{lock.path} if it runs on a computer that crashed"
                )
            time.sleep(_LOOK_SECONDS)
    try:
        yield
    finally:
        lock.release()
        if is_new and not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def changing(folder: Path) -> Iterator[None]:
    """Turn what the system says about a change that failed into one message for the person at the screen."""
    try:
        yield
    except SeamlessError:
        raise
    except OSError as error:
        raise FileWriteError(
            f"the models in {folder} cannot be changed: {error.strerror or error}; make room on the disk or allow "
            "writing"
        ) from error
