"""Models that are dropped onto napari, or chosen in a dialog, are checked and copied into the library, after asking."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info
from qtpy.QtCore import QCoreApplication, QObject, Signal
from qtpy.QtWidgets import QApplication, QMessageBox, QWidget

from napari_seamless.errors import OutputExistsError
from napari_seamless.models.members import MANIFEST_NAME
from napari_seamless.viewer.controls import single_shot
from napari_seamless.viewer.model_changes import model_changes
from napari_seamless.viewer.reporting import report
from napari_seamless.viewer.worker import Worker

if TYPE_CHECKING:
    from napari_seamless.workspace.lineage import LineageEntry


class Imports(QObject):
    """Where every import goes through.

    Signals
    -------
    done
        The name of a model that was imported.
    """

    done = Signal(str)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._worker = Worker(self)

    def start(self, path: Path) -> None:
        """Check a package and copy it into the library, in the background."""
        self._worker.fetch(partial(_import, path), self._on_done, report)

    def _on_done(self, entry: LineageEntry) -> None:
        show_info(f"The model '{entry.name}' is in your library now.")
        self.done.emit(entry.name)
        model_changes().changed.emit()


def imports() -> Imports:
    """Return the one object that imports models; every list of models listens to it."""
    application = QCoreApplication.instance()
    found = application.findChild(Imports)
    return Imports(application) if found is None else found


def _import(path: Path) -> LineageEntry:
    """Copy a model into the library, under the next free name if its own is taken."""
    from napari_seamless.models.manifest import read_manifest
    from napari_seamless.workspace.own_models import import_model, own_models

    name = ""
    while True:
        try:
            return import_model(path, name)
        except OutputExistsError:
            taken = name
            name = own_models().free_name(read_manifest(path).name)
            if name == taken:  # else another program was faster with it
                raise


def is_model(path: Path) -> bool:
    """Whether a path looks like a model: a folder, or a zip, that holds ``model.json``."""
    if path.is_dir():
        return (path / MANIFEST_NAME).is_file()
    if path.suffix.lower() != ".zip" or not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return MANIFEST_NAME in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def read_model(path: str | Sequence[str]) -> list[Any]:
    """Take a model that was dropped onto napari: no layer comes of it, but a question whether to import it."""
    place = Path(str(path))
    # Later: napari is still reading at this moment, and shows that it is busy.
    single_shot(0, partial(ask_and_import, place), imports()).start()
    return [(None,)]


def ask_and_import(path: Path) -> None:
    """Ask whether to import a model, and do so."""
    if ask(QApplication.activeWindow(), path):
        imports().start(path)


def ask(parent: QWidget | None, path: Path) -> bool:
    """Return whether the user wants a model in the library."""
    answer = QMessageBox.question(
        parent,
        "Import a model",
        f"{path.name} is a model. Import it into your library, so that it is in every list of models?",
    )
    return bool(answer == QMessageBox.StandardButton.Yes)
