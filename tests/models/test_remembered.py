"""What a model remembers of its training images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from model_packages import edit_manifest, patch, remembering_model, save_both

from napari_seamless.errors import ModelError
from napari_seamless.images.intensity import IntensityRange
from napari_seamless.models import remembered
from napari_seamless.models.library import load_model, summarise_model
from napari_seamless.models.model import create_model
from napari_seamless.models.package import save_model
from napari_seamless.models.remembered import RememberedPatch

PATCHES = (
    patch(0),
    patch(1, role="validation", verified=None, voxel_size_um=None, intensity=None),
    patch(2, axes="CYX", pixels=np.zeros((2, 12, 9), np.float32), labels=np.ones((12, 9), np.int64)),
    patch(3, axes="YXS", pixels=np.full((12, 9, 3), 7, np.uint8), intensity=IntensityRange((0, 1, 2), (7, 8, 9), "")),
    patch(
        4,
        axes="ZYX",
        pixels=np.arange(24, dtype=">u2").reshape(2, 3, 4),
        labels=np.zeros((2, 3, 4), np.uint8),
        verified=np.ones((2, 3, 4), bool),
        voxel_size_um=(2.0, 0.5, 0.5),
    ),
)


def assert_same(one: RememberedPatch, other: RememberedPatch) -> None:
    for name in ("name", "dataset", "role", "axes", "voxel_size_um", "intensity"):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("pixels", "labels", "verified"):
        first, second = getattr(one, name), getattr(other, name)
        assert (first is None) == (second is None)
        if first is not None:
            np.testing.assert_array_equal(first, second)
            assert first.dtype.newbyteorder("=") == second.dtype


def test_examples_come_back_from_disk(tmp_path: Path) -> None:
    for package in save_both(remembering_model().with_examples(PATCHES), tmp_path):
        model = load_model(package)
        assert model.n_examples == summarise_model(package).n_examples == len(PATCHES)
        for one, other in zip(PATCHES, model.load_examples(), strict=True):
            assert_same(one, other)
        again = save_model(model, tmp_path / f"again {package.name}")
        assert_same(load_model(again).load_examples()[2], PATCHES[2])


def test_they_are_read_when_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = save_model(remembering_model(), tmp_path / "model")
    (package / "examples.safetensors").unlink()
    model = load_model(package)
    _ = model.network
    with pytest.raises(ModelError, match=r"examples.safetensors"):
        model.load_examples()


def test_a_model_without_examples_has_no_such_file(tmp_path: Path) -> None:
    package = save_model(remembering_model().with_examples(()), tmp_path / "model")
    assert sorted(path.name for path in package.iterdir()) == ["model.json", "weights.safetensors"]
    assert json.loads((package / "model.json").read_text())["format_version"] == 1
    assert load_model(package).load_examples() == ()


def test_other_weights_remember_nothing() -> None:
    model = remembering_model()
    child = model.with_weights(model.network.state_dict())
    assert (child.n_examples, child.load_examples()) == (0, ())
    assert model.n_examples == len(model.load_examples()) == 2


def test_a_model_remembers_no_more_than_its_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [patch(number) for number in range(remembered.MAX_PATCHES + 1)]
    assert remembering_model().with_examples(many[:-1]).n_examples == remembered.MAX_PATCHES
    with pytest.raises(ModelError, match=r"at most 64 patches of 64 MB altogether, not 65 of 0\.0 MB"):
        remembering_model().with_examples(many)
    large = patch(0, pixels=np.zeros((8000, 8000), np.uint8), labels=np.zeros((8000, 8000), np.uint8), verified=None)
    with pytest.raises(ModelError, match=r"not 1 of 128\.0 MB: choose fewer or smaller ones"):
        remembering_model().with_examples([large])
    package = save_model(remembering_model(3), tmp_path / "model")
    monkeypatch.setattr(remembered, "MAX_BYTES", 2 * patch().nbytes)
    with pytest.raises(ModelError, match="at most 64 patches"):
        load_model(package).load_examples()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": "TYX"}, "letters of CZYXS"),
        ({"axes": "YY"}, "letters of CZYXS"),
        ({"axes": "CYX"}, "one for each of its 2 dimensions"),
        ({"axes": "ZY"}, "letters of CZYXS"),
        ({"pixels": np.zeros((12, 9), complex)}, "pixels are numbers, not complex128"),
        ({"pixels": np.zeros((0, 9))}, "pixels are numbers"),
        ({"labels": np.zeros((12, 9))}, r"labels are whole numbers of shape \(12, 9\), not float64"),
        ({"labels": np.zeros((12, 8), int)}, r"not int64 of shape \(12, 8\)"),
        ({"verified": np.zeros((12, 9), int)}, "mask is bool"),
        ({"verified": np.zeros((1, 9), bool)}, r"not bool of shape \(1, 9\)"),
        ({"role": "test"}, r"one of \['train', 'validation'\], not 'test'"),
        ({"voxel_size_um": (1.0, 1.0, 1.0)}, "voxel size has 2 numbers above 0"),
        ({"voxel_size_um": (1.0, 0.0)}, "above 0"),
        ({"intensity": IntensityRange((0.0,), (float("inf"),), "")}, "finite numbers"),
        ({"intensity": IntensityRange((), (), "")}, "finite numbers"),
    ],
)
def test_patches_that_do_not_fit_themselves_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        patch(**changes)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return save_model(remembering_model(), tmp_path / "model")


def spoil_first_byte(content: bytearray) -> None:
    content[0] ^= 1


def spoil_last_byte(content: bytearray) -> None:
    content[-1] ^= 1


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(spoil_first_byte, id="first byte"),
        pytest.param(spoil_last_byte, id="one pixel"),
        pytest.param(lambda content: content.__delitem__(slice(-10, None)), id="truncated"),
        pytest.param(lambda content: content.clear(), id="empty"),
        pytest.param(lambda content: content.extend(b"more"), id="longer"),
    ],
)
def test_an_altered_file_is_refused_and_the_model_still_works(package: Path, spoil) -> None:
    path = package / "examples.safetensors"
    content = bytearray(path.read_bytes())
    spoil(content)
    path.write_bytes(content)
    model = load_model(package)
    with pytest.raises(ModelError, match=r"examples.safetensors has SHA-256 .* altered or damaged"):
        model.load_examples()
    assert model.network is not None


def with_hash_of(content: bytes, package: Path) -> None:
    """Put another file in, with the hash that belongs to it."""
    import hashlib

    (package / "examples.safetensors").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    edit_manifest(package, lambda values: values["examples"].update(sha256=digest))


def arrays(package: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(package / "examples.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda found: found.pop("1.labels"), id="an array is missing"),
        pytest.param(lambda found: found.update({"1.labels": np.zeros((3, 3), np.uint8)}), id="another shape"),
        pytest.param(lambda found: found.update({"0.labels": np.zeros((12, 9), np.float32)}), id="another type"),
        pytest.param(lambda found: found.update({"0.verified": np.zeros((12, 9), np.uint8)}), id="no mask"),
    ],
)
def test_a_file_that_is_not_what_the_manifest_says_is_refused(package: Path, change) -> None:
    from safetensors.numpy import save

    found = arrays(package)
    change(found)
    with_hash_of(save(found), package)
    with pytest.raises(ModelError, match=r"does not hold the examples of model.json"):
        load_model(package).load_examples()


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"\xff" * 50, b"\x10" + b"\0" * 7 + b"[" * 16])
def test_what_is_no_safetensors_file_is_refused(package: Path, content: bytes) -> None:
    with_hash_of(content, package)
    with pytest.raises(ModelError, match=r"does not hold the examples of model.json"):
        load_model(package).load_examples()


def test_a_huge_file_is_refused_before_it_is_read(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (package / "examples.safetensors").open("r+b") as file:
        file.truncate(66 * 2**20)  # sparse
    with pytest.raises(ModelError, match=r"examples.safetensors has more than the \d+ bytes allowed"):
        load_model(package).load_examples()


def test_a_manifest_that_lists_too_many_is_refused(package: Path) -> None:
    edit_manifest(package, lambda values: values["examples"].update(patches=values["examples"]["patches"] * 40))
    with pytest.raises(ModelError, match="lists more than 64 examples"):
        load_model(package)


@pytest.mark.parametrize("key", ["colour", "pickle"])
def test_unknown_entries_are_refused(package: Path, key: str) -> None:
    edit_manifest(package, lambda values: values["examples"]["patches"][0].update({key: "x"}))
    with pytest.raises(ModelError, match=rf"examples\.patches\.0\.{key}: Extra inputs are not permitted"):
        load_model(package)


def test_a_damaged_memory_does_not_stop_a_child_from_being_saved(package: Path, tmp_path: Path) -> None:
    (package / "examples.safetensors").unlink()
    parent = load_model(package)
    child = parent.with_weights(create_model(parent.config, seed=9).network.state_dict())
    assert load_model(save_model(child, tmp_path / "child")).n_examples == 0
    with pytest.raises(ModelError, match=r"examples\.safetensors"):
        save_model(parent, tmp_path / "copy")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["child", "model"]
