"""The upper part of the Fine-tune widget: on which corrections, from which model, for how long."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QWidget

from napari_seamless.viewer.controls import combo, describe, set_available, set_choices, text_label
from napari_seamless.viewer.finetune.run import TrainingRequest
from napari_seamless.viewer.model_choice import description_of
from napari_seamless.viewer.wording import count

if TYPE_CHECKING:
    from napari_seamless.models.library import ModelSummary
    from napari_seamless.viewer.correct.correction import Correction
    from napari_seamless.viewer.finetune.models import StartingModels
    from napari_seamless.workspace.origin import Origin

FROM_SCRATCH = ""
"""The value behind "New model from scratch"."""

NO_CORRECTIONS = "Nothing is being corrected: choose Layers > Annotate > Correct… first, and paint."
NOTHING_VERIFIED = "Nothing is verified yet: paint some objects, or mark a slice or a box as right."
_SECOND_REGION = "Mark a second region to have one for validation: without it nobody can tell whether it got better."
_BUDGETS: tuple[tuple[str, float], ...] = (("30 seconds", 30.0), ("2 minutes", 120.0), ("10 minutes", 600.0))
_UNTIL_STOPPED = 0.0
_DEFAULT_SECONDS = 120.0
_TASKS = (("single objects", "instances"), ("classes", "semantic"))


class FinetuneForm(QWidget):
    """Four choices, and a line that says what there is to learn from.

    Signals
    -------
    changed
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.data_box = combo("corrections", "The image whose corrections are learned from.")
        self.data_line = text_label("data", "What there is to learn from, and to judge by.")
        self.model_box = combo("start_from", "The model to go on from. The one that made the labels is the best start.")
        self.model_line = text_label("start_from_description", "What the model is for, and what it is.")
        self.channel_box = combo("channel", "The channel that the model is given, as it takes one.")
        self.channel_label = QLabel("Channel")
        self.task_box = combo("task", "What the new model is to find.")
        self.task_label = QLabel("Finds")
        self.budget_box = combo("budget", "How long to train. The best weights on the way are kept.")
        describe(self.channel_label, "The channel that the model is given, as it takes one.")
        describe(self.task_label, "What the new model is to find.")
        set_choices(self.task_box, _TASKS)
        set_choices(self.budget_box, [*_BUDGETS, ("until stopped", _UNTIL_STOPPED)], _DEFAULT_SECONDS)
        self._corrections: tuple[Correction, ...] = ()
        self._models: dict[str, ModelSummary] = {}
        self._found: StartingModels | None = None
        self._seen_origin: Origin | None = None
        self._lay_out()
        self.data_box.currentIndexChanged.connect(self._on_data_chosen)
        self.model_box.currentIndexChanged.connect(self._show_model)
        for box in (self.channel_box, self.task_box, self.budget_box):
            box.currentIndexChanged.connect(self.changed)
        self._show_model()

    def _lay_out(self) -> None:
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Learn from", self.data_box)
        form.addRow(self.data_line)
        form.addRow("Start from", self.model_box)
        form.addRow(self.model_line)
        form.addRow(self.channel_label, self.channel_box)
        form.addRow(self.task_label, self.task_box)
        form.addRow("Time", self.budget_box)

    # What is chosen

    @property
    def corrections(self) -> tuple[Correction, ...]:
        """The chosen corrections: of one image, or of all that are open."""
        chosen = self.data_box.currentData()
        return tuple(each for each in self._corrections if chosen in (_ALL, _key(each)))

    @property
    def model(self) -> ModelSummary | None:
        """The model to start from; None for a new one."""
        return self._models.get(self.model_box.currentData())

    @property
    def request(self) -> TrainingRequest:
        """What is asked for."""
        model = self.model
        return TrainingRequest(
            workspaces=tuple(each.workspace.folder for each in self.corrections),
            model="" if model is None else str(model.path),
            model_name="" if model is None else model.name,
            task=self.task_box.currentData(),
            seconds=self.budget_box.currentData() or None,
            channel=self.channel_box.currentData() if self._needs_channel else None,
        )

    @property
    def _needs_channel(self) -> bool:
        """Whether the model takes one of the channels that the image has; a new model takes all of them."""
        model = self.model
        return model is not None and model.input_kind != "channels" and bool(self._channel_names)

    @property
    def _channel_names(self) -> tuple[str, ...]:
        return next((each.workspace.image.channel_names for each in self.corrections), ())

    @property
    def problem(self) -> str:
        """Why training can't start with what is chosen, or nothing."""
        if not self.corrections:
            return NO_CORRECTIONS
        for correction in self.corrections:
            if correction.workspace.read_only:
                return f"'{correction.name}' can't be learned from: {correction.workspace.read_only_reason}."
            if correction.busy:
                return correction.busy
        if not self._count("train"):
            return NOTHING_VERIFIED
        if self.model is not None and not self.model.usable:
            return f"Model '{self.model.name}' {self.model.description}"
        return ""

    # What there is to choose

    def set_corrections(self, corrections: Iterable[Correction], preferred: Correction | None = None) -> None:
        """Offer the corrections that are open; `preferred` is chosen when what was chosen is gone."""
        self._corrections = tuple(corrections)
        before = self.data_box.currentData()
        choices = [(each.name, _key(each)) for each in self._corrections]
        if len(choices) > 1:
            choices.append((f"all {len(choices)} images", _ALL))
        keys = [key for _, key in choices]
        chosen = before if before in keys or preferred is None else _key(preferred)
        set_choices(self.data_box, choices, chosen)
        origin = self.corrections[0].origin if self.corrections else None
        if self.data_box.currentData() != before or origin != self._seen_origin:
            self._list_channels()
            self._choose_model_of_labels()
        self._seen_origin = origin
        self.show_data()

    def set_models(self, found: StartingModels) -> None:
        """Offer models beside a new one; a model that was adopted or restored since the last call is chosen."""
        before, last = self.model_box.currentData(), self._found
        self._found = found
        self._models = {str(model.path): model for model in found.models}
        choices = [(model.name, path) for path, model in self._models.items()]
        set_choices(self.model_box, [*choices, ("New model from scratch", FROM_SCRATCH)], before)
        if last is None or last.current != found.current:
            self._choose_model_of_labels()
        self._show_model()

    def show_data(self) -> None:
        """Say what there is to learn from now."""
        learned, judged = self._count("train"), self._count("validation")
        if not self.corrections:
            self.data_line.setText(NO_CORRECTIONS)
        elif not learned:
            self.data_line.setText(NOTHING_VERIFIED)
        else:
            line = f"{count(learned, 'region')} to learn from, {judged:,} to judge by."
            self.data_line.setText(line if judged else f"{line} {_SECOND_REGION}")
        self.changed.emit()

    def show_state(self, locked: str) -> None:
        """Enable what can be chosen. `locked` says why nothing can be; empty when something can."""
        set_available(self.data_box, locked or ("" if self._corrections else NO_CORRECTIONS))
        for box in (self.model_box, self.channel_box, self.task_box, self.budget_box):
            set_available(box, locked)

    def _count(self, role: str) -> int:
        return sum(region.role == role for each in self.corrections for region in each.workspace.regions)

    def _on_data_chosen(self) -> None:
        self._list_channels()
        self._choose_model_of_labels()
        self.show_data()

    def _list_channels(self) -> None:
        names = self._channel_names
        used = self.corrections[0].origin.channel if self.corrections else None
        set_choices(self.channel_box, [(name, index) for index, name in enumerate(names)], used or 0)
        self._show_model()

    def _choose_model_of_labels(self) -> None:
        """Choose the model that made the labels, or the one that took its place in this workspace."""
        if not self.corrections or self._found is None:
            return
        correction = self.corrections[0]
        folder = str(correction.workspace.folder)
        names = {model.name: path for path, model in self._models.items()}
        path = correction.model_path if correction.model_path in self._models else names.get(correction.model_name)
        if path is None or correction.model_name in self._found.family.get(folder, frozenset()):
            path = self._found.current.get(folder, path)
        if path is not None:
            self.model_box.setCurrentIndex(self.model_box.findData(path))

    def _show_model(self) -> None:
        model = self.model
        is_new = self.model_box.currentData() == FROM_SCRATCH
        new_line = "Learns from your labels alone: verify a few slices or large boxes, and give it some minutes."
        self.model_line.setText(new_line if is_new or model is None else description_of(model))
        for widget in (self.task_label, self.task_box):
            widget.setVisible(is_new)
        for widget in (self.channel_label, self.channel_box):
            widget.setVisible(self._needs_channel)
        self.changed.emit()


_ALL = "all"


def _key(correction: Correction) -> str:
    return str(correction.workspace.folder)
