"""Memory of training: the estimate against what torch keeps, and the patches that follow from it."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import pytest
import torch

from napari_seamless.errors import OutOfMemoryError
from napari_seamless.networks import build_network
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.geometry import geometry
from napari_seamless.training import setup
from napari_seamless.training.loop import train
from napari_seamless.training.memory import (
    SAFE_SHARE,
    fit_to_memory,
    saved_bytes_per_pixel,
    training_bytes,
    training_bytes_per_pixel,
)
from tests.training.test_loop import EXAMPLES, QUICK, SMALL

PLUS = NetworkConfig(architecture="unetpp", features=(8, 16, 32), out_channels=3)
VOLUME = NetworkConfig(spatial_dims=3, features=(8, 16, 32), pool_sizes=((1, 2, 2), (2, 2, 2)))
VALID = NetworkConfig(features=(8, 16), padding="valid")


def kept_bytes(config: NetworkConfig, sides: tuple[int, ...]) -> int:
    """Return the bytes that a forward pass keeps for the backward pass, but for the weights."""
    network = build_network(config).train()
    weights = {values.untyped_storage().data_ptr() for values in network.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(values: torch.Tensor) -> torch.Tensor:
        if values.untyped_storage().data_ptr() not in weights:
            kept[values.untyped_storage().data_ptr()] = values
        return values

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda values: values):
        heads = network.heads(torch.randn(1, config.in_channels, *sides))
    assert heads
    return sum(values.untyped_storage().nbytes() for values in kept.values())


@pytest.mark.parametrize(
    ("config", "sides"),
    [
        (PLUS, (64, 96)),
        (NetworkConfig(architecture="unetpp", features=(8, 16, 32), norm="none"), (64, 96)),
        (NetworkConfig(architecture="unet", features=(8, 16, 32, 64), in_channels=3), (64, 96)),
        (NetworkConfig(architecture="unetpp", features=(8, 16, 32), upsample="bilinear"), (64, 96)),
        (NetworkConfig(features=(8, 16, 32), widening="before_pooling"), (64, 96)),
        (VOLUME, (8, 32, 32)),
    ],
    ids=["unetpp", "no norm", "unet", "bilinear", "widening", "volume"],
)
def test_what_torch_keeps_is_what_is_estimated(config, sides):
    measured = kept_bytes(config, sides) / prod(sides)
    assert saved_bytes_per_pixel(config, "fp32") == pytest.approx(measured, rel=0.01)
    assert training_bytes_per_pixel(config, "fp32") > 1.2 * measured


def test_valid_padding_keeps_less_than_is_estimated():
    assert kept_bytes(VALID, (64, 64)) < saved_bytes_per_pixel(VALID, "fp32") * 64 * 64


def test_half_precision_keeps_about_half():
    ratio = training_bytes_per_pixel(PLUS, "bf16") / training_bytes_per_pixel(PLUS, "fp32")
    assert 0.5 < ratio < 0.65


def free_for(config, patch, batch):
    """Return the free memory into which just so much fits."""
    return int(training_bytes(config, patch, batch, "fp32") / SAFE_SHARE) + 16


@pytest.mark.parametrize(
    ("patch", "batch", "found"),
    [
        ((192, 192), 8, ((192, 192), 8)),
        ((192, 192), 3, ((192, 192), 3)),
        ((192, 192), 2, ((192, 192), 2)),
        ((192, 188), 2, ((188, 188), 2)),
        ((100, 100), 2, ((100, 100), 2)),
        ((16, 16), 2, ((16, 16), 2)),
        ((16, 16), 1, ((16, 16), 1)),
    ],
    ids=str,
)
def test_the_batch_shrinks_before_the_patch(patch, batch, found):
    assert fit_to_memory(PLUS, (192, 192), 8, free_for(PLUS, patch, batch), "fp32") == found


def test_the_largest_that_fits_is_taken():
    free = free_for(PLUS, (192, 192), 8)
    assert fit_to_memory(PLUS, (192, 192), 8, 10 * free, "fp32") == ((192, 192), 8)
    assert fit_to_memory(PLUS, (192, 192), 8, free - 1000, "fp32") == ((192, 192), 7)


def test_volumes_shrink_their_longest_sides_first():
    shrunk, batch = fit_to_memory(VOLUME, (32, 64, 64), 2, free_for(VOLUME, (32, 40, 40), 2), "fp32")
    assert (shrunk, batch) == ((32, 40, 40), 2)


def test_what_is_given_stays():
    free = free_for(PLUS, (64, 64), 2)
    patch, batch = fit_to_memory(PLUS, (192, 192), 8, free, "fp32", batch_is_given=True)
    assert batch == 8
    assert patch[0] < 64
    with pytest.raises(OutOfMemoryError, match=r"on 1 patches of 192 x 192 in fp32 takes about \d+ MiB"):
        fit_to_memory(PLUS, (192, 192), 8, free, "fp32", patch_is_given=True)
    assert fit_to_memory(PLUS, (192, 192), 8, 0, "fp32", patch_is_given=True, batch_is_given=True) == ((192, 192), 8)


@pytest.mark.parametrize("config", [VOLUME, VALID, PLUS], ids=["volume", "valid", "plain"])
def test_smaller_patches_still_fit_the_network(config):
    start = tuple(geometry(config).input_sizes([64] * config.spatial_dims))
    shrunk, _ = fit_to_memory(config, start, 8, free_for(config, start, 1), "fp32")
    assert prod(shrunk) < prod(start)
    assert min(geometry(config).output_sizes(shrunk)) > 0


def test_no_memory_is_an_error():
    with pytest.raises(OutOfMemoryError, match=r"only 0 MiB may be used: choose narrower features, a smaller patch"):
        fit_to_memory(PLUS, (192, 192), 8, 1000, "fp32")


def test_training_looks_at_the_memory(monkeypatch):
    config = NetworkConfig(architecture="unetpp", features=SMALL["features"], out_channels=3)
    monkeypatch.setattr(setup, "free_memory", lambda device: free_for(config, (32, 32), 2))
    notices = []
    options = replace(QUICK, epochs=1, steps_per_epoch=1, patch_size=None, batch_size=None)
    train(EXAMPLES, options, on_event=lambda event: notices.append(event.fields.get("message", "")), **SMALL)
    assert "2 patches of 32 x 32 a step" in notices[0]
