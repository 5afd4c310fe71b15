"""The files of a package, in a folder or in a zip: read by their exact names and up to a limit; nothing is extracted.

A zip may hold them at its top or inside one folder, which is how systems pack a folder. Whatever else lies in it is
never looked at, so names that lead out of the package, links and the like have no effect.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from napari_seamless.errors import ModelError

MANIFEST_NAME = "model.json"
WEIGHTS_NAME = "weights.safetensors"
EXAMPLES_NAME = "examples.safetensors"

MAX_MANIFEST_BYTES = 4 * 2**20
MAX_WEIGHTS_BYTES = 8 * 2**30

_CHUNK = 2**20
_FOREIGN_DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml", "model.yaml")
_DAMAGES = (OSError, KeyError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)
"""What reading a zip can end in: besides its own errors, members that are encrypted or packed in unknown ways."""


def is_package(path: Path) -> bool:
    """Whether `path` looks like a model: a folder with ``model.json``, or a zip."""
    return (path / MANIFEST_NAME).is_file() or (path.suffix == ".zip" and path.is_file())


def package_name(path: Path) -> str:
    """Return the name under which a package is found in a folder of models."""
    return path.stem if path.suffix == ".zip" else path.name


@contextmanager
def open_member(path: Path, name: str, limit: int) -> Iterator[IO[bytes]]:
    """Open one file of a package for reading.

    Raises
    ------
    ModelError
        If it is missing, damaged, or has more than `limit` bytes; also for damage that is met while reading.
    """
    try:
        if path.is_dir():
            with (path / name).open("rb") as file:
                yield file
            return
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(_prefix(archive) + name)
            if info.file_size > limit:
                raise ModelError(
                    f"{path}: {name} has {info.file_size} bytes, more than the {limit} allowed: not a model"
                )
            with archive.open(info) as member:
                yield member
    except _DAMAGES as error:
        raise ModelError(_no_model(path, error)) from error


def read_member(path: Path, name: str, limit: int) -> bytes:
    """Return the content of one file of a package; errors as for `open_member`."""
    return b"".join(pieces_of(path, name, limit))


def pieces_of(path: Path, name: str, limit: int) -> Iterator[bytes]:
    """Yield the content of one file of a package, piece by piece; errors as for `open_member`."""
    length = 0
    with open_member(path, name, limit) as file:
        while piece := file.read(_CHUNK):
            length += len(piece)
            if length > limit:
                raise ModelError(f"{path}: {name} has more than the {limit} bytes allowed: not a model")
            yield piece


def check_member(path: Path, name: str, limit: int, sha256: str) -> None:
    """Compare a file's SHA-256 with what ``model.json`` says.

    Raises
    ------
    ModelError
        If it does not match, or as for `open_member`.
    """
    digest = hashlib.sha256()
    for piece in pieces_of(path, name, limit):
        digest.update(piece)
    check_sha256(path, name, digest.hexdigest(), sha256)


def check_sha256(path: Path, name: str, found: str, said: str) -> None:
    """Refuse a file whose SHA-256 is not what ``model.json`` says."""
    if found != said:
        raise ModelError(
            f"{path}: {name} has SHA-256 {found[:12]}…, but {MANIFEST_NAME} says {said[:12]}…: "
            "the file was altered or damaged, fetch the model again"
        )


def _prefix(archive: zipfile.ZipFile) -> str:
    """Return the folder of the zip that holds the package, empty for its top."""
    names = archive.namelist()
    if MANIFEST_NAME in names:
        return ""
    folders = {
        name[: -len(MANIFEST_NAME)] for name in names if name.count("/") == 1 and name.endswith(f"/{MANIFEST_NAME}")
    }
    return folders.pop() if len(folders) == 1 else ""


def _no_model(path: Path, error: Exception) -> str:
    foreign = _foreign_description(path)
    if foreign:
        return (
            f"{path} is a model of BioImage.IO ({foreign}), which cannot be read: give a model that napari-seamless "
            f"saved, with {MANIFEST_NAME} and {WEIGHTS_NAME}"
        )
    return f"{path} is not a model: it needs {MANIFEST_NAME} and {WEIGHTS_NAME}, in a folder or a zip ({error})"


def _foreign_description(path: Path) -> str:
    """Return the name of the file that describes a model of another format, if there is one."""
    try:
        if path.is_dir():
            names = sorted(entry.name for entry in path.iterdir())
        else:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
    except _DAMAGES:
        return ""  # what is wrong with the file is said anyway
    return next((name for name in names if name.lower().endswith(_FOREIGN_DESCRIPTIONS)), "")
