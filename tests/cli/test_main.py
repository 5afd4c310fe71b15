"""Exit codes, one clear line on stderr, and help that answers at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from napari_seamless.cli import main as main_module
from napari_seamless.errors import Cancelled, TileSizeError

COMMANDS = ("demo", "segment", "plan", "train", "evaluate", "models")


def failing(error: BaseException) -> Callable[..., None]:
    def app(**options: object) -> None:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (TileSizeError("tile_size 100 is not a multiple of 16"), 1, "tile_size 100 is not a multiple of 16"),
        (TileSizeError("two\nlines"), 1, "two lines"),
        (Cancelled("stopped after 3 of 9 tiles"), 130, "stopped after 3 of 9 tiles"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ZeroDivisionError("division by zero"), 1, "unexpected ZeroDivisionError: division by zero; run it again with"),
    ],
    ids=["refused", "refused in two lines", "cancelled", "interrupted", "unexpected"],
)
def test_errors_become_a_code_and_one_line(
    run: Callable[..., object], monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, line: str
) -> None:
    monkeypatch.setattr(main_module, "app", failing(error))
    answer = run("models", "list")
    assert answer.code == code
    assert answer.err.startswith(f"napari-seamless: {line}")
    assert answer.err.count("\n") == 1
    assert answer.out == ""


@pytest.mark.parametrize("words", [("--debug", "models"), ("models", "--debug")], ids=["before", "after"])
def test_debug_shows_the_traceback(
    run: Callable[..., object], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(main_module, "app", failing(ZeroDivisionError("division by zero")))
    answer = run(*words)
    assert answer.code == 1
    assert "Traceback (most recent call last)" in answer.err
    assert answer.err.endswith("napari-seamless: unexpected ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("segmnt",),
        ("segment", "image.tif"),
        ("segment", "image.tif", "out.tif", "--model", "m", "--level", "deep"),
        ("segment", "image.tif", "out.tif", "--model", "m", "--tile-size", "big"),
        ("segment", "image.tif", "out.tif", "--model", "m", "--halo", "-3"),
        ("segment", "image.tif", "out.tif", "--model", "m", "--precision", "fp8"),
        ("train", "folder"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(run: Callable[..., object], words: tuple[str, ...]) -> None:
    answer = run(*words)
    assert answer.code == 2
    assert "Usage: napari-seamless" in answer.err + answer.out


def test_help_names_every_command(run: Callable[..., object]) -> None:
    answer = run("--help")
    assert answer.code == 0
    assert all(command in answer.out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run: Callable[..., object], command: str) -> None:
    answer = run(command, "--help")
    assert answer.code == 0
    assert f"napari-seamless {command}" in answer.out


def test_help_answers_in_half_a_second() -> None:
    # Processor time from the start of the process: what others do on the machine meanwhile does not count.
    clock = "import time; from napari_seamless.cli.main import main; main(['--help']); print(time.process_time())"
    runs = [subprocess.run([sys.executable, "-c", clock], check=True, capture_output=True, text=True) for _ in range(3)]
    assert all("Usage: napari-seamless" in run.stdout for run in runs)
    assert min(float(run.stdout.splitlines()[-1]) for run in runs) < 0.5


def test_a_reader_that_leaves_is_no_error_to_shout_about() -> None:
    command = [sys.executable, "-m", "napari_seamless", "models", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        shouted = process.stderr.read()
    assert shouted == ""
