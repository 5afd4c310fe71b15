"""The plot of a training: what it shows, how often and how fast it is drawn."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from napari.utils.theme import get_theme

from napari_seamless.viewer.finetune import curves_plot
from napari_seamless.viewer.finetune.curves_plot import Curve, CurvesPlot


@pytest.fixture
def plot(qtbot) -> CurvesPlot:
    widget = CurvesPlot("dark")
    qtbot.addWidget(widget)
    widget.resize(300, 150)
    widget.show()
    return widget


def pixels(plot: CurvesPlot) -> np.ndarray:
    return np.asarray(plot._canvas.buffer_rgba())


def test_points_are_drawn_in_the_colour_of_their_curve(plot, qtbot):
    plot.add_loss(10, 1.0)
    plot.add_loss(20, None)
    plot.add_loss(30, 0.5)
    plot.add_score(30, 0.9)
    assert (plot.loss.steps, plot.loss.values) == ([10, 30], [1.0, 0.5])
    assert (plot.score.steps, plot.score.values) == ([30], [0.9])
    blue = tuple(bytes.fromhex(curves_plot._LOSS["dark"][1:]))
    qtbot.waitUntil(lambda: (pixels(plot)[:, 60:-60, :3] == blue).all(-1).any(), timeout=5000)


def test_drawing_is_rare_and_fast(plot, qtbot, monkeypatch):
    drawn = []
    draw = plot._canvas.draw
    monkeypatch.setattr(plot._canvas, "draw", lambda: (drawn.append(1), draw()))
    qtbot.waitUntil(lambda: plot.draw_seconds > 0, timeout=5000)
    drawn.clear()
    for step in range(3000):
        plot.add_loss(step, 1 / (step + 1))
        plot.add_score(step, 1 - 1 / (step + 1))
        if step % 300 == 0:
            qtbot.wait(60)
    qtbot.wait(1100)
    assert 1 <= len(drawn) <= 3
    seconds = []
    for _ in range(5):
        plot._draw()
        seconds.append(plot.draw_seconds)
    assert min(seconds) < 0.05


def test_long_runs_are_thinned():
    curve = Curve()
    for step in range(100_000):
        curve.add(step, -step)
    assert len(curve.steps) <= curves_plot._MOST_POINTS
    assert curve.steps[0] == 0
    assert curve.steps[-1] == 99_999
    assert curve.values == [-step for step in curve.steps]
    assert curve.steps == sorted(set(curve.steps))


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_ground_is_that_of_the_theme(plot, qtbot, theme):
    plot.set_theme(theme)
    ground = to_hex(get_theme(theme).background.as_hex("long"))
    qtbot.waitUntil(lambda: to_hex(pixels(plot)[0, 0, :3] / 255) == ground, timeout=5000)


def test_clearing_begins_anew(plot):
    plot.add_loss(1, 1.0)
    plot.clear()
    assert plot.loss.steps == []
