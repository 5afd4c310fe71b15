"""A training run on disk, from which it goes on as if it had never stopped: one safetensors file, never a pickle.

Tensors are the network, the averaged and the best weights, the optimiser's state and the random states; everything else
is JSON in the file's metadata. The file is written under another name and renamed, so that its place always holds a
whole checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from napari_seamless.errors import OutputExistsError, TrainingError
from napari_seamless.training.fingerprint import Fingerprint, differences
from napari_seamless.training.whole_files import replace_file, staged_name

FORMAT_VERSION = 1
ENDING = ".checkpoint.safetensors"

_KIND = "napari-seamless training checkpoint"
_START_AFRESH = "start afresh with --overwrite (in Python: overwrite=True), or delete it"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a run needs to go on.

    Attributes
    ----------
    tensors : mapping of str to Tensor
    facts : mapping
        Ready for JSON.
    fingerprint : dict
        See `fingerprint.fingerprint`.
    resolved : dict
        ``patch_size``, ``batch_size`` and ``steps_per_epoch`` as they were chosen when the run began: the memory that
        is free may be another one now.
    """

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]
    fingerprint: Fingerprint
    resolved: Mapping[str, Any]


def checkpoint_path(model: Path) -> Path:
    """Return where the checkpoint of a run lies whose model will be `model`: beside it."""
    name = model.name.removesuffix(".zip")
    return model.with_name(f"{name}{ENDING}")


def check_no_checkpoint(path: Path) -> None:
    """Refuse to begin a new run where another one could go on.

    Raises
    ------
    OutputExistsError
    """
    if path.exists():
        raise OutputExistsError(
            f"{path} is the checkpoint of a run that was interrupted: go on from it with --resume (in Python: "
            f"resume=True), or {_START_AFRESH}"
        )


def write_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint, replacing the one before.

    Raises
    ------
    FileWriteError
        If there is no room or no permission; the one before is still there.
    """
    description = {
        "kind": _KIND,
        "format_version": FORMAT_VERSION,
        "fingerprint": checkpoint.fingerprint,
        "resolved": dict(checkpoint.resolved),
        "facts": dict(checkpoint.facts),
    }
    tensors = {name: value.detach().cpu().contiguous() for name, value in checkpoint.tensors.items()}
    metadata = {"checkpoint": json.dumps(description)}
    replace_file(path, lambda staged: save_file(tensors, staged, metadata), "the checkpoint", refused=SafetensorError)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    TrainingError
        If it is no checkpoint, damaged, or written by a newer version.
    """
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {})["checkpoint"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
        version = description["format_version"]
        if description["kind"] != _KIND:
            raise KeyError(description["kind"])
        if version > FORMAT_VERSION:
            raise TrainingError(
                f"{path} has format version {version}, this program reads up to {FORMAT_VERSION}: update "
                f"napari-seamless, or {_START_AFRESH}"
            )
        return Checkpoint(tensors, description["facts"], description["fingerprint"], description["resolved"])
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise damaged(path, error) from error


def damaged(path: Path | None, error: Exception) -> TrainingError:
    """Return the error for a file that is no checkpoint, or not a whole one."""
    return TrainingError(
        f"{path or 'the checkpoint'} is not a training checkpoint, or is damaged ({error!r}): {_START_AFRESH}"
    )


def check_same_run(checkpoint: Checkpoint, present: Fingerprint, path: Path) -> None:
    """Refuse to go on with other images, another model or other options.

    Raises
    ------
    TrainingError
        Naming what differs.
    """
    found = differences(checkpoint.fingerprint, present)
    if found:
        raise TrainingError(
            f"the run in {path} was started differently: {'; '.join(found)}. Go on with what it was started with, or "
            f"{_START_AFRESH}"
        )


def remove_checkpoint(path: Path) -> None:
    """Remove the checkpoint of a run whose result is safe, and what an interrupted write left."""
    for file in (path, staged_name(path)):
        file.unlink(missing_ok=True)
