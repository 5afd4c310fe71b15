"""The papers' own numbers: parameters, sizes, multiply-adds."""

import pytest
import torch

from napari_seamless.networks import build_network
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.cost import multiply_adds_per_pixel
from napari_seamless.networks.geometry import geometry, valid_sizes

U_NET_2015 = NetworkConfig(features=(64, 128, 256, 512, 1024), padding="valid", norm="none")
U_NET_3D_2016 = NetworkConfig(
    spatial_dims=3,
    in_channels=3,
    out_channels=3,
    features=(64, 128, 256, 512),
    padding="valid",
    norm="none",
    widening="before_pooling",
)
U_NET_2018 = NetworkConfig(norm="none", out_channels=1)
U_NET_PLUS_PLUS_2018 = NetworkConfig(architecture="unetpp", norm="none", out_channels=1)


def parameters_of(config: NetworkConfig, level: int | None = None) -> int:
    return sum(parameter.numel() for parameter in build_network(config, level).parameters())


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        pytest.param(U_NET_2015, 31_030_658, id="U-Net, Ronneberger 2015"),
        pytest.param(U_NET_3D_2016, 19_069_955, id="3D U-Net, Cicek 2016"),
        pytest.param(U_NET_2018, 7_759_521, id="U-Net as compared by Zhou 2018: 7.76M"),
        pytest.param(U_NET_PLUS_PLUS_2018, 9_041_700, id="UNet++, Zhou 2018: 9.04M"),
    ],
)
def test_parameters(config: NetworkConfig, expected: int) -> None:
    assert parameters_of(config) == expected


def test_u_net_2015_has_23_convolutions() -> None:
    kinds = (torch.nn.Conv2d, torch.nn.ConvTranspose2d)
    assert sum(isinstance(module, kinds) for module in build_network(U_NET_2015).modules()) == 23


@pytest.mark.parametrize(("level", "millions"), [(1, 0.101), (2, 0.511), (3, 2.205), (4, 9.042)])
def test_pruned_network_has_no_unneeded_parameters(level: int, millions: float) -> None:
    assert parameters_of(U_NET_PLUS_PLUS_2018, level) / 1e6 == pytest.approx(millions, abs=5e-4)


@pytest.mark.parametrize(("level", "thousands"), [(1, 53), (2, 136 - 0.5), (3, 266), (4, 454)])
def test_multiply_adds(level: int, thousands: float) -> None:
    assert multiply_adds_per_pixel(U_NET_PLUS_PLUS_2018, level) / 1e3 == pytest.approx(thousands, abs=0.6)


def test_valid_sizes_of_2015() -> None:
    sizes = dict(valid_sizes(U_NET_2015, 600))
    assert sizes[572] == 388
    assert geometry(U_NET_2015).crop == (92, 92)


def test_valid_sizes_of_2016() -> None:
    sizes = dict(valid_sizes(U_NET_3D_2016, 140))
    assert (sizes[132], sizes[116]) == (44, 28)


def test_network_gives_the_valid_sizes_of_2016() -> None:
    thin = NetworkConfig(spatial_dims=3, features=(2, 4, 8, 16), padding="valid", widening="before_pooling")
    with torch.inference_mode():
        assert build_network(thin)(torch.zeros(1, 1, 132, 132, 116)).shape == (1, 2, 44, 44, 28)


def test_network_gives_the_valid_sizes_of_2015() -> None:
    thin = NetworkConfig(features=(2, 2, 2, 2, 2), padding="valid")
    with torch.inference_mode():
        assert build_network(thin)(torch.zeros(1, 1, 572, 572)).shape == (1, 2, 388, 388)


def test_he_initialisation() -> None:
    torch.manual_seed(0)
    network = build_network(NetworkConfig(features=(64, 128), norm="none"))
    convolution = network.blocks["x_1_0"][0]
    assert float(convolution.weight.detach().std()) == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.02)
    up = network.upsamples["x_0_1"].change
    assert float(up.weight.detach().std()) == pytest.approx((2 / 128) ** 0.5, rel=0.02)
    assert float(convolution.bias.detach().abs().max()) == 0
