"""``models``: list, info, verify."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_seamless.inference import selftest
from napari_seamless.models.library import LIBRARY_VARIABLE, load_model
from napari_seamless.models.package import save_model
from napari_seamless.models.price_list import LevelPrice
from napari_seamless.models.remembered import RememberedPatch

LABELS = np.zeros((40, 40), np.uint8)
LABELS[8:24, 12:30] = 1
IMAGE = (50 + 100 * LABELS).astype(np.uint8)


def test_list_names_the_user_s_models_and_where_they_live(
    run: Callable[..., object], semantic_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIBRARY_VARIABLE, str(semantic_model.parent))
    answer = run("models", "list")
    assert answer.code == 0, answer.err
    assert "tiny-semantic" in answer.out
    assert str(semantic_model.parent) in answer.out.replace("\n", "")


def test_info_shows_what_the_model_is(run: Callable[..., object], instance_model: Path) -> None:
    answer = run("models", "info", instance_model)
    assert answer.code == 0, answer.err
    for text in (
        "tiny-instances",
        "instances: background, rim, core",
        "unetpp, 2D, features 4, 8, 16",
        "grey, 1 channel",
    ):
        assert text in answer.out


def test_info_prints_what_each_level_costs_and_which_one_auto_takes(
    run: Callable[..., object], semantic_model: Path, tmp_path: Path
) -> None:
    prices = tuple(
        LevelPrice(
            level=level, score=score, ms_per_megapixel=ms, parameters=n, device="cpu", precision="bf16", threads=2
        )
        for level, score, ms, n in ((1, 0.6954, 123.4, 1234), (2, 0.7, 1234.5, 5678901))
    )
    model = replace(load_model(semantic_model), price_list=prices)
    answer = run("models", "info", save_model(model, tmp_path / "priced"))
    assert answer.code == 0, answer.err
    assert "1, 2; auto takes 1" in answer.out
    assert "cpu in bf16, 2 threads" in answer.out
    rows = [re.findall(r"[\d.,x]+|taken", line) for line in answer.out.splitlines() if re.match(r"\W+[12] ", line)]
    assert rows == [
        ["1", "0.6954", "123", "8", "x", "8", "1,234", "taken"],
        ["2", "0.7000", "1,234", "24", "x", "24", "5,678,901"],
    ]
    assert "auto takes 2 (the deepest" in " ".join(run("models", "info", semantic_model).out.split())


def test_info_of_no_model(run: Callable[..., object]) -> None:
    answer = run("models", "info", "no-such-model")
    assert answer.code == 1
    assert "no model called 'no-such-model'" in answer.err


def test_verify_measures_a_seamless_model(run: Callable[..., object], semantic_model: Path) -> None:
    answer = run("models", "verify", semantic_model, "--device", "cpu")
    assert answer.code == 0, answer.err
    assert "largest difference between class probabilities" in answer.out
    assert "seamless: within rounding" in answer.out


def test_verify_compares_the_fast_precision_with_float32(run: Callable[..., object], semantic_model: Path) -> None:
    answer = run("models", "verify", semantic_model, "--device", "cpu")
    assert re.search(r"against fp32: the same class for \d+\.\d+% of the pixels", answer.out)


def test_verify_scores_annotated_images_in_both_precisions(
    run: Callable[..., object], semantic_model: Path, tmp_path: Path
) -> None:
    for part, pixels in (("images", IMAGE), ("labels", LABELS)):
        (tmp_path / "set" / part).mkdir(parents=True)
        tifffile.imwrite(tmp_path / "set" / part / "field.tif", pixels)
    answer = run("models", "verify", semantic_model, "--device", "cpu", "--data", tmp_path / "set")
    assert answer.code == 0, answer.err
    change = r"\d\.\d{4} \([+-]\d\.\d{4}\)"
    assert re.search(rf"differ from fp32, over 1 place: score {change}, iou {change}, dice {change}\n", answer.out)
    refused = run("models", "verify", semantic_model, "--data", tmp_path / "nothing")
    assert refused.code == 1
    assert "nothing" in refused.err
    assert "pixels in tiles" not in refused.out, "data is looked at before work is done"


def test_verify_scores_what_the_model_remembers(
    run: Callable[..., object], semantic_model: Path, tmp_path: Path
) -> None:
    assert "remembers no annotated images; give some with --data" in run("models", "verify", semantic_model).out
    patches = [RememberedPatch(name, "set", "validation", "YX", IMAGE, LABELS) for name in "ab"]
    model = load_model(semantic_model).with_examples(patches)
    answer = run("models", "verify", save_model(model, tmp_path / "remembers"))
    assert "over 2 places that the model remembers: score" in answer.out


def test_verify_fails_for_a_model_with_seams(
    run: Callable[..., object], semantic_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = selftest.SeamReport(2, ((8, 8), (12, 12)), (49, 49), "cpu", "fp32", largest_difference=0.25)
    monkeypatch.setattr(selftest, "seam_self_test", lambda *model, **options: report)
    answer = run("models", "verify", semantic_model)
    assert answer.code == 1
    assert "0.25" in answer.out
    assert "is not seamless" in answer.err
