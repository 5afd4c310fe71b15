"""What is held out, and how far training keeps away from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import napari_seamless as ns
from napari_seamless.errors import DatasetError
from napari_seamless.training.split import split_by_group, split_examples
from tests.training.conftest import example

HALO = (20, 20)


def split(examples, halo=HALO, fraction=0.2, dims=2, seed=0):
    return split_examples(examples, dims, halo, fraction, seed)


def verified_where(*boxes, shape=(300, 300)):
    mask = np.zeros(shape, bool)
    for rows, columns in boxes:
        mask[slice(*rows), slice(*columns)] = True
    return ns.Example(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8), mask)


def counting(planes):
    return sum(int((plane.read_verified(block) > 0).sum()) for plane in planes for block in plane.blocks())


def test_groups_stay_together():
    examples = [example(number, group=f"group {number % 5}") for number in range(20)]
    training, validation = split_by_group(examples, 0.2, seed=3)
    assert {one.group for one in training}.isdisjoint({one.group for one in validation})
    assert len(training) + len(validation) == 20
    assert len({one.group for one in validation}) == 1


def test_every_data_set_is_in_the_validation():
    examples = [example(number, dataset=f"set {number % 2}") for number in range(10)]
    _, validation = split_by_group(examples, 0.15, seed=0)
    assert {one.dataset for one in validation} == {"set 0", "set 1"}


def test_the_seed_chooses_the_split():
    examples = [example(number) for number in range(12)]
    names = [tuple(plane.name for plane in split(examples, fraction=0.3, seed=seed).validation) for seed in (1, 1, 2)]
    assert names[0] == names[1]
    assert names[0] != names[2]


def test_the_far_end_of_a_single_image_is_held_out_beyond_the_halo():
    result = split([example(0, (100, 60))])
    assert result.training[0].places == (((0, 60), (0, 60)),)
    assert result.validation[0].places == (((80, 100), (0, 60)),)
    assert not result.notices


def test_too_little_is_not_held_out_and_that_is_said():
    result = split([example(0, (50, 30))])
    assert not result.validation
    assert counting(result.training) == 1500
    assert "nobody knows how good the model gets" in result.notices[0]


def test_the_last_planes_of_a_stack_are_held_out():
    stack = ns.Example(np.zeros((10, 40, 40), np.uint8), np.zeros((10, 40, 40), np.uint8))
    result = split([stack])
    assert [plane.plane for plane in result.validation] == [(8,), (9,)]
    assert len(result.training) == 8


def test_one_of_several_places_is_held_out():
    one = verified_where(((0, 100), (0, 100)), ((0, 100), (200, 300)), ((200, 240), (0, 60)))
    result = split([one])
    assert result.validation[0].places == (((200, 240), (0, 60)),)
    assert counting(result.training) == 2 * 100 * 100


def test_training_pixels_within_the_halo_of_validation_do_not_count():
    one = verified_where(((0, 100), (0, 300)), ((110, 130), (0, 300)))
    near = replace(one, box=((0, 100), (0, 300)), role="train")
    held_out = replace(one, box=((110, 130), (0, 300)), role="validation")
    result = split([near, held_out])
    assert counting(result.training) == 90 * 300
    assert counting(result.validation) == 20 * 300
    other_image = replace(near, image=example(0, (300, 300)).image)
    assert counting(split([other_image, held_out]).training) == 100 * 300


def test_roles_chosen_by_hand_are_kept_and_a_flattering_score_is_named():
    one = verified_where(((0, 10), (0, 300)), ((15, 100), (0, 300)))
    near = replace(one, box=((0, 10), (0, 300)), role="train")
    held_out = replace(one, box=((15, 100), (0, 300)), role="validation")
    result = split([near, held_out])
    assert counting(result.training) == 10 * 300
    assert "may flatter" in result.notices[0]


def test_nothing_verified_is_refused():
    with pytest.raises(DatasetError, match="no pixel of any image is verified"):
        split([verified_where()])


def test_nothing_left_for_training_is_refused():
    with pytest.raises(DatasetError, match="everything that is verified is for validation"):
        split([replace(example(0), role="validation")])
