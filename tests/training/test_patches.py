"""Patches: what is read, how it is turned, and that image and target stay together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_seamless.models.model import create_model
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.training.augmentation import NO_AUGMENTATION, AugmentationOptions
from napari_seamless.training.patches import PatchDrawer, exchangeable_axes, source_weights
from napari_seamless.training.planes import annotated_planes
from napari_seamless.training.sources import prepare_sources
from napari_seamless.training.target_options import TargetOptions
from tests.training.conftest import example

PLAIN = NO_AUGMENTATION
SHAPES_ONLY = AugmentationOptions(scaling=1.6, rotation=0.0, elastic=0.0, intensity=0.0, colour=0.0)


def source_of(one, task="semantic", dims=2, input_kind="grey"):
    config = NetworkConfig(
        spatial_dims=dims, in_channels=3 if input_kind == "colour" else 1, out_channels=3 if task == "instances" else 9
    )
    model = create_model(config, task=task, input_kind=input_kind)
    (source,) = prepare_sources(annotated_planes(one, dims), model, TargetOptions(), (32,) * dims, seed=0)
    return source


def drawer(sources, patch_size=(32, 32), margin=(4, 4), augmentation=PLAIN, is_instances=False, targets=None):
    return PatchDrawer(
        sources, patch_size, margin, augmentation, targets or TargetOptions(), is_instances, is_colour_input=False
    )


def coloured_example(shape=(64, 64)):
    """An image whose pixels say which object they belong to, so that a mismatch with the target shows."""
    one = example(5, shape)
    values = (one.labels * 20).astype(np.uint8)
    return replace(one, image=type(one.image).from_array(values, one.image.axes))


@pytest.mark.parametrize("shape", [(64, 64), (20, 64), (7, 5), (1, 40)], ids=str)
@pytest.mark.parametrize("augmentation", [PLAIN, replace(SHAPES_ONLY, scaling=1.0)], ids=["plain", "turned"])
def test_image_and_target_move_together(shape, augmentation):
    one = coloured_example(shape)
    source = source_of(one)
    low, high = source.intensity_range.low[0], source.intensity_range.high[0]
    pixels, targets, _ = drawer([source], augmentation=augmentation).draw_batch(16, np.random.default_rng(0))
    assert pixels.shape == (16, 1, 32, 32)
    assert targets.shape == (16, 32, 32)
    if high > low:
        np.testing.assert_allclose(pixels[:, 0] * (high - low) + low, targets * 20, atol=1e-3)


def test_scaled_patches_agree_but_for_interpolated_borders():
    source = source_of(coloured_example())
    low, high = source.intensity_range.low[0], source.intensity_range.high[0]
    pixels, targets, _ = drawer([source], augmentation=SHAPES_ONLY).draw_batch(32, np.random.default_rng(0))
    differs = np.abs(pixels[:, 0] * (high - low) + low - targets * 20) > 1
    assert differs.any(), "no patch was scaled"
    assert differs.mean() < 0.15


def test_rims_keep_their_thickness_when_scaled():
    labels = np.zeros((64, 64), np.uint16)
    labels[:, 32:] = 1
    source = source_of(replace(example(0), labels=labels), task="instances")
    augmentation = replace(PLAIN, scaling=3.0)
    _, targets, _ = drawer([source], augmentation=augmentation, is_instances=True).draw_batch(
        30, np.random.default_rng(1)
    )
    with_border = [target for target in targets if (target == 0).any() and (target == 2).any()]
    assert len(with_border) > 5
    assert {int((target[0] == 1).sum()) for target in with_border} == {2}


def test_only_the_inner_part_counts():
    _, _, weights = drawer([source_of(example(0))], margin=(4, 6)).draw_batch(2, np.random.default_rng(0))
    assert weights.sum() == 2 * 24 * 20
    assert weights[0, 4:-4, 6:-6].all()


def test_every_pixel_of_the_image_gets_its_turn():
    values = np.arange(48 * 48, dtype=np.uint16).reshape(48, 48)
    one = example(0, (48, 48))
    labels = np.ones_like(values)
    labels[:, 20:] = 2
    source = source_of(replace(one, image=type(one.image).from_array(values, "YX"), labels=labels))
    low, high = source.intensity_range.low[0], source.intensity_range.high[0]
    pixels, _, weights = drawer([source]).draw_batch(600, np.random.default_rng(0))
    seen = np.round(pixels[:, 0] * (high - low) + low).astype(int)[weights > 0]
    # Corners are rarest; nearly all pixels of the image must have counted somewhere.
    assert len(np.unique(seen)) > 0.97 * values.size


def test_the_seed_repeats_the_patches():
    sources = [source_of(example(number)) for number in range(3)]
    full = AugmentationOptions()
    batches = [drawer(sources, augmentation=full).draw_batch(4, np.random.default_rng(seed)) for seed in (4, 4, 5)]
    np.testing.assert_array_equal(batches[0][0], batches[1][0])
    assert not np.array_equal(batches[0][0], batches[2][0])


def test_volumes_are_drawn_alike():
    source = source_of(coloured_example((20, 40, 40)), dims=3)
    augmentation = replace(SHAPES_ONLY, scaling=1.0)
    pixels, targets, _ = drawer([source], (16, 24, 24), (2, 2, 2), augmentation).draw_batch(4, np.random.default_rng(0))
    low, high = source.intensity_range.low[0], source.intensity_range.high[0]
    np.testing.assert_allclose(pixels[:, 0] * (high - low) + low, targets * 20, atol=1e-3)


def test_grey_is_fed_three_times_to_a_colour_model():
    pixels, _, _ = drawer([source_of(example(0), input_kind="colour")]).draw_batch(2, np.random.default_rng(0))
    assert pixels.shape[1] == 3
    np.testing.assert_array_equal(pixels[:, 0], pixels[:, 2])


@pytest.mark.parametrize(
    ("patch_size", "voxel_size", "expected"),
    [
        ((32, 32), None, [(0, 1)]),
        ((32, 64), None, []),
        ((32, 32), (1.0, 2.0), []),
        ((32, 32, 32), None, [(1, 2)]),
        ((32, 32, 32), (1.0, 1.0, 1.0), [(0, 1), (0, 2), (1, 2)]),
        ((32, 32, 32), (2.0, 0.5, 0.5), [(1, 2)]),
    ],
)
def test_only_like_axes_are_exchanged(patch_size, voxel_size, expected):
    assert exchangeable_axes(patch_size, voxel_size) == expected


def test_small_data_sets_are_not_drowned():
    sources = [source_of(example(number, dataset="large")) for number in range(9)]
    sources.append(source_of(example(9, dataset="small")))
    weights = source_weights(sources)
    assert weights.sum() == pytest.approx(1)
    assert weights[-1] == pytest.approx(1 / 4)
