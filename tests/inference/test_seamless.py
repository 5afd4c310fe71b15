"""Tiled equals untiled, for every network that can be configured: bitwise in float64, to rounding in float32."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from known_models import priced, random_model, reference

from napari_seamless.images.intensity import measure_range, normalise
from napari_seamless.inference.run import predict_probabilities
from napari_seamless.inference.selftest import seam_self_test
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.geometry import geometry

CONFIGS = {
    "unet": {"architecture": "unet"},
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
    "before pooling, nearest": {"widening": "before_pooling", "upsample": "nearest"},
}

shapes = st.one_of(st.integers(1, 5), st.sampled_from([7, 13, 16, 24, 31, 47, 48]))


def random_image(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 20, shape).astype(np.float32)


def spatial_letters(dims: int) -> str:
    return "ZYX"[-dims:]


@pytest.mark.parametrize("settings_of_network", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("dims", [2, 3])
@given(data=st.data())
@settings(max_examples=3)
def test_tiled_is_untiled_bitwise(settings_of_network: dict, padding: str, dims: int, data: st.DataObject) -> None:
    depth = data.draw(st.integers(1, 3 if dims == 2 else 2), label="depth")
    pools = [data.draw(st.sampled_from([(1, 2, 2), (2, 2, 2)])) for _ in range(depth)] if dims == 3 else None
    config = NetworkConfig(
        spatial_dims=dims,
        features=(2, 4, 4, 6)[: depth + 1],
        padding=padding,
        pool_sizes=None if pools is None else tuple(pools),
        **settings_of_network,
    )
    model = random_model(config)
    model.network.double()
    level = data.draw(st.sampled_from(config.levels), label="level")
    m = geometry(config, level).alignment
    shape = tuple(data.draw(shapes if dims == 2 else st.integers(1, 13), label="length") for _ in range(dims))
    tile_size = tuple(grid * data.draw(st.integers(1, 3), label="tile") for grid in m)
    image = random_image(shape)
    axes = spatial_letters(dims)
    untiled = predict_probabilities(image, model, axes=axes, level=level, tile_size=None)
    tiled = predict_probabilities(image, model, axes=axes, level=level, tile_size=tile_size)
    assert untiled.shape == (2, *shape)
    assert np.array_equal(tiled, untiled)


@given(
    shape=st.tuples(shapes, shapes),
    tile=st.integers(1, 6),
    level=st.integers(1, 3),
    upsample=st.sampled_from(["transposed", "bilinear"]),
)
@settings(max_examples=40)
def test_tiled_is_untiled_in_float32(shape: tuple[int, int], tile: int, level: int, upsample: str) -> None:
    model = random_model(NetworkConfig(architecture="unetpp", features=(4, 6, 8, 10), upsample=upsample))
    image = random_image(shape)
    untiled = predict_probabilities(image, model, axes="YX", level=level, tile_size=None)
    tiled = predict_probabilities(image, model, axes="YX", level=level, tile_size=tile * 2**level)
    assert np.abs(tiled - untiled).max() <= 1e-5


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 40), (33, 17)])
def test_untiled_is_the_network_on_the_mirrored_image(shape: tuple[int, int], padding: str) -> None:
    model = random_model(NetworkConfig(features=(3, 4, 5), padding=padding))
    image = random_image(shape)
    found = geometry(model.config)
    outer = found.input_sizes(shape)
    scaled = normalise(image[None], measure_range(image[None], model.normalization))
    expected = reference(model, torch.from_numpy(scaled), list(found.halo), list(outer), None)
    cut = [0 if padding == "valid" else halo for halo in found.halo]
    expected = expected[:, cut[0] : cut[0] + shape[0], cut[1] : cut[1] + shape[1]]
    actual = predict_probabilities(image, model, axes="YX", tile_size=None)
    np.testing.assert_allclose(actual, expected.numpy(), atol=1e-5)


def test_accurate_mode_is_seamless_and_the_mean_of_the_heads() -> None:
    model = random_model(NetworkConfig(architecture="unetpp", features=(2, 3, 4)))
    image = random_image((37, 29))
    accurate = predict_probabilities(image, model, axes="YX", level="accurate", tile_size=8)
    heads = [predict_probabilities(image, model, axes="YX", level=level, tile_size=None) for level in (1, 2)]
    np.testing.assert_allclose(accurate, np.mean(heads, axis=0), atol=1e-6)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_seamless_too(precision: str) -> None:
    model = random_model(NetworkConfig(features=(8, 16, 16)))
    image = random_image((61, 70))
    untiled = predict_probabilities(image, model, axes="YX", tile_size=None, precision=precision)
    tiled = predict_probabilities(image, model, axes="YX", tile_size=16, precision=precision)
    assert np.array_equal(tiled, untiled)
    assert np.abs(untiled - predict_probabilities(image, model, axes="YX")).max() < 0.1


@given(data=st.data())
@settings(max_examples=25)
def test_a_region_is_a_crop_of_the_whole(data: st.DataObject) -> None:
    model = random_model(NetworkConfig(features=(2, 3, 4)))
    model.network.double()
    image = random_image((45, 38))
    spans = {}
    for axis, length in zip("YX", image.shape, strict=True):
        start = data.draw(st.integers(0, length - 1))
        spans[axis] = (start, data.draw(st.integers(start + 1, length)))
    whole = predict_probabilities(image, model, axes="YX", tile_size=None)
    part = predict_probabilities(image, model, axes="YX", tile_size=8, region=spans)
    assert np.array_equal(part, whole[:, slice(*spans["Y"]), slice(*spans["X"])])


def test_a_smaller_halo_makes_seams() -> None:
    """The other way round: the exactness tests can fail."""
    model = random_model(NetworkConfig(features=(4, 6, 8)))
    image = random_image((64, 64))
    untiled = predict_probabilities(image, model, axes="YX", tile_size=None)
    seamed = predict_probabilities(image, model, axes="YX", tile_size=16, halo=4)
    assert np.abs(seamed - untiled).max() > 1e-3


@pytest.mark.parametrize("dims", [2, 3])
def test_self_test_passes(dims: int) -> None:
    config = NetworkConfig(architecture="unetpp", spatial_dims=dims, features=(2, 3), out_channels=3)
    report = seam_self_test(random_model(config, task="instances"))
    assert report.seamless
    assert report.largest_difference <= 1e-6
    assert len(report.shape) == dims


def test_self_test_looks_at_the_level_that_runs_take() -> None:
    model = random_model(NetworkConfig(architecture="unetpp", features=(2, 3, 3)))
    assert seam_self_test(model).level == 2
    assert seam_self_test(priced(model, 0.8, 0.8)).level == 1
    assert seam_self_test(priced(model, 0.8, 0.8), level=2).level == 2


def test_self_test_finds_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_seamless.inference import plan
    from napari_seamless.networks.geometry import Geometry

    def too_small(config: NetworkConfig, level: int | None = None) -> Geometry:
        return geometry(config, level).with_halo(0)

    monkeypatch.setattr(plan, "geometry", too_small)
    report = seam_self_test(random_model(NetworkConfig(features=(2, 3, 4))))
    assert not report.seamless
