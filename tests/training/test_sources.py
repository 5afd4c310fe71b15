"""What is read for patches, from memory and from lazy arrays, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import napari_seamless as ns
from napari_seamless.errors import DatasetError
from napari_seamless.models.model import create_model
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.training import sources
from napari_seamless.training.augmentation import AugmentationOptions
from napari_seamless.training.patches import PatchDrawer
from napari_seamless.training.planes import annotated_planes
from napari_seamless.training.sources import prepare_sources
from napari_seamless.training.target_options import TargetOptions
from tests.training.conftest import discs, example

SEMANTIC = create_model(NetworkConfig(in_channels=1, out_channels=2, features=(4, 8)))
INSTANCES = create_model(NetworkConfig(in_channels=1, out_channels=3, features=(4, 8)), task="instances")


def prepared(*examples, model=INSTANCES, targets=None):
    planes = [plane for one in examples for plane in annotated_planes(one, 2)]
    return prepare_sources(planes, model, targets or TargetOptions(), (32, 32), seed=0)


def drawn(found, targets=None, model=INSTANCES, augmentation=None, n=24):
    drawer = PatchDrawer(
        found,
        (32, 32),
        (0, 0),
        augmentation or AugmentationOptions(intensity=0.0),
        targets or TargetOptions(),
        model.task == "instances",
        is_colour_input=False,
    )
    return drawer.draw_batch(n, np.random.default_rng(0))


def masked(seed=0):
    image, labels = discs(seed, (128, 128), 20)
    mask = np.zeros(labels.shape, bool)
    mask[40:90, 30:100] = True
    return ns.Example(image, labels, mask)


def test_reading_lazily_draws_the_same_patches(monkeypatch):
    one = masked()
    kept = drawn(prepared(one))
    monkeypatch.setattr(sources, "_MEMORY_SHARE", 0.0)
    (lazy,) = prepared(one)
    assert lazy.pixels.nbytes == 0
    for first, second in zip(kept, drawn([lazy]), strict=True):
        np.testing.assert_array_equal(first, second)


def test_only_verified_pixels_weigh():
    one = masked()
    coded = replace(one, image=np.where(one.verified, 200, 20).astype(np.uint8), axes="YX")
    (source,) = prepared(coded)
    plain = AugmentationOptions(rotation=0.0, elastic=0.0, scaling=1.0, intensity=0.0)
    pixels, _, weights = drawn([source], augmentation=plain)
    np.testing.assert_array_equal(weights > 0, pixels[:, 0] > pixels.mean())
    assert source.area == 50 * 70


def test_patches_are_drawn_where_verified_pixels_are():
    _, _, weights = drawn(prepared(masked()))
    assert (weights.reshape(len(weights), -1) > 0).any(axis=1).all()


def test_rare_classes_are_seen_often():
    labels = np.zeros((200, 200), np.uint8)
    labels[150:154, 20:24] = 1
    one = ns.Example(np.zeros((200, 200), np.uint8), labels)
    _, targets, _ = drawn(prepared(one, model=SEMANTIC), model=SEMANTIC, n=40)
    assert (targets == 1).any(axis=(1, 2)).mean() > 0.4  # by chance it would be 0.03


def test_border_weights_of_patches_are_those_of_the_image():
    from napari_seamless.training.border_weights import border_weights

    _, labels = discs(3, (128, 128), 40)
    whole = border_weights(labels)
    coded = ns.Example(np.round(whole * 1000).astype(np.uint16), labels)
    targets = TargetOptions(weighting="border")
    (source,) = prepared(coded, targets=targets)
    plain = AugmentationOptions(rotation=0.0, elastic=0.0, scaling=1.0, intensity=0.0)
    pixels, _, weights = drawn([source], targets, augmentation=plain)
    low, high = source.intensity_range.low[0], source.intensity_range.high[0]
    inside = weights[:, 8:-8, 8:-8]
    np.testing.assert_allclose((pixels[:, 0] * (high - low) + low)[:, 8:-8, 8:-8] / 1000, inside, atol=2e-3)
    assert inside.max() > 5


@pytest.mark.parametrize(
    ("labels", "mask", "model", "message"),
    [
        (0, True, INSTANCES, "all verified labels are empty"),
        (5, True, INSTANCES, r"one class only \(objects\)"),
        (1, True, SEMANTIC, r"one class only \(class 1\)"),
        (7, True, SEMANTIC, r"class indices 0\.\.1, but image holds the value 7"),
    ],
    ids=["empty", "one object", "one class", "unknown class"],
)
def test_labels_that_teach_nothing_are_refused(labels, mask, model, message):
    one = ns.Example(np.zeros((64, 64), np.uint8), np.full((64, 64), labels), np.full((64, 64), mask))
    with pytest.raises(DatasetError, match=message):
        prepared(one, model=model)


def test_an_image_is_measured_once_for_all_its_places(monkeypatch):
    calls = []
    measure = sources.measure_range
    monkeypatch.setattr(sources, "measure_range", lambda *args, **named: calls.append(1) or measure(*args, **named))
    one = example(0)
    prepared(replace(one, box=((0, 30), (0, 64))), replace(one, box=((30, 64), (0, 64))))
    assert len(calls) == 1
