"""Streamed is whole: a network fed plane by plane gives what it gives for the whole volume at once."""

from collections.abc import Iterator, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from napari_seamless.errors import ConfigError, LevelError, TileSizeError
from napari_seamless.inference.devices import cpu_has_bf16
from napari_seamless.networks import build_network
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.fused import fuse
from napari_seamless.networks.geometry import geometry
from napari_seamless.networks.nested import NestedNetwork
from napari_seamless.networks.stream import StreamedNetwork

CONFIGS = {
    "unet": {},
    "unetpp": {"architecture": "unetpp"},
    "unetpp, one head": {"architecture": "unetpp", "deep_supervision": False},
    "nearest": {"upsample": "nearest"},
    "bilinear": {"upsample": "bilinear"},
    "unpool": {"upsample": "unpool"},
    "unetpp, nearest": {"architecture": "unetpp", "upsample": "nearest"},
    "unetpp, bilinear": {"architecture": "unetpp", "upsample": "bilinear"},
    "no norm": {"norm": "none"},
    "dropout": {"dropout": 0.5},
    "before pooling": {"widening": "before_pooling"},
    "before pooling, bilinear": {"widening": "before_pooling", "upsample": "bilinear"},
    "before pooling, unpool": {"widening": "before_pooling", "upsample": "unpool"},
}

POOLS = {2: [(2, 2), (1, 2), (2, 1)], 3: [(2, 2, 2), (1, 2, 2), (2, 1, 2), (2, 2, 1)]}

ROUNDING = 1e-12
"""Of the largest logit, in float64. Not 0: the matrix product that a convolution is made of adds up in an order that
depends on the number of pixels, and so on the chunk."""


def random_network(
    config: NetworkConfig, dtype: torch.dtype = torch.float64, level: int | None = None
) -> NestedNetwork:
    """A network with random weights, biases and running statistics, in evaluation mode."""
    torch.manual_seed(0)
    network = build_network(config, level)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
            elif name.endswith(("running_mean", "bias")):
                tensor.normal_(0, 0.2)
    return network.eval().to(dtype)


class Volume:
    """An image that is extended far enough for the network to be run on all of it, and for a stream."""

    def __init__(self, config: NetworkConfig, level: int, axis: int, inner: tuple[int, int]) -> None:
        found = geometry(config, level)
        sizes = [1] * config.spatial_dims
        origin = inner[0] // found.alignment[axis] * found.alignment[axis]
        sizes[axis] = inner[1] - origin
        self.dim, self.first = 2 + axis, origin - found.halo[axis]
        self.inner_in_output = inner[0] - self.first - found.crop[axis]
        self.inner_planes = inner[1] - inner[0]
        generator = torch.Generator().manual_seed(1)
        outer = list(found.input_sizes(sizes))
        for other in range(config.spatial_dims):
            if other != axis and config.padding == "same":
                outer[other] = 2 * found.alignment[other]  # across, both see the same zeros: no halo is needed
        shape = (1, config.in_channels, *outer)
        self.pixels = torch.randn(shape, generator=generator, dtype=torch.float64)

    def of_inner(self, logits: Tensor) -> Tensor:
        """What the network run once on the whole volume says of the inner planes."""
        return logits.narrow(self.dim, self.inner_in_output, self.inner_planes)

    def chunks(self, image: tuple[int, int], lengths: Sequence[int]) -> Iterator[Tensor]:
        """The planes of a stream, in chunks of the given lengths, over and over."""
        start, turn = image[0], 0
        while start < image[1]:
            length = min(lengths[turn % len(lengths)], image[1] - start)
            yield self.pixels.narrow(self.dim, start - self.first, length)
            start, turn = start + length, turn + 1


def streamed(network: StreamedNetwork, volume: Volume, inner: tuple[int, int], lengths: Sequence[int]) -> Tensor:
    """The whole stream, after checking that its pieces follow one another."""
    pieces, reached = [], inner[0]
    for start, logits in network.run(volume.chunks(network.schedule(inner).image, lengths), inner):
        assert start == reached
        reached += logits.shape[volume.dim]
        pieces.append(logits)
    assert reached == inner[1]
    return torch.cat(pieces, volume.dim)


