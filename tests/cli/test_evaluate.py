"""``evaluate``: two files, or two folders with the same names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_seamless import metrics


def squares(*corners: int) -> np.ndarray:
    labels = np.zeros((64, 64), dtype=np.uint16)
    for number, corner in enumerate(corners, start=1):
        labels[corner : corner + 8, corner : corner + 8] = number
    return labels


def write(path: Path, labels: np.ndarray) -> Path:
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, labels)
    return path


@pytest.fixture
def half_right(tmp_path: Path) -> tuple[Path, Path]:
    """One of two objects is found."""
    return write(tmp_path / "predicted.tif", squares(0, 40)), write(tmp_path / "truth.tif", squares(0, 20))


def test_json_holds_the_known_scores(run: Callable[..., object], half_right: tuple[Path, Path]) -> None:
    answer = run("evaluate", *half_right, "--json")
    assert answer.code == 0, answer.err
    scores = json.loads(answer.out)
    assert scores["ap50"] == pytest.approx(1 / 3)
    assert scores["iou"] == pytest.approx(64 / 192)
    assert scores["dice"] == pytest.approx(0.5)
    assert (scores["n_predicted"], scores["n_truth"]) == (2, 2)


def test_table_shows_the_scores(run: Callable[..., object], half_right: tuple[Path, Path]) -> None:
    answer = run("evaluate", *half_right)
    assert answer.code == 0
    assert "ap50" in answer.out
    assert "0.333" in answer.out


def test_folders_give_each_file_and_the_mean(run: Callable[..., object], tmp_path: Path) -> None:
    predicted, truth = tmp_path / "predicted", tmp_path / "truth"
    write(predicted / "a.ome.tif", squares(0, 40))
    write(truth / "a.tif", squares(0, 20))
    write(predicted / "b.tif", squares(0, 20, 40))
    write(truth / "b.tif", squares(0, 20, 40))
    write(predicted / "not_in_truth.tif", squares(0))
    answer = run("evaluate", predicted, truth, "--json")
    assert answer.code == 0, answer.err
    scores = json.loads(answer.out)
    assert sorted(scores["files"]) == ["a", "b"]
    assert scores["files"]["b"]["ap50"] == 1
    assert scores["all"]["ap50"] == pytest.approx((1 / 3 + 1) / 2)
    assert scores["all"]["n_truth"] == 5
    assert scores["pooled"]["ap50"] == pytest.approx(4 / 6)
    assert "left out" in answer.err
    assert "not_in_truth" in answer.err
    table = run("evaluate", predicted, truth).out
    rows = [line.split() for line in table.splitlines() if line[1:].strip()]
    assert [row[1] for row in rows if row[0] == "│"] == ["a", "b", "mean", "pooled"]
    assert "0.667" in table


def test_pooled_precision_counts_objects_and_not_images(run: Callable[..., object], tmp_path: Path) -> None:
    predicted, truth = tmp_path / "predicted", tmp_path / "truth"
    write(predicted / "one.tif", squares(0))
    write(truth / "one.tif", squares(0))
    write(predicted / "three.tif", squares(0))
    write(truth / "three.tif", squares(10, 30, 50))
    scores = json.loads(run("evaluate", predicted, truth, "--json").out)
    assert scores["all"]["ap50"] == pytest.approx(1 / 2)
    assert scores["pooled"]["ap50"] == pytest.approx(1 / 5)


def no_comparison(*labels: object) -> None:
    raise AssertionError("everything that is wrong is said before the first comparison")


def test_a_missing_partner_is_named(
    run: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "compare", no_comparison)
    write(tmp_path / "predicted" / "a.tif", squares(0))
    write(tmp_path / "truth" / "a.tif", squares(0))
    write(tmp_path / "truth" / "b.tif", squares(0))
    answer = run("evaluate", tmp_path / "predicted", tmp_path / "truth")
    assert answer.code == 1
    assert "'b'" in answer.err


def test_an_empty_folder_is_refused(run: Callable[..., object], tmp_path: Path) -> None:
    for name in ("predicted", "truth"):
        (tmp_path / name).mkdir()
    answer = run("evaluate", tmp_path / "predicted", tmp_path / "truth")
    assert answer.code == 1
    assert "holds no labels" in answer.err


def test_shapes_that_differ_are_refused(run: Callable[..., object], tmp_path: Path) -> None:
    predicted = write(tmp_path / "predicted.tif", squares(0)[:60])
    answer = run("evaluate", predicted, write(tmp_path / "truth.tif", squares(0)))
    assert answer.code == 1
    assert "(60, 64)" in answer.err
    assert "unexpected" not in answer.err


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        pytest.param(squares(0)[:60], "b: predicted and true labels must have one shape, not (60, 64)", id="shape"),
        pytest.param(squares(0).astype(np.float32), "b: labels are whole numbers", id="type"),
    ],
)
def test_what_does_not_fit_is_said_before_the_first_comparison(
    run: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoilt: np.ndarray, message: str
) -> None:
    monkeypatch.setattr(metrics, "compare", no_comparison)
    for name, labels in (("a", squares(0)), ("b", spoilt)):
        write(tmp_path / "predicted" / f"{name}.tif", labels)
        write(tmp_path / "truth" / f"{name}.tif", squares(0))
    answer = run("evaluate", tmp_path / "predicted", tmp_path / "truth")
    assert answer.code == 1
    assert message in answer.err


def test_two_files_of_one_name_are_refused(run: Callable[..., object], tmp_path: Path) -> None:
    for name in ("a.tif", "a.ome.tif"):
        write(tmp_path / "predicted" / name, squares(0))
    write(tmp_path / "truth" / "a.tif", squares(0))
    answer = run("evaluate", tmp_path / "predicted", tmp_path / "truth")
    assert answer.code == 1
    assert "two labels files called 'a', a.ome.tif and a.tif: take one out" in answer.err
