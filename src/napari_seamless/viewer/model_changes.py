"""Tells every panel when the models on disk are others than before."""

from __future__ import annotations

from qtpy.QtCore import QCoreApplication, QObject, Signal


class ModelChanges(QObject):
    """One for the whole program.

    Signals
    -------
    changed
        A model was adopted, imported, renamed, deleted, brought back or taken into use again, or another one is the
        default.
    """

    changed = Signal()


def model_changes() -> ModelChanges:
    """Return the one object that tells of changes."""
    application = QCoreApplication.instance()
    found = application.findChild(ModelChanges)
    return ModelChanges(application) if found is None else found