def assert_equal(actual: Tensor, expected: Tensor, tolerance: float = ROUNDING) -> None:
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("settings_of_network", CONFIGS.values(), ids=CONFIGS)
@given(data=st.data())
@settings(max_examples=4)
def test_a_part_across_is_the_part_of_the_whole(settings_of_network: dict, padding: str, data: st.DataObject) -> None:
    """With all the context it needs, or at the column's border with none."""
    config = NetworkConfig(spatial_dims=3, in_channels=2, features=(2, 4, 6), padding=padding, **settings_of_network)
    level = data.draw(st.sampled_from(config.levels), label="level")
    axis = data.draw(st.integers(0, 2), label="axis")
    network, found = random_network(config), geometry(config, level)
    sizes = found.input_sizes((9, 9, 9))
    wanted = []
    for size in found.output_sizes(sizes):
        start = data.draw(st.integers(0, size - 1), label="start")
        wanted.append((start, data.draw(st.integers(start + 1, size), label="stop")))
    stream = StreamedNetwork(network, level=level, axis=axis).open((0, 4), wanted)
    first, stop = stream.schedule.image
    shape = [2, *sizes]
    shape[1 + axis] = stop - first
    pixels = torch.randn(1, *shape, dtype=torch.float64)
    whole = StreamedNetwork(network, level=level, axis=axis).open((0, 4)).push(pixels)
    part = stream.push(pixels)
    assert whole is not None
    assert part is not None
    expected = whole[1][level]
    for other, (low, high) in enumerate(wanted):
        if other != axis:
            expected = expected.narrow(2 + other, low, high - low)
    assert_equal(part[1][level], expected)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("settings_of_network", CONFIGS.values(), ids=CONFIGS)
@given(data=st.data())
@settings(max_examples=4)
def test_streamed_is_whole(settings_of_network: dict, dims: int, padding: str, data: st.DataObject) -> None:
    depth = data.draw(st.integers(1, 3 if dims == 2 else 2), label="depth")
    config = NetworkConfig(
        spatial_dims=dims,
        in_channels=2,
        features=(2, 4, 4, 6)[: depth + 1],
        padding=padding,
        pool_sizes=tuple(data.draw(st.sampled_from(POOLS[dims]), label="pool") for _ in range(depth)),
        **settings_of_network,
    )
    level = data.draw(st.sampled_from(config.levels), label="level")
    axis = data.draw(st.integers(0, dims - 1), label="axis")
    start = data.draw(st.sampled_from([0, 0, 1, 5, 8, 19]), label="start")
    inner = (start, start + data.draw(st.integers(1, 40), label="planes"))
    lengths = data.draw(st.lists(st.integers(1, 16), min_size=1, max_size=4), label="chunks")
    network = random_network(config)
    volume = Volume(config, level, axis, inner)
    with torch.inference_mode():
        expected = volume.of_inner(network(volume.pixels, level))
    actual = streamed(StreamedNetwork(network, level=level, axis=axis), volume, inner, lengths)
    assert_equal(actual, expected)


@pytest.mark.parametrize("upsample", ["transposed", "bilinear", "unpool"])
def test_three_poolings_in_three_dimensions(upsample: str) -> None:
    config = NetworkConfig(spatial_dims=3, features=(2, 3, 4, 4), upsample=upsample)
    network, inner = random_network(config), (0, 21)
    volume = Volume(config, 3, 0, inner)
    with torch.inference_mode():
        expected = volume.of_inner(network(volume.pixels))
    for length in (3, 16):
        assert_equal(streamed(StreamedNetwork(network), volume, inner, [length]), expected)


@pytest.mark.parametrize("padding", ["same", "valid"])
@given(lengths=st.lists(st.integers(1, 16), min_size=1, max_size=4), planes=st.integers(1, 30))
@settings(max_examples=5)
def test_all_heads_come_together(padding: str, lengths: list[int], planes: int) -> None:
    config = NetworkConfig(architecture="unetpp", features=(2, 3, 4, 4), padding=padding)
    network, inner = random_network(config), (0, planes)
    volume = Volume(config, 3, 0, inner)
    stream = StreamedNetwork(network, level=(1, 2, 3))
    pieces = [heads for _, heads in stream.run_heads(volume.chunks(stream.schedule(inner).image, lengths), inner)]
    with torch.inference_mode():
        expected = network.heads(volume.pixels)
    for level, logits in expected.items():
        assert_equal(torch.cat([heads[level] for heads in pieces], 2), volume.of_inner(logits))


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [pytest.param(torch.float32, 1e-5, id="float32"), pytest.param(torch.bfloat16, 0.05, id="bf16")],
)
@pytest.mark.parametrize("is_fused", [False, True], ids=["plain", "fused"])
@pytest.mark.parametrize("dims", [2, 3])
def test_as_a_predictor_prepares_it(dims: int, is_fused: bool, dtype: torch.dtype, tolerance: float) -> None:
    """Channels last, in lower precision, convolutions fused with their ReLU."""
    config = NetworkConfig(architecture="unetpp", spatial_dims=dims, features=(8, 16, 24), norm="none")
    channels_last = torch.channels_last if dims == 2 else torch.channels_last_3d
    network, inner = random_network(config, dtype).to(memory_format=channels_last), (0, 37)
    volume = Volume(config, 2, 0, inner)
    volume.pixels = volume.pixels.to(dtype).contiguous(memory_format=channels_last)
    if is_fused:
        fuse(network)
    with torch.inference_mode():
        expected = volume.of_inner(network(volume.pixels))
    actual = streamed(StreamedNetwork(network), volume, inner, [16])
    assert actual.dtype == dtype
    assert_equal(actual.double(), expected.double(), tolerance)
    if dtype == torch.bfloat16 and cpu_has_bf16():
        assert torch.equal(actual, expected)


