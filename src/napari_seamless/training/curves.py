"""Learning curves on disk: a table for programs, a picture for people."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from napari_seamless.training.run_state import Row
from napari_seamless.training.whole_files import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DRAW_EVERY_SECONDS = 2.0
"""A picture takes about a fifth of a second; quick epochs must not wait for it."""

_WHAT = "the learning curves"
_NO_CURVES = ("epoch", "step", "loss", "seconds", "score", "seconds_left")
_LOSS_COLOUR = "#0b6fa4"
_SCORE_COLOURS = ("#a85b00", "#5a8f29", "#7b4aa0", "#b03a5b", "#4d4d4d")


class CurveWriter:
    """Writes the history of a run to ``<path>.csv`` and ``<path>.png``.

    Parameters
    ----------
    path : pathlib.Path
        Without an ending.
    """

    def __init__(self, path: Path) -> None:
        self.csv = path.with_name(f"{path.name}.csv")
        self.png = path.with_name(f"{path.name}.png")
        self._drawn = -math.inf

    def write(self, history: Sequence[Row], *, now: bool = False) -> None:
        """Replace the table, and the picture unless it is a moment old.

        Parameters
        ----------
        history : sequence of dict
            A row for each epoch: ``epoch``, ``step``, ``loss``, ``seconds``, and scores where it was validated.
        now : bool
            Draw in any case.

        Raises
        ------
        FileWriteError
        """
        if not history:
            return
        replace_file(self.csv, lambda path: path.write_text(curve_table(history), encoding="utf-8"), _WHAT)
        if now or time.monotonic() - self._drawn >= _DRAW_EVERY_SECONDS:
            replace_file(self.png, lambda path: draw_curves(history, path), _WHAT)
            self._drawn = time.monotonic()


def curve_table(history: Sequence[Row]) -> str:
    """Return the history as CSV: a column for everything that any epoch has, empty where one lacks it."""
    names = list(dict.fromkeys(name for row in history for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return text.getvalue()


def draw_curves(history: Sequence[Row], path: Path) -> None:
    """Draw loss and scores against the number of steps, and mark the best epoch."""
    # matplotlib takes most of a second to import. Without pyplot it neither looks for a screen nor chooses a backend.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    losses = figure.add_subplot()
    _plot(losses, history, "loss", _LOSS_COLOUR)
    losses.set_xlabel("optimiser steps")
    losses.set_ylabel("loss", color=_LOSS_COLOUR)
    losses.grid(alpha=0.3)
    lines = list(losses.get_lines())
    validated = [row for row in history if "score" in row]
    if validated:
        scores = losses.twinx()
        for name, colour in zip(_score_names(validated), _SCORE_COLOURS, strict=False):
            _plot(scores, validated, name, colour)
        best = max(validated, key=lambda row: row["score"])
        scores.axvline(best["step"], color="black", linewidth=0.8, linestyle=":", label=f"best: epoch {best['epoch']}")
        scores.set_ylim(0, 1)
        scores.set_ylabel("scores on what was held out")
        lines += scores.get_lines()
    figure.legend(handles=lines, loc="outside upper center", ncols=len(lines), frameon=False)
    FigureCanvasAgg(figure).print_png(path)  # type: ignore[no-untyped-call]


def _score_names(validated: Sequence[Row]) -> list[str]:
    return [name for name in dict.fromkeys(name for row in validated for name in row) if name not in _NO_CURVES]


def _plot(axes: Axes, rows: Sequence[Row], name: str, colour: str) -> None:
    points = [(row["step"], row[name]) for row in rows if name in row and math.isfinite(row[name])]
    steps, values = zip(*points, strict=True) if points else ((), ())
    # A single point makes no line.
    axes.plot(steps, values, color=colour, label=name, marker="o" if len(points) < 2 else None)
