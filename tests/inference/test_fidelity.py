"""Half precision gives the classes that float32 gives, for a trained network; and where it does not, it is found."""

import numpy as np
import pytest
import torch
from known_models import random_model, threshold_model

from napari_seamless.inference.fidelity import fidelity_test, made_up_objects
from napari_seamless.models.library import load_model
from napari_seamless.models.model import Model, create_model
from napari_seamless.networks.config import NetworkConfig


@pytest.fixture(scope="module")
def trained() -> Model:
    """A small network that has learnt to tell bright objects from the ground, in seconds."""
    model = create_model(NetworkConfig(features=(8, 16, 32)), seed=0)
    image = np.asarray(made_up_objects(model, seed=1).data)[:, :128, :128]
    low, high = np.percentile(image, (1, 99.8))
    values = torch.from_numpy((image - low) / (high - low))[None].float()
    truth = torch.from_numpy((image[0] > 400).astype(np.int64))[None]
    network = model.network.train()
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(50):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(values), truth).backward()
        optimiser.step()
    network.eval()
    return model


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_trained_network_agrees(trained: Model, precision: str) -> None:
    report = fidelity_test(trained, precision=precision, device="cpu")
    assert report.agreement >= 0.999
    assert report.faithful
    assert 0 < report.mean_difference < 0.01
    assert (report.precision, report.shape) == (precision, (256, 256))


def test_the_shipped_model_agrees() -> None:
    model = load_model("nuclei-2d")
    assert fidelity_test(model, precision="bf16", device="cpu").agreement >= 0.999


def test_float32_agrees_with_itself() -> None:
    report = fidelity_test(threshold_model(), precision="fp32", device="cpu")
    assert (report.agreement, report.largest_difference) == (1.0, 0.0)


def test_disagreement_is_found() -> None:
    """The image's values straddle the threshold by less than bf16 can tell."""
    values = 0.5 + np.linspace(-1, 1, 64 * 64).reshape(64, 64) * 2e-3
    values[0, 0], values[-1, -1] = 0.0, 1.0
    report = fidelity_test(threshold_model(0.5), values, axes="YX", precision="bf16", device="cpu")
    assert report.agreement < 0.999
    assert not report.faithful


def test_volumes_and_several_channels() -> None:
    model = random_model(NetworkConfig(spatial_dims=3, in_channels=2, features=(2, 3)), input_kind="channels")
    report = fidelity_test(model, precision="bf16", device="cpu")
    assert report.shape == (48, 48, 48)
