"""Learning curves: a table and a picture, always whole."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from skimage.io import imread

from napari_seamless.errors import FileWriteError
from napari_seamless.training import curves
from napari_seamless.training.curves import CurveWriter, curve_table, draw_curves
from napari_seamless.training.loop import train
from tests.training.test_loop import EXAMPLES, QUICK, SMALL

HISTORY = [
    {"epoch": 1, "step": 20, "loss": 1.5, "seconds": 3.25},
    {"epoch": 2, "step": 40, "loss": 0.75, "seconds": 6.5, "score": 0.5, "ap50": 0.5, "iou": 0.6},
    {"epoch": 3, "step": 60, "loss": 0.5, "seconds": 9.0, "score": 0.4, "ap50": 0.4, "iou": 0.7},
]


def test_the_table_has_a_column_for_everything():
    assert curve_table(HISTORY).splitlines() == [
        "epoch,step,loss,seconds,score,ap50,iou",
        "1,20,1.5,3.25,,,",
        "2,40,0.75,6.5,0.5,0.5,0.6",
        "3,60,0.5,9.0,0.4,0.4,0.7",
    ]


@pytest.mark.parametrize("history", [HISTORY, HISTORY[:1], [{**HISTORY[0], "loss": float("inf")}]], ids=len)
def test_the_picture_shows_something(history, tmp_path):
    draw_curves(history, tmp_path / "curves.png")
    pixels = imread(tmp_path / "curves.png")
    assert pixels.shape[:2] == (450, 800)
    assert np.count_nonzero(pixels[..., :3].min(axis=2) < 128) > 1000


def test_every_curve_is_drawn_in_its_colour(tmp_path):
    draw_curves(HISTORY, tmp_path / "curves.png")
    pixels = imread(tmp_path / "curves.png")[..., :3]
    for colour in ("#0b6fa4", "#a85b00", "#5a8f29"):  # loss, ap50, iou
        wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
        assert (pixels == wanted).all(axis=2).sum() > 100, colour


def test_no_screen_and_no_backend_is_chosen():
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from tempfile import mkdtemp\n"
        "from napari_seamless.training.curves import draw_curves\n"
        "draw_curves([{'epoch': 1, 'step': 1, 'loss': 1.0, 'seconds': 1.0}], Path(mkdtemp()) / 'c.png')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_quick_epochs_do_not_wait_for_pictures(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(curves, "draw_curves", lambda history, path: drawn.append(len(history)) or path.touch())
    writer = CurveWriter(tmp_path / "curves")
    for count in range(1, 4):
        writer.write(HISTORY[:count])
        assert len(list(csv.DictReader(writer.csv.read_text().splitlines()))) == count
    assert drawn == [1]
    writer.write(HISTORY, now=True)
    assert drawn == [1, 3]


def test_nothing_is_written_of_nothing(tmp_path):
    CurveWriter(tmp_path / "curves").write([], now=True)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_former_file(monkeypatch, tmp_path):
    writer = CurveWriter(tmp_path / "curves")
    writer.write(HISTORY)
    before = writer.png.read_bytes()

    def broken(history, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(curves, "draw_curves", broken)
    with pytest.raises(FileWriteError, match=r"curves.png cannot be written .No space left on device"):
        writer.write(HISTORY, now=True)
    assert writer.png.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.csv", "curves.png"]


def test_a_run_writes_its_curves(tmp_path):
    result = train(EXAMPLES, QUICK, curves=tmp_path / "model.curves", price=False, **SMALL)
    assert (tmp_path / "model.curves.csv").read_text() == curve_table(result.history)
    assert (tmp_path / "model.curves.png").stat().st_size > 5000


def test_a_disk_that_takes_no_curves_does_not_end_the_training(tmp_path):
    (tmp_path / "file").write_text("")
    notices = []
    result = train(
        EXAMPLES,
        QUICK,
        curves=tmp_path / "file" / "curves",
        on_event=lambda event: notices.append(event.fields.get("message", "")),
        price=False,
        **SMALL,
    )
    assert len(result.history) == 2
    assert any("cannot be written" in notice and "The training goes on." in notice for notice in notices)
