"""Costs count what the modules really have."""

import pytest
import torch
from live_bytes import LiveBytes
from torch.utils.flop_counter import FlopCounterMode

from napari_seamless.networks import build_network
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.cost import tile_cost, weight_values
from napari_seamless.networks.geometry import geometry


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="unet"),
        pytest.param({"architecture": "unetpp"}, id="unetpp"),
        pytest.param({"architecture": "unetpp", "spatial_dims": 3, "upsample": "nearest"}, id="3D nearest"),
        pytest.param({"widening": "before_pooling"}, id="before pooling"),
        pytest.param({"spatial_dims": 3, "pool_sizes": ((1, 2, 2), (2, 2, 2))}, id="anisotropic"),
    ],
)
def test_weights_are_those_of_the_network(settings: dict) -> None:
    config = NetworkConfig(features=(4, 8, 12), **settings)
    for level in config.levels:
        parameters = build_network(config, level).named_parameters()
        expected = sum(tensor.numel() for name, tensor in parameters if tensor.ndim > 1 and "classifiers" not in name)
        assert weight_values(config, level) == expected


TILES = {
    "unet": {},
    "unetpp": {"architecture": "unetpp"},
    "bilinear": {"upsample": "bilinear"},
    "unetpp, nearest": {"architecture": "unetpp", "upsample": "nearest"},
    "valid": {"padding": "valid"},
    "unetpp, valid": {"architecture": "unetpp", "padding": "valid"},
    "z not pooled at first": {"spatial_dims": 3, "pool_sizes": ((1, 2, 2), (2, 2, 2))},
    "before pooling": {"widening": "before_pooling"},
}


@pytest.mark.parametrize("is_cut", [True, False])
@pytest.mark.parametrize("settings", TILES.values(), ids=TILES)
def test_memory_and_arithmetic_of_a_tile_are_predicted(settings: dict, is_cut: bool) -> None:
    config = NetworkConfig(features=(4, 8, 16), norm="none", **settings)
    for level in config.levels:
        network, found = build_network(config, level).eval(), geometry(config, level)
        outer = found.input_sizes((24,) * config.spatial_dims)
        wanted = [(halo - crop, halo - crop + 24) for halo, crop in zip(found.halo, found.crop, strict=True)]
        wanted = wanted if is_cut else None
        with torch.inference_mode(), LiveBytes() as live:
            network(torch.zeros(1, 1, *outer), None, wanted)
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 1, *outer), None, wanted)
        cost = tile_cost(config, (level,), outer, wanted)
        assert live.peak / 4 == pytest.approx(cost.peak_values, rel=1e-6)
        assert counter.get_total_flops() / 2 == pytest.approx(cost.multiply_adds, rel=0.02)  # heads are not counted
