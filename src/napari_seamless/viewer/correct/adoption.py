"""``layer.data = array`` by other code: the array's labels are taken over, then the layer gets the workspace's back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error

from napari_seamless.errors import FileWriteError
from napari_seamless.viewer.controls import single_shot
from napari_seamless.viewer.correct.labels import without_axes
from napari_seamless.viewer.layers import full_resolution
from napari_seamless.viewer.reporting import report

if TYPE_CHECKING:
    from napari_seamless.viewer.correct.correction import Correction
    from napari_seamless.viewer.correct.workspaces import Workspaces

_RETRY_MS = 2000


class Adoption:
    """Watches the data of one labels layer.

    Parameters
    ----------
    workspaces : Workspaces
    correction : Correction
    """

    def __init__(self, workspaces: Workspaces, correction: Correction) -> None:
        self._workspaces = workspaces
        self._correction = correction
        # napari goes on with a layer after it has said that its data were set, so this waits for its end.
        self._begin = single_shot(0, self._adopt, workspaces)
        self._retry = single_shot(_RETRY_MS, self._adopt, workspaces)
        correction.labels_layer.events.data.connect(self._on_data)

    def stop(self) -> None:
        """Watch no more."""
        self._begin.stop()
        self._retry.stop()
        self._correction.labels_layer.events.data.disconnect(self._on_data)

    def _on_data(self, event: Any = None) -> None:
        if not self._correction.is_shown:
            self._begin.start()

    def _adopt(self) -> None:
        correction = self._correction
        if correction.is_shown:
            return
        array = full_resolution(correction.labels_layer)
        refusal = self._refusal(tuple(array.shape))
        if refusal:
            show_error(refusal)
            correction.restore_data()
            return
        correction.labels_layer.editable = False  # what is painted into an array that is about to go would be lost
        flat = without_axes(array, correction.extra_axes)
        self._workspaces.run(
            correction,
            "Taking over the labels…",
            partial(correction.workspace.adopt_array, flat),
            lambda _: self._give_back(array),
            lambda error: self._on_error(error, array),
        )

    def _refusal(self, found: tuple[int, ...]) -> str:
        correction = self._correction
        if correction.workspace.read_only:
            return f"The labels stay as they are: {correction.workspace.read_only_reason}."
        if found != tuple(correction.data.shape):
            return (
                f"The labels of '{correction.name}' have shape {tuple(correction.data.shape)}; what was put in their "
                f"place has {found} and was not taken over. Add it as a layer of its own."
            )
        return ""

    def _give_back(self, array: Any) -> None:
        if full_resolution(self._correction.labels_layer) is array:
            self._correction.restore_data()
        else:  # replaced once more meanwhile
            self._adopt()

    def _on_error(self, error: BaseException, array: Any) -> None:
        report(error)
        if isinstance(error, FileWriteError):
            self._retry.start()  # the layer goes on holding the array, so nothing is lost
        else:
            self._give_back(array)
