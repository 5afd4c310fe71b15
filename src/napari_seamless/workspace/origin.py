"""``origin.json``: what made the labels of a workspace, so that fine-tuning can start from it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from napari_seamless.errors import WorkspaceError
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
