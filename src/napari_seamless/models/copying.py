"""Packages as they are: checked through and through, and copied byte by byte, from folder or zip to folder or zip."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO

from napari_seamless.errors import ModelError
from napari_seamless.models.manifest import Manifest, read_manifest
from napari_seamless.models.members import (
    EXAMPLES_NAME,
    MANIFEST_NAME,
    MAX_WEIGHTS_BYTES,
    WEIGHTS_NAME,
    check_member,
    check_sha256,
    pieces_of,
)
from napari_seamless.models.package import described_model, staged_package
from napari_seamless.models.remembered import MAX_FILE_BYTES, read_examples
from napari_seamless.models.stored_weights import stored_shapes
from napari_seamless.networks.config import NetworkConfig


def check_package(path: Path) -> Manifest:
    """Check everything about a package that can be wrong, and return what it says about itself.

    Beside what `package.read_package` checks: that the weights are those of the network, and that the examples are
    what ``model.json`` says. What is too large for that is refused before it is read.

    Raises
    ------
    ModelError
        With what is wrong, and what to do.
    """
    manifest = read_manifest(path)
    model = described_model(path, manifest)
    _check_shapes(path, model.config)
    check_member(path, WEIGHTS_NAME, MAX_WEIGHTS_BYTES, manifest.weights_sha256)
    if manifest.examples is not None:
        read_examples(path, manifest.examples)
    return manifest


def copy_package(
    source: Path, target: Path, *, with_examples: bool = True, overwrite: bool = False, **changes: object
) -> Manifest:
    """Copy a package; its weights stay as they are, in half precision too.

    Parameters
    ----------
    source : path
        A folder or a zip.
    target : path
        A folder, or a zip if it ends so. May be `source` itself with `overwrite`.
    with_examples : bool
        Whether the examples that the model remembers come along.
    overwrite : bool
        Replace an existing model.
    **changes
        Other values for entries of ``model.json``.

    Returns
    -------
    Manifest
        Of the copy.

    Raises
    ------
    ModelError
        If anything is wrong with `source`; nothing is written then.
    OutputExistsError, FileWriteError
        As `package.save_model`; `target` is then as it was.
    """
    manifest = check_package(source)
    if not with_examples:
        changes = {**changes, "examples": None}
    changed = Manifest.model_validate({**dict(manifest), **changes})
    described_model(source, changed)
    with staged_package(target, overwrite=overwrite) as folder:
        _copy(source, folder, WEIGHTS_NAME, MAX_WEIGHTS_BYTES, manifest.weights_sha256)
        if changed.examples is not None:
            _copy(source, folder, EXAMPLES_NAME, MAX_FILE_BYTES, changed.examples.sha256)
        (folder / MANIFEST_NAME).write_text(changed.as_json(), encoding="utf-8")
    return changed


def _copy(source: Path, folder: Path, name: str, limit: int, sha256: str) -> None:
    with (folder / name).open("wb") as file:
        check_sha256(source, name, _copied(source, name, limit, file), sha256)


def _copied(source: Path, name: str, limit: int, file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces_of(source, name, limit):
        digest.update(piece)
        file.write(piece)
    return digest.hexdigest()


def _check_shapes(path: Path, config: NetworkConfig) -> None:
    from napari_seamless.networks import outline_network

    wanted = {name: tuple(tensor.shape) for name, tensor in outline_network(config).state_dict().items()}
    found = stored_shapes(path)
    if found != wanted:
        name = next(name for name in sorted({*found, *wanted}) if found.get(name) != wanted.get(name))
        raise ModelError(
            f"{path}: the weights do not fit the network configuration (shape of {name}: needed is "
            f"{wanted.get(name, 'no such tensor')}, found is {found.get(name, 'no such tensor')}): use the "
            f"{MANIFEST_NAME} that was saved together with them"
        )
