"""Which model segments: the list with its line of description, and the level of a UNet++."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QMenu

from napari_seamless.viewer.controls import combo, more_button, set_available, set_choices, text_label
from napari_seamless.viewer.model_choice import description_of, level_reason
from napari_seamless.viewer.segment.level_control import LevelControl

if TYPE_CHECKING:
    from napari_seamless.models.library import ModelSummary

_NO_MODEL = "Choose a model first; '…' beside the list opens one from a file."
_LOOKING = "Looking for models…"


class ModelPicker(QObject):
    """A combo box over the models there are, and controls that follow it.

    Signals
    -------
    changed
        Another model or another level.
    """

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.model_box = combo("model", "The model that segments the image.")
        self.more = more_button("more_models", "Use a model that is not in the list.")
        self.description = text_label("description", "What the model is for, and what it is.")
        self.level = LevelControl()
        self._models: dict[Path, ModelSummary] = {}
        self._opened: dict[Path, ModelSummary] = {}
        self._has_looked = False
        self._add_menu()
        self.model_box.currentIndexChanged.connect(self._show_model)
        self.level.changed.connect(self.changed)
        self._show_model()

    @property
    def model(self) -> ModelSummary | None:
        """The chosen model."""
        return self._models.get(self.model_box.currentData())

    @property
    def problem(self) -> str:
        """Why the chosen model can't be used, or nothing."""
        if self.model is None:
            return _NO_MODEL if self._has_looked else _LOOKING
        return "" if self.model.usable else f"Model '{self.model.name}' {self.model.description}"

    def set_models(self, models: Iterable[ModelSummary]) -> None:
        """Offer models, after those that the user opened from files; choose the default if none is chosen yet."""
        found = {model.path: model for model in models}
        default = next((path for path, model in found.items() if model.is_default), None)
        self._has_looked = True
        self._models = self._opened | found
        self._list_models(chosen=default if self.model is None else None)

    def add_model(self, path: str | Path) -> None:
        """Offer a model that is not in the library, and choose it; a file that is none ends in a notification."""
        from napari_seamless.models.library import summarise_model

        model = summarise_model(Path(path))
        if not model.usable:
            show_error(f"{model.path} {model.description}")
            return
        self._opened[model.path] = self._models[model.path] = model
        self._list_models(chosen=model.path)

    def show_state(self, locked: str) -> None:
        """Enable what can be chosen. `locked` says why nothing can be; empty when something can."""
        set_available(self.model_box, locked or (self.problem if self.model is None else ""))
        set_available(self.more, locked)
        self.level.show_state(locked)

    def _list_models(self, chosen: Path | None = None) -> None:
        before = self.model_box.currentData()
        set_choices(self.model_box, [(model.name, path) for path, model in self._models.items()], chosen)
        if self.model_box.currentData() != before or before is None:
            self._show_model()

    def _show_model(self) -> None:
        model = self.model
        self.description.setText(description_of(model) if model is not None else self.problem)
        levels = model.config.levels if model is not None and model.config is not None else ()
        self.level.set_levels(levels, model.auto_level if levels else 0, level_reason(model))
        self.changed.emit()

    def _add_menu(self) -> None:
        menu = QMenu(self.more)
        menu.addAction("Model folder…", self._browse_folder)
        menu.addAction("Model file (.zip)…", self._browse_file)
        self.more.clicked.connect(lambda: menu.popup(self.more.mapToGlobal(self.more.rect().bottomLeft())))

    def _browse_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self.more, "Open the folder of a model")
        if path:
            self.add_model(path)

    def _browse_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self.more, "Open the file of a model", "", "Model (*.zip)")
        if path:
            self.add_model(path)
