"""Pages of a panel, one of which is shown."""

from __future__ import annotations

from qtpy.QtWidgets import QVBoxLayout, QWidget


class Pages(QWidget):
    """Widgets in one place, of which one is visible.

    Qt's own QStackedWidget doesn't ask its pages how high they are at their width, which cuts off sentences that wrap.
    """

    def __init__(self, *pages: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._pages = pages
        self._current = 0
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for page in pages:
            layout.addWidget(page)
        layout.addStretch(1)
        self.show_page(0)

    @property
    def current(self) -> int:
        """Number of the page that is shown."""
        return self._current

    def show_page(self, number: int) -> None:
        """Show a page in place of the one before."""
        self._current = number
        for index, page in enumerate(self._pages):
            page.setVisible(index == number)
