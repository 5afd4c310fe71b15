"""Tiles write every pixel once and read what the mirror-extended image holds."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seamless.errors import TileSizeError
from napari_seamless.inference.tiles import TileGrid, mirror_indices, read_outer, whole_region_tile
from napari_seamless.inference.tiling import choose_tile_size, halved, network_bytes, requested_tile_size
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.geometry import Geometry, geometry


@pytest.mark.parametrize(
    ("start", "stop", "length", "expected"),
    [
        pytest.param(0, 4, 4, [0, 1, 2, 3], id="inside"),
        pytest.param(-3, 2, 4, [3, 2, 1, 0, 1], id="before"),
        pytest.param(2, 8, 4, [2, 3, 2, 1, 0, 1], id="after"),
        pytest.param(-5, 7, 2, [1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0], id="folded many times"),
        pytest.param(-3, 3, 1, [0] * 6, id="one pixel"),
    ],
)
def test_mirror_indices(start: int, stop: int, length: int, expected: list[int]) -> None:
    assert mirror_indices(start, stop, length).tolist() == expected


@given(length=st.integers(2, 12), before=st.integers(0, 40), after=st.integers(0, 40))
def test_mirror_is_numpys_reflection(length: int, before: int, after: int) -> None:
    assert (
        mirror_indices(-before, length + after, length).tolist()
        == np.pad(np.arange(length), (before, after), mode="reflect").tolist()
    )


@given(data=st.data())
@settings(max_examples=60)
def test_read_outer_is_a_slice_of_the_padded_image(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    image = np.random.default_rng(0).integers(0, 99, (2, *shape))
    padded = np.pad(image, ((0, 0), (25, 25), (25, 25)), mode="reflect")
    outer = []
    for _ in shape:
        start = data.draw(st.integers(-25, 15))
        outer.append((start, data.draw(st.integers(start + 1, 25))))
    expected = padded[(slice(None), *(slice(max(0, low + 25), high + 25) for low, high in outer))]
    window = tuple(slice(0, stop - start) for start, stop in outer)
    assert np.array_equal(read_outer(image, outer)[(slice(None), *window)][..., : expected.shape[-1]], expected)


class Recorder:
    """An image that remembers how much of it was read."""

    def __init__(self, image: np.ndarray) -> None:
        self.image, self.shape, self.read = image, image.shape, 0

    def __getitem__(self, place: tuple[slice, ...]) -> np.ndarray:
        block = self.image[place]
        self.read = max(self.read, block.size)
        return block


def test_read_outer_reads_no_more_than_it_needs() -> None:
    recorder = Recorder(np.zeros((1, 1000, 1000)))
    read_outer(recorder, [(-50, 30), (400, 480)])
    assert recorder.read == 51 * 80  # 0..50, folded at the edge, and 400..479


def random_geometry(data: st.DataObject, dims: int) -> Geometry:
    depth = data.draw(st.integers(1, 3))
    pools = st.tuples(*[st.sampled_from([1, 2])] * dims).filter(lambda factors: max(factors) == 2)
    return geometry(
        NetworkConfig(
            spatial_dims=dims,
            features=(1,) * (depth + 1),
            padding=data.draw(st.sampled_from(["same", "valid"])),
            upsample=data.draw(st.sampled_from(["transposed", "bilinear"])),
            pool_sizes=tuple(data.draw(pools) for _ in range(depth)),
        )
    )


@given(data=st.data(), dims=st.sampled_from([2, 3]))
def test_every_pixel_is_written_exactly_once(data: st.DataObject, dims: int) -> None:
    found = random_geometry(data, dims)
    region = []
    for _ in range(dims):
        start = data.draw(st.integers(0, 20))
        region.append((start, data.draw(st.integers(start + 1, 60))))
    size = tuple(m * data.draw(st.integers(1, 4)) for m in found.alignment)
    written = np.zeros([stop for _, stop in region], int)
    grid = TileGrid(tuple(region), size, found)
    for tile in grid:
        written[tuple(slice(*span) for span in tile.inner)] += 1
        assert all(
            (low + context) % m == 0
            for (low, _), context, m in zip(tile.outer, found.halo, found.alignment, strict=True)
        )
        output = found.output_sizes(tile.outer_shape)  # raises for sizes the network does not take
        for (low, high), inner, produced in zip(tile.cut, tile.inner, output, strict=True):
            assert 0 <= low < high <= produced
            assert high - low == inner[1] - inner[0]
        assert all(a <= b for a, b in zip(tile.outer_shape, grid.largest_outer_shape, strict=True))
    expected = np.zeros_like(written)
    expected[tuple(slice(*span) for span in region)] = 1
    assert np.array_equal(written, expected)
    assert grid.outer_pixels == sum(int(np.prod(tile.outer_shape)) for tile in grid)
    kinds = Counter((tile.outer_shape, tile.cut) for tile in grid)
    assert {(shape, cut): count for count, shape, cut in grid.kinds()} == kinds
    for tile in grid:
        for axis, (start, stop) in enumerate(tile.cut):
            low, high = grid.largest_cut[axis]
            assert low <= start
            assert stop <= high


def test_a_million_tiles_are_not_made_in_advance() -> None:
    found = geometry(NetworkConfig(features=(1, 1)))
    grid = TileGrid(((0, 2**20), (0, 2**20)), (512, 512), found)
    assert len(grid) == 2**22
    assert grid[-1].inner == ((2**20 - 512, 2**20),) * 2
    assert grid[2:4] == [grid[2], grid[3]]
    with pytest.raises(IndexError, match="tile 4194304 of 4194304"):
        grid[2**22]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        pytest.param(100, r"tile_size 100 is not a multiple of 16 \(4 poolings\): use 96 or 112", id="between"),
        pytest.param(8, r"tile_size 8 is not a multiple of 16 \(4 poolings\): use 16", id="too small"),
        pytest.param(0, r"tile_size 0 is not a multiple of 16 \(4 poolings\): use 16", id="zero"),
        pytest.param(-16, r"tile_size -16 is not a multiple of 16 \(4 poolings\): use 16", id="negative"),
        pytest.param((64, 64, 64), r"one for each of 2 axes, not \(64, 64, 64\)", id="axes"),
    ],
)
def test_tile_sizes_off_the_grid_are_refused(asked: object, message: str) -> None:
    with pytest.raises(TileSizeError, match=message):
        requested_tile_size(asked, (16, 16))  # type: ignore[arg-type]


def test_halving_ends_at_the_grid() -> None:
    sizes = [(64, 16)]
    while (smaller := halved(sizes[-1], (16, 16))) is not None:
        sizes.append(smaller)
    assert sizes == [(64, 16), (32, 16), (16, 16)]


CONFIG = NetworkConfig()


@pytest.mark.parametrize("free_gib", [1, 2, 4, 64])
@pytest.mark.parametrize("region", [((0, 5000), (0, 7000)), ((0, 100), (0, 10**6)), ((0, 3), (0, 3))])
def test_chosen_tiles_fit_half_of_the_memory(free_gib: int, region: tuple[tuple[int, int], ...]) -> None:
    found = geometry(CONFIG)
    size = choose_tile_size(CONFIG, 4, region, found, free_gib * 2**30, "fp32")
    grid = TileGrid(region, size, found)
    needed = network_bytes(CONFIG, 4, grid.largest_outer_shape, "fp32", wanted=grid.largest_cut)
    assert needed <= free_gib * 2**29
    if free_gib == 64:
        assert min(size[0], 512) >= min(512, whole_region_tile(region, found.alignment)[0])


def test_too_little_memory_is_said() -> None:
    with pytest.raises(TileSizeError, match=r"the smallest tile \(16, 16\) with its halo \(96, 96\) needs .* GiB"):
        choose_tile_size(CONFIG, 4, ((0, 99), (0, 99)), geometry(CONFIG), 2**20, "fp32")
