"""Columns: planned within the memory, and predicted as if the whole image had been, piece by piece."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from known_models import random_model

from napari_seamless.errors import Cancelled, OutOfMemoryError, TileSizeError
from napari_seamless.events import Event
from napari_seamless.images.image import Image
from napari_seamless.images.intensity import measure_range
from napari_seamless.inference.columns import PIECE_PLANES, Columns, choose_columns
from napari_seamless.inference.predictor import Predictor
from napari_seamless.inference.run import predict_probabilities
from napari_seamless.inference.source import source_of
from napari_seamless.inference.streaming import ColumnPredictor, Piece
from napari_seamless.inference.tiles import Span, TileGrid
from napari_seamless.models.model import Model
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.geometry import geometry

GIB = 2**30


def columns_of(
    model: Model,
    region: tuple[Span, ...],
    width: int,
    *,
    axis: int = 0,
    levels: tuple[int, ...] | None = None,
    **planned: Any,
) -> Columns:
    """Columns `width` cells of the pooling grid wide."""
    config = model.config
    found = geometry(config)
    whole = choose_columns(config, levels or (config.depth,), region, found, 64 * GIB, "fp64", axes=(axis,))
    size = [min(width * m, length) for m, length in zip(found.alignment, whole.grid.tile_size, strict=True)]
    size[axis] = whole.grid.tile_size[axis]
    grid = TileGrid(region, tuple(size), found)
    values = {"chunk_planes": 8, "slab_planes": 8, **planned}
    return Columns(config, whole.levels, "fp64", axis, grid, **values)


def column_predictor(image: np.ndarray, model: Model, columns: Columns, **options: Any) -> ColumnPredictor:
    source = source_of(Image.from_array(image, "ZYX"[-image.ndim :]), model)
    intensity = measure_range(source.data, model.normalization, axes=source.axes)
    heads = {name: options.pop(name, False) for name in ("accurate", "keep_heads")}

    def make(device: str, precision: str) -> Predictor:
        return Predictor(model, level=model.config.depth, device="cpu", precision=precision, **heads)

    return ColumnPredictor(source, intensity, columns, **{"device": "cpu", "make": make, **options})


def assembled(predictor: ColumnPredictor) -> tuple[np.ndarray, np.ndarray, list[tuple[Span, ...]]]:
    """Everything a plan's columns give, how often each pixel was given, and where the pieces were."""
    region = predictor.columns.grid.region
    shape = tuple(stop - start for start, stop in region)
    whole = np.full((predictor.columns.config.out_channels, *shape), np.nan, np.float32)
    times, places = np.zeros(shape, int), []
    for tile in predictor.columns.grid:
        for spans, prediction in predictor.pieces((), tile):
            where = tuple(slice(a - start, b - start) for (a, b), (start, _) in zip(spans, region, strict=True))
            whole[(slice(None), *where)] = prediction.probabilities
            times[where] += 1
            places.append(spans)
    return whole, times, places


def image_of(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)


@pytest.mark.parametrize("upsample", ["transposed", "bilinear"])
@pytest.mark.parametrize("architecture", ["unet", "unetpp"])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("dims", [2, 3])
@given(data=st.data())
@settings(max_examples=3)
def test_streamed_is_untiled(dims: int, padding: str, architecture: str, upsample: str, data: st.DataObject) -> None:
    config = NetworkConfig(
        architecture=architecture, spatial_dims=dims, features=(2, 3, 4)[: 5 - dims], padding=padding, upsample=upsample
    )
    model = random_model(config)
    model.network.double()
    axis = data.draw(st.integers(0, dims - 1), label="axis")
    lengths = [1, 2, 7, 16, 33, 45] if dims == 2 else [1, 2, 7, 13]
    shape = [data.draw(st.sampled_from(lengths), label="length") for _ in range(dims)]
    shape[axis] = data.draw(st.integers(1, 100 if dims == 2 else 50), label="planes")
    region = []
    for length in shape:
        start = data.draw(st.integers(0, length - 1), label="start")
        region.append((start, data.draw(st.integers(start + 1, length), label="stop")))
    chunk, slab = data.draw(st.tuples(st.integers(1, 16), st.integers(1, 20)), label="chunk and slab")
    columns = columns_of(model, tuple(region), 3, axis=axis, chunk_planes=chunk, slab_planes=slab)
    image = image_of(tuple(shape))
    actual, times, places = assembled(column_predictor(image, model, columns))
    axes = "ZYX"[-dims:]
    expected = predict_probabilities(
        image, model, axes=axes, tile_size=None, region=dict(zip(axes, region, strict=True)), precision="fp64"
    )
    assert np.abs(actual - expected).max() <= 1e-6
    assert (times == 1).all()
    first, end = region[axis]
    assert all((spans[axis][1] - first) % PIECE_PLANES == 0 or spans[axis][1] == end for spans in places)


