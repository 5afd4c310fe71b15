"""Where the labels are written besides the viewer."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QLineEdit, QWidget

from napari_seamless.viewer.controls import describe, more_button, set_available, side_by_side

_FILTER = "OME-Zarr (*.ome.zarr);;OME-TIFF (*.ome.tif)"


class OutputControl(QWidget):
    """A line for a path and a button that opens the file dialog."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.line = QLineEdit()
        self.line.setObjectName("output")
        self.line.setPlaceholderText("the viewer only")
        self.line.setClearButtonEnabled(True)
        describe(
            self.line,
            "Also write the labels to this file: .ome.zarr or .ome.tif.\n"
            "Empty: they are kept in the viewer; if they don't fit into memory, in a temporary file.",
        )
        self.browse = more_button("browse_output", "Choose a file for the labels.")
        self._confirmed: Path | None = None
        layout = side_by_side(self.line, self.browse)
        layout.setContentsMargins(0, 0, 0, 0)
        self.setLayout(layout)
        self.line.textChanged.connect(self.changed)
        self.browse.clicked.connect(self._browse)

    @property
    def path(self) -> Path | None:
        """Where the labels are to be written, or None."""
        text = self.line.text().strip()
        return Path(text).expanduser() if text else None

    @property
    def may_overwrite(self) -> bool:
        """Whether the user agreed, in the file dialog, to replace what is at `path`."""
        return self.path is not None and self.path == self._confirmed

    def show_state(self, locked: str) -> None:
        """Enable, or disable and say why."""
        set_available(self.line, locked)
        set_available(self.browse, locked)

    def _browse(self) -> None:
        chosen, chosen_filter = QFileDialog.getSaveFileName(self, "Write the labels to", "", _FILTER)
        if not chosen:
            return
        ending = ".ome.zarr" if "zarr" in chosen_filter else ".ome.tif"
        path = Path(chosen if Path(chosen).suffix else chosen + ending)
        # The dialog asks before it replaces the file that was chosen, not one whose ending is added here.
        self._confirmed = path if str(path) == chosen else None
        self.line.setText(str(path))
