"""What is written comes back: pixels, axes, voxel sizes, channel names."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_seamless.images.read import open_image
from napari_seamless.images.write import write_array

AXES = ["".join(axis for axis, kept in zip("TCZ", bits, strict=True) if kept) + "YX" for bits in np.ndindex(2, 2, 2)]
TYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64"]

sizes = st.floats(1e-4, 1e3).map(lambda size: float(f"{size:.4g}"))
names = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]), min_size=1, max_size=12)


@st.composite
def images(draw: st.DrawFn) -> tuple[str, np.ndarray, tuple[float, ...] | None, tuple[str, ...]]:
    axes = draw(st.sampled_from(AXES))
    shape = [draw(st.integers(2, 4)) for _ in axes[:-2]] + [draw(st.integers(1, 70)) for _ in "YX"]
    dtype = np.dtype(draw(st.sampled_from(TYPES)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    data = np.frombuffer(rng.bytes(math.prod(shape) * dtype.itemsize), dtype).reshape(shape)
    if dtype.kind == "f":
        data = np.nan_to_num(data)
    voxel_size = draw(st.none() | st.tuples(*[sizes for axis in axes if axis in "ZYX"]))
    n_channels = shape[axes.index("C")] if "C" in axes else 0
    channels = draw(st.just(()) | st.tuples(*[names.map(str.strip).filter(bool)] * n_channels))
    return axes, data, voxel_size, channels


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(image=images(), name=st.sampled_from(["a.ome.zarr", "a.ome.tif"]))
def test_round_trip(image: tuple[str, np.ndarray, tuple[float, ...] | None, tuple[str, ...]], name: str) -> None:
    axes, data, voxel_size, channels = image
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write_array(path, data, axes, voxel_size_um=voxel_size, channel_names=channels)
        back = open_image(path)
        assert (back.axes, back.shape, back.dtype) == (axes, data.shape, data.dtype)
        if voxel_size is None:
            assert back.voxel_size_um is None
        else:
            np.testing.assert_allclose(back.voxel_size_um, voxel_size, rtol=1e-9)
        if channels:
            assert back.channel_names == channels
        np.testing.assert_array_equal(back.data, data)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 90), st.integers(1, 90)),
    highest=st.sampled_from([1, 255, 256, 65535, 65536, 2**32 - 1]),
    name=st.sampled_from(["a.ome.zarr", "a.tif"]),
)
def test_labels_come_back_whatever_type_they_are_stored_in(
    shape: tuple[int, int, int], highest: int, name: str
) -> None:
    labels = np.random.default_rng(0).integers(0, highest + 1, shape, np.uint32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write_array(path, labels, "ZYX", labels=True)
        back = np.asarray(open_image(path).data)
        np.testing.assert_array_equal(back.reshape(shape), labels)
