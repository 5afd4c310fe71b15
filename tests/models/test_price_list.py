"""The price list: which level auto takes, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from napari_seamless.errors import ConfigError, ModelError
from napari_seamless.models.library import load_model
from napari_seamless.models.model import Model, create_model
from napari_seamless.models.package import save_model
from napari_seamless.models.price_list import LevelPrice, auto_level
from napari_seamless.networks.config import NetworkConfig

CONFIG = NetworkConfig(architecture="unetpp", features=(2, 2, 2, 2, 2))


def prices(*scores: float, first: int = 1) -> tuple[LevelPrice, ...]:
    return tuple(
        LevelPrice(level=level, score=score, ms_per_megapixel=100.0 * level, parameters=1000 * level)
        for level, score in enumerate(scores, start=first)
    )


def priced_model(*scores: float) -> Model:
    return create_model(CONFIG, name="priced", price_list=prices(*scores))


@pytest.mark.parametrize(
    ("scores", "level"),
    [
        pytest.param((), 4, id="no price list: the deepest"),
        pytest.param((0.5, 0.6, 0.7, 0.8), 4, id="deeper is better"),
        pytest.param((0.5, 0.795, 0.79, 0.8), 2, id="exactly half a point below"),
        pytest.param((0.5, 0.7949, 0.79, 0.8), 4, id="just more than half a point below"),
        pytest.param((0.5, 0.8, 0.7, 0.6), 2, id="the best is shallow"),
        pytest.param((0.8, 0.8, 0.8, 0.8), 1, id="all alike"),
        pytest.param((0.0, 0.0, 0.0, 0.0), 1, id="all useless"),
        pytest.param((-0.2, 0.3, 0.301, 0.3), 2, id="scores below zero"),
    ],
)
def test_auto_takes_the_shallowest_level_that_is_as_good_as_the_best(scores: tuple[float, ...], level: int) -> None:
    assert auto_level(prices(*scores), CONFIG) == level
    assert priced_model(*scores).auto_level == level


def test_a_price_list_comes_back_from_disk(tmp_path: Path) -> None:
    model = priced_model(0.5, 0.6, 0.7, 0.8)
    for name in ("folder", "file.zip"):
        assert load_model(save_model(model, tmp_path / name)).price_list == model.price_list
    assert json.loads((tmp_path / "folder" / "model.json").read_text())["format_version"] == 2


def test_a_model_without_one_is_readable_by_programs_that_know_none(tmp_path: Path) -> None:
    manifest = json.loads((save_model(create_model(CONFIG), tmp_path / "model") / "model.json").read_text())
    assert manifest["format_version"] == 1
    assert "price_list" not in manifest
    assert load_model(tmp_path / "model").price_list == ()


def test_other_weights_have_other_prices() -> None:
    model = priced_model(0.5, 0.6, 0.7, 0.8)
    weights = model.network.state_dict()
    assert model.with_weights(weights).price_list == ()
    assert model.with_weights(weights, price_list=model.price_list).price_list == model.price_list


@pytest.mark.parametrize(
    "given", [prices(0.5, 0.6), prices(0.5, 0.6, 0.7, 0.8)[::-1], prices(0.1, 0.2, 0.3, 0.4, first=2)]
)
def test_a_list_for_other_levels_is_refused(given: tuple[LevelPrice, ...]) -> None:
    with pytest.raises(ConfigError, match=r"one row for each level of the network, \[1, 2, 3, 4\], not"):
        create_model(CONFIG, price_list=given)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("score", float("nan")),
        ("ms_per_megapixel", 0.0),
        ("ms_per_megapixel", float("inf")),
        ("parameters", 0),
        ("level", 0),
        ("threads", -1),
    ],
)
def test_impossible_prices_are_refused(key: str, value: float) -> None:
    good = {"level": 1, "score": 0.5, "ms_per_megapixel": 10.0, "parameters": 5}
    with pytest.raises(ValidationError):
        LevelPrice(**{**good, key: value})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"level": 1, "score": 0.5}], r"price_list\.0\.ms_per_megapixel: Field required"),
        (
            [{"level": 1, "score": 0.5, "ms_per_megapixel": 1, "parameters": 5, "colour": "red"}],
            r"price_list\.0\.colour: Extra inputs",
        ),
        ([{"level": 1, "score": 0.5, "ms_per_megapixel": 1, "parameters": 5}], "one row for each level"),
    ],
)
def test_a_manifest_with_a_wrong_list_is_refused(tmp_path: Path, rows: list[dict[str, float]], message: str) -> None:
    package = save_model(priced_model(0.5, 0.6, 0.7, 0.8), tmp_path / "model")
    values = json.loads((package / "model.json").read_text())
    (package / "model.json").write_text(json.dumps({**values, "price_list": rows}))
    with pytest.raises(ModelError, match=message):
        load_model(package)
