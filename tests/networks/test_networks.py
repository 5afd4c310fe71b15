"""One code path for both architectures: heads, pruning, padding, up-sampling."""

import pytest
import torch
from torch import nn

from napari_seamless.errors import ConfigError, LevelError
from napari_seamless.networks import build_network
from napari_seamless.networks.blocks import Upsample, pool_with_positions
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.geometry import geometry
from napari_seamless.networks.graph import inputs_of, nodes_for
from napari_seamless.networks.unet import UNet
from napari_seamless.networks.unetpp import UNetPlusPlus

NESTED = NetworkConfig(architecture="unetpp", features=(3, 4, 5, 6), out_channels=2)


def with_statistics(network: nn.Module) -> nn.Module:
    """Give batch norms running statistics that matter."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return network.eval()


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("upsample", ["transposed", "nearest", "bilinear"])
def test_pruned_level_is_bitwise_the_head_of_the_full_network(spatial_dims: int, padding: str, upsample: str) -> None:
    config = NetworkConfig(
        architecture="unetpp", spatial_dims=spatial_dims, features=(3, 4, 5), padding=padding, upsample=upsample
    )
    network = with_statistics(build_network(config))
    image = torch.rand(1, 1, *geometry(config).input_sizes((8,) * spatial_dims))
    with torch.inference_mode():
        heads = network.heads(image)
        for level in config.levels:
            pruned = network(image, level)
            margin = (pruned.shape[-1] - heads[level].shape[-1]) // 2
            for axis in range(2, 2 + spatial_dims):
                pruned = pruned.narrow(axis, margin, heads[level].shape[axis])
            assert torch.equal(pruned, heads[level])


def test_pruned_network_runs_only_what_it_needs() -> None:
    network = build_network(NESTED).eval()
    ran: list[str] = []
    for name, block in network.blocks.items():
        block[0].register_forward_hook(lambda *_, name=name: ran.append(name))
    with torch.inference_mode():
        network(torch.zeros(1, 1, 8, 8), 2)
    assert sorted(ran) == ["x_0_0", "x_0_1", "x_0_2", "x_1_0", "x_1_1", "x_2_0"]


def test_pruned_network_is_built_without_the_rest() -> None:
    full, pruned = build_network(NESTED), build_network(NESTED, level=2)
    assert set(pruned.state_dict()) < set(full.state_dict())
    assert not any(name.startswith("blocks.x_3_0") for name in pruned.state_dict())
    assert sorted(pruned.classifiers) == ["1", "2"]


def test_node_results_are_dropped_after_their_last_use() -> None:
    network = build_network(NESTED).eval()
    alive: list[int] = []
    original = network._joined

    def counting(node, image, regions, values, positions):  # type: ignore[no-untyped-def]
        alive.append(len(values))
        return original(node, image, regions, values, positions)

    network._joined = counting
    with torch.inference_mode():
        network(torch.zeros(1, 1, 8, 8))
    assert len(alive) == 10
    assert max(alive) == 7  # of 10: the first three diagonals and x_3_0, after which nodes go as they come
    assert alive[-1] == 4  # x_0_3 reads x_0_0, x_0_1, x_0_2 and x_1_2


def test_accurate_mode_is_the_mean_of_the_heads() -> None:
    network = with_statistics(build_network(NESTED))
    image = torch.rand(2, 1, 16, 8)
    with torch.inference_mode():
        expected = torch.stack([network(image, level).softmax(1) for level in (1, 2, 3)]).mean(0)
        torch.testing.assert_close(network.mean_probabilities(image), expected)


def test_unetpp_without_deep_supervision_has_one_head() -> None:
    network = build_network(NetworkConfig(architecture="unetpp", features=(2, 2, 2), deep_supervision=False))
    assert list(network.heads(torch.zeros(1, 1, 8, 8))) == [2]
    with pytest.raises(LevelError, match="level 1 has no head"):
        network(torch.zeros(1, 1, 8, 8), 1)


def test_graph_of_unetpp_and_unet() -> None:
    unetpp = NetworkConfig(architecture="unetpp", features=(1, 1, 1))
    assert nodes_for(unetpp) == ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
    assert inputs_of(unetpp, (0, 2)) == ((0, 0), (0, 1), (1, 1))
    unet = NetworkConfig(features=(1, 1, 1))
    assert nodes_for(unet) == ((0, 0), (1, 0), (2, 0), (1, 1), (0, 2))
    assert inputs_of(unet, (0, 2)) == ((0, 0), (1, 1))


def test_architectures_are_what_they_say() -> None:
    assert isinstance(build_network(NetworkConfig(features=(1, 1))), UNet)
    assert isinstance(build_network(NESTED), UNetPlusPlus)


def test_linear_upsampling_is_torchs() -> None:
    upsample = Upsample(NetworkConfig(features=(2, 2), upsample="bilinear"), 0)
    image = torch.rand(1, 2, 5, 4)
    expected = nn.functional.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(upsample(image), expected)


@pytest.mark.parametrize("factors", [(2, 2), (1, 2), (2, 1)])
def test_unpooling_is_torchs(factors: tuple[int, int]) -> None:
    config = NetworkConfig(features=(2, 2), upsample="unpool", pool_sizes=(factors,))
    upsample = Upsample(config, 0)
    image = torch.rand(1, 2, 8, 6)
    pooled, positions = pool_with_positions(image, factors)
    _, flat = nn.functional.max_pool2d(image, factors, return_indices=True)
    expected = nn.functional.max_unpool2d(pooled, flat, factors)
    assert torch.equal(upsample(pooled, positions), expected)


def test_unpooling_in_three_dimensions_is_torchs() -> None:
    upsample = Upsample(NetworkConfig(spatial_dims=3, features=(2, 2), upsample="unpool", pool_sizes=((1, 2, 2),)), 0)
    image = torch.rand(1, 2, 3, 8, 6)
    pooled, positions = pool_with_positions(image, (1, 2, 2))
    _, flat = nn.functional.max_pool3d(image, (1, 2, 2), return_indices=True)
    assert torch.equal(upsample(pooled, positions), nn.functional.max_unpool3d(pooled, flat, (1, 2, 2)))


def test_dropout_acts_on_the_deepest_features_in_training_only() -> None:
    network = build_network(NetworkConfig(features=(2, 4), dropout=0.5, norm="none"))
    image = torch.rand(1, 1, 8, 8)
    assert not torch.equal(network.train()(image), network(image))
    assert torch.equal(network.eval()(image), network(image))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"architecture": "resnet"}, "architecture must be one of", id="architecture"),
        pytest.param({"spatial_dims": 4}, "spatial_dims must be one of", id="dims"),
        pytest.param({"features": (32,)}, "needs at least 2 levels", id="one level"),
        pytest.param({"features": (32, 0)}, "at least 1, not 0", id="no features"),
        pytest.param({"in_channels": 1.5}, "whole number of at least 1, not 1.5", id="half a channel"),
        pytest.param({"dropout": 1.0}, "below 1, not 1.0", id="dropout of everything"),
        pytest.param({"norm": "instance"}, "norm must be one of", id="a norm that makes seams"),
        pytest.param({"architecture": "unetpp", "upsample": "unpool"}, "'unet' only", id="unpooling UNet++"),
        pytest.param({"features": (2, 2, 2), "pool_sizes": ((2, 2),)}, "each of the 2 poolings, not 1", id="poolings"),
        pytest.param({"features": (2, 2), "pool_sizes": ((3, 3),)}, r"factors of 1 or 2, not \(3, 3\)", id="factor 3"),
        pytest.param({"features": (2, 2), "pool_sizes": ((1, 1),)}, "must reduce at least one axis", id="no pooling"),
        pytest.param({"features": (3, 4), "widening": "before_pooling"}, "must be even", id="odd features"),
    ],
)
def test_impossible_configurations_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NetworkConfig(**settings)  # type: ignore[arg-type]


def test_configuration_round_trip() -> None:
    config = NetworkConfig(spatial_dims=3, features=(2, 4), pool_sizes=((1, 2, 2),))
    assert NetworkConfig.from_dict(config.as_dict()) == config
    with pytest.raises(ConfigError, match=r"unknown network settings \['attention'\]"):
        NetworkConfig.from_dict({**config.as_dict(), "attention": True})
