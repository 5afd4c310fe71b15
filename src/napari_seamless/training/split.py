"""Which images are held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from napari_seamless.errors import DatasetError
from napari_seamless.images.image import Image
from napari_seamless.training.dataset import TrainingExample


def split_by_group(
    examples: Sequence[TrainingExample], fraction: float, seed: int
) -> tuple[list[TrainingExample], list[TrainingExample]]:
    """Split into training and validation examples so that no group is on both sides.

    Each data set gives about `fraction` of its groups, at least one when it has two or more. When there is only one
    group altogether, the far end of each of its images along the longest axis is held out, with a gap between.

    Returns
    -------
    training, validation : list of TrainingExample

    Raises
    ------
    DatasetError
        If there is only one group and its images are too small to be divided.
    """
    random = np.random.default_rng([seed, 1])
    held_out: set[str] = set()
    for dataset in sorted({example.dataset for example in examples}):
        groups = sorted({example.group for example in examples if example.dataset == dataset})
        if len(groups) > 1:
            chosen = random.permutation(len(groups))[: max(1, round(fraction * len(groups)))]
            held_out.update(groups[index] for index in chosen)
    if not held_out:
        return _split_images(examples, fraction)
    training = [example for example in examples if example.group not in held_out]
    validation = [example for example in examples if example.group in held_out]
    if not any(example.labels.any() for example in training):
        raise DatasetError("after the validation split no training image has any labels: annotate more images")
    return training, validation


def _split_images(
    examples: Sequence[TrainingExample], fraction: float
) -> tuple[list[TrainingExample], list[TrainingExample]]:
    training, validation = [], []
    for example in examples:
        axis = int(np.argmax(example.labels.shape))
        length = example.labels.shape[axis]
        start = length - max(1, round(fraction * length))
        gap = min(48, length // 10)
        if start - gap < 32:
            raise DatasetError(
                f"a part of the images must be held out to choose the best weights, but there is only {example.name}, "
                f"{length} pixels long: add a second image, or one of at least 64 pixels"
            )
        training.append(_part(example, axis, slice(0, start - gap)))
        validation.append(_part(example, axis, slice(start, length)))
    if not any(example.labels.any() for example in training):
        raise DatasetError("the part of the image that is left for training has no labels: annotate more of it")
    return training, validation


def _part(example: TrainingExample, axis: int, bounds: slice) -> TrainingExample:
    image = example.image
    region = [slice(None)] * image.data.ndim
    region[image.axes.index(image.spatial_axes[axis])] = bounds
    part = Image.from_array(image.data[tuple(region)], image.axes, image.voxel_size_um, image.channel_names)
    return replace(example, image=part, labels=example.labels[(slice(None),) * axis + (bounds,)])