def test_one_stream_does_not_disturb_another() -> None:
    config = NetworkConfig(features=(2, 3, 4))
    stream, inner = StreamedNetwork(random_network(config)), (0, 20)
    volume = Volume(config, 2, 0, inner)
    expected = streamed(stream, volume, inner, [5])
    image = stream.schedule(inner).image
    left = next(stream.run(volume.chunks(image, [5]), inner))
    together = list(zip(*(stream.run(volume.chunks(image, [5]), inner) for _ in range(2)), strict=True))
    assert left[0] == 0
    for turn in range(2):
        assert torch.equal(torch.cat([pair[turn][1] for pair in together], 2), expected)


def test_nodes_that_a_level_does_not_need_never_run() -> None:
    config = NetworkConfig(architecture="unetpp", features=(2, 3, 4, 4))
    network, inner = random_network(config), (0, 9)
    volume = Volume(config, 1, 0, inner)
    with torch.inference_mode():
        expected = volume.of_inner(network(volume.pixels, 1))
        for name, block in network.blocks.items():
            if name not in ("x_0_0", "x_1_0", "x_0_1"):
                block[0].register_forward_hook(lambda *_: pytest.fail("a node that is not needed was run"))
    assert_equal(streamed(StreamedNetwork(network, level=1), volume, inner, [4]), expected)
    pruned = random_network(config, level=1)
    pruned.load_state_dict({name: network.state_dict()[name] for name in pruned.state_dict()})
    assert_equal(streamed(StreamedNetwork(pruned), volume, inner, [4]), expected)


@given(
    depth=st.integers(1, 4),
    upsample=st.sampled_from(["transposed", "bilinear"]),
    padding=st.sampled_from(["same", "valid"]),
    start=st.integers(0, 40),
    planes=st.integers(1, 40),
)
def test_a_stream_reads_no_further_than_a_tile(
    depth: int, upsample: str, padding: str, start: int, planes: int
) -> None:
    config = NetworkConfig(features=(2,) * (depth + 1), upsample=upsample, padding=padding)
    inner = (start, start + planes)
    volume = Volume(config, depth, 0, inner)
    first, stop = StreamedNetwork(build_network(config).eval()).schedule(inner).image
    assert volume.first <= first < stop <= volume.first + volume.pixels.shape[2]


def run_with(lengths: Sequence[int], *, inner: tuple[int, int] = (0, 8), across: int = 16) -> None:
    stream = StreamedNetwork(random_network(NetworkConfig(features=(2, 3))))
    for _ in stream.run((torch.zeros(1, 1, length, across, dtype=torch.float64) for length in lengths), inner):
        pass


def test_a_stream_is_fed_exactly_what_it_needs() -> None:
    run_with([24])
    with pytest.raises(TileSizeError, match=r"planes \(0, 8\) is fed the 24 planes from -8 to 16, not 20: take them"):
        run_with([10, 10])
    with pytest.raises(TileSizeError, match="from -8 to 16, not more"):
        run_with([20, 5])


def test_what_cannot_be_streamed_is_refused() -> None:
    network = random_network(NetworkConfig(features=(2, 3)))
    with pytest.raises(TileSizeError, match=r"takes sizes of 2, 4, 6, \.\.\. along spatial axis 1, not 15"):
        run_with([24], across=15)
    with pytest.raises(LevelError, match="level 2 has no head"):
        StreamedNetwork(network, level=2)
    with pytest.raises(ConfigError, match="2 spatial axes has no spatial axis 2"):
        StreamedNetwork(network, axis=2)
    with pytest.raises(ConfigError, match=r"this one is training: call \.eval\(\)"):
        StreamedNetwork(network.train())
