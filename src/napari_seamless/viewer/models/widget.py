"""The dock widget Models: what there is, what each is good for, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QInputDialog,
    QMenu,
    QPushButton,
    QSplitter,
    QTextBrowser,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_seamless.viewer.controls import describe, set_available, single_shot
from napari_seamless.viewer.correct.workspaces import workspaces_of
from napari_seamless.viewer.model_changes import model_changes
from napari_seamless.viewer.models.actions import (
    bring_back,
    delete,
    export,
    make_default,
    reason_not_to,
    rename,
    use_again,
)
from napari_seamless.viewer.models.importing import imports
from napari_seamless.viewer.models.list import ModelRow, Place, all_models
from napari_seamless.viewer.reporting import report
from napari_seamless.viewer.worker import Worker

if TYPE_CHECKING:
    import napari

_GROUPS: tuple[tuple[Place, str], ...] = (
    ("own", "Your models"),
    ("workspace", "Adopted for the images you correct"),
    ("bundled", "Come with the program"),
)
_BUTTONS = (
    ("default", "Use by default", "Take this model wherever none is chosen."),
    ("restore", "Use again", "Go on from this earlier model when fine-tuning on its image."),
    ("rename", "Rename…", "Give the model another name."),
    ("delete", "Delete", "Move the model to the trash; it can be brought back."),
    ("export", "Export…", "Write the model as one file, for others or another machine."),
    (
        "import",
        "Import…",
        "Copy a model from a file or folder into your library. Dropping it onto napari does so, too.",
    ),
)
_BUSY = "Wait until the last step is done."


class ModelsWidget(QWidget):
    """Dock widget.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self._worker = Worker(self)
        self._workspaces = workspaces_of(napari_viewer)
        self._rows: dict[tuple[str, str], ModelRow] = {}
        self._items: dict[tuple[str, str], QTreeWidgetItem] = {}
        self._folders: tuple[Path, ...] = ()
        self._is_busy = False
        self._next = ""
        self.list = QTreeWidget()
        self.list.setObjectName("models")
        self.list.setHeaderHidden(True)
        describe(self.list, "All models there are. Those in the trash can be brought back.")
        self.card = QTextBrowser()
        self.card.setObjectName("card")
        self.card.setOpenExternalLinks(True)
        describe(self.card, "What the model is for, what it learned from, and how good it is.")
        self.buttons = {name: _button(name, text, purpose) for name, text, purpose in _BUTTONS}
        self._lay_out()
        self._connect()
        self._show_state()
        single_shot(0, self.refresh, self).start()  # once the widget is on the screen

    def _lay_out(self) -> None:
        parts = QSplitter(Qt.Orientation.Vertical)
        parts.addWidget(self.list)
        parts.addWidget(self.card)
        parts.setStretchFactor(0, 2)
        parts.setStretchFactor(1, 3)
        grid = QGridLayout()
        grid.setSpacing(4)
        for index, button in enumerate(self.buttons.values()):
            grid.addWidget(button, index // 2, index % 2)
        layout = QVBoxLayout(self)
        layout.addWidget(parts, 1)
        layout.addLayout(grid)

    def _connect(self) -> None:
        self.list.currentItemChanged.connect(self._show_state)
        self._workspaces.changed.connect(self._on_workspaces_changed)
        imports().done.connect(self.choose_next)
        model_changes().changed.connect(self.refresh)
        buttons = self.buttons
        buttons["default"].clicked.connect(lambda: self._do(make_default, "is used by default now"))
        buttons["restore"].clicked.connect(lambda: self._do(use_again, "is in use again"))
        buttons["rename"].clicked.connect(self._rename)
        buttons["delete"].clicked.connect(self._delete_or_bring_back)
        buttons["export"].clicked.connect(self._export)
        menu = QMenu(self)
        menu.addAction("Model file (.zip)…", self._import_file)
        menu.addAction("Model folder…", self._import_folder)
        button = buttons["import"]
        button.clicked.connect(lambda: menu.popup(button.mapToGlobal(button.rect().bottomLeft())))

    @property
    def row(self) -> ModelRow | None:
        """The chosen model."""
        item = self.list.currentItem()
        return None if item is None else self._rows.get(item.data(0, Qt.ItemDataRole.UserRole))

    def refresh(self) -> None:
        """Look at the disk."""
        self._folders = tuple(each.workspace.folder for each in self._workspaces.corrections)
        self._worker.fetch(partial(all_models, self._folders), self._show, report)

    def choose_next(self, name: str) -> None:
        """Choose a model when the list is up to date again."""
        self._next = name

    def choose(self, name: str) -> None:
        """Choose a model by its name; of several with that name, the first in the list."""
        for key, item in self._items.items():
            if key[1] == name:
                self.list.setCurrentItem(item)
                return

    def _show(self, rows: list[ModelRow]) -> None:
        chosen, self._next = self._next, ""
        before = None if self.row is None else self.row.key
        self._rows = {row.key: row for row in rows}
        self._items = {}
        with QSignalBlocker(self.list):
            self.list.clear()
            for place, title in _GROUPS:
                self._add_group(title, [row for row in rows if row.place == place])
        if chosen:
            self.choose(chosen)
        elif before in self._items:
            self.list.setCurrentItem(self._items[before])
        else:
            self.choose(next((row.name for row in rows if row.is_default), ""))
        self._show_state()

    def _add_group(self, title: str, rows: list[ModelRow]) -> None:
        if not rows:
            return
        group = QTreeWidgetItem(self.list, [title])
        group.setFlags(Qt.ItemFlag.ItemIsEnabled)
        group.setToolTip(0, title)
        for row in rows:
            item = QTreeWidgetItem(group, [row.text])
            item.setData(0, Qt.ItemDataRole.UserRole, row.key)
            item.setToolTip(0, str(row.path))
            self._items[row.key] = item
        group.setExpanded(True)

    def _show_state(self) -> None:
        row = self.row
        self.card.setHtml(row.card if row is not None else "")
        is_deleted = row is not None and row.deleted
        self.buttons["delete"].setText("Bring back" if is_deleted else "Delete")
        for name, button in self.buttons.items():
            set_available(button, _BUSY if self._is_busy else reason_not_to(name, row))

    # What is done

    def _do(self, action: Callable[..., Any], outcome: str, *values: Any, chosen: str = "") -> None:
        row = self.row
        self._is_busy = True
        self._show_state()

        def on_done(_: Any) -> None:
            self._is_busy = False
            show_info(f"'{row.name}' {outcome}.")
            self.choose_next(chosen or row.name)
            model_changes().changed.emit()

        def on_error(error: BaseException) -> None:
            self._is_busy = False
            report(error)
            self.refresh()

        self._worker.fetch(partial(action, row, *values), on_done, on_error)

    def _rename(self) -> None:
        name, is_chosen = QInputDialog.getText(self, "Rename a model", "New name", text=self.row.name)
        if is_chosen and name.strip() not in ("", self.row.name):
            self._do(rename, f"is called '{name.strip()}' now", name.strip(), chosen=name.strip())

    def _delete_or_bring_back(self) -> None:
        if self.row.deleted:
            self._do(bring_back, "is back")
        else:
            self._do(delete, "is in the trash; 'Bring back' restores it")

    def _export(self) -> None:
        suggested = f"{self.row.name}.zip"
        path, _ = QFileDialog.getSaveFileName(self, "Export a model", suggested, "One file (*.zip);;Folder (*)")
        if path:
            self._do(export, f"is written to {path}", Path(path))

    def _import_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Import a model", "", "Model (*.zip)")
        if path:
            imports().start(Path(path))

    def _import_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Import the folder of a model")
        if path:
            imports().start(Path(path))

    def _on_workspaces_changed(self) -> None:
        if tuple(each.workspace.folder for each in self._workspaces.corrections) != self._folders:
            self.refresh()


def _button(name: str, text: str, purpose: str) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(f"{name}_model")
    describe(button, purpose)
    return button
