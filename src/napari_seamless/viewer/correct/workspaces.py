"""Which images of a viewer are being corrected: their workspaces are opened, watched and closed here.

``workspaces_of(viewer)`` is the one place that every widget asks. Workspaces close with the viewer, or when their
labels are taken out of it; what was painted is on disk then.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info, show_warning
from qtpy.QtCore import QCoreApplication, QObject, QTimer, Signal

from napari_seamless.viewer.correct.adoption import Adoption
from napari_seamless.viewer.correct.correction import Correction, same_layer, unwrapped
from napari_seamless.viewer.correct.follow import Following
from napari_seamless.viewer.correct.labels import becomes_corrections, first_labels, path_of
from napari_seamless.viewer.correct.lifetime import (
    close_all,
    close_and_note,
    open_and_note,
    tell_trouble,
    tell_unusual,
)
from napari_seamless.viewer.correct.new_object import take_over_new_object
from napari_seamless.viewer.correct.opening import OpeningRequest
from napari_seamless.viewer.correct.start import Offers, known_axes
from napari_seamless.viewer.correct.verified_overlay import refresh_overlay, remove_overlays
from napari_seamless.viewer.image_choice import ImageChoice, image_choices
from napari_seamless.viewer.layers import source_of
from napari_seamless.viewer.reporting import report
from napari_seamless.viewer.worker import Worker

if TYPE_CHECKING:
    import napari
    import napari.layers

    from napari_seamless.workspace.session import Workspace

_LOOK_MS = 250
_OF_VIEWER: dict[int, Workspaces] = {}


def workspaces_of(viewer: napari.Viewer) -> Workspaces:
    """Return the workspaces of a viewer: always the same object, until the viewer is closed."""
    real = unwrapped(viewer)
    if id(real) not in _OF_VIEWER:
        _OF_VIEWER[id(real)] = Workspaces(real)
        weakref.finalize(real, _OF_VIEWER.pop, id(real), None)
    return _OF_VIEWER[id(real)]


class Workspaces(QObject):
    """The corrections of one viewer.

    Signals
    -------
    changed
        Another set of corrections, or another state of one: what it is busy with, its regions, its layers.
    edited
        The correction whose labels or verified pixels are others than before, whoever changed them; within 0.3 s.
    """

    changed = Signal()
    edited = Signal(object)

    def __init__(self, viewer: napari.Viewer) -> None:
        window = getattr(viewer, "window", None)
        parent = None if window is None else window.main_menu.window()
        super().__init__(parent)
        self.worker = Worker(self)
        self._viewer = weakref.ref(viewer)
        self._corrections: list[Correction] = []
        self._opening: list[tuple[str, ...]] = []
        self._open: list[Workspace] = []
        self._offers = Offers(viewer, self)
        self._following = Following(self)
        self._look = QTimer(self)
        self._look.setInterval(_LOOK_MS)
        self._look.timeout.connect(self._on_look)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        at_end = partial(_end, id(viewer), self._open)
        QCoreApplication.instance().aboutToQuit.connect(at_end)
        if parent is not None:
            parent.destroyed.connect(at_end)

    # What there is

    @property
    def viewer(self) -> napari.Viewer | None:
        """The viewer; None when it is gone."""
        return self._viewer()

    @property
    def corrections(self) -> tuple[Correction, ...]:
        """Those that are open."""
        return tuple(self._corrections)

    def of_layer(self, layer: Any) -> Correction | None:
        """Return the correction that an image or labels layer belongs to."""
        return next((each for each in self._corrections if each.concerns(layer)), None)

    def is_opening(self, choice: ImageChoice) -> bool:
        """Whether the workspace of an image is being opened at this moment."""
        return self._whole(choice).key in self._opening

    # Begin and end

    def start(
        self,
        choice: ImageChoice,
        axes: str,
        labels: napari.layers.Labels | None = None,
        folder: Path | None = None,
        on_open: Callable[[Correction], None] | None = None,
    ) -> None:
        """Open the workspace of an image, or make it, in the background; `changed` and `on_open` tell when it is open.

        Parameters
        ----------
        choice : ImageChoice
        axes : str
            Meaning of the layers' axes, without ``S``.
        labels : napari.layers.Labels, optional
            The labels to begin with, as predictions that can be corrected; None for those that the workspace holds.
        folder : pathlib.Path, optional
            Where the workspace lies; by default beside the image.
        on_open : callable, optional

        Raises
        ------
        AxesError
            If the labels do not belong to the image.
        """
        choice = self._whole(choice)
        axes = known_axes(choice, axes, folder)
        labels, source = unwrapped(labels), source_of(choice.layers, axes)
        first = None if labels is None else first_labels(labels, source)
        request = OpeningRequest(source, path_of(choice.layers[0]), choice.name, folder, first)
        if labels is not None:
            labels.editable = False  # what is painted before the workspace is open would be lost
        self._opening.append(choice.key)

        def on_result(result: Any) -> None:
            self._opening.remove(choice.key)
            workspace, origin = result
            correction = Correction(workspace, origin, choice.layers, request)
            self._on_opened(correction, labels)
            if on_open is not None:
                on_open(correction)

        def on_error(error: BaseException) -> None:
            self._opening.remove(choice.key)
            if labels is not None:
                labels.editable = True
            report(error)
            self.changed.emit()

        self.worker.fetch(partial(open_and_note, request, self.worker.is_closing, self._open), on_result, on_error)
        self.changed.emit()

    def _whole(self, choice: ImageChoice) -> ImageChoice:
        """Return all channels of the file that a channel belongs to: they have the same labels."""
        keys = set(choice.key)
        choices = [other for other in image_choices(self._viewer().layers) if keys <= set(other.key)]
        return max(choices, key=lambda other: len(other.key), default=choice)

    def restore(self, layer: napari.layers.Image, folder: Path) -> None:
        """Open the workspace in a folder for an image layer, and the Correct panel."""
        self._offers.restore(layer, folder)

    def run(
        self,
        correction: Correction,
        doing: str,
        function: Callable[[], Any],
        on_result: Callable[[Any], None] = lambda result: None,
        on_error: Callable[[BaseException], None] = report,
    ) -> None:
        """Do something slow to a workspace in the background, and show what it made.

        Parameters
        ----------
        correction : Correction
        doing : str
            What the user reads meanwhile, such as ``Marking the slice…``.
        function : callable
            Called in the worker thread.
        on_result : callable
            Receives its result on the main thread.
        on_error : callable
            Receives the error if it raises one; by default it is shown to the user.
        """
        correction.busy = doing

        def end(outcome: Callable[[Any], None], value: Any) -> None:
            if correction.busy == doing:  # something else may wait behind it
                correction.busy = ""
            if correction in self._corrections:
                correction.refresh()
            outcome(value)
            self._on_look()
            self.changed.emit()

        self.worker.fetch(function, partial(end, on_result), partial(end, on_error))
        self.changed.emit()

    def close(self, correction: Correction) -> None:
        """End a correction: what was painted is brought to the disk, and others may write."""
        if correction not in self._corrections:
            return
        self._corrections.remove(correction)
        if not self._corrections:
            self._look.stop()
        correction.adoption.stop()
        remove_overlays(self._viewer(), {str(each.workspace.folder) for each in self._corrections})
        told = f"The corrections of '{correction.name}' are saved in {correction.workspace.folder}."
        close = partial(close_and_note, correction.workspace, self._open)
        self.worker.fetch(close, lambda _: show_info(told), report)
        self.changed.emit()

    def _on_opened(self, correction: Correction, labels: napari.layers.Labels | None) -> None:
        self._corrections.append(correction)
        # Imported here because these actions ask this module which corrections there are.
        from napari_seamless.viewer.correct.actions import bind_keys

        viewer = self._viewer()
        is_written = labels is not None and not correction.workspace.read_only
        if is_written and labels in viewer.layers and becomes_corrections(labels, correction.data):
            correction.adopt_layer(labels)
        else:
            if labels is not None:
                labels.visible, labels.editable = not is_written, True
            correction.adopt_layer(viewer.add_labels(correction.data, **correction.placement))
        correction.labels_layer.name = f"{correction.name} · corrections"
        correction.adoption = Adoption(self, correction)
        take_over_new_object(self.parent(), correction)
        for layer in correction.image_layers:
            layer.events.data.connect(self._on_image_data)
        tell_unusual(correction.workspace)
        if is_written and correction.workspace.regions:
            correction.note = "This image had been corrected before; what was verified then has stayed as it was."
        bind_keys(viewer)
        self._look.start()
        self._following.begin(correction)
        self.changed.emit()

    # What happens meanwhile

    def _on_look(self) -> None:
        for correction in self._corrections:
            tell_trouble(correction)
            # A large change holds the workspace for moments, and is shown as a whole when it is done.
            if not correction.busy and correction.look():
                refresh_overlay(self._viewer(), correction)
                self.edited.emit(correction)

    def _on_inserted(self, event: Any) -> None:
        from napari.layers import Image

        layer = event.value
        if not isinstance(layer, Image):
            return
        for correction in self._corrections:
            if correction.takes_back(layer, path_of(layer)):
                layer.events.data.connect(self._on_image_data)
                self.changed.emit()
                return
        self._offers.image_added(layer)

    def _on_removed(self, event: Any) -> None:
        for correction in self.corrections:
            if same_layer(event.value, correction.labels_layer):
                self.close(correction)
            elif correction.concerns(event.value):
                correction.lose_image(event.value)
                self.changed.emit()

    def _on_image_data(self, event: Any) -> None:
        """Go on without an image whose pixels are others now: its corrections belong to those that it had."""
        correction = self.of_layer(event.source)
        if correction is None:
            return
        correction.image_is_gone()
        show_warning(
            f"The pixels of '{event.source.name}' were replaced. Its corrections belong to those it had before: they "
            f"stay as they are, in {correction.workspace.folder}."
        )
        self.changed.emit()


def _end(viewer_id: int, still_open: list[Workspace]) -> None:
    _OF_VIEWER.pop(viewer_id, None)
    close_all(still_open)
