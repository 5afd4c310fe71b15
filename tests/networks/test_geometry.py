"""Halos are exact: NaN put one pixel beyond them never arrives, NaN put at their edge does."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seamless.errors import LevelError, TileSizeError
from napari_seamless.networks import build_network
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.geometry import Geometry, geometry, valid_sizes

DEPTHS = (1, 2, 3, 4, 5)


def thin(depth: int, **settings: object) -> NetworkConfig:
    return NetworkConfig(features=(2,) * (depth + 1), norm="none", **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("upsample", ["transposed", "nearest", "unpool"])
@pytest.mark.parametrize(
    ("depth", "needed", "aligned"), [(1, 8, 8), (2, 22, 24), (3, 46, 48), (4, 94, 96), (5, 190, 192)]
)
def test_halo_table(depth: int, needed: int, aligned: int, upsample: str) -> None:
    found = geometry(thin(depth, upsample=upsample))
    assert (found.needed_halo, found.halo) == ((needed,) * 2, (aligned,) * 2)


@pytest.mark.parametrize(
    ("depth", "needed", "aligned"), [(1, 10, 10), (2, 26, 28), (3, 54, 56), (4, 110, 112), (5, 222, 224)]
)
def test_halo_table_of_linear_upsampling(depth: int, needed: int, aligned: int) -> None:
    found = geometry(thin(depth, upsample="bilinear"))
    assert (found.needed_halo, found.halo) == ((needed,) * 2, (aligned,) * 2)


@pytest.mark.parametrize("depth", DEPTHS)
def test_crop_of_valid_padding(depth: int) -> None:
    found = geometry(thin(depth, padding="valid"))
    m = 2**depth
    assert found.crop == (6 * m - 4,) * 2
    for size, output in valid_sizes(thin(depth, padding="valid"), 20 * m):
        k = (size - 4 * (m - 1)) // m
        assert (size, output) == (m * k + 4 * (m - 1), m * (k - 8) + 4)


@pytest.mark.parametrize("depth", DEPTHS)
def test_head_of_unetpp_has_the_halo_of_its_depth(depth: int) -> None:
    assert geometry(thin(5, architecture="unetpp"), depth) == geometry(thin(depth))


def spreads_to_inner_region(config: NetworkConfig, distance: int, axis: int = 0, level: int | None = None) -> bool:
    """Whether NaN at `distance` pixels before an aligned inner region changes the region's result."""
    found = geometry(config, level)
    m, halo = found.alignment, found.halo
    start = [context + 2 * grid for context, grid in zip(halo, m, strict=True)]
    sizes = [2 * first + grid for first, grid in zip(start, m, strict=True)]
    for other in range(len(sizes)):
        if other != axis:  # other axes only need to exist
            start[other], sizes[other] = 0, 2 * m[other]
    torch.manual_seed(0)  # where max-unpooling puts a value, and so whether NaN gets as far as it can, is up to chance
    image = torch.rand(1, 1, *sizes, dtype=torch.float64)
    image.select(2 + axis, start[axis] - distance).fill_(torch.nan)
    network = build_network(config).double().eval()
    with torch.inference_mode():
        result = network(image, level)
    return bool(result.narrow(2 + axis, start[axis], m[axis]).isnan().any())


@pytest.mark.parametrize("upsample", ["transposed", "nearest", "bilinear", "unpool"])
@pytest.mark.parametrize("depth", DEPTHS)
def test_halo_by_nan_injection(depth: int, upsample: str) -> None:
    config = thin(depth, upsample=upsample)
    needed = geometry(config).needed_halo[0]
    assert spreads_to_inner_region(config, needed)
    assert not spreads_to_inner_region(config, needed + 1)


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("upsample", ["transposed", "nearest", "bilinear"])
def test_halo_of_pruned_unetpp_by_nan_injection(level: int, upsample: str) -> None:
    config = thin(3, architecture="unetpp", upsample=upsample)
    needed = geometry(config, level).needed_halo[1]
    assert spreads_to_inner_region(config, needed, axis=1, level=level)
    assert not spreads_to_inner_region(config, needed + 1, axis=1, level=level)


@pytest.mark.parametrize(
    "pool_sizes",
    [
        pytest.param(((1, 2, 2), (2, 2, 2)), id="z not pooled at first"),
        pytest.param(((2, 2, 2), (1, 2, 2)), id="z not pooled later"),
        pytest.param(((1, 2, 2), (1, 2, 2)), id="z never pooled"),
    ],
)
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("upsample", ["transposed", "bilinear", "unpool"])
def test_anisotropic_halo_by_nan_injection(pool_sizes: tuple[tuple[int, ...], ...], axis: int, upsample: str) -> None:
    config = thin(2, spatial_dims=3, pool_sizes=pool_sizes, upsample=upsample)
    needed = geometry(config).needed_halo[axis]
    assert spreads_to_inner_region(config, needed, axis)
    assert not spreads_to_inner_region(config, needed + 1, axis)


@given(
    depth=st.integers(1, 3),
    upsample=st.sampled_from(["transposed", "nearest", "bilinear", "unpool"]),
    padding=st.sampled_from(["same", "valid"]),
    inner=st.integers(1, 70),
)
@settings(max_examples=40)
def test_network_agrees_with_geometry(depth: int, upsample: str, padding: str, inner: int) -> None:
    config = thin(depth, upsample=upsample, padding=padding)
    found = geometry(config)
    outer = found.input_sizes((inner, inner))
    with torch.inference_mode():
        result = build_network(config)(torch.zeros(1, 1, *outer))
    assert tuple(result.shape[2:]) == found.output_sizes(outer)
    output_covers = outer[0] - found.crop[0] if padding == "same" else result.shape[2]
    assert output_covers >= inner


def test_sizes_off_the_grid_are_refused() -> None:
    with pytest.raises(TileSizeError, match=r"takes sizes of 16, 32, 48, \.\.\. along spatial axis 1, not 100"):
        build_network(thin(4))(torch.zeros(1, 1, 96, 100))


def test_smaller_halo_is_not_exact() -> None:
    found = geometry(thin(2))
    assert found.is_exact
    smaller = found.with_halo(10)
    assert (smaller.halo, smaller.is_exact) == ((12, 12), False)
    assert found.with_halo(23).is_exact


def test_halo_of_valid_padding_is_fixed() -> None:
    with pytest.raises(TileSizeError, match="valid padding always has a halo of"):
        geometry(thin(2, padding="valid")).with_halo(4)
    with pytest.raises(TileSizeError, match="at least 0 pixels, not -1"):
        geometry(thin(2)).with_halo(-1)


def test_level_without_a_head_is_refused() -> None:
    with pytest.raises(LevelError, match=r"level 2 has no head in this network: choose from \[3\]"):
        geometry(thin(3), 2)


def test_geometry_is_plain_integers() -> None:
    assert geometry(thin(1)) == Geometry((2, 2), (8, 8), (8, 8), (0, 0), (0, 0))
