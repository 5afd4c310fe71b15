"""Losses by known answers, and no gradient where nothing is known."""

from __future__ import annotations

import math

import pytest
import torch

from napari_seamless.training.losses import deep_supervision_loss, dice_cross_entropy
from napari_seamless.training.optimisation import AveragedWeights, learning_rate_factor, make_optimiser


def logits_for(target: torch.Tensor, n_classes: int, confidence: float) -> torch.Tensor:
    return confidence * torch.nn.functional.one_hot(target, n_classes).movedim(-1, 1).float()


TARGET = torch.tensor([[[0, 1, 2, 2], [0, 0, 1, 2]]])
ONES = torch.ones(TARGET.shape)


def test_certain_and_right_costs_nothing():
    assert float(dice_cross_entropy(logits_for(TARGET, 3, 50.0), TARGET, ONES)) == pytest.approx(0, abs=1e-5)


def test_undecided_costs_the_logarithm_and_its_dice():
    loss = float(dice_cross_entropy(torch.zeros(1, 3, 2, 4), TARGET, ONES))
    # Rim: 2 pixels, predicted mass 8/3, shared 2/3. Core: 3 pixels, predicted mass 8/3, shared 1.
    rim = 1 - (2 * 2 / 3 + 1) / (8 / 3 + 2 + 1)
    core = 1 - (2 * 1 + 1) / (8 / 3 + 3 + 1)
    assert loss == pytest.approx(math.log(3) + (rim + core) / 2)


def test_absent_classes_cost_nothing():
    target = torch.zeros(1, 2, 4, dtype=torch.int64)
    assert float(dice_cross_entropy(logits_for(target, 3, 50.0), target, ONES)) == pytest.approx(0, abs=1e-5)


def test_gradient_is_zero_where_the_weight_is():
    logits = torch.randn(1, 3, 2, 4, requires_grad=True)
    weight = ONES.clone()
    weight[0, 0, :2] = 0
    dice_cross_entropy(logits, TARGET, weight).backward()
    assert not logits.grad[0, :, 0, :2].any()
    assert logits.grad[0, :, 0, 2:].all()


def test_unweighted_pixels_do_not_change_the_loss():
    logits = torch.randn(1, 3, 2, 4)
    weight = ONES.clone()
    weight[..., 0] = 0
    other = TARGET.clone()
    other[..., 0] = 2
    assert float(dice_cross_entropy(logits, TARGET, weight)) == float(dice_cross_entropy(logits, other, weight))


def test_no_weight_at_all_is_finite():
    assert float(dice_cross_entropy(torch.randn(1, 3, 2, 4), TARGET, 0 * ONES)) == pytest.approx(0, abs=1e-6)


def test_heads_count_alike():
    first, second = torch.randn(1, 3, 2, 4), torch.randn(1, 3, 2, 4)
    single = [float(dice_cross_entropy(one, TARGET, ONES)) for one in (first, second)]
    both = float(deep_supervision_loss({1: first, 2: second}, TARGET, ONES))
    assert both == pytest.approx(sum(single) / 2)


def test_volumes_are_one_path():
    target = torch.randint(0, 2, (2, 3, 4, 5))
    loss = dice_cross_entropy(logits_for(target, 2, 50.0), target, torch.ones(target.shape))
    assert float(loss) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("progress", "factor"), [(0.0, 0.01), (0.025, 0.505), (0.05, 1.0), (0.525, 0.505), (1.0, 0.01), (1.7, 0.01)]
)
def test_learning_rate_rises_and_falls(progress, factor):
    assert learning_rate_factor(progress) == pytest.approx(factor)


def test_only_kernels_decay():
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    groups = make_optimiser(network, 1e-3, 0.1).param_groups
    assert [len(group["params"]) for group in groups] == [1, 3]
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]


def test_average_follows_the_weights():
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, 0.0)
    average = AveragedWeights(network, 0.5)
    torch.nn.init.constant_(network.weight, 1.0)
    average.update(network)  # decay 1/10 at first
    assert float(average.state["weight"]) == pytest.approx(0.9)
    average.update(network)  # then 2/11
    assert float(average.state["weight"]) == pytest.approx(0.9 * 2 / 11 + 9 / 11)


def test_no_average_is_the_weights_themselves():
    network = torch.nn.BatchNorm2d(1)
    average = AveragedWeights(network, 0.0)
    network(torch.randn(2, 1, 3, 3))
    average.update(network)
    for name, value in network.state_dict().items():
        assert torch.equal(average.snapshot()[name], value)
