"""Which model came from which: adopted models in a folder, with their parents, scores and corrections.

The folder is a workspace's ``models/`` or the user's library (`own_models`). ``lineage.json`` beside the models says
where each came from; a deleted model moves to ``.trash/`` until it is brought back.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from napari_seamless.errors import FileWriteError, ModelError, OutputExistsError
from napari_seamless.images.publish import temporary_name
from napari_seamless.models.copying import copy_package
from napari_seamless.models.manifest import read_manifest
from napari_seamless.models.members import is_package, package_name
from napari_seamless.models.model import Model
from napari_seamless.models.package import read_package, save_model
from napari_seamless.workspace.lineage_file import LineageEntry as LineageEntry  # what a Lineage gives
from napari_seamless.workspace.lineage_file import changing, held, read_lineage, write_lineage

P = ParamSpec("P")
R = TypeVar("R")

TRASH = ".trash"

_BAD_SIGNS = frozenset('/\\:*?"<>|')
"""Signs that no file name has on one system or another."""


def alone(method: Callable[Concatenate[Lineage, P], R]) -> Callable[Concatenate[Lineage, P], R]:
    """Let a method that changes a folder of models wait until no other program, or thread, changes it."""

    @functools.wraps(method)
    def wait_and_call(self: Lineage, /, *args: P.args, **settings: P.kwargs) -> R:
        with held(self.folder):
            return method(self, *args, **settings)

    return wait_and_call


class Lineage:
    """The models of a folder. Several programs may change it: one after the other.

    Parameters
    ----------
    folder : pathlib.Path
        Made when the first model is adopted.
    reserved : collection of str
        Names that no model of the folder gets.

    Raises
    ------
    WorkspaceError
        From any method, if ``lineage.json`` is damaged or of a newer format.
    FileWriteError
        From any method that changes something, if another program is at it for too long.
    """

    def __init__(self, folder: Path, reserved: Collection[str] = ()) -> None:
        self.folder = Path(folder)
        self.reserved = reserved

    @property
    def current(self) -> str | None:
        """Name of the model that is in use: the last one that was adopted or restored."""
        return read_lineage(self.folder)[1]

    def entries(self, *, with_deleted: bool = False) -> list[LineageEntry]:
        """Return all models, the oldest first; models that were put into the folder by hand come with what they say."""
        recorded, _ = read_lineage(self.folder)
        known = {entry.name for entry in recorded}
        return [entry for entry in (*recorded, *self._unrecorded(known)) if with_deleted or not entry.deleted]

    @alone
    def adopt(
        self,
        model: Model,
        *,
        name: str = "",
        parent: str | None = None,
        before: Mapping[str, float] | None = None,
        after: Mapping[str, float] | None = None,
        trained_on: Sequence[str] = (),
        verdict: str = "",
    ) -> LineageEntry:
        """Save a model under a name and make it the current one.

        Parameters
        ----------
        model : Model
        name : str
            By default the parent's name with the next free number: ``nuclei-2d``, ``nuclei-2d-2``, ...
        parent : str, optional
            By default the model's own.
        before, after, trained_on, verdict
            See `LineageEntry`.

        Raises
        ------
        OutputExistsError
            If the name is taken, by a deleted model too.
        FileWriteError
            If it cannot be written.
        """
        entry = LineageEntry(
            name=name or self.free_name(parent or model.parent or model.name),
            parent=parent or model.parent,
            adopted=datetime.now(UTC).isoformat(timespec="seconds"),
            before=dict(before or {}),
            after=dict(after or {}),
            trained_on=tuple(trained_on),
            verdict=verdict,
        )
        self.check_free(entry.name)
        entries, _ = read_lineage(self.folder)
        named = replace(model, name=entry.name, parent=entry.parent)
        card = named.card.model_copy(update={"created": entry.adopted[:10], "scores": entry.after or model.card.scores})
        save_model(replace(named, card=card), self.folder / entry.name)
        self._write_or_forget([*entries, entry], entry.name, self.folder / entry.name)
        return entry

    @alone
    def add(self, package: Path, name: str = "") -> LineageEntry:
        """Copy a model that was made elsewhere into the folder, after everything about it has been checked.

        Parameters
        ----------
        package : path
            A folder or a zip.
        name : str
            By default the one that it says it has.

        Raises
        ------
        ModelError
            If it is no model, damaged or altered, or the name is no file name.
        OutputExistsError
            If the name is taken, by a deleted model too.
        FileWriteError
            If it cannot be written. The folder is as it was in all these cases.
        """
        manifest = read_manifest(package)
        name = name or manifest.name
        self.check_free(name)
        entries, current = read_lineage(self.folder)
        copy_package(package, self.folder / name, name=name)
        card, added = manifest.card, datetime.now(UTC).isoformat(timespec="seconds")
        entry = LineageEntry(name, manifest.parent, adopted=added, after=dict(card.scores))
        self._write_or_forget([*entries, entry], current, self.folder / name)
        return entry

    def free_name(self, stem: str) -> str:
        """Return ``stem-2``, ``stem-3``, ...: the first that no model has, nor had before it was deleted."""
        base, _, number = stem.rpartition("-")
        base = base if base and number.isdecimal() else stem
        taken = {entry.name for entry in self.entries(with_deleted=True)} | set(self.reserved)
        count = 2
        while f"{base}-{count}" in taken:
            count += 1
        return f"{base}-{count}"

    def load(self, name: str) -> Model:
        """Return a model of the folder.

        Raises
        ------
        ModelError
            If it is missing, deleted or damaged.
        """
        self._entry(name, deleted=False)
        return read_package(self.path_of(name))

    def path_of(self, name: str) -> Path:
        """Return where a model of the folder is: a folder, or a zip that a person has put there."""
        archive = self.folder / f"{name}.zip"
        return archive if archive.is_file() and not (self.folder / name).exists() else self.folder / name

    def ancestors(self, name: str) -> list[LineageEntry]:
        """Return a model's parent, its parent's parent, ..., deleted ones included.

        The last may have a parent that is in no entry: a model that comes with the package, say.
        """
        by_name = {entry.name: entry for entry in self.entries(with_deleted=True)}
        found: list[LineageEntry] = []
        parent = self._entry(name).parent
        while parent in by_name and parent != name and by_name[parent] not in found:
            found.append(by_name[parent])
            parent = found[-1].parent
        return found

    @alone
    def restore(self, name: str) -> Model:
        """Make a model the current one again, out of the trash if it is there, and return it."""
        if self._entry(name).deleted:
            self._bring_back(name)
        model = self.load(name)
        write_lineage(self.folder, read_lineage(self.folder)[0], name)
        return model

    @alone
    def rename(self, name: str, new_name: str) -> LineageEntry:
        """Give a model another name; its children know it by that one from then on.

        Raises
        ------
        ModelError, OutputExistsError, FileWriteError
            As `add`.
        """
        entry = replace(self._entry(name, deleted=False), name=new_name)
        self.check_free(new_name)
        entries, current, old = self.entries(with_deleted=True), self.current, self.path_of(name)
        copy_package(old, self.folder / new_name, name=new_name)
        renamed = [
            entry if other.name == name else replace(other, parent=new_name) if other.parent == name else other
            for other in entries
        ]
        self._write_or_forget(renamed, new_name if current == name else current, self.folder / new_name)
        hidden = temporary_name(old, "old")
        with changing(self.folder):
            old.rename(hidden)
        _remove(hidden)
        return entry

    @alone
    def delete(self, name: str) -> None:
        """Move a model to the trash; `undo_delete` brings it back."""
        entry = replace(self._entry(name, deleted=False), deleted=True)
        current, path = self.current, self.path_of(name)
        with changing(self.folder):
            (self.folder / TRASH).mkdir(exist_ok=True)
        self._move(path, self.folder / TRASH / path.name, entry, None if current == name else current)

    @alone
    def undo_delete(self, name: str) -> None:
        """Bring a model back out of the trash."""
        self._bring_back(name)

    def _bring_back(self, name: str) -> None:
        entry = replace(self._entry(name, deleted=True), deleted=False)
        trash = self.folder / TRASH
        path = trash / name if (trash / name).exists() else trash / f"{name}.zip"
        self._move(path, self.folder / path.name, entry, self.current)

    def _move(self, path: Path, target: Path, entry: LineageEntry, current: str | None) -> None:
        """Move a model and record it; where that fails, leave it where it was."""
        entries = _with(self.entries(with_deleted=True), entry)
        with changing(self.folder):
            path.rename(target)
        try:
            write_lineage(self.folder, entries, current)
        except FileWriteError:
            target.rename(path)
            raise

    def check_free(self, name: str) -> None:
        """Refuse a name that a model cannot get.

        Raises
        ------
        ModelError
            If it is no file name.
        OutputExistsError
            If it is taken, by a deleted model too.
        """
        if not _is_file_name(name):
            raise ModelError(
                "a model's name is a plain file name that neither begins with a dot nor ends in .zip, "
                f"not {name!r}: choose another name"
            )
        if name in self.reserved:
            raise OutputExistsError(f"the program comes with a model {name!r}: choose another name")
        taken = any(entry.name == name for entry in self.entries(with_deleted=True))
        if taken or (self.folder / name).exists():
            raise OutputExistsError(f"there is, or was, a model {name!r} in {self.folder}: choose another name")

    def _entry(self, name: str, *, deleted: bool | None = None) -> LineageEntry:
        entries = self.entries(with_deleted=True)
        for entry in entries:
            if entry.name == name and deleted in (None, entry.deleted):
                return entry
        names = [entry.name for entry in entries if deleted in (None, entry.deleted)]
        where = "in the trash of" if deleted else "in"
        raise ModelError(f"there is no model {name!r} {where} {self.folder}; there are {names}")

    def _unrecorded(self, known: set[str]) -> list[LineageEntry]:
        if not self.folder.is_dir():
            return []
        paths = [path for path in sorted(self.folder.iterdir()) if is_package(path) and not path.name.startswith(".")]
        return [_as_it_says(path) for path in paths if package_name(path) not in known]

    def _write_or_forget(self, entries: Sequence[LineageEntry], current: str | None, new: Path) -> None:
        """Write the entries; where that fails, take the model away that they are about."""
        try:
            write_lineage(self.folder, entries, current)
        except FileWriteError:
            _remove(new)
            raise


def _is_file_name(name: str) -> bool:
    is_plain = bool(name) and name.isprintable() and not set(name) & _BAD_SIGNS
    return is_plain and name == name.strip() and not name.startswith(".") and not name.endswith((".", ".zip"))


def _as_it_says(path: Path) -> LineageEntry:
    """Return the entry of a model that was put into the folder by hand; a damaged one has its name and nothing else."""
    try:
        manifest = read_manifest(path)
    except ModelError:
        return LineageEntry(package_name(path))
    card = manifest.card
    return LineageEntry(package_name(path), manifest.parent, card.created, after=dict(card.scores))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)  # a hidden rest does no harm
    else:
        path.unlink(missing_ok=True)


def _with(entries: Sequence[LineageEntry], changed: LineageEntry) -> list[LineageEntry]:
    return [changed if entry.name == changed.name else entry for entry in entries]
