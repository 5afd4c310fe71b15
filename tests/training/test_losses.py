"""Losses by known answers, and no gradient where nothing is known."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from napari_seamless.training.losses import auxiliary_weight, deep_supervision_loss, head_loss, soft_dice_loss

LOSSES = ("dice_cross_entropy", "cross_entropy", "dice", "bce_dice")
TARGET = torch.tensor([[[0, 1, 2, 2], [0, 0, 1, 2]]])
MASK = torch.tensor([[[0, 1, 1, 1], [0, 0, 1, 0]]])
ONES = torch.ones(TARGET.shape)


def logits_for(target: torch.Tensor, n_channels: int, confidence: float) -> torch.Tensor:
    """Return logits that say `target`; one channel says whether it is the foreground."""
    if n_channels == 1:
        return confidence * (2.0 * target[:, None] - 1)
    return confidence * torch.nn.functional.one_hot(target, n_channels).movedim(-1, 1).float()


CHANNELS = pytest.mark.parametrize(("n_channels", "target"), [(1, MASK), (2, MASK), (3, TARGET)], ids=str)
EVERY_LOSS = pytest.mark.parametrize("loss", LOSSES)


@EVERY_LOSS
@CHANNELS
def test_certain_and_right_costs_nothing(loss, n_channels, target):
    assert float(head_loss(logits_for(target, n_channels, 50.0), target, ONES, loss=loss)) == pytest.approx(0, abs=1e-5)


@EVERY_LOSS
@CHANNELS
def test_certain_and_wrong_costs_much_and_is_finite(loss, n_channels, target):
    wrong = (target + 1) % max(2, n_channels)
    value = float(head_loss(logits_for(wrong, n_channels, 50.0), target, ONES, loss=loss))
    assert 0.5 < value < 200


def test_undecided_costs_the_logarithm_and_its_dice():
    # Rim: 2 pixels, predicted mass 8/3, shared 2/3. Core: 3 pixels, predicted mass 8/3, shared 1.
    rim = 1 - (2 * 2 / 3 + 1) / (8 / 3 + 2 + 1)
    core = 1 - (2 * 1 + 1) / (8 / 3 + 3 + 1)
    undecided = partial(head_loss, torch.zeros(1, 3, 2, 4), TARGET, ONES)
    assert float(undecided(loss="dice")) == pytest.approx((rim + core) / 2)
    assert float(undecided(loss="cross_entropy")) == pytest.approx(math.log(3))
    assert float(undecided(loss="dice_cross_entropy")) == pytest.approx(math.log(3) + (rim + core) / 2)
    # Each class against the others: once 1/3 for the true one, twice 2/3 for the others.
    binary = (math.log(3) + 2 * math.log(3 / 2)) / 3
    assert float(undecided(loss="bce_dice")) == pytest.approx(0.5 * binary + (rim + core) / 2)


def test_one_channel_is_the_sigmoid():
    logits = torch.zeros(1, 1, 2, 4)
    dice = 1 - (2 * 2 + 1) / (4 + 4 + 1)
    assert float(head_loss(logits, MASK, ONES, loss="cross_entropy")) == pytest.approx(math.log(2))
    assert float(head_loss(logits, MASK, ONES, loss="dice")) == pytest.approx(dice)
    assert float(head_loss(logits, MASK, ONES, loss="bce_dice")) == pytest.approx(0.5 * math.log(2) + dice)


def test_two_channels_say_what_one_says():
    one = torch.randn(1, 1, 2, 4)
    two = torch.cat([torch.zeros_like(one), one], dim=1)
    for loss in LOSSES:
        assert float(head_loss(one, MASK, ONES, loss=loss)) == pytest.approx(
            float(head_loss(two, MASK, ONES, loss=loss))
        )


def test_dice_of_the_batch_or_of_each_patch():
    logits = torch.cat([torch.full((1, 1, 2, 4), 50.0), torch.full((1, 1, 2, 4), -50.0)])
    target = torch.cat([torch.ones_like(MASK), torch.ones_like(MASK)])
    ones = torch.ones(target.shape)
    assert float(soft_dice_loss(logits, target, ones)) == pytest.approx(1 - (16 + 1) / (24 + 1))
    assert float(soft_dice_loss(logits, target, ones, over="patch")) == pytest.approx((0 + 1 - 1 / 9) / 2)


@EVERY_LOSS
def test_absent_classes_cost_nothing(loss):
    target = torch.zeros(1, 2, 4, dtype=torch.int64)
    assert float(head_loss(logits_for(target, 3, 50.0), target, ONES, loss=loss)) == pytest.approx(0, abs=1e-5)


@EVERY_LOSS
def test_weights_do_not_make_the_perfect_better(loss):
    assert float(head_loss(logits_for(TARGET, 3, 50.0), TARGET, 9 * ONES, loss=loss)) == pytest.approx(0, abs=1e-5)


@EVERY_LOSS
@CHANNELS
def test_gradient_is_exactly_zero_where_the_weight_is(loss, n_channels, target):
    logits = torch.randn(1, n_channels, 2, 4, requires_grad=True)
    weight = ONES.clone()
    weight[0, 0, :2] = 0
    head_loss(logits, target, weight, loss=loss).backward()
    assert not logits.grad[0, :, 0, :2].any()
    assert logits.grad[0, :, 0, 2:].all()
    assert logits.grad[0, :, 1].all()


@EVERY_LOSS
@CHANNELS
def test_unweighted_pixels_do_not_change_the_loss(loss, n_channels, target):
    logits = torch.randn(1, n_channels, 2, 4)
    weight = ONES.clone()
    weight[..., 0] = 0
    other, other_logits = target.clone(), logits.clone()
    other[..., 0] = 1
    other_logits[..., 0] = 7.0
    expected = float(head_loss(logits, target, weight, loss=loss))
    assert float(head_loss(other_logits, other, weight, loss=loss)) == expected


@EVERY_LOSS
@CHANNELS
def test_no_weight_at_all_is_finite_and_teaches_nothing(loss, n_channels, target):
    logits = torch.randn(1, n_channels, 2, 4, requires_grad=True)
    value = head_loss(logits, target, 0 * ONES, loss=loss)
    value.backward()
    assert float(value.detach()) == pytest.approx(0, abs=1e-6)
    assert not logits.grad.any()


@pytest.mark.parametrize("loss", ["cross_entropy", "dice_cross_entropy", "bce_dice"])
@CHANNELS
def test_a_class_that_weighs_nothing_has_no_gradient_in_the_entropy(loss, n_channels, target):
    logits = torch.randn(1, n_channels, 2, 4, requires_grad=True)
    class_weights = torch.ones(max(2, n_channels))
    class_weights[0] = 0
    (head_loss(logits, target, ONES, loss=loss, class_weights=class_weights)).backward()
    with_entropy = logits.grad.clone()
    logits.grad = None
    over = "patch" if loss == "bce_dice" else "batch"
    if loss == "cross_entropy":
        expected = torch.zeros_like(with_entropy)
    else:
        soft_dice_loss(logits, target, ONES, over=over).backward()
        expected = logits.grad
    background = (target == 0)[:, None].expand_as(logits)
    torch.testing.assert_close(with_entropy[background], expected[background])
    assert not torch.allclose(with_entropy[~background], expected[~background])


def test_class_weights_are_those_of_torch():
    logits, weights = torch.randn(1, 3, 2, 4), torch.tensor([0.2, 3.0, 1.0])
    expected = torch.nn.functional.cross_entropy(logits, TARGET, weight=weights)
    found = head_loss(logits, TARGET, ONES, loss="cross_entropy", class_weights=weights)
    torch.testing.assert_close(found, expected)


def test_heads_count_alike():
    first, second = torch.randn(1, 3, 2, 4), torch.randn(1, 3, 2, 4)
    single = [float(head_loss(one, TARGET, ONES)) for one in (first, second)]
    both = float(deep_supervision_loss({1: first, 2: second}, TARGET, ONES))
    assert both == pytest.approx(sum(single) / 2)


def test_the_deepest_head_is_the_main_one():
    heads = {level: torch.randn(1, 3, 2, 4, requires_grad=True) for level in (3, 1, 2)}
    single = {level: float(head_loss(one.detach(), TARGET, ONES)) for level, one in heads.items()}
    found = deep_supervision_loss(heads, TARGET, ONES, auxiliary=0.25)
    assert float(found.detach()) == pytest.approx((single[3] + 0.25 * (single[1] + single[2])) / 1.5)
    alone = deep_supervision_loss(heads, TARGET, ONES, auxiliary=0.0)
    alone.backward()
    assert float(alone.detach()) == pytest.approx(single[3])
    assert heads[1].grad is None
    assert heads[2].grad is None


@pytest.mark.parametrize(
    ("scheme", "progress", "weight"),
    [
        ("equal", 0.9, 1.0),
        ("ramp", 0.0, 1.0),
        ("ramp", 0.25, 0.75),
        ("ramp", 1.0, 0.0),
        ("compounding", 0.0, 1.0),
        ("compounding", 0.01, 0.99),
        ("compounding", 0.02, 0.99 * 0.98),
        ("compounding", 1.0, 0.0),
    ],
)
def test_shallow_heads_decay(scheme, progress, weight):
    assert auxiliary_weight(scheme, progress, 100) == pytest.approx(weight)


def test_the_compounding_rule_halves_after_eleven_of_a_hundred_epochs():
    assert auxiliary_weight("compounding", 0.11, 100) > 0.5 > auxiliary_weight("compounding", 0.12, 100)


def test_volumes_are_one_path():
    target = torch.randint(0, 2, (2, 3, 4, 5))
    for loss in LOSSES:
        value = head_loss(logits_for(target, 2, 50.0), target, torch.ones(target.shape), loss=loss)
        assert float(value) == pytest.approx(0, abs=1e-5)
