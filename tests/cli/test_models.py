"""``models``: list, info, verify."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from napari_seamless.inference import selftest
from napari_seamless.models.library import LIBRARY_VARIABLE


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


def test_verify_fails_for_a_model_with_seams(
    run: Callable[..., object], semantic_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = selftest.SeamReport(2, ((8, 8), (12, 12)), (49, 49), "cpu", "fp32", largest_difference=0.25)
    monkeypatch.setattr(selftest, "seam_self_test", lambda *model, **options: report)
    answer = run("models", "verify", semantic_model)
    assert answer.code == 1
    assert "0.25" in answer.out
    assert "is not seamless" in answer.err
