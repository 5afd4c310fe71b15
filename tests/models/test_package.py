"""Models on disk: round trips, and everything that must be refused."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seamless.errors import ChannelError, ConfigError, FileWriteError, ModelError, OutputExistsError
from napari_seamless.images.intensity import Normalization
from napari_seamless.models import library
from napari_seamless.models.card import ModelCard
from napari_seamless.models.library import list_models, load_model
from napari_seamless.models.model import Model, create_model
from napari_seamless.models.package import read_package, save_model
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.objects.instances import InstanceRule


def tiny_model(**changes: object) -> Model:
    config = NetworkConfig(architecture="unetpp", features=(2, 3), out_channels=3, pool_sizes=((1, 2),))
    settings: dict[str, object] = {
        "task": "instances",
        "seed": 5,
        "name": "tiny",
        "card": ModelCard(description="for tests", scores={"iou": 0.5}, training_data=("made up",)),
        "instance_rule": InstanceRule(grow_steps=3, min_size=1),
        "normalization": Normalization(2.0, 99.0),
        "voxel_size_um": (0.5, 0.25),
    }
    return create_model(config, **{**settings, **changes})  # type: ignore[arg-type]


def same_weights(one: Model, other: Model) -> bool:
    a, b = one.network.state_dict(), other.network.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("name", ["model", "model.zip"])
def test_round_trip(tmp_path: Path, name: str) -> None:
    model = tiny_model()
    again = load_model(save_model(model, tmp_path / name))
    for attribute in (
        "name", "config", "task", "classes", "normalization", "input_kind", "instance_rule", "card", "voxel_size_um",
        "parent",
    ):  # fmt: skip
        assert getattr(again, attribute) == getattr(model, attribute), attribute
    assert same_weights(again, model)
    assert not again.network.training
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@given(
    architecture=st.sampled_from(["unet", "unetpp"]),
    dims=st.sampled_from([2, 3]),
    padding=st.sampled_from(["same", "valid"]),
    upsample=st.sampled_from(["transposed", "nearest", "bilinear"]),
    norm=st.sampled_from(["batch", "none"]),
    dropout=st.sampled_from([0.0, 0.5]),
    classes=st.integers(1, 4),
)
@settings(max_examples=20)
def test_any_configuration_round_trips(
    tmp_path_factory: pytest.TempPathFactory, architecture, dims, padding, upsample, norm, dropout, classes
) -> None:
    config = NetworkConfig(
        architecture=architecture,
        spatial_dims=dims,
        features=(2, 2),
        padding=padding,
        upsample=upsample,
        norm=norm,
        dropout=dropout,
        out_channels=classes,
    )
    model = create_model(config)
    again = load_model(save_model(model, tmp_path_factory.mktemp("models") / "m.zip"))
    assert again.config == config
    assert again.classes == model.classes
    assert len(model.classes) == classes
    assert same_weights(again, model)


def test_weights_are_as_readable_as_the_rest(tmp_path: Path) -> None:
    package = save_model(tiny_model(), tmp_path / "model")
    assert (package / "weights.safetensors").stat().st_mode == (package / "model.json").stat().st_mode


def test_half_precision_is_close_and_small(tmp_path: Path) -> None:
    model = tiny_model()
    full = save_model(model, tmp_path / "full")
    half = save_model(model, tmp_path / "half", weight_type="float16")
    size = lambda folder: (folder / "weights.safetensors").stat().st_size  # noqa: E731
    assert size(half) < size(full)
    for name, tensor in load_model(half).network.state_dict().items():
        torch.testing.assert_close(tensor, model.network.state_dict()[name], rtol=1e-3, atol=1e-4)


def test_seed_decides_the_weights_and_leaves_the_global_state_alone() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    assert same_weights(tiny_model(seed=3), tiny_model(seed=3))
    assert not same_weights(tiny_model(seed=3), tiny_model(seed=4))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_with_weights_keeps_its_own_copy() -> None:
    model = tiny_model()
    weights = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    child = model.with_weights(weights, name="child", parent="tiny")
    for tensor in weights.values():
        tensor.zero_()
    assert (child.name, child.parent) == ("child", "tiny")
    assert same_weights(child, model)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return save_model(tiny_model(), tmp_path / "model")


def edit(package: Path, **changes: object) -> None:
    manifest = package / "model.json"
    values = {**json.loads(manifest.read_text()), **changes}
    manifest.write_text(json.dumps(values))


def test_altered_weights_are_refused(package: Path) -> None:
    weights = package / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelError, match=r"has SHA-256 .* the file was altered or damaged"):
        load_model(package)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"format_version": 3}, "format version 3, this program reads up to 2: update", id="newer"),
        pytest.param({"pickle": "x"}, "pickle: Extra inputs are not permitted", id="unknown key"),
        pytest.param({"task": "dance"}, "task: Input should be 'semantic' or 'instances'", id="unknown task"),
        pytest.param({"network": {"architecture": "vit"}}, "architecture must be one of", id="unknown network"),
        pytest.param({"network": {"attention": 1}}, r"unknown network settings \['attention'\]", id="unknown setting"),
        pytest.param({"classes": ["a", "b", "c"]}, "a model of instances has the classes", id="wrong classes"),
        pytest.param(
            {"normalization": {"lower_percentile": 9, "upper_percentile": 3}}, "percentiles", id="percentiles"
        ),
    ],
)
def test_manifests_that_do_not_fit_are_refused(package: Path, changes: dict[str, object], message: str) -> None:
    edit(package, **changes)
    with pytest.raises(ModelError, match=message):
        load_model(package)


def test_weights_of_another_network_are_refused(package: Path) -> None:
    network = json.loads((package / "model.json").read_text())["network"]
    edit(package, network={**network, "features": [4, 3]})
    with pytest.raises(ModelError, match=r"do not fit its network configuration .*size mismatch"):
        _ = load_model(package).network


def test_a_broken_manifest_is_refused(package: Path) -> None:
    (package / "model.json").write_text("{not json")
    with pytest.raises(ModelError, match="not valid JSON"):
        load_model(package)


def test_missing_weights_are_refused(package: Path) -> None:
    (package / "weights.safetensors").unlink()
    with pytest.raises(ModelError, match=r"it needs model.json and weights.safetensors.*No such file"):
        load_model(package)


def test_a_zip_cannot_bring_anything_else_in(tmp_path: Path) -> None:
    good = save_model(tiny_model(), tmp_path / "model.zip")
    with zipfile.ZipFile(good, "a") as archive:
        archive.writestr("../outside.txt", "written outside")
    load_model(good)
    assert not (tmp_path.parent / "outside.txt").exists()
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("weights.pkl", b"boom")
    with pytest.raises(ModelError, match=r"it needs model.json and weights.safetensors"):
        load_model(other)


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.json", b" " * (5 * 2**20))
    with pytest.raises(ModelError, match=r"model.json has 5242880 bytes, more than"):
        load_model(bomb)


def test_existing_things_are_not_replaced(tmp_path: Path) -> None:
    path = save_model(tiny_model(), tmp_path / "model")
    with pytest.raises(OutputExistsError, match="choose another name or allow overwriting"):
        save_model(tiny_model(), path)
    save_model(tiny_model(name="second"), path, overwrite=True)
    assert read_package(path).name == "second"
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "precious.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match="choose another name"):
        save_model(tiny_model(), notes, overwrite=True)
    assert (notes / "precious.txt").read_text() == "mine"


def test_a_full_disk_leaves_the_old_model(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        path.open("wb").close()  # the name is there, the content is not
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(FileWriteError, match="No space left on device"):
        save_model(tiny_model(seed=9), package, overwrite=True)
    assert same_weights(load_model(package), tiny_model())
    assert [entry.name for entry in package.parent.iterdir()] == ["model"]


def test_library_finds_own_models_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.LIBRARY_VARIABLE, str(tmp_path))
    save_model(tiny_model(), tmp_path / "mine")
    save_model(tiny_model(), tmp_path / "zipped.zip")
    broken = save_model(tiny_model(), tmp_path / "broken")
    (broken / "model.json").write_text("{}")
    own = {entry.name: entry for entry in list_models() if not entry.bundled}
    assert own.keys() == {"mine", "zipped", "broken"}
    assert own["mine"].description == "for tests"
    assert own["mine"].config == tiny_model().config
    assert not own["broken"].usable
    assert "cannot be used" in own["broken"].description
    assert load_model("zipped").name == "tiny"
    with pytest.raises(ModelError, match=r"no model called 'yours': give a path, or one of these names: .*mine"):
        load_model("yours")


def test_impossible_models_are_refused() -> None:
    with pytest.raises(ConfigError, match="one class for each of the network's 2 output channels, not 1"):
        create_model(NetworkConfig(features=(1, 1)), classes=("cell",))
    with pytest.raises(ConfigError, match="task must be one of"):
        create_model(NetworkConfig(features=(1, 1)), task="dance")  # type: ignore[arg-type]
    with pytest.raises(ChannelError, match="'colour' feeds 3 channels, but the network takes 1"):
        create_model(NetworkConfig(features=(1, 1)), input_kind="colour")


def test_the_model_being_replaced_is_one_of_the_two_at_any_time(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, target: Path) -> Path:
        if path.name.endswith(".partial"):
            raise OSError(28, "No space left on device")
        return rename(path, target)

    rename = Path.rename
    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(FileWriteError, match="No space left on device"):
        save_model(tiny_model(seed=9), package, overwrite=True)
    monkeypatch.undo()
    assert same_weights(load_model(package), tiny_model())
    assert [entry.name for entry in package.parent.iterdir()] == ["model"]


def test_network_is_built_once() -> None:
    model = tiny_model()
    assert model.network is model.network
    assert np.isfinite(model.network(torch.zeros(1, 1, 4, 4)).detach().numpy()).all()
