"""``segment`` and ``plan``: files in, files out, and what is said on the way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_seamless import load_model, open_image, predict_probabilities, segment

CPU = ("--device", "cpu")


def pixels_of(path: Path) -> np.ndarray:
    return np.asarray(open_image(path).data)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["labels.tif", "labels.ome.tif", "labels.zarr", "labels.ome.zarr"])
@pytest.mark.parametrize("model", ["semantic_model", "instance_model"])
def test_file_holds_what_python_gives(
    run: Callable[..., object],
    image_file: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    model: str,
    name: str,
) -> None:
    package = request.getfixturevalue(model)
    answer = run("segment", image_file, tmp_path / name, "--model", package, *CPU)
    assert answer.code == 0, answer.err
    expected = segment(open_image(image_file), load_model(package), device="cpu")
    assert np.array_equal(pixels_of(tmp_path / name), expected)
    assert answer.out.splitlines()[-1] == f"labels: {tmp_path / name}"
    if model == "instance_model":
        count = int(expected.max())
        assert answer.out.startswith(f"{count} object")
    assert answer.err == "", "no progress bar where nobody looks"
    assert names_in(tmp_path) == sorted(["discs.tif", name])


@pytest.mark.parametrize("model", ["semantic_model", "instance_model"])
@pytest.mark.parametrize("ending", [".ome.tif", ".ome.zarr"])
def test_labels_do_not_depend_on_the_tile_size(
    run: Callable[..., object],
    image_file: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    model: str,
    ending: str,
) -> None:
    outputs = []
    for tile_size in (16, 64, 1024):
        outputs.append(tmp_path / f"tiles_of_{tile_size}{ending}")
        package = request.getfixturevalue(model)
        answer = run("segment", image_file, outputs[-1], "--model", package, "--tile-size", tile_size, *CPU)
        assert answer.code == 0, answer.err
    first, *others = map(pixels_of, outputs)
    assert first.any()
    assert all(np.array_equal(first, other) for other in others)


def test_existing_output_is_refused_and_kept(
    run: Callable[..., object], image_file: Path, tmp_path: Path, semantic_model: Path
) -> None:
    out = tmp_path / "labels.tif"
    tifffile.imwrite(out, np.full((4, 4), 7, dtype=np.uint8))
    words = ("segment", image_file, out, "--model", semantic_model, *CPU)
    answer = run(*words)
    assert answer.code == 1
    assert str(out) in answer.err
    assert "overwrite" in answer.err
    assert (tifffile.imread(out) == 7).all()
    assert run(*words, "--overwrite").code == 0
    assert tifffile.imread(out).shape == (90, 110)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--model", "no-such-model"), "no model called 'no-such-model'"),
        (("--tile-size", "17"), "17"),
        (("--channel", "3"), "channel"),
        (("--axes", "ZQ"), "Q"),
        (("--device", "abacus"), "abacus"),
        (("--level", "9"), "level 9"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_done_is_said_before_any_work(
    run: Callable[..., object],
    image_file: Path,
    tmp_path: Path,
    semantic_model: Path,
    words: tuple[str, ...],
    message: str,
) -> None:
    answer = run("segment", image_file, tmp_path / "labels.ome.zarr", "--model", semantic_model, *words)
    assert answer.code == 1
    assert answer.err.startswith("napari-seamless: ")
    assert message in answer.err
    assert answer.err.count("\n") == 1
    assert "unexpected" not in answer.err
    assert names_in(tmp_path) == ["discs.tif"]


@pytest.mark.parametrize(
    ("image", "out", "message"),
    [
        ("nowhere.tif", "labels.tif", "nowhere.tif"),
        ("discs.tif", "labels.bmp", ".bmp"),
        ("discs.tif", "no/such/folder/labels.tif", "folder"),
    ],
)
def test_files_that_cannot_be(
    run: Callable[..., object],
    image_file: Path,
    tmp_path: Path,
    semantic_model: Path,
    image: str,
    out: str,
    message: str,
) -> None:
    answer = run("segment", tmp_path / image, tmp_path / out, "--model", semantic_model, *CPU)
    assert answer.code == 1
    assert message in answer.err
    assert names_in(tmp_path) == ["discs.tif"]


def test_probabilities_and_uncertainty_on_request(
    run: Callable[..., object], image_file: Path, tmp_path: Path, semantic_model: Path
) -> None:
    probabilities, uncertainty = tmp_path / "p.ome.zarr", tmp_path / "u.ome.tif"
    more = ("--probabilities", probabilities, "--uncertainty", uncertainty)
    answer = run("segment", image_file, tmp_path / "labels.tif", "--model", semantic_model, *more, *CPU)
    assert answer.code == 0, answer.err
    assert pixels_of(probabilities).shape == (2, 90, 110)
    np.testing.assert_allclose(pixels_of(probabilities).sum(axis=0), 1, rtol=1e-5)
    assert pixels_of(uncertainty).shape == (90, 110)
    assert f"probabilities: {probabilities}" in answer.out


def test_a_smaller_halo_is_told_with_its_seam_error(
    run: Callable[..., object], image_file: Path, tmp_path: Path, semantic_model: Path
) -> None:
    words = ("segment", image_file, tmp_path / "labels.tif", "--model", semantic_model, "--tile-size", 16, *CPU)
    answer = run(*words, "--halo", 8, "--precision", "fp32")
    assert answer.code == 0, answer.err
    line = answer.out.splitlines()[0]
    model = load_model(semantic_model)
    region = {"Y": (16, 48), "X": (32, 64)}
    cut, exact = (
        predict_probabilities(
            open_image(image_file), model, device="cpu", precision="fp32", tile_size=16, halo=halo, region=region
        )
        for halo in (8, "exact")
    )
    difference = np.abs(cut - exact).max()
    assert difference > 1e-4
    assert line.startswith(f"seam error: with this halo class probabilities differ by up to {difference:.2g} ")
    assert line.endswith("(measured on 32 x 32 pixels)")
    assert "seam error" not in run(*words, "--overwrite").out


def test_events_on_stdout_are_json_lines_and_nothing_else(
    run: Callable[..., object], image_file: Path, tmp_path: Path, instance_model: Path
) -> None:
    words = ("--model", instance_model, "--tile-size", 32, "--events", "-", *CPU)
    answer = run("segment", image_file, tmp_path / "labels.tif", *words)
    events = [json.loads(line) for line in answer.out.splitlines()]
    names = [event["event"] for event in events]
    tiles = [event for event in events if event["event"] == "tile"]
    assert names[0] == "plan"
    assert names[-1] == "done"
    assert [tile["done"] for tile in tiles] == list(range(1, events[0]["n_tiles"] + 1))
    assert tiles[0]["region"] == [[0, 32], [0, 32]]
    assert f"labels: {tmp_path / 'labels.tif'}" in answer.err


def test_events_to_a_file(run: Callable[..., object], image_file: Path, tmp_path: Path, semantic_model: Path) -> None:
    lines = tmp_path / "events.jsonl"
    words = ("--model", semantic_model, "--events", lines, *CPU)
    answer = run("segment", image_file, tmp_path / "labels.tif", *words)
    assert answer.out.startswith("segmented in ")
    assert [json.loads(line) for line in lines.read_text().splitlines()][-1]["event"] == "done"


def test_plan_as_json_is_the_plan_of_the_run(
    run: Callable[..., object], image_file: Path, semantic_model: Path
) -> None:
    answer = run("plan", image_file, "--model", semantic_model, "--tile-size", 32, "--json", *CPU)
    assert answer.code == 0, answer.err
    facts = json.loads(answer.out)
    assert facts["tile_size"] == [32, 32]
    assert facts["n_tiles"] == 3 * 4
    assert facts["halo"] == [24, 24]
    assert facts["peak_bytes"] > 0
    assert facts["seconds"] > 0


def test_plan_as_a_table(run: Callable[..., object], image_file: Path, semantic_model: Path) -> None:
    answer = run("plan", image_file, "--model", semantic_model, "--tile-size", 32, *CPU)
    assert answer.code == 0, answer.err
    for text in ("Y 90, X 110", "12 of 32 x 32", "24 x 24", "cpu"):
        assert text in answer.out


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signals; test_interrupt.py stands in")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_interrupted_run_leaves_nothing_behind(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, instance_model: Path, number: int
) -> None:
    image, folder = tmp_path / "image.tif", tmp_path / "results"
    folder.mkdir()
    tifffile.imwrite(image, np.random.default_rng(0).integers(0, 255, (1500, 1500), dtype=np.uint8))
    words = ("--model", instance_model, "--tile-size", 16, "--events", "-", *CPU)
    with start("segment", image, folder / "labels.ome.zarr", *words) as process:
        for line in process.stdout:
            if json.loads(line)["event"] == "tile":
                break
        assert names_in(folder), "it is being written under a temporary name"
        process.send_signal(number)
        asked = time.monotonic()
        _, errors = process.communicate(timeout=60)
    assert time.monotonic() - asked < 10
    assert process.returncode == 130
    assert "Stopping after the step in flight" in errors
    assert "the run was stopped after" in errors
    assert "Traceback" not in errors
    assert names_in(folder) == []
