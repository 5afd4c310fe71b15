"""Changes of intensity and colour that a model must not mind. Shape changes happen where patches are read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_seamless.training.augmentation import AugmentationOptions
from napari_seamless.training.resample import resample_linear

Pixels = NDArray[np.float32]


def vary_intensity(
    pixels: Pixels, options: AugmentationOptions, random: np.random.Generator, *, is_colour_input: bool
) -> Pixels:
    """Return a patch with other brightness, contrast, colour, noise and sharpness.

    Parameters
    ----------
    pixels : ndarray, float32, shape (C, *spatial)
        Normalised: mostly between 0 and 1.
    options : AugmentationOptions
    random : numpy.random.Generator
    is_colour_input : bool
        Whether the channels are red, green and blue, or one grey channel three times.
    """
    is_grey = is_colour_input and bool(np.array_equal(pixels[0], pixels[1]) and np.array_equal(pixels[1], pixels[2]))
    if is_colour_input and options.colour > 0:
        pixels, is_grey = _vary_colour(pixels, is_grey, options.colour, random)
    if options.intensity > 0:
        pixels = _vary_contrast(pixels, options.intensity, random, together=is_colour_input)
        pixels = _vary_sharpness(pixels, options.intensity, random, is_grey=is_grey)
    return pixels


def _vary_colour(pixels: Pixels, is_grey: bool, strength: float, random: np.random.Generator) -> tuple[Pixels, bool]:
    if not is_grey and random.random() < 0.25 * strength:
        weights = random.dirichlet((2.0, 2.0, 2.0)).astype(np.float32)
        pixels, is_grey = np.repeat(np.tensordot(weights, pixels, 1)[None], 3, axis=0), True
    if is_grey:
        # Bright objects on dark ground and the other way round are both common in grey images.
        return (1.0 - pixels if random.random() < 0.15 * strength else pixels), True
    if random.random() < 0.35 * strength:
        pixels = _add_stain(pixels, random)
    shape = (3,) + (1,) * (pixels.ndim - 1)
    gain = random.uniform(1 - 0.2 * strength, 1 + 0.2 * strength, shape).astype(np.float32)
    offset = random.uniform(-0.1 * strength, 0.1 * strength, shape).astype(np.float32)
    pixels = pixels * gain + offset
    grey = pixels.mean(axis=0, keepdims=True)
    saturation = np.float32(random.uniform(1 - 0.5 * strength, 1 + 0.5 * strength))
    return grey + saturation * (pixels - grey), False


def _add_stain(pixels: Pixels, random: np.random.Generator) -> Pixels:
    """Lay a second, uneven stain over a coloured image, as brown markers of immunohistochemistry do.

    Light that passes a stain falls off exponentially with its density (Beer-Lambert): each colour by its own rate.
    Half of the stains are brown, the others of any colour.
    """
    brown = np.array([0.27, 0.57, 0.78], np.float32)
    rates = brown if random.random() < 0.5 else random.dirichlet((1.5, 1.5, 1.5)).astype(np.float32) * 1.6
    shape = pixels.shape[1:]
    density = np.zeros(shape, np.float32)
    for cells, amplitude in ((3, 1.0), (8, 0.7), (40, 0.35)):
        coarse = random.standard_normal([min(cells, length) for length in shape], np.float32)
        density += np.float32(amplitude) * resample_linear(coarse[None], shape)[0]
    threshold = np.float32(random.uniform(-1.0, 1.0))
    density = np.clip(density - threshold, 0, 2) * np.float32(random.uniform(0.2, 0.9))
    passed: Pixels = np.exp(-rates.reshape(3, *(1,) * density.ndim) * density)
    return pixels * passed


def _vary_contrast(pixels: Pixels, strength: float, random: np.random.Generator, *, together: bool) -> Pixels:
    """Gain, offset and gamma; the same for all channels when they are colours."""
    shape = (1 if together else len(pixels),) + (1,) * (pixels.ndim - 1)
    gamma = np.exp(random.uniform(-0.4, 0.4, shape) * strength).astype(np.float32)
    gain = np.exp(random.uniform(-0.3, 0.3, shape) * strength).astype(np.float32)
    offset = (random.uniform(-0.1, 0.1, shape) * strength).astype(np.float32)
    if random.random() < 0.5:
        # Values beyond [0, 1] keep their sign and order.
        pixels = np.sign(pixels) * np.abs(pixels) ** gamma
    return pixels * gain + offset


def _vary_sharpness(pixels: Pixels, strength: float, random: np.random.Generator, *, is_grey: bool) -> Pixels:
    chance = random.random()
    if chance < 0.15 * strength:
        sigma = random.uniform(0.3, 1.2)
        blurred = [
            ndimage.gaussian_filter(channel, sigma, truncate=3) for channel in (pixels[:1] if is_grey else pixels)
        ]
        pixels = np.broadcast_to(np.stack(blurred), pixels.shape)
    elif chance < 0.45 * strength:
        # Noise of a grey image is the same in its three copies.
        shape = (1, *pixels.shape[1:]) if is_grey else pixels.shape
        noise = random.standard_normal(shape, np.float32)
        pixels = pixels + noise * np.float32(random.uniform(0.0, 0.08) * strength)
    return pixels
