"""What a stream is said to cost is what it costs: counted from the tensors that are alive and the products made."""

from typing import Any

import pytest
import torch
from live_bytes import LiveBytes
from torch.utils.flop_counter import FlopCounterMode

from napari_seamless.networks import build_network
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.cost import multiply_adds_per_pixel, tile_cost
from napari_seamless.networks.geometry import geometry
from napari_seamless.networks.stream import StreamedNetwork
from napari_seamless.networks.stream_cost import stream_cost

ACROSS = 16


def stream_of(config: NetworkConfig, level: int) -> StreamedNetwork:
    return StreamedNetwork(build_network(config).eval(), level=level)


def run_stream(stream: StreamedNetwork, planes: int, chunk: int) -> None:
    first, stop = stream.schedule((0, planes)).image
    across = (ACROSS,) * (stream.network.config.spatial_dims - 1)
    chunks = (torch.zeros(1, 1, min(chunk, stop - start), *across) for start in range(first, stop, chunk))
    for piece in stream.run(chunks, (0, planes)):
        del piece


def peak_values(config: NetworkConfig, level: int, planes: int, chunk: int) -> float:
    """Values alive at once, for each pixel of the cross-section; the weights do not count."""
    stream = stream_of(config, level)
    with LiveBytes() as live:
        run_stream(stream, planes, chunk)
    return live.peak / 4 / ACROSS ** (config.spatial_dims - 1)


STREAMS = {
    "unet": ({}, 3, 16),
    "unet, few planes": ({}, 3, 4),
    "unet, odd chunks": ({}, 3, 5),
    "unetpp": ({"architecture": "unetpp"}, 3, 16),
    "unetpp, shallow": ({"architecture": "unetpp"}, 1, 8),
    "bilinear": ({"architecture": "unetpp", "upsample": "bilinear"}, 3, 4),
    "unpool": ({"upsample": "unpool"}, 3, 16),
    "z not pooled at first": ({"pool_sizes": ((1, 2, 2), (2, 2, 2), (2, 2, 2))}, 3, 16),
    "tall image": ({"spatial_dims": 2}, 3, 16),
}


def config_of(settings: dict[str, Any]) -> NetworkConfig:
    return NetworkConfig(**{"spatial_dims": 3, "features": (4, 8, 16, 24), "norm": "none", **settings})


@pytest.mark.parametrize(("settings", "level", "chunk"), STREAMS.values(), ids=STREAMS)
def test_memory_is_predicted(settings: dict[str, Any], level: int, chunk: int) -> None:
    config = config_of(settings)
    predicted = stream_cost(config, (level,), axis=0, inner=(0, 60), chunk_planes=chunk).peak_values
    assert peak_values(config, level, 60, chunk) == pytest.approx(predicted, rel=0.05)


@pytest.mark.parametrize("settings", [{}, {"architecture": "unetpp"}, {"upsample": "unpool"}])
def test_memory_does_not_grow_with_the_image(settings: dict[str, Any]) -> None:
    config = config_of(settings)
    assert peak_values(config, 3, 400, 8) == pytest.approx(peak_values(config, 3, 100, 8), rel=1e-6)
    costs = [stream_cost(config, (3,), axis=0, inner=(0, n), chunk_planes=8).peak_values for n in (400, 100_000)]
    assert costs[0] == costs[1]


@pytest.mark.parametrize(("settings", "level", "chunk"), STREAMS.values(), ids=STREAMS)
def test_arithmetic_is_predicted(settings: dict[str, Any], level: int, chunk: int) -> None:
    config, planes = config_of(settings), 60
    stream = stream_of(config, level)
    with FlopCounterMode(display=False) as counter:
        run_stream(stream, planes, chunk)
    heads = config.features[0] * config.out_channels * planes
    counted = counter.get_total_flops() / 2 / ACROSS ** (config.spatial_dims - 1) - heads
    predicted = stream_cost(config, (level,), axis=0, inner=(0, planes), chunk_planes=chunk).multiply_adds
    assert counted == pytest.approx(predicted, rel=0.01)


@pytest.mark.parametrize(
    "settings", [{}, {"architecture": "unetpp"}, {"architecture": "unetpp", "upsample": "bilinear"}]
)
def test_a_column_that_is_cut_costs_what_is_predicted(settings: dict[str, Any]) -> None:
    config, planes, chunk = config_of(settings), 60, 8
    found = geometry(config, 3)
    outer = found.input_sizes((1, 16, 16))
    cut = [(halo, halo + 16) for halo in found.halo]
    cost = stream_cost(config, (3,), axis=0, inner=(0, planes), chunk_planes=chunk, outer_shape=outer, wanted=cut)

    def run() -> None:
        opened = stream_of(config, 3).open((0, planes), cut)
        first, stop = opened.schedule.image
        for start in range(first, stop, chunk):
            opened.push(torch.zeros(1, 1, min(chunk, stop - start), *outer[1:]))

    with LiveBytes() as live:
        run()
    with FlopCounterMode(display=False) as counter:
        run()
    area = outer[1] * outer[2]
    assert live.peak / 4 == pytest.approx(cost.peak_values * area, rel=0.05)
    assert counter.get_total_flops() / 2 == pytest.approx(cost.multiply_adds * area, rel=0.05)
    whole = stream_cost(config, (3,), axis=0, inner=(0, planes), chunk_planes=chunk)
    assert cost.multiply_adds < 0.7 * whole.multiply_adds


def test_a_stream_costs_less_than_tiles() -> None:
    """A column of 512 planes, 3 poolings, against tiles of 96: half the products, a fifth of the memory."""
    config = NetworkConfig(spatial_dims=3, features=(16, 32, 64, 128))
    cost = stream_cost(config, (3,), axis=0, inner=(0, 512), chunk_planes=16)
    halo = geometry(config).halo[0]
    assert cost.input_planes == 512 + 2 * geometry(config).needed_halo[0]
    tiled = multiply_adds_per_pixel(config) * 512 / 96 * (96 + 2 * halo)
    untiled = multiply_adds_per_pixel(config) * (512 + 2 * halo)
    assert cost.multiply_adds < 0.95 * untiled
    assert tiled > 1.8 * cost.multiply_adds
    across = 512 + 2 * halo
    tile = tile_cost(config, (3,), (96 + 2 * halo, across, across))
    assert cost.peak_values < 0.2 * tile.peak_values / across**2
