"""The live preview: what the model, as it is now, finds in the visible field."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_seamless.errors import Cancelled, ModelError
from napari_seamless.viewer.finetune.field_prediction import Field, FieldLayer, field_of, labels_in
from napari_seamless.viewer.reporting import report
from napari_seamless.viewer.view_region import NotInView

if TYPE_CHECKING:
    import napari

    from napari_seamless.viewer.correct.correction import Correction
    from napari_seamless.viewer.worker import Worker

_CONTOUR = 2


class LivePreview:
    """Outlines, made anew from every snapshot that comes while none is being worked on. Main thread only.

    Parameters
    ----------
    viewer : napari.Viewer
    worker : Worker
    on_dismissed : callable
        Called when the preview ends by itself: its layer was removed by the user, or it can't be made.

    Attributes
    ----------
    is_wanted : bool
    shown : int
        How many previews were shown.
    """

    def __init__(self, viewer: napari.Viewer, worker: Worker, on_dismissed: Callable[[], None]) -> None:
        self.is_wanted = False
        self.shown = 0
        self._on_dismissed = on_dismissed
        self._is_training = False
        self._viewer = viewer
        self._worker = worker
        self._output = FieldLayer(viewer, "preview")
        self._is_busy = False

    def set_wanted(self, wanted: bool) -> None:
        """Begin or end to show previews."""
        self.is_wanted = wanted
        if not wanted:
            self._output.remove()

    def update(self, model: Path, correction: Correction, channel: int | None) -> None:
        """Show what a model finds now, unless the last preview is still being made or there is nothing to be seen."""
        self._is_training = True
        if self._output.layer is not None and not self._output.is_shown:  # its user removed it
            self._output.remove()
            self._on_dismissed()
        if self._is_busy or not self.is_wanted:
            return
        try:
            field = field_of(self._viewer, correction, channel)
        except NotInView:  # in 3D, say: the preview pauses
            return
        self._is_busy = True
        find = partial(labels_in, field, model, self._worker.is_closing)
        self._worker.fetch(find, partial(self._show, field), self._on_error)

    def end(self) -> None:
        """Take the preview away; the next training may show one again."""
        self._is_training = False
        self._output.remove()

    def _show(self, field: Field, labels: Any) -> None:
        self._is_busy = False
        if self.is_wanted and self._is_training:
            self.shown += 1
            self._output.show(labels, field, contour=_CONTOUR)

    def _on_error(self, error: BaseException) -> None:
        self._is_busy = False
        # A snapshot that is replaced while it is read does not match itself; the next one comes in seconds.
        if not isinstance(error, ModelError | FileNotFoundError | Cancelled):
            report(error)
            self._on_dismissed()
