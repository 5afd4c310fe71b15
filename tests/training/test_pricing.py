"""What each level is worth and costs."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from napari_seamless.errors import Cancelled
from napari_seamless.events import never_stop
from napari_seamless.inference.predictor import Predictor
from napari_seamless.models.model import Model, create_model
from napari_seamless.networks import build_network, count_parameters
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.training import pricing
from napari_seamless.training.pricing import price_levels

CONFIG = NetworkConfig(architecture="unetpp", features=(2, 4, 8, 8), out_channels=3)
HELD_OUT = ["what was held out"]


@pytest.fixture(scope="module")
def model() -> Model:
    return create_model(CONFIG, task="instances", seed=1)


def test_every_level_gets_its_own_score(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def score(*given: Any, level: int) -> dict[str, float]:
        asked.append(given)
        return {"score": 0.12345 * level, "iou": 0.9}

    monkeypatch.setattr(pricing, "score_examples", score)
    found = price_levels(model, HELD_OUT, "cpu", "fp32")
    assert [price.level for price in found] == [1, 2, 3]
    assert [price.score for price in found] == [0.1235, 0.2469, 0.3704]
    assert asked == [(model, HELD_OUT, "cpu", "fp32", never_stop)] * 3
    assert {(price.device, price.precision, price.threads) for price in found} == {
        ("cpu", "fp32", torch.get_num_threads())
    }


def test_parameters_are_those_of_the_nodes_that_a_level_needs(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pricing, "score_examples", lambda *given, **options: {"score": 0.5})
    for price in price_levels(model, HELD_OUT, "cpu", "fp32"):
        network = build_network(CONFIG, price.level)
        assert price.parameters == sum(weights.numel() for weights in network.parameters())


def test_the_paper_s_network_has_nine_million_parameters() -> None:
    # Zhou 2018: 9.04 M.
    assert 9.04e6 <= count_parameters(NetworkConfig(architecture="unetpp")) < 9.05e6


def test_times_are_medians_per_megapixel_of_the_predictor_that_runs_use(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]

    def slow(self: Predictor, outer: Any) -> None:
        turn = calls.count(self.levels)
        calls.append(self.levels)
        # 10 s a megapixel at level 1, 20 at level 2, ...; the turn that warms up and one other are much slower.
        clock[0] += 10 * self.levels[-1] * outer[0].size / 1e6 * (50 if turn in (0, 3) else 1)

    calls: list[tuple[int, ...]] = []
    monkeypatch.setattr(Predictor, "__call__", slow)
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(pricing, "score_examples", lambda *given, **options: {"score": 0.5})
    found = price_levels(model, HELD_OUT, "cpu", "fp32")
    assert [price.ms_per_megapixel for price in found] == pytest.approx([10_000, 20_000, 30_000])
    assert calls[:6] == [(1,), (2,), (3,)] * 2


def test_a_network_with_one_head_has_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pricing, "score_examples", lambda *given, **options: {"score": 0.5})
    (row,) = price_levels(create_model(NetworkConfig(features=(2, 4, 4))), HELD_OUT, "cpu", "fp32")
    assert row.level == 2


def test_nothing_held_out_gives_no_list(model: Model) -> None:
    assert price_levels(model, []) == ()


def test_stopping_ends_it(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pricing, "score_examples", lambda *given, **options: {"score": 0.5})
    with pytest.raises(Cancelled, match="not priced"):
        price_levels(model, HELD_OUT, "cpu", "fp32", lambda: True)
