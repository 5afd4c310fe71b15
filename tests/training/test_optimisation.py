"""Rates, groups and averages by known answers."""

from __future__ import annotations

import pytest
import torch

from napari_seamless.networks import build_network
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.training.budget import Budget
from napari_seamless.training.optimisation import (
    MOMENTUM,
    AveragedWeights,
    endless_learning_rate_factor,
    learning_rate_factor,
    make_optimiser,
    set_learning_rate,
    set_training_mode,
)
from napari_seamless.training.options import TrainingOptions

CONFIG = NetworkConfig(architecture="unetpp", features=(2, 4, 8))
ENCODER = ("blocks.x_0_0.", "blocks.x_1_0.", "blocks.x_2_0.")


def network():
    return build_network(CONFIG)


@pytest.mark.parametrize(
    ("progress", "factor"), [(0.0, 0.01), (0.025, 0.505), (0.05, 1.0), (0.525, 0.505), (1.0, 0.01), (1.7, 0.01)]
)
def test_learning_rate_rises_and_falls(progress, factor):
    assert learning_rate_factor(progress) == pytest.approx(factor)


@pytest.mark.parametrize(("step", "factor"), [(0, 0.01), (50, 0.505), (100, 1.0), (10**6, 1.0)])
def test_learning_rate_of_an_endless_run_stays_up(step, factor):
    assert endless_learning_rate_factor(step) == pytest.approx(factor)


def test_only_kernels_decay():
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    groups = make_optimiser(net, TrainingOptions(weight_decay=0.1)).param_groups
    assert [len(group["params"]) for group in groups] == [1, 3]
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]


def test_every_weight_is_in_one_group():
    net = network()
    groups = make_optimiser(net, TrainingOptions(encoder_rate=0.1)).param_groups
    found = [id(weights) for group in groups for weights in group["params"]]
    assert sorted(found) == sorted(id(weights) for weights in net.parameters())


def test_the_contracting_path_has_its_own_rate():
    net = network()
    optimiser = make_optimiser(net, TrainingOptions(encoder_rate=0.1))
    set_learning_rate(optimiser, 0.5)
    rates = {id(weights): group["lr"] for group in optimiser.param_groups for weights in group["params"]}
    for name, weights in net.named_parameters():
        assert rates[id(weights)] == pytest.approx(0.05 if name.startswith(ENCODER) else 0.5), name


def test_a_rate_of_zero_freezes():
    net = network()
    options = TrainingOptions(encoder_rate=0.0)
    groups = make_optimiser(net, options).param_groups
    set_training_mode(net, options)
    trained = {id(weights) for group in groups for weights in group["params"]}
    for name, weights in net.named_parameters():
        assert weights.requires_grad == (id(weights) in trained) == (not name.startswith(ENCODER)), name
    assert not net.blocks["x_1_0"][1].training
    assert net.blocks["x_0_1"][1].training


def test_frozen_norm_is_all_of_it():
    net = network()
    set_training_mode(net, TrainingOptions(freeze_norm=True))
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(norms) == 12
    assert not any(module.training for module in norms)
    assert net.dropout.training
    set_training_mode(net, TrainingOptions())
    assert all(module.training for module in norms)


def test_sgd_has_the_momentum_of_the_paper():
    optimiser = make_optimiser(network(), TrainingOptions(optimiser="sgd"))
    assert isinstance(optimiser, torch.optim.SGD)
    assert {group["momentum"] for group in optimiser.param_groups} == {MOMENTUM} == {0.99}


def test_average_follows_the_weights():
    net = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(net.weight, 0.0)
    average = AveragedWeights(net, 0.5)
    torch.nn.init.constant_(net.weight, 1.0)
    average.update(net)  # decay 1/10 at first
    assert float(average.state["weight"]) == pytest.approx(0.9)
    average.update(net)  # then 2/11
    assert float(average.state["weight"]) == pytest.approx(0.9 * 2 / 11 + 9 / 11)


def test_no_average_is_the_weights_themselves():
    net = torch.nn.BatchNorm2d(1)
    average = AveragedWeights(net, 0.0)
    net(torch.randn(2, 1, 3, 3))
    average.update(net)
    for name, value in net.state_dict().items():
        assert torch.equal(average.snapshot()[name], value)


@pytest.mark.parametrize(
    ("options", "step", "seconds", "progress", "left"),
    [
        (TrainingOptions(epochs=4), 10, 5.0, 0.25, 15.0),
        (TrainingOptions(steps=20), 10, 5.0, 0.5, 5.0),
        (TrainingOptions(seconds=50), 10, 5.0, 0.1, 45.0),
        (TrainingOptions(seconds=50, steps=20, epochs=1), 10, 5.0, 1.0, 0.0),
        (TrainingOptions(until_stopped=True), 10, 5.0, 0.0, None),
        (TrainingOptions(), 100, 5.0, 0.25, 15.0),
        (TrainingOptions(seconds=50), 0, 0.0, 0.0, None),
    ],
    ids=["epochs", "steps", "seconds", "whichever first", "endless", "forty epochs", "not begun"],
)
def test_budget(options, step, seconds, progress, left):
    budget = Budget(options, steps_per_epoch=10)
    assert budget.progress(step, seconds) == pytest.approx(progress)
    assert budget.seconds_left(step, seconds) == left


def test_endless_runs_keep_their_rate():
    budget = Budget(TrainingOptions(until_stopped=True, learning_rate=0.1), steps_per_epoch=10)
    assert budget.learning_rate(10**6, 1e6) == pytest.approx(0.1)
    assert Budget(TrainingOptions(steps=10, learning_rate=0.1), 10).learning_rate(10, 0.0) == pytest.approx(0.001)


def test_heads_decay_over_the_epochs_of_the_budget():
    ramp = Budget(TrainingOptions(epochs=10, deep_supervision="ramp"), steps_per_epoch=7)
    assert ramp.auxiliary_weight(35, 0.0) == pytest.approx(0.5)
    compounding = Budget(TrainingOptions(steps=70, deep_supervision="compounding"), steps_per_epoch=7)
    assert compounding.auxiliary_weight(14, 0.0) == pytest.approx(0.9 * 0.8)
