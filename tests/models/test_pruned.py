"""A run at a level reads, holds and needs nothing but the nodes of that level."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import torch

from napari_seamless.errors import LevelError, ModelError
from napari_seamless.inference.predictor import Predictor
from napari_seamless.inference.run import predict_probabilities, segment
from napari_seamless.models import stored_weights
from napari_seamless.models.library import load_model
from napari_seamless.models.model import Model, create_model
from napari_seamless.models.package import save_model
from napari_seamless.models.stored_weights import Weights, read_weights
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.graph import node_name, nodes_for

CONFIG = NetworkConfig(architecture="unetpp", features=(2, 3, 4, 5, 6))
IMAGE = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)


def model_with_statistics() -> Model:
    """Running statistics that matter, as after a training."""
    model = create_model(CONFIG, seed=3)
    generator = torch.Generator().manual_seed(0)
    weights = {
        name: torch.rand(tensor.shape, generator=generator) + 0.5 if "running" in name else tensor
        for name, tensor in model.network.state_dict().items()
    }
    return model.with_weights(weights)


@pytest.fixture(scope="module", params=["folder", "file.zip"])
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(model_with_statistics(), tmp_path_factory.mktemp("models") / request.param)


def nodes_in(names: Collection[str]) -> set[str]:
    return {found.group() for name in names if (found := re.search(r"x_\d_\d", name))}


def needed(level: int) -> set[str]:
    return {node_name(node) for node in nodes_for(CONFIG, level)}


def watched(package: Path, asked: list[Collection[str] | None]) -> Model:
    """The packaged model, which tells which tensors are asked for."""
    model = load_model(package)

    def load(names: Collection[str] | None = None) -> Weights:
        asked.append(names)
        return model.load_weights(names)

    return replace(model, load_weights=load)


@pytest.mark.parametrize("level", CONFIG.levels)
def test_a_level_s_network_is_the_same_bit_by_bit(package: Path, level: int) -> None:
    model = load_model(package)
    image = torch.from_numpy(IMAGE[:32, :48])[None, None]
    with torch.inference_mode():
        pruned = model.network_at(level)(image)
        assert not model.is_built
        whole = model.network(image, level)
    assert torch.equal(pruned, whole)


@pytest.mark.parametrize("level", CONFIG.levels)
def test_it_holds_the_nodes_of_that_level_and_no_others(package: Path, level: int) -> None:
    network = load_model(package).network_at(level)
    assert nodes_in(network.state_dict()) == needed(level)
    assert sorted(network.classifiers) == [str(head) for head in range(1, level + 1)]
    assert not network.training
    assert all(values.device.type == "cpu" for values in network.state_dict().values())


@pytest.mark.parametrize("level", CONFIG.levels)
def test_a_run_reads_the_tensors_of_that_level_and_no_others(package: Path, level: int) -> None:
    asked: list[Collection[str] | None] = []
    model = watched(package, asked)
    segment(IMAGE, model, axes="YX", level=level)
    found = predict_probabilities(IMAGE, model, axes="YX", level=level)
    assert not model.is_built
    assert asked
    for names in asked:
        assert names is not None
        assert nodes_in(names) == needed(level)
    _ = model.network
    np.testing.assert_array_equal(found, predict_probabilities(IMAGE, model, axes="YX", level=level))


def test_reading_gives_what_was_asked_for(package: Path) -> None:
    everything = read_weights(package)
    assert read_weights(package, ["no such tensor"]) == {}
    for name, tensor in everything.items():
        (read,) = read_weights(package, [name]).items()
        assert read[0] == name
        assert torch.equal(read[1], tensor)
    two = ["classifiers.4.bias", "blocks.x_0_0.0.weight"]
    assert read_weights(package, two).keys() == set(two)


def test_other_tensors_of_a_zip_stream_past(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = save_model(model_with_statistics(), tmp_path / "model.zip")
    kept: list[int] = []
    only = stored_weights._only

    def measured(file: IO[bytes], path: Path, names: Collection[str] | None) -> bytes:
        content = only(file, path, names)
        kept.append(len(content))
        return content

    monkeypatch.setattr(stored_weights, "_only", measured)
    read_weights(package)
    read_weights(package, load_model(package).network_at(1).state_dict().keys())
    assert kept[-1] < 0.25 * kept[0]


def test_a_network_that_was_changed_by_hand_is_what_runs(package: Path) -> None:
    model = load_model(package)
    model.network.double()
    pruned = model.network_at(2)
    assert {values.dtype for values in pruned.parameters()} == {torch.float64}
    with torch.no_grad():
        next(pruned.parameters()).zero_()
    assert next(model.network.parameters()).abs().sum() > 0
    with torch.no_grad():
        for values in model.network.parameters():
            values.zero_()
    assert np.ptp(predict_probabilities(IMAGE, model, axes="YX", level=1)) == 0


def test_half_precision_weights_become_float32(tmp_path: Path) -> None:
    package = save_model(model_with_statistics(), tmp_path / "half", weight_type="float16")
    network = load_model(package).network_at(1)
    assert {values.dtype for values in network.parameters()} == {torch.float32}


def test_the_weights_that_were_given_are_left_alone() -> None:
    given = create_model(CONFIG).network.state_dict()
    model = create_model(CONFIG).with_weights(given)
    network = model.network_at(1)
    with torch.no_grad():
        for values in network.parameters():
            values.fill_(7)
    assert not any((values == 7).all() for values in model.network_at(1).parameters())
    Predictor(model, level=1, device="cpu", precision="fp32")
    assert torch.equal(model.network.state_dict()["blocks.x_0_0.0.weight"], given["blocks.x_0_0.0.weight"])


def test_a_level_without_a_head_is_refused(package: Path) -> None:
    with pytest.raises(LevelError, match="level 5 has no head"):
        load_model(package).network_at(5)


@pytest.mark.parametrize("names", [None, ["classifiers.1.bias"]])
def test_a_damaged_file_is_refused(package: Path, tmp_path: Path, names: list[str] | None) -> None:
    broken = save_model(create_model(CONFIG), tmp_path / "broken")
    weights = broken / "weights.safetensors"
    for content in (b"", b"1234567", b"\xff" * 100, weights.read_bytes()[:-4], (5).to_bytes(8, "little") + b"[1,2]"):
        weights.write_bytes(content)
        with pytest.raises(ModelError, match=r"weights.safetensors is not a safetensors file|it needs model.json"):
            read_weights(broken, names)
