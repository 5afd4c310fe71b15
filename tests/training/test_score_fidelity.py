"""Half precision costs no score: known answers, the model that ships, and a model for which it does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_seamless.errors import DatasetError
from napari_seamless.images.image import Image
from napari_seamless.images.intensity import Normalization
from napari_seamless.models.library import load_model
from napari_seamless.models.model import Model, create_model
from napari_seamless.models.remembered import RememberedPatch
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.training.examples import Example
from napari_seamless.training.score_fidelity import ScoreFidelity, remembered_for_judging, score_fidelity


def nuclei(seed: int, side: int = 192) -> Example:
    """An image of blurred bright discs on dark, noisy ground, with the discs as objects."""
    random = np.random.default_rng(seed)
    labels = np.zeros((side, side), np.uint16)
    rows, columns = np.mgrid[:side, :side]
    for number in range(1, 21):
        row, column, radius = random.uniform(10, side - 10), random.uniform(10, side - 10), random.uniform(6, 11)
        apart = (rows - row) ** 2 + (columns - column) ** 2
        if not labels[apart < (radius + 3) ** 2].any():
            labels[apart < radius**2] = number
    image = 20 + 150 * (labels > 0) + random.normal(0, 6, labels.shape)
    return Example(Image.from_array(image.clip(0, 255).astype(np.uint8), "YX"), labels, name=f"nuclei {seed}")


def brighter_than(threshold: float) -> Model:
    """A model of two classes: 1 where the image, 0 to 1 after normalisation, exceeds `threshold`."""
    config = NetworkConfig(features=(1, 1), norm="none")
    model = create_model(config, normalization=Normalization(0.0, 100.0))
    weights = {name: torch.zeros_like(tensor) for name, tensor in model.network.state_dict().items()}
    for name in ("blocks.x_0_0.0", "blocks.x_0_0.2", "blocks.x_0_1.0", "blocks.x_0_1.2"):
        weights[f"{name}.weight"][0, 0, 1, 1] = 1.0
    weights["classifiers.1.weight"][1], weights["classifiers.1.bias"][1] = 50.0, -50.0 * threshold
    return model.with_weights(weights)


def finer_than_bf16() -> Example:
    """Values that straddle 0.5 by less than bf16 can tell, and their classes."""
    values = 0.5 + np.linspace(-1, 1, 64 * 64).reshape(64, 64).astype(np.float32) * 2e-3
    values[0, 0], values[-1, -1] = 0.0, 1.0
    return Example(Image.from_array(values, "YX"), (values > 0.5).astype(np.uint8), name="fine")


def test_the_shipped_model_scores_the_same_in_half_precision() -> None:
    report = score_fidelity(load_model("nuclei-2d"), [nuclei(0), nuclei(1)], precision="bf16", device="cpu")
    assert report.n_places == 2
    assert report.wide["score"] > 0.8, "an image on which the model fails would show nothing"
    assert abs(report.changes["score"]) < 0.002
    assert abs(report.changes["ap_mean"]) < 0.01
    assert report.faithful


def test_a_change_is_found() -> None:
    report = score_fidelity(brighter_than(0.5), [finer_than_bf16()], precision="bf16", device="cpu")
    assert report.wide["iou"] == 1.0
    assert report.fast["iou"] < 0.99
    assert not report.faithful


def test_the_level_is_the_one_that_a_run_takes() -> None:
    model = create_model(NetworkConfig(architecture="unetpp", features=(2, 3, 4)))
    report = score_fidelity(model, [nuclei(0, 64)], precision="fp32", device="cpu")
    assert (report.level, report.precision, report.device) == (model.auto_level, "fp32", "cpu")
    assert score_fidelity(model, [nuclei(0, 64)], precision="bf16", device="cpu", level=1).level == 1


def test_float32_is_scored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_seamless.training import score_fidelity as room

    asked: list[str] = []

    def score(*given: object, level: int) -> dict[str, float]:
        asked.append(str(given[3]))
        return {"score": 0.5}

    monkeypatch.setattr(room, "score_examples", score)
    score_fidelity(brighter_than(0.5), [finer_than_bf16()], precision="fp32", device="cpu")
    assert asked == ["fp32"]
    score_fidelity(brighter_than(0.5), [finer_than_bf16()], precision="fp16", device="cpu")
    assert asked == ["fp32", "fp32", "fp16"]


@pytest.mark.parametrize(("fast", "faithful"), [(0.7, True), (0.7019, True), (0.6981, True), (0.7021, False)])
def test_the_limit(fast: float, faithful: bool) -> None:
    report = ScoreFidelity(1, "cpu", "bf16", 1, {"score": fast, "iou": 0.1}, {"score": 0.7, "iou": 0.9})
    assert report.faithful == faithful
    assert report.changes["score"] == pytest.approx(fast - 0.7)


def test_too_few_axes_are_refused() -> None:
    model = create_model(NetworkConfig(spatial_dims=3, features=(2, 3)))
    with pytest.raises(DatasetError, match=r"nuclei 0 is 2D, but model .* is 3D: give 3D images"):
        score_fidelity(model, [nuclei(0, 64)], device="cpu")


def test_pieces_that_were_held_out_judge_before_those_that_taught() -> None:
    flat = np.zeros((8, 8), np.uint8)
    taught = RememberedPatch("a", "set", "train", "YX", flat, flat)
    held_out = replace(taught, name="b", role="validation")
    model = create_model(NetworkConfig(features=(2, 3)))
    assert remembered_for_judging(model) == []
    assert [one.name for one in remembered_for_judging(model.with_examples([taught]))] == ["a"]
    assert [one.name for one in remembered_for_judging(model.with_examples([taught, held_out]))] == ["b"]
