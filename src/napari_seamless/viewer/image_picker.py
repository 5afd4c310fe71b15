"""Which image is segmented: its layer, what the layer's axes mean, and the channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_seamless.errors import AxesError
from napari_seamless.viewer.controls import combo, set_available, set_choices
from napari_seamless.viewer.image_choice import ImageChoice, image_choices
from napari_seamless.viewer.layers import LayerSource, axes_choices, source_of
from napari_seamless.viewer.model_choice import channel_reason, channels_of

if TYPE_CHECKING:
    import napari

    from napari_seamless.models.library import ModelSummary

NO_IMAGE = "Open an image first: drop a file onto napari, or use File > Open Sample."
_ONE_MEANING = "A flat image: its axes are Y and X."


class ImagePicker(QObject):
    """Three combo boxes that follow the viewer's layers.

    Signals
    -------
    changed
        Another image, or the same one understood or shown otherwise.
    layer_removed
        The layer that was taken out of the viewer.
    """

    changed = Signal()
    layer_removed = Signal(object)

    def __init__(self, viewer: napari.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.image_box = combo("image", "The image layer to segment. A pyramid is segmented at full resolution.")
        self.axes_box = combo("axes", "What the axes of this layer mean: T time, C channel, Z, Y, X.")
        self.channel_box = combo("channel", "The channel that the model is given.")
        self.problem = NO_IMAGE
        self._viewer = viewer
        self._choices: dict[tuple[str, ...], ImageChoice] = {}
        self._axes_of: dict[tuple[str, ...], str] = {}
        self.image_box.currentIndexChanged.connect(self._show_image)
        self.axes_box.currentIndexChanged.connect(self._on_axes_chosen)
        self.channel_box.currentIndexChanged.connect(self.changed)
        viewer.layers.events.inserted.connect(self._on_layer_inserted)
        viewer.layers.events.removed.connect(self._on_layer_removed)
        viewer.layers.events.reordered.connect(self._list_images)
        for layer in viewer.layers:
            self._watch(layer)
        self._list_images()

    @property
    def choice(self) -> ImageChoice | None:
        """The chosen image."""
        return self._choices.get(self.image_box.currentData())

    @property
    def axes(self) -> str:
        """Meaning of the chosen layer's axes, without the ``S`` of RGB layers; empty when there is no image."""
        return self.axes_box.currentData() or ""

    @property
    def source(self) -> LayerSource | None:
        """What a run needs of the chosen image; None when there is none that can be segmented."""
        choice = self.choice
        return None if choice is None or self.problem else source_of(choice.layers, self.axes)

    @property
    def channel(self) -> int | None:
        """The chosen channel; None when there is nothing to choose."""
        return self.channel_box.currentIndex() if self.channel_box.isEnabled() else None

    def show_state(self, model: ModelSummary | None, locked: str) -> None:
        """Enable what can be chosen. `locked` says why nothing can be; empty when something can."""
        source = self.source
        set_available(self.image_box, locked or ("" if self._choices else NO_IMAGE))
        set_available(self.axes_box, locked or self.problem or (_ONE_MEANING if self.axes_box.count() < 2 else ""))
        set_available(self.channel_box, locked or (channel_reason(source, model) if source else self.problem))

    def _watch(self, layer: Any) -> None:
        layer.events.name.connect(self._list_images)
        for event in (layer.events.data, layer.events.scale, layer.events.units):
            event.connect(self._on_layer_changed)
        layer.events.axis_labels.connect(self._show_image)

    def _on_layer_inserted(self, event: Any) -> None:
        self._watch(event.value)
        self._list_images()

    def _on_layer_removed(self, event: Any) -> None:
        self._list_images()
        self.layer_removed.emit(event.value)

    def _on_layer_changed(self, event: Any) -> None:
        if self.choice is not None and event.source in self.choice.layers:
            self.changed.emit()

    def _list_images(self, event: object = None) -> None:
        before = self.image_box.currentData()
        self._choices = {choice.key: choice for choice in image_choices(self._viewer.layers)}
        set_choices(self.image_box, [(choice.text, key) for key, choice in self._choices.items()])
        if self.image_box.currentData() != before:
            self._show_image()

    def _show_image(self, event: object = None) -> None:
        """Offer the axes and channels of the image that is chosen now."""
        choice = self.choice
        meanings: tuple[str, ...] = ()
        self.problem = "" if choice is not None else NO_IMAGE
        if choice is not None:
            try:
                meanings = axes_choices(choice.layers[0])
            except AxesError as error:
                self.problem = str(error)
        suffix = " + colour" if choice is not None and choice.layers[0].rgb else ""
        chosen = self._axes_of.get(choice.key) if choice is not None else None
        # Without an earlier choice the first meaning is the likeliest, whatever stood in the box before.
        first = meanings[0] if meanings else None
        set_choices(self.axes_box, [(f"{axes}{suffix}", axes) for axes in meanings], chosen=chosen or first)
        self._list_channels()
        self.changed.emit()

    def _on_axes_chosen(self) -> None:
        if self.choice is not None:
            self._axes_of[self.choice.key] = self.axes
        self._list_channels()
        self.changed.emit()

    def _list_channels(self) -> None:
        source = self.source
        names = channels_of(source) if source is not None else []
        set_choices(self.channel_box, [(name, index) for index, name in enumerate(names)])
