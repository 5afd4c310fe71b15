"""``train``: a folder of images and labels in, a model out; Ctrl-C keeps what was learnt."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_seamless import load_model

TINY = ("--features", "4,8", "--patch-size", "32,32", "--batch-size", "2", "--device", "cpu")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Six images of bright discs, with a label for each disc."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :64]
    for folder in ("images", "labels"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for index in range(6):
        labels = np.zeros((64, 64), dtype=np.uint16)
        for number, (row, column) in enumerate(random.integers(10, 54, (4, 2)), start=1):
            labels[(rows - row) ** 2 + (columns - column) ** 2 < 50] = number
        pixels = random.normal(100, 5, (64, 64)) + 200 * (labels > 0)
        tifffile.imwrite(tmp_path / "data" / "images" / f"{index}.tif", pixels.astype(np.uint16))
        tifffile.imwrite(tmp_path / "data" / "labels" / f"{index}.tif", labels)
    return tmp_path / "data"


def test_model_is_saved_with_its_card(run: Callable[..., object], dataset: Path, tmp_path: Path) -> None:
    out, lines = tmp_path / "discs", tmp_path / "events.jsonl"
    card = ("--description", "bright discs", "--licence", "CC0-1.0", "--source", "made in code")
    answer = run("train", dataset, "--out", out, "--epochs", 1, *TINY, *card, "--events", lines, "--half")
    assert answer.code == 0, answer.err
    assert "1 epoch in " in answer.out
    assert answer.out.endswith(f"model: {out}\n")
    model = load_model(out)
    assert (model.name, model.task, model.config.features) == ("discs", "instances", (4, 8))
    assert model.card.description == "bright discs"
    assert model.card.training_data == ("made in code",)
    assert model.card.command.startswith(f"napari-seamless train {dataset} --out {out} --epochs 1 ")
    assert "ap50" in model.card.scores
    names = [json.loads(line)["event"] for line in lines.read_text().splitlines()]
    assert names[-3:] == ["epoch", "validation", "done"]
    assert "epoch 1: loss " in answer.err


def test_semantic_classes_have_names(run: Callable[..., object], dataset: Path, tmp_path: Path) -> None:
    for path in (dataset / "labels").iterdir():
        tifffile.imwrite(path, (tifffile.imread(path) > 0).astype(np.uint8))
    words = ("--task", "semantic", "--classes", "ground,disc", "--architecture", "unet", "--epochs", 1)
    answer = run("train", dataset, "--out", tmp_path / "discs.zip", *words, *TINY)
    assert answer.code == 0, answer.err
    model = load_model(tmp_path / "discs.zip")
    assert (model.task, model.classes, model.config.architecture) == ("semantic", ("ground", "disc"), "unet")


def test_existing_model_is_refused_before_training(
    run: Callable[..., object], dataset: Path, semantic_model: Path
) -> None:
    answer = run("train", dataset, "--out", semantic_model, *TINY)
    assert answer.code == 1
    assert "exists already" in answer.err
    assert "epoch" not in answer.err


def test_folder_that_is_no_dataset(run: Callable[..., object], tmp_path: Path) -> None:
    answer = run("train", tmp_path, "--out", tmp_path / "model", *TINY)
    assert answer.code == 1
    assert "images/ and labels/" in answer.err
    assert not (tmp_path / "model").exists()


def test_numbers_that_are_none_are_wrong_usage(run: Callable[..., object], dataset: Path, tmp_path: Path) -> None:
    answer = run("train", dataset, "--out", tmp_path / "model", "--features", "4,many")
    assert answer.code == 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no signals; test_interrupt.py stands in")
def test_interrupted_training_keeps_the_best_weights(
    start: Callable[..., subprocess.Popen[str]], dataset: Path, tmp_path: Path
) -> None:
    with start("train", dataset, "--out", tmp_path / "discs", "--epochs", 10000, *TINY, "--events", "-") as process:
        for line in process.stdout:
            if json.loads(line)["event"] == "validation":
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"the best weights are in {tmp_path / 'discs'}" in errors
    assert "Traceback" not in errors
    assert load_model(tmp_path / "discs").card.scores


def test_training_goes_on_from_a_model(run: Callable[..., object], dataset: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert run("train", dataset, "--out", first, "--epochs", 1, *TINY).code == 0
    words = ("--start-from", first, "--epochs", 1, "--learning-rate", 1e-9, "--patch-size", "32,32", "--device", "cpu")
    answer = run("train", dataset, "--out", second, *words)
    assert answer.code == 0, answer.err
    before, after = load_model(first), load_model(second)
    assert (after.name, after.parent, after.config) == ("second", "first", before.config)
    kernels = [name for name, values in before.network.state_dict().items() if values.ndim == 4]
    for name in kernels:
        difference = after.network.state_dict()[name] - before.network.state_dict()[name]
        assert float(difference.abs().max()) < 1e-5
