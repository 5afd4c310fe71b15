"""Events on their way to people and to programs."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from napari_seamless.cli.events import plain, reporting
from napari_seamless.errors import FileWriteError
from napari_seamless.events import Event

TILE = Event("tile", {"done": np.int64(3), "total": 40, "region": ((0, 8), (0, 8))}, {"labels": np.zeros((8, 8))})
LINE = {"event": "tile", "done": 3, "total": 40, "region": [[0, 8], [0, 8]]}


def test_lines_are_json_without_arrays(tmp_path: Path) -> None:
    with reporting(str(tmp_path / "events.jsonl")) as reporter:
        reporter.on_event(TILE)
        assert json.loads((tmp_path / "events.jsonl").read_text()) == LINE, "written at once, for who follows the file"
        reporter.on_event(Event("done", {"n_objects": 7}))
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert lines == [LINE, {"event": "done", "n_objects": 7}]
    assert reporter.facts["done"] == {"n_objects": 7}


def test_stdout_is_left_to_the_events(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting("-") as reporter:
        reporter.on_event(TILE)
        reporter.say("7 objects")
    captured = capsys.readouterr()
    assert json.loads(captured.out) == LINE
    assert captured.err == "7 objects\n"


def test_answers_go_to_stdout_and_notices_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with reporting(None) as reporter:
        reporter.on_event(TILE)
        reporter.on_event(Event("notice", {"message": "out of memory: smaller tiles"}))
        reporter.say("7 objects")
    captured = capsys.readouterr()
    assert captured.out == "7 objects\n"
    assert captured.err == "out of memory: smaller tiles\n", "no bar where nobody looks"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bar_on_a_terminal_counts_and_leaves_stdout_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with reporting(None) as reporter:
        reporter.on_event(Event("plan", {"n_tiles": 40}))
        reporter.on_event(TILE)
        reporter.on_event(Event("notice", {"message": "smaller [tiles]"}))
        reporter.on_event(Event("stitch", {"done": 1, "total": 2}))
        reporter.on_event(Event("done", {}))
        reporter.say("7 objects")
    drawn = terminal.getvalue()
    assert "Segmenting" in drawn
    assert "3/40" in drawn
    assert "Joining objects" in drawn
    assert "smaller [tiles]\n" in drawn
    assert capsys.readouterr().out == "7 objects\n"


def test_file_that_cannot_be_written(tmp_path: Path) -> None:
    with (
        pytest.raises(FileWriteError, match=r"--events .*nowhere.*; choose a file"),
        reporting(str(tmp_path / "nowhere" / "events.jsonl")),
    ):
        pass


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.arange(3), [0, 1, 2]),
        (float("nan"), None),
        (np.float64("inf"), None),
        (Path("a") / "b", str(Path("a") / "b")),
        ({"x": (1, None, True)}, {"x": [1, None, True]}),
    ],
)
def test_plain(value: object, expected: object) -> None:
    assert plain(value) == expected
    json.dumps(plain(value), allow_nan=False)
