"""Costs count what the modules really have."""

import pytest

from napari_seamless.networks import build_network
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.cost import weight_values


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
