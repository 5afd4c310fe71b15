"""Which model came from which: adopted models in a folder, with their parents, scores and corrections.

The folder is a workspace's ``models/`` or the user's library. ``lineage.json`` beside the models says where each came
from; a deleted model moves to ``.trash/`` until it is brought back.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from napari_seamless.errors import ModelError, OutputExistsError, WorkspaceError
from napari_seamless.models.manifest import read_manifest
from napari_seamless.models.members import is_package
from napari_seamless.models.model import Model
from napari_seamless.models.package import read_package, save_model
from napari_seamless.workspace.disk import named_errors, replace_file

FORMAT_VERSION = 1
LINEAGE = "lineage.json"
TRASH = ".trash"


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


class Lineage:
    """The models of a folder.

    Parameters
    ----------
    folder : pathlib.Path
        Made when the first model is adopted.

    Raises
    ------
    WorkspaceError
        From any method, if ``lineage.json`` is damaged or of a newer format.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    @property
    def current(self) -> str | None:
        """Name of the model that is in use: the last one that was adopted or restored."""
        name = self._read()["current"]
        return None if name is None else str(name)

    def entries(self, *, with_deleted: bool = False) -> list[LineageEntry]:
        """Return all models, the oldest first; models that were put into the folder by hand come with what they say."""
        recorded = _entries_in(self._read())
        known = {entry.name for entry in recorded}
        return [entry for entry in (*recorded, *self._unrecorded(known)) if with_deleted or not entry.deleted]

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
        self._check_free(entry.name)
        state = self._read()
        named = replace(model, name=entry.name, parent=entry.parent)
        card = named.card.model_copy(update={"created": entry.adopted[:10], "scores": entry.after or model.card.scores})
        save_model(replace(named, card=card), self.folder / entry.name)
        self._write([*_entries_in(state), entry], entry.name)
        return entry

    def free_name(self, stem: str) -> str:
        """Return ``stem-2``, ``stem-3``, ...: the first that no model has, nor had before it was deleted."""
        base, _, number = stem.rpartition("-")
        base = base if base and number.isdecimal() else stem
        taken = {entry.name for entry in self.entries(with_deleted=True)}
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
        return read_package(self.folder / name)

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

    def restore(self, name: str) -> Model:
        """Make a model the current one again, out of the trash if it is there, and return it."""
        if self._entry(name).deleted:
            self.undo_delete(name)
        model = self.load(name)
        self._write(_entries_in(self._read()), name)
        return model

    def rename(self, name: str, new_name: str) -> LineageEntry:
        """Give a model another name; its children know it by that one from then on."""
        entry = replace(self._entry(name, deleted=False), name=new_name)
        self._check_free(new_name)
        current = self.current
        model = read_package(self.folder / name)
        save_model(replace(model, name=new_name), self.folder / new_name)
        renamed = [
            entry if other.name == name else replace(other, parent=new_name) if other.parent == name else other
            for other in self.entries(with_deleted=True)
        ]
        self._write(renamed, new_name if current == name else current)
        self._to_trash(name, uuid.uuid4().hex)
        return entry

    def delete(self, name: str) -> None:
        """Move a model to the trash; `undo_delete` brings it back."""
        entry = self._entry(name, deleted=False)
        entries, current = self.entries(with_deleted=True), self.current
        self._to_trash(name, name)
        self._write(_with(entries, replace(entry, deleted=True)), None if current == name else current)

    def undo_delete(self, name: str) -> None:
        """Bring a model back out of the trash."""
        entry = self._entry(name, deleted=True)
        entries = self.entries(with_deleted=True)
        with named_errors(self.folder):
            (self.folder / TRASH / name).rename(self.folder / name)
        self._write(_with(entries, replace(entry, deleted=False)), self.current)

    def _to_trash(self, name: str, name_there: str) -> None:
        with named_errors(self.folder):
            (self.folder / TRASH).mkdir(exist_ok=True)
            (self.folder / name).rename(self.folder / TRASH / name_there)

    def _entry(self, name: str, *, deleted: bool | None = None) -> LineageEntry:
        entries = self.entries(with_deleted=True)
        for entry in entries:
            if entry.name == name and deleted in (None, entry.deleted):
                return entry
        names = [entry.name for entry in entries if deleted in (None, entry.deleted)]
        where = "in the trash of" if deleted else "in"
        raise ModelError(f"there is no model {name!r} {where} {self.folder}; there are {names}")

    def _check_free(self, name: str) -> None:
        if not name or name != Path(name).name or name.startswith("."):
            raise ModelError(f"a model's name is a plain file name that does not begin with a dot, not {name!r}")
        if (self.folder / name).exists() or any(entry.name == name for entry in self.entries(with_deleted=True)):
            raise OutputExistsError(f"there is, or was, a model {name!r} in {self.folder}: choose another name")

    def _unrecorded(self, known: set[str]) -> list[LineageEntry]:
        if not self.folder.is_dir():
            return []
        found = []
        for path in sorted(self.folder.iterdir()):
            if path.name not in known and path.is_dir() and is_package(path):
                manifest = read_manifest(path)
                card = manifest.card
                found.append(LineageEntry(path.name, manifest.parent, card.created, after=dict(card.scores)))
        return found

    def _read(self) -> dict[str, Any]:
        path = self.folder / LINEAGE
        try:
            state = dict(json.loads(path.read_bytes()))
            version = int(state["format_version"])
            if version <= FORMAT_VERSION:
                _entries_in(state)
                state.setdefault("current", None)
        except FileNotFoundError:
            return {"format_version": FORMAT_VERSION, "current": None, "models": []}
        except (ValueError, KeyError, TypeError) as error:
            raise WorkspaceError(
                f"{path} is damaged ({error}): put it back from a copy; nothing was changed"
            ) from error
        if version > FORMAT_VERSION:
            raise WorkspaceError(
                f"{path} has format version {version}, this program reads up to {FORMAT_VERSION}: "
                "update napari-seamless"
            )
        return state

    def _write(self, entries: Sequence[LineageEntry], current: str | None) -> None:
        models = [asdict(entry) for entry in entries]
        state = {"format_version": FORMAT_VERSION, "current": current, "models": models}
        with named_errors(self.folder):
            replace_file(self.folder / LINEAGE, json.dumps(state, indent=2).encode() + b"\n")


def _entries_in(state: dict[str, Any]) -> list[LineageEntry]:
    return [LineageEntry(**{**values, "trained_on": tuple(values["trained_on"])}) for values in state["models"]]


def _with(entries: Sequence[LineageEntry], changed: LineageEntry) -> list[LineageEntry]:
    return [changed if entry.name == changed.name else entry for entry in entries]
