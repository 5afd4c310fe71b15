"""Networks are kept between calls, and never a stale one."""

import gc
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from known_models import random_model

from napari_seamless.inference import prepared
from napari_seamless.inference.prepared import forget_prepared, prepared_predictor
from napari_seamless.inference.run import predict_probabilities
from napari_seamless.models.model import Model
from napari_seamless.networks.config import NetworkConfig

OPTIONS = {"level": 1, "device": "cpu", "precision": "fp32"}


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    forget_prepared()
    yield
    forget_prepared()


@pytest.fixture
def model() -> Model:
    """A model whose network has not been built."""
    made = random_model(NetworkConfig(features=(2, 3)))
    assert not made.is_built
    return made


def test_a_network_is_prepared_once(model: Model) -> None:
    first, second = prepared_predictor(model, **OPTIONS), prepared_predictor(model, **OPTIONS)
    assert second.network is first.network
    assert second.transfer is not first.transfer  # buffers for copies belong to one run
    assert prepared_predictor(model, **{**OPTIONS, "precision": "bf16"}).network is not first.network


def test_other_weights_are_another_network(model: Model) -> None:
    image = np.random.default_rng(0).normal(size=(20, 20)).astype(np.float32)
    before = predict_probabilities(image, model, axes="YX")
    with torch.no_grad():
        weights = {name: tensor * 0.5 for name, tensor in model.network_at(1).state_dict().items()}
    assert np.abs(predict_probabilities(image, model.with_weights(weights), axes="YX") - before).max() > 0.01
    assert np.array_equal(predict_probabilities(image, model, axes="YX"), before)


def test_a_network_that_was_changed_in_place_is_seen(model: Model) -> None:
    image = np.random.default_rng(0).normal(size=(20, 20)).astype(np.float32)
    before = predict_probabilities(image, model, axes="YX")
    assert len(prepared._kept) == 1
    for factor in (-1.0, 1.0):
        with torch.no_grad():
            model.network.classifiers["1"].weight.mul_(factor)
        changed = predict_probabilities(image, model, axes="YX")
        assert np.abs(changed - before).max() > 0.01


def test_few_are_kept_and_none_longer_than_its_model() -> None:
    models = [random_model(NetworkConfig(features=(2, 3)), seed=seed) for seed in range(4)]
    networks = [prepared_predictor(model, **OPTIONS).network for model in models]
    assert len(prepared._kept) == prepared.MOST_KEPT
    assert prepared_predictor(models[-1], **OPTIONS).network is networks[-1]
    assert prepared_predictor(models[0], **OPTIONS).network is not networks[0]
    models.clear()
    gc.collect()
    assert not prepared._kept


def test_what_is_not_used_goes(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    network = prepared_predictor(model, **OPTIONS).network
    prepared._look()  # too early
    assert prepared_predictor(model, **OPTIONS).network is network
    monkeypatch.setattr(prepared, "_used_at", prepared._used_at - prepared.KEPT_SECONDS)
    prepared._look()
    assert not prepared._kept
