"""Intensities change, but nothing else does."""

from __future__ import annotations

import numpy as np
import pytest

from napari_seamless.errors import TrainingError
from napari_seamless.training.augment import vary_intensity
from napari_seamless.training.augmentation import AugmentationOptions
from napari_seamless.training.options import TrainingOptions

GREY = np.repeat(np.linspace(0, 1, 256, dtype=np.float32).reshape(1, 16, 16), 3, axis=0)
COLOUR = np.random.default_rng(0).random((3, 16, 16), np.float32)


def many(pixels, options, n=60, is_colour_input=True):
    random = np.random.default_rng(0)
    return [vary_intensity(pixels, options, random, is_colour_input=is_colour_input) for _ in range(n)]


def test_nothing_changes_at_strength_zero():
    for varied in many(COLOUR, AugmentationOptions(intensity=0, colour=0), n=3):
        np.testing.assert_array_equal(varied, COLOUR)


def test_shape_and_type_stay_and_values_stay_finite():
    for varied in many(COLOUR * 3 - 1, AugmentationOptions(intensity=2, colour=2)):
        assert varied.shape == COLOUR.shape
        assert varied.dtype == np.float32
        assert np.isfinite(varied).all()


def test_grey_stays_grey():
    for varied in many(GREY, AugmentationOptions()):
        np.testing.assert_array_equal(varied[0], varied[1])
        np.testing.assert_array_equal(varied[0], varied[2])


def test_colour_sometimes_turns_grey():
    is_grey = [bool(np.array_equal(one[0], one[1])) for one in many(COLOUR, AugmentationOptions(intensity=0))]
    assert 0.1 < np.mean(is_grey) < 0.45


def test_grey_is_sometimes_inverted():
    options = AugmentationOptions(intensity=0)
    inverted = [bool(one[0, -1, -1] < one[0, 0, 0]) for one in many(GREY, options, n=200)]
    assert 0.05 < np.mean(inverted) < 0.3


def test_contrast_keeps_the_order_of_intensities():
    options = AugmentationOptions(intensity=1, colour=0)
    unsharp = 0
    for varied in many(GREY[:1], options, is_colour_input=False):
        unsharp += bool((np.diff(varied.ravel()) < -1e-6).any())
    assert unsharp < 40  # only noise and blur may change it


def test_channels_vary_on_their_own_unless_they_are_colours():
    channels = many(GREY, AugmentationOptions(colour=0), n=1, is_colour_input=False)[0]
    assert not np.array_equal(channels[0], channels[1])


def test_the_input_is_left_alone():
    before = COLOUR.copy()
    many(COLOUR, AugmentationOptions())
    np.testing.assert_array_equal(before, COLOUR)


@pytest.mark.parametrize(
    ("options", "values", "message"),
    [
        (AugmentationOptions, {"scaling": 0.5}, "factor between 1"),
        (AugmentationOptions, {"colour": -1}, "strength between 0"),
        (TrainingOptions, {"seconds": 0}, "seconds must be more than 0"),
        (TrainingOptions, {"epochs": -3}, "epochs must be more than 0"),
        (TrainingOptions, {"learning_rate": 0}, "learning_rate must be more than 0"),
        (TrainingOptions, {"average_decay": 1.0}, "average_decay"),
        (TrainingOptions, {"validation_fraction": 0.0}, "some images must be held out"),
        (TrainingOptions, {"precision": "int8"}, "precision must be one of"),
    ],
)
def test_options_refuse_nonsense(options, values, message):
    with pytest.raises(TrainingError, match=message):
        options(**values)


def test_budget_has_a_default():
    assert TrainingOptions().epoch_limit == 40
    assert TrainingOptions(seconds=5).epoch_limit is None
    assert TrainingOptions(seconds=5).epochs_of_patience is None
    assert TrainingOptions(epochs=100).epochs_of_patience == 25
    assert TrainingOptions(epochs=100, patience=3).epochs_of_patience == 3
