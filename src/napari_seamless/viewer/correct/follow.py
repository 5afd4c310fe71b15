"""Corrections that another program writes are shown here as they become: read-only, a few seconds later."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer

from napari_seamless.viewer.reporting import report

if TYPE_CHECKING:
    from napari_seamless.viewer.correct.correction import Correction
    from napari_seamless.viewer.correct.workspaces import Workspaces
    from napari_seamless.workspace.session import Workspace

FOLLOW_MS = 2000


class Following:
    """Looks every two seconds, in the worker thread, for what is new in corrections that are read-only here.

    Parameters
    ----------
    workspaces : Workspaces
    """

    def __init__(self, workspaces: Workspaces) -> None:
        self._workspaces = workspaces
        self._under_way: set[Correction] = set()
        self._given_up: set[Correction] = set()
        self._timer = QTimer(workspaces)
        self._timer.setInterval(FOLLOW_MS)
        self._timer.timeout.connect(self._look)

    def begin(self, correction: Correction) -> None:
        """Follow a correction, if it is read-only, for as long as it is open."""
        if correction.workspace.read_only:
            self._timer.start()

    def _look(self) -> None:
        followed = [each for each in self._workspaces.corrections if each.workspace.read_only]
        for gone in self._under_way | self._given_up:
            if gone not in followed:
                self._under_way.discard(gone)
                self._given_up.discard(gone)
        if not followed:
            self._timer.stop()
        for correction in followed:
            if correction not in self._under_way | self._given_up:
                self._under_way.add(correction)
                read = partial(_news, correction.workspace)
                worker = self._workspaces.worker
                worker.fetch(read, partial(self._show, correction), partial(self._give_up, correction))

    def _show(self, correction: Correction, news: tuple[bool, bool]) -> None:
        self._under_way.discard(correction)
        if correction not in self._workspaces.corrections:
            return
        has_changed, is_free = news
        if has_changed:
            correction.refresh()
        if has_changed or is_free != correction.is_free:
            correction.is_free = is_free
            self._workspaces.changed.emit()

    def _give_up(self, correction: Correction, error: BaseException) -> None:
        self._under_way.discard(correction)
        if correction in self._workspaces.corrections:
            self._given_up.add(correction)
            report(error)


def _news(workspace: Workspace) -> tuple[bool, bool]:
    return workspace.follow(), workspace.is_free
