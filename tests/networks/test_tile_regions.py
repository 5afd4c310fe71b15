"""Computing only what a wanted region depends on changes nothing but the work."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seamless.networks import build_network
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.geometry import geometry
from napari_seamless.networks.tile_regions import pixels, tile_regions

NETWORKS = {
    "unet": {},
    "unet, nearest": {"upsample": "nearest"},
    "unet, bilinear": {"upsample": "bilinear"},
    "unet, unpool": {"upsample": "unpool"},
    "unet, before pooling": {"widening": "before_pooling"},
    "unetpp": {"architecture": "unetpp"},
    "unetpp, nearest": {"architecture": "unetpp", "upsample": "nearest"},
    "unetpp, bilinear": {"architecture": "unetpp", "upsample": "bilinear"},
    "unetpp, one head": {"architecture": "unetpp", "deep_supervision": False},
}
LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


def network_for(config: NetworkConfig) -> torch.nn.Module:
    """In float64: differences that are not rounding stand out."""
    torch.manual_seed(0)
    return build_network(config).eval().double().to(memory_format=LAST[config.spatial_dims])


def cut(values: torch.Tensor, wanted: list[tuple[int, int]]) -> torch.Tensor:
    for axis, (start, stop) in enumerate(wanted, start=2):
        values = values.narrow(axis, start, stop - start)
    return values


@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("dims", [2, 3])
@given(data=st.data())
@settings(max_examples=4)
def test_a_part_is_the_part_of_the_whole(options: dict, padding: str, dims: int, data: st.DataObject) -> None:
    """Anywhere: with all the context it needs, or at the tile's border with none."""
    depth = data.draw(st.integers(1, 3 if dims == 2 else 2), label="depth")
    pools = [data.draw(st.sampled_from([(1, 2, 2), (2, 2, 2)])) for _ in range(depth)] if dims == 3 else None
    config = NetworkConfig(
        spatial_dims=dims,
        features=(2, 4, 4, 6)[: depth + 1],
        padding=padding,
        pool_sizes=None if pools is None else tuple(pools),
        **options,
    )
    level = data.draw(st.sampled_from(config.levels), label="level")
    found = geometry(config, level)
    outer = found.input_sizes([data.draw(st.integers(1, 3 * m), label="inner") for m in found.alignment])
    wanted = []
    for size in found.output_sizes(outer):
        start = data.draw(st.integers(0, size - 1), label="start")
        wanted.append((start, data.draw(st.integers(start + 1, size), label="stop")))
    network = network_for(config)
    image = torch.randn(1, 1, *outer, dtype=torch.float64).contiguous(memory_format=LAST[dims])
    with torch.inference_mode():
        expected, actual = cut(network(image, level), wanted), network(image, level, wanted)
    assert actual.shape == expected.shape
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_parts_of_all_heads_are_parts_of_the_whole(padding: str) -> None:
    config = NetworkConfig(architecture="unetpp", features=(2, 3, 4, 5), padding=padding)
    network = network_for(config)
    image = torch.randn(1, 1, *geometry(config).input_sizes((24, 40)), dtype=torch.float64)
    wanted = [(5, 11), (8, 23)]
    with torch.inference_mode():
        whole, parts = network.heads(image), network.heads(image, wanted)
    assert list(parts) == list(whole) == [1, 2, 3]
    for level in whole:
        torch.testing.assert_close(parts[level], cut(whole[level], wanted), rtol=0, atol=1e-12)


def test_what_is_not_computed_is_not_looked_at() -> None:
    """NaN in what the wanted part does not depend on, anywhere in the tile, stays out of it."""
    config = NetworkConfig(features=(2, 3, 4))
    network, found = network_for(config), geometry(config)
    outer, halo = found.input_sizes((8, 8)), found.halo[0]
    image = torch.full((1, 1, *outer), torch.nan, dtype=torch.float64)
    spare = halo - found.needed_halo[0]
    image[..., spare : outer[0] - spare, spare : outer[1] - spare] = 1
    with torch.inference_mode():
        assert not network(image, None, [(halo, halo + 8)] * 2).isnan().any()
        assert network(image, None, [(halo - 4, halo + 8)] * 2).isnan().any()


def test_regions_of_a_unet() -> None:
    """By hand: 4 poolings, one cell of 16 pixels behind a halo of 96."""
    config = NetworkConfig()
    regions = tile_regions(config, (4,), (208, 208), [(96, 112)] * 2)
    joined = {node: (span[0], span[1]) for node, (span, _) in regions.joined.items()}
    assert joined[(0, 4)] == (94, 114)  # two convolutions
    assert joined[(1, 3)] == (47 - 2, 57 + 2)
    assert joined[(2, 2)] == (22 - 2, 30 + 2)  # 45..59 lie under 22..30
    assert joined[(0, 0)] == (96 - 94, 112 + 94)
    assert regions.head == ((96, 112), (96, 112))


def test_a_whole_output_needs_everything() -> None:
    config = NetworkConfig(features=(2, 3, 4))
    regions = tile_regions(config, (2,), (32, 48))
    assert {node: pixels(region) for node, region in regions.joined.items()} == {
        (0, 0): 32 * 48,
        (1, 0): 16 * 24,
        (2, 0): 8 * 12,
        (1, 1): 16 * 24,
        (0, 2): 32 * 48,
    }
