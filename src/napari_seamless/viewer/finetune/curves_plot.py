"""The curves of a training: loss and score against the number of steps, drawn at most once a second.

Importing this module imports matplotlib, which takes a moment (and where it has never run, several seconds for its list
of fonts): import it in a worker thread.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from napari.utils.theme import get_theme
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_seamless.viewer.controls import describe, single_shot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_DRAW_EVERY_MS = 1000
_MOST_POINTS = 2000
_HEIGHT = 150
_FONT_POINTS = 8
_MARGIN = 52
_LEAST_MARGIN = 0.02
_LOSS = {"dark": "#5db8e8", "light": "#0b6fa4"}
_SCORE = {"dark": "#f0b35a", "light": "#a85b00"}
_PURPOSE = (
    "How the training goes: the loss (left axis) should fall, the score on your validation regions (right axis) rise."
)


class Curve:
    """Points of one curve, thinned where there are more than a plot can show."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.values: list[float] = []

    def add(self, step: float, value: float) -> None:
        """Add the newest point."""
        self.steps.append(step)
        self.values.append(value)
        if len(self.steps) > _MOST_POINTS:
            self.steps, self.values = self.steps[::2], self.values[::2]


class CurvesPlot(QWidget):
    """Loss and validation score.

    Parameters
    ----------
    theme : str
        Id of napari's theme.

    Attributes
    ----------
    loss, score : Curve
    draw_seconds : float
        What the last drawing took.
    """

    def __init__(self, theme: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("curves")
        self.draw_seconds = 0.0
        figure = Figure(dpi=100)
        self._canvas = FigureCanvasQTAgg(figure)
        self._canvas.setFixedHeight(_HEIGHT)
        describe(self._canvas, _PURPOSE)
        self._canvas.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)  # as wide as the panel
        self._loss_axes: Axes = figure.add_subplot()
        self._score_axes: Axes = self._loss_axes.twinx()
        self._loss_line: Line2D = self._loss_axes.plot([], [], linewidth=1.5)[0]
        self._score_line: Line2D = self._score_axes.plot([], [], linewidth=1.5, marker="o", markersize=3)[0]
        self._loss_axes.set_xlabel("steps", fontsize=_FONT_POINTS, labelpad=1)
        self._loss_axes.set_ylabel("loss", fontsize=_FONT_POINTS, labelpad=1)
        self._score_axes.set_ylabel("score", fontsize=_FONT_POINTS, labelpad=1)
        for axes in (self._loss_axes, self._score_axes):
            axes.tick_params(labelsize=_FONT_POINTS, length=2, pad=2)
            axes.yaxis.set_major_locator(MaxNLocator(4))
        self._score_axes.yaxis.set_major_formatter("{x:.2f}")
        self._loss_axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._canvas)
        self._due = single_shot(0, self._draw, self)
        self._last_drawn = float("-inf")
        self.clear()
        self.set_theme(theme)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802  (the name is Qt's)
        """Keep the margins; a layout engine in place of this would work anew at every drawing."""
        super().resizeEvent(event)
        margin = _MARGIN / max(self.width(), 4 * _MARGIN)
        self._canvas.figure.subplots_adjust(left=margin, right=1 - margin, top=0.96, bottom=0.25)
        self._schedule()

    def clear(self) -> None:
        """Begin anew."""
        self.loss, self.score = Curve(), Curve()
        self._schedule()

    def add_loss(self, step: float, value: float | None) -> None:
        """Add a point of the loss; None, which stands for a number that is not finite, is left out."""
        if value is not None:
            self.loss.add(step, value)
            self._schedule()

    def add_score(self, step: float, value: float | None) -> None:
        """Add a point of the score."""
        if value is not None:
            self.score.add(step, value)
            self._schedule()

    def set_theme(self, theme: str) -> None:
        """Take the colours of one of napari's themes."""
        colours = get_theme(theme)
        text, ground = colours.text.as_hex(), colours.background.as_hex()
        kind = str(colours.type)
        self._canvas.figure.set_facecolor(ground)
        _paint(self._loss_axes, text, colours.secondary.as_hex(), colours.foreground.as_hex())
        _paint(self._score_axes, text, colours.secondary.as_hex(), "none")
        for axes, line, colour in (
            (self._loss_axes, self._loss_line, _LOSS[kind]),
            (self._score_axes, self._score_line, _SCORE[kind]),
        ):
            line.set_color(colour)
            axes.yaxis.label.set_color(colour)
            axes.tick_params(axis="y", labelcolor=colour)
        self._schedule()

    def _schedule(self) -> None:
        """Draw now, or when a second has passed since the last drawing."""
        if not self._due.isActive():
            waited = 1000 * (time.monotonic() - self._last_drawn)
            self._due.start(max(0, round(_DRAW_EVERY_MS - min(waited, _DRAW_EVERY_MS))))

    def _draw(self) -> None:
        started = time.monotonic()
        self._loss_line.set_data(self.loss.steps, self.loss.values)
        self._score_line.set_data(self.score.steps, self.score.values)
        self._loss_axes.relim()
        self._loss_axes.autoscale_view()
        self._score_axes.set_visible(bool(self.score.values))
        if self.score.values:
            low, high = min(self.score.values), max(self.score.values)
            margin = max(_LEAST_MARGIN, (high - low) / 10)
            self._score_axes.set_ylim(max(0.0, low - margin), min(1.0, high + margin))
        self._canvas.draw()
        self._last_drawn = time.monotonic()
        self.draw_seconds = self._last_drawn - started


def _paint(axes: Axes, text: str, lines: str, ground: str) -> None:
    axes.set_facecolor(ground)
    axes.tick_params(colors=text, color=lines)
    axes.xaxis.label.set_color(text)
    spine: Any
    for spine in axes.spines.values():
        spine.set_color(lines)