@pytest.mark.parametrize("accurate", [False, True])
def test_heads_are_streamed(accurate: bool) -> None:
    model = random_model(NetworkConfig(architecture="unetpp", features=(2, 3, 4)))
    model.network.double()
    image = image_of((70, 30))
    columns = columns_of(model, ((0, 70), (0, 30)), 4, levels=(1, 2))
    predictor = column_predictor(image, model, columns, accurate=accurate, keep_heads=True)
    pieces = [prediction for _, prediction in predictor.pieces((), predictor.columns.grid[0])]
    by_level = [
        predict_probabilities(image, model, axes="YX", level=level, tile_size=None)[..., :16] for level in (1, 2)
    ]
    heads = np.concatenate([piece.heads for piece in pieces if piece.heads is not None], 2)
    np.testing.assert_allclose(heads, np.stack(by_level), atol=1e-6)
    chosen = np.mean(by_level, axis=0) if accurate else by_level[1]
    np.testing.assert_allclose(np.concatenate([piece.probabilities for piece in pieces], 1), chosen, atol=1e-6)


class ReadingRecorded:
    """A volume that notes which of its rows are read at a time."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype, self.reads = array, array.shape, array.dtype, []

    def __getitem__(self, index: Any) -> Any:
        self.reads.append((index[1].start, index[1].stop))
        return self.array[index]


def test_a_file_is_read_chunk_by_chunk_and_once() -> None:
    model = random_model(NetworkConfig(features=(2, 3)))
    image = image_of((200, 16))
    columns = columns_of(model, ((0, 200), (0, 16)), 8, chunk_planes=8, slab_planes=32)
    predictor = column_predictor(image, model, columns)
    recorded = ReadingRecorded(image[None])
    object.__setattr__(predictor.source, "data", _View(recorded))
    for _ in predictor.pieces((), columns.grid[0]):
        pass
    inside = [(0, 32), (32, 64), (64, 96), (96, 128), (128, 160), (160, 192)]
    assert recorded.reads[1:7] == inside
    assert recorded.reads[0] == (1, 9)  # mirrored
    assert len(recorded.reads) == 8


class _View:
    """What `Source.read` sees of an array: the view of a plane is the array."""

    def __init__(self, array: ReadingRecorded) -> None:
        self.array = array

    def __getitem__(self, index: Any) -> ReadingRecorded:
        return self.array


class Tight(Predictor):
    """A predictor on a device with room for chunks of a certain width only."""

    def __init__(self, model: Model, room: int, device: str, precision: str) -> None:
        super().__init__(model, level=model.config.depth, device="cpu", precision=precision)
        self.room = room if device != "cpu" else 10_000
        to_device = self.transfer.to_device

        def checked(outer: np.ndarray) -> torch.Tensor:
            self.calls += 1
            if outer.shape[-1] > self.room and self.calls > 4:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return to_device(outer)

        self.calls = 0
        self.transfer.to_device = checked  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("room", "message"),
    [
        pytest.param(85, "columns of 80 x 32; the result is the same", id="narrower"),
        pytest.param(10, "columns of 80 x 64; slower, on the cpu", id="cpu"),
    ],
)
def test_out_of_memory(room: int, message: str) -> None:
    model = random_model(NetworkConfig(features=(2, 3, 4)))
    model.network.double()
    image, notices = image_of((80, 70)), []
    predictor = column_predictor(
        image,
        model,
        columns_of(model, ((0, 80), (0, 70)), 16),
        device="cuda:0",
        make=lambda device, precision: Tight(model, room, device, precision),
        on_event=notices.append,
    )
    grid = predictor.columns.grid
    whole, times = np.empty((2, 80, 70), np.float32), np.zeros((80, 70), int)
    for tile in grid:
        for spans, prediction in predictor.pieces((), tile):
            where = tuple(slice(*span) for span in spans)
            whole[(slice(None), *where)] = prediction.probabilities
            times[where] += 1
    assert (times == 1).all()
    expected = predict_probabilities(image, model, axes="YX", tile_size=None, precision="fp64")
    np.testing.assert_allclose(whole, expected, atol=1e-6)
    assert [event.name for event in notices] == ["notice"]
    assert message in notices[0].fields["message"]
    assert notices[0].fields["message"].startswith("cuda:0 ran out of memory")


def test_no_memory_anywhere() -> None:
    model = random_model(NetworkConfig(features=(2, 3)))

    def make(device: str, precision: str) -> Predictor:
        raise MemoryError

    predictor = column_predictor(image_of((20, 40)), model, columns_of(model, ((0, 20), (0, 40)), 8), make=make)
    with pytest.raises(
        OutOfMemoryError, match=r"narrowest column \(20, 2\) with a halo of \(8, 8\) pixels does not fit"
    ):
        list(predictor.pieces((), predictor.columns.grid[0]))


def test_a_stream_stops_between_chunks_and_keeps_what_is_finished() -> None:
    model = random_model(NetworkConfig(features=(2, 3)))
    asked: list[int] = []

    def should_stop() -> bool:
        asked.append(1)
        return len(asked) > 8

    columns = columns_of(model, ((0, 200), (0, 40)), 20)
    predictor = column_predictor(image_of((200, 40)), model, columns, should_stop=should_stop)
    kept: list[Piece] = []
    with pytest.raises(Cancelled):
        kept.extend(predictor.pieces((), columns.grid[0]))
    for piece in kept:
        assert piece[0][0][1] <= 64
    assert len(asked) == 9


def test_other_errors_are_no_lack_of_memory() -> None:
    model = random_model(NetworkConfig(features=(2, 3)))
    columns = columns_of(model, ((0, 20), (0, 40)), 20)

    def finish(spans: tuple[Span, ...], prediction: object) -> None:
        raise ZeroDivisionError

    events: list[Event] = []
    predictor = column_predictor(image_of((20, 40)), model, columns, on_event=events.append)
    with pytest.raises(ZeroDivisionError):
        list(predictor.run((), columns.grid[0], finish))
    assert not events


VOLUME = NetworkConfig(spatial_dims=3, features=(16, 32, 64, 128))


@pytest.mark.parametrize("gib", [2, 4, 16])
@pytest.mark.parametrize("shape", [(128, 512, 512), (2000, 2048, 2048), (30, 2048, 1000)])
def test_columns_fit_and_cost_less_than_tiles(shape: tuple[int, ...], gib: int) -> None:
    from napari_seamless.inference.tiling import choose_tile_size, work_pixels

    region, found = tuple((0, length) for length in shape), geometry(VOLUME)
    columns = choose_columns(VOLUME, (3,), region, found, gib * GIB, "fp32")
    assert columns.peak_bytes <= gib * GIB / 2
    assert columns.axis == 0
    assert columns.grid.counts[0] == 1
    tiles = TileGrid(region, choose_tile_size(VOLUME, 3, region, found, gib * GIB, "fp32"), found)
    assert columns.equal_pixels < 0.9 * work_pixels(VOLUME, 3, tiles)


def test_columns_of_a_larger_memory_are_wider() -> None:
    region = ((0, 500), (0, 4000), (0, 4000))
    widths = [
        choose_columns(VOLUME, (3,), region, geometry(VOLUME), gib * GIB, "fp32").grid.tile_size[1]
        for gib in (2, 8, 32)
    ]
    assert widths == sorted(set(widths))


@pytest.mark.parametrize(("stored", "read"), [(1, 0), (32, 32), (64, 64), (200, 128)])
def test_whole_chunks_of_a_file_are_read(stored: int, read: int) -> None:
    region = ((0, 500), (0, 4000), (0, 4000))
    columns = choose_columns(VOLUME, (3,), region, geometry(VOLUME), 4 * GIB, "fp32", storage_planes=(stored, 1, 1))
    assert columns.slab_planes == (read or columns.chunk_planes)


def test_too_little_memory_is_refused() -> None:
    region = ((0, 500), (0, 4000), (0, 4000))
    with pytest.raises(TileSizeError, match=r"narrowest column with its halo \(48, 48, 48\) does not fit"):
        choose_columns(VOLUME, (3,), region, geometry(VOLUME), GIB // 50, "fp32")
