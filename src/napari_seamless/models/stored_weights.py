"""Reading weights out of a package: all tensors, or only those that a pruning level needs."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from napari_seamless.errors import ModelError
from napari_seamless.models.members import MAX_WEIGHTS_BYTES, WEIGHTS_NAME, open_member

if TYPE_CHECKING:
    from torch import Tensor

Weights = Mapping[str, "Tensor"]

_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 16 * 2**20


class LoadWeights(Protocol):
    """Where a model's weights come from."""

    def __call__(self, names: Collection[str] | None = None) -> Weights:
        """Return the tensors of these names, as far as there are such; by default all."""
        ...


def in_memory(weights: Weights) -> LoadWeights:
    """Return the source of weights that are in memory."""

    def load(names: Collection[str] | None = None) -> Weights:
        return weights if names is None else {name: weights[name] for name in names if name in weights}

    return load


def read_weights(path: Path, names: Collection[str] | None = None) -> Weights:
    """Read tensors of a package; the others take no memory.

    Parameters
    ----------
    path : pathlib.Path
        A folder or a zip.
    names : collection of str, optional
        By default all. Names that are not there are left out.

    Raises
    ------
    ModelError
        If the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load

    try:
        if path.is_dir():
            with safe_open(path / WEIGHTS_NAME, framework="pt") as stored:
                present = stored.keys()
                return {name: stored.get_tensor(name) for name in present if names is None or name in names}
        with open_member(path, WEIGHTS_NAME, MAX_WEIGHTS_BYTES) as file:
            return load(_only(file, path, names))
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path}: {WEIGHTS_NAME} is not a safetensors file ({error}): fetch the model again"
        ) from error


def stored_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of a package's tensors; none of them is read.

    Raises
    ------
    ModelError
        If the file is missing or damaged.
    """
    with open_member(path, WEIGHTS_NAME, MAX_WEIGHTS_BYTES) as file:
        return {name: tuple(entry["shape"]) for name, entry, _, _ in _entries(file, path)}


def _only(file: IO[bytes], path: Path, names: Collection[str] | None) -> bytes:
    """Return a safetensors file that holds some of a file's tensors; the others are skipped as they stream past."""
    kept: dict[str, Any] = {}
    pieces: list[bytes] = []
    at = length = 0
    for name, entry, start, stop in _entries(file, path):
        if names is None or name in names:
            file.seek(start - at, 1)
            pieces.append(file.read(stop - start))
            at = stop
            kept[name] = {**entry, "data_offsets": [length, length + stop - start]}
            length += stop - start
    header = json.dumps(kept).encode()
    return b"".join([len(header).to_bytes(_LENGTH_BYTES, "little"), header, *pieces])


def _entries(file: IO[bytes], path: Path) -> Iterator[tuple[str, dict[str, Any], int, int]]:
    """Yield name, description, first and last byte of each tensor, in the file's order; the header is read."""
    try:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if length > _MAX_HEADER_BYTES:
            raise ValueError(f"its header would have {length} bytes")
        header: dict[str, Any] = dict(json.loads(file.read(length)))
        header.pop("__metadata__", None)
        end = 0
        found = [(name, entry, *map(int, entry["data_offsets"])) for name, entry in header.items()]
        for name, entry, start, stop in sorted(found, key=lambda one: one[2:]):
            if not end <= start <= stop or not all(isinstance(side, int) for side in entry["shape"]):
                raise ValueError(f"tensor {name} does not lie where it should")
            end = stop
            yield name, entry, start, stop
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(
            f"{path}: {WEIGHTS_NAME} is not a safetensors file ({error}): fetch the model again"
        ) from error
