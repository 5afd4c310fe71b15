"""``origin.json``: what made the labels of a workspace, so that fine-tuning can start from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from napari_seamless.errors import WorkspaceError
from napari_seamless.workspace.bulk_undo import UndoStep
from napari_seamless.workspace.disk import named_errors, replace_file

ORIGIN = "origin.json"


@dataclass(frozen=True)
class Origin:
    """What made the labels.

    Attributes
    ----------
    model : str
        Name of the model; empty when a person or another program made them.
    model_path : str
        Where its package was; empty without a model.
    instances : bool
        Whether the labels are ids of objects, not classes.
    channel : int or None
        The channel that the model was given, where the image has several and it takes one.
    """

    model: str = ""
    model_path: str = ""
    instances: bool = True
    channel: int | None = None


def read_origin(folder: Path) -> Origin:
    """Return what made the labels of the workspace in a folder; nothing is known of one without the file.

    Raises
    ------
    WorkspaceError
        If the file is damaged.
    """
    path = folder / ORIGIN
    try:
        return Origin(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        return Origin()
    except (ValueError, TypeError) as error:
        raise WorkspaceError(f"{path} is damaged ({error}): remove it; only the model's name is lost") from error


def write_origin(folder: Path, origin: Origin) -> None:
    """Write down what made the labels.

    Raises
    ------
    FileWriteError
        If that fails; the file is then as it was.
    """
    with named_errors(folder):
        replace_file(folder / ORIGIN, json.dumps(asdict(origin), indent=2).encode() + b"\n")


class OriginKeeper:
    """What made the labels, given the bulk changes that can be undone.

    Parameters
    ----------
    folder : pathlib.Path
        Of the workspace.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept = self._written = read_origin(folder)

    def after(self, steps: Sequence[UndoStep]) -> Origin:
        """Return what the last step tells that is not undone; what the file says when none of them tells."""
        telling = [(step.undone, step.origins) for step in steps if step.origins is not None]
        done = [origins for undone, origins in telling if not undone]
        if done:
            return Origin(**done[-1][1])
        return Origin(**telling[0][1][0]) if telling else self._kept

    def keep(self, steps: Sequence[UndoStep]) -> None:
        """Remember what holds now: the steps that tell it may go."""
        self._kept = self.after(steps)

    def save(self, steps: Sequence[UndoStep]) -> None:
        """Write down what holds now, if the file says something else.

        Raises
        ------
        FileWriteError
        """
        origin = self.after(steps)
        if origin != self._written:
            write_origin(self._folder, origin)
            self._written = origin
