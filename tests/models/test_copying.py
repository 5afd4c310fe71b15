"""Packages that are copied as they are, and everything that may be wrong with one that a stranger made."""

from __future__ import annotations

import hashlib
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from model_packages import CONFIG, edit_manifest, remembering_model, save_both, zip_of

from napari_seamless.errors import FileWriteError, ModelError, OutputExistsError
from napari_seamless.models import members
from napari_seamless.models.copying import check_package, copy_package
from napari_seamless.models.library import load_model
from napari_seamless.models.model import create_model
from napari_seamless.models.package import save_model
from napari_seamless.models.price_list import LevelPrice
from napari_seamless.networks.config import NetworkConfig


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return save_model(remembering_model(), tmp_path / "model")


def contents(package: Path) -> dict[str, bytes]:
    if package.is_dir():
        return {path.name: path.read_bytes() for path in package.iterdir()}
    with zipfile.ZipFile(package) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("source", ["model", "model.zip"])
@pytest.mark.parametrize("target", ["copy", "copy.zip"])
@pytest.mark.parametrize("weight_type", ["float32", "float16"])
def test_a_copy_is_the_same_byte_by_byte(tmp_path: Path, source: str, target: str, weight_type: str) -> None:
    original = save_model(remembering_model(), tmp_path / source, weight_type=weight_type)  # type: ignore[arg-type]
    copy_package(original, tmp_path / target)
    assert contents(tmp_path / target) == contents(original)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([source, target])


def test_examples_can_be_left_out(package: Path, tmp_path: Path) -> None:
    manifest = copy_package(package, tmp_path / "copy.zip", with_examples=False)
    assert manifest.examples is None
    found = contents(tmp_path / "copy.zip")
    assert sorted(found) == ["model.json", "weights.safetensors"]
    assert b"cells.tif" not in b"".join(found.values())  # nor the names of the images
    assert json.loads(found["model.json"])["format_version"] == 1


def test_entries_can_be_changed_in_place(tmp_path: Path) -> None:
    prices = tuple(LevelPrice(level=level, score=0.5, ms_per_megapixel=9.0, parameters=5) for level in (1, 2))
    for original in save_both(remembering_model(), tmp_path):
        before = contents(original)
        copy_package(original, original, overwrite=True, price_list=prices, name="priced")
        model = load_model(original)
        assert (model.price_list, model.name, model.n_examples) == (prices, "priced", 2)
        assert contents(original)["weights.safetensors"] == before["weights.safetensors"]
    with pytest.raises(ModelError, match="one row for each level"):
        copy_package(original, original, overwrite=True, price_list=prices[:1])
    assert load_model(original).price_list == prices


def test_a_zip_of_the_folder_itself_is_a_model(package: Path, tmp_path: Path) -> None:
    for inside in ("", "my model/"):
        archive = zip_of(package, tmp_path / "packed.zip", inside=inside)
        assert load_model(archive).load_examples()[0].name == "cells.tif Z 3 0"
        np.testing.assert_array_equal(
            load_model(archive).network_at(1).classifiers["1"].weight.detach(),
            load_model(package).network.classifiers["1"].weight.detach(),
        )


def with_hash(package: Path, content: bytes) -> None:
    """Put other weights in, with the hash that belongs to them: what an attacker would do."""
    (package / "weights.safetensors").write_bytes(content)
    edit_manifest(package, lambda values: values.update(weights_sha256=hashlib.sha256(content).hexdigest()))


def of_other_network(package: Path) -> None:
    other = save_model(create_model(NetworkConfig(architecture="unetpp", features=(2, 3, 5))), package.parent / "other")
    with_hash(package, (other / "weights.safetensors").read_bytes())


def with_one_tensor_more(package: Path) -> None:
    from safetensors.numpy import load_file, save

    tensors = load_file(package / "weights.safetensors")
    with_hash(package, save({**tensors, "extra": np.zeros(3, np.float32)}))


def with_one_tensor_less(package: Path) -> None:
    from safetensors.numpy import load_file, save

    tensors = load_file(package / "weights.safetensors")
    del tensors["classifiers.2.bias"]
    with_hash(package, save(tensors))


def header(**entries: object) -> bytes:
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(of_other_network, "do not fit the network configuration", id="other network"),
        pytest.param(with_one_tensor_more, "extra: needed is no such tensor", id="one tensor more"),
        pytest.param(with_one_tensor_less, r"classifiers.2.bias.*found is no such tensor", id="one tensor less"),
        pytest.param(lambda package: with_hash(package, b""), "not a safetensors file", id="empty weights"),
        pytest.param(lambda package: with_hash(package, b"\x80\x04K\x01."), "not a safetensors file", id="a pickle"),
        pytest.param(lambda package: with_hash(package, b"\xff" * 8), "header would have", id="giant header"),
        pytest.param(lambda package: with_hash(package, header(a=3)), "not a safetensors file", id="odd header"),
        pytest.param(
            lambda package: with_hash(package, header(a={"shape": [2], "data_offsets": [5, 1]})),
            "does not lie where it should",
            id="backward offsets",
        ),
        pytest.param(
            lambda package: (package / "examples.safetensors").write_bytes(b"x"), "has SHA-256", id="other examples"
        ),
        pytest.param(lambda package: (package / "examples.safetensors").unlink(), "No such file", id="no examples"),
        pytest.param(lambda package: (package / "weights.safetensors").unlink(), "No such file", id="no weights"),
        pytest.param(lambda package: (package / "model.json").unlink(), "it needs model.json", id="no manifest"),
        pytest.param(lambda package: (package / "model.json").write_text("[" * 10**5), "not valid JSON", id="depth"),
        pytest.param(
            lambda package: edit_manifest(package, lambda values: values["network"].update(features=5)),
            "does not describe a model",
            id="odd network",
        ),
        pytest.param(
            lambda package: edit_manifest(package, lambda values: values.update(input_kind="colour")),
            "does not describe a model: input_kind 'colour' feeds 3 channels",
            id="other channels",
        ),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_copied(
    package: Path, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(package)
    target = tmp_path / "library" / "copy"
    for source in (package, zip_of(package, tmp_path / "packed.zip")):
        with pytest.raises(ModelError, match=message.replace("No such file", "No such file|There is no item")):
            copy_package(source, target)
    assert not target.parent.exists()


def test_a_copy_that_differs_from_what_was_checked_is_thrown_away(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_seamless.models import copying

    def checked_then_altered(path: Path) -> object:
        manifest = check_package(path)
        weights = bytearray((path / "weights.safetensors").read_bytes())
        weights[-1] ^= 1
        (path / "weights.safetensors").write_bytes(weights)
        return manifest

    monkeypatch.setattr(copying, "check_package", checked_then_altered)
    with pytest.raises(ModelError, match="has SHA-256"):
        copy_package(package, tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_names_that_lead_out_of_a_zip_have_no_effect(package: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    archive = zip_of(package, tmp_path / "in" / "packed.zip")
    with zipfile.ZipFile(archive, "a") as file:
        for name in ("../model.json", "../../outside.txt", "/outside.txt", "a/../../weights.safetensors"):
            file.writestr(name, "outside")
    before = contents(package)
    copy_package(archive, tmp_path / "deep" / "er" / "copy")
    assert contents(tmp_path / "deep" / "er" / "copy") == before == contents(package)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "in", "model"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["er"]


def test_two_models_in_one_zip_are_none(package: Path, tmp_path: Path) -> None:
    archive = zip_of(package, tmp_path / "packed.zip", inside="one/")
    with zipfile.ZipFile(archive, "a") as file:
        file.write(package / "model.json", "two/model.json")
    with pytest.raises(ModelError, match=r"it needs model\.json"):
        check_package(archive)


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors", "examples.safetensors"])
def test_links_in_a_zip_are_not_followed(package: Path, tmp_path: Path, name: str) -> None:
    archive = tmp_path / "links.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in package.iterdir():
            if path.name == name:
                link = zipfile.ZipInfo(name)
                link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
                file.writestr(link, str(path))  # a link's content is where it leads to
            else:
                file.write(path, path.name)
    with pytest.raises(ModelError, match=r"not valid JSON|has SHA-256|not a safetensors file"):
        copy_package(archive, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_links_in_a_folder_are_copied_as_files(package: Path, tmp_path: Path) -> None:
    moved = (package / "weights.safetensors").rename(tmp_path / "elsewhere")
    (package / "weights.safetensors").symlink_to(moved)
    copy_package(package, tmp_path / "copy")
    assert not (tmp_path / "copy" / "weights.safetensors").is_symlink()
    assert (tmp_path / "copy" / "weights.safetensors").read_bytes() == moved.read_bytes()


@pytest.mark.parametrize(
    ("stem", "size"), [("model", 5 * 2**20), ("examples", 66 * 2**20)], ids=["manifest", "examples"]
)
def test_zip_bombs_are_refused_before_they_are_unpacked(package: Path, tmp_path: Path, stem: str, size: int) -> None:
    archive = zip_of(package, tmp_path / "bomb.zip", **{stem: bytes(size)})
    assert archive.stat().st_size < 2**20
    with pytest.raises(ModelError, match=rf"has {size} bytes, more than the \d+ allowed"):
        check_package(archive)


def test_a_bomb_of_weights_is_refused_before_it_is_unpacked(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = zip_of(package, tmp_path / "bomb.zip", weights=bytes(40 * 2**20))
    read: list[int] = []
    pieces = members.pieces_of

    def counted(path: Path, name: str, limit: int):
        for piece in pieces(path, name, limit):
            read.append(len(piece))
            yield piece

    monkeypatch.setattr(members, "pieces_of", counted)
    with pytest.raises(ModelError, match=r"do not fit the network configuration|not a safetensors file"):
        check_package(archive)
    assert sum(read) < 2**16


def test_a_member_that_is_longer_than_it_says_is_refused(package: Path, tmp_path: Path) -> None:
    archive = zip_of(package, tmp_path / "liar.zip")
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as file:
        info = file.getinfo("weights.safetensors")
    said, lie = info.file_size.to_bytes(4, "little"), (info.file_size // 2).to_bytes(4, "little")
    assert content.count(said) >= 1
    archive.write_bytes(bytes(content).replace(said, lie))
    with pytest.raises(ModelError):
        check_package(archive)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
def test_a_truncated_zip_is_refused(package: Path, tmp_path: Path, part: float) -> None:
    archive = zip_of(package, tmp_path / "packed.zip")
    archive.write_bytes(archive.read_bytes()[: int(part * archive.stat().st_size)])
    with pytest.raises(ModelError, match="is not a model"):
        check_package(archive)


def test_a_damaged_zip_is_refused_wherever_the_damage_is(package: Path, tmp_path: Path) -> None:
    archive = zip_of(package, tmp_path / "packed.zip")
    good = archive.read_bytes()
    before = check_package(archive)
    for place in range(0, len(good), 211):
        content = bytearray(good)
        content[place] ^= 0xFF
        archive.write_bytes(content)
        try:
            found = check_package(archive)
        except ModelError:
            continue
        assert found == before  # the damage lies where nothing is kept: a time of day, say


def test_encrypted_and_oddly_packed_members_are_refused(package: Path, tmp_path: Path) -> None:
    for offset, value in ((6, 1), (8, 97)):  # the flag "encrypted"; a compression that does not exist
        archive = zip_of(package, tmp_path / "packed.zip")
        content = bytearray(archive.read_bytes())
        for signature, shift in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
            place = content.find(signature)
            while place >= 0:
                content[place + offset + shift] = value
                place = content.find(signature, place + 4)
        archive.write_bytes(content)
        with pytest.raises(ModelError, match="is not a model"):
            check_package(archive)


@pytest.mark.parametrize("name", ["bioimageio.yaml", "rdf.yaml", "UNet2D.model.yaml"])
def test_models_of_others_are_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / name).write_text("format_version: 0.5.4\n")
    (folder / "weights.pt").write_bytes(b"x")
    for path in (folder, zip_of(folder, tmp_path / "theirs.zip")):
        with pytest.raises(
            ModelError, match=rf"is a model of BioImage.IO \({name}\), which cannot be read: give a"
        ) as caught:
            copy_package(path, tmp_path / "copy")
        assert str(caught.value).count("model.json") == 1
        with pytest.raises(ModelError, match="is a model of BioImage"):
            load_model(path)


def test_what_is_there_is_not_replaced(package: Path, tmp_path: Path) -> None:
    other = save_model(create_model(CONFIG, name="other"), tmp_path / "other")
    with pytest.raises(OutputExistsError, match="choose another name or allow overwriting"):
        copy_package(package, other)
    copy_package(package, other, overwrite=True)
    assert load_model(other).name == "tiny"
    (tmp_path / "notes.zip").write_text("mine")
    (tmp_path / "notes").mkdir()
    with pytest.raises(OutputExistsError, match="choose another name"):
        copy_package(package, tmp_path / "notes", overwrite=True)


@pytest.mark.parametrize("target", ["copy", "copy.zip"])
@pytest.mark.parametrize("written", [0, 100, 3000])
def test_a_full_disk_leaves_nothing_behind(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, written: int
) -> None:
    opened = Path.open

    class Full:
        """A file on a disk that takes so many bytes more."""

        def __init__(self, file) -> None:
            self.file, self.room = file, written

        def __enter__(self):
            self.file.__enter__()
            return self

        def __exit__(self, *error: object) -> None:
            self.file.__exit__(*error)

        def write(self, content: bytes) -> int:
            self.room -= len(content)
            if self.room < 0:
                raise OSError(28, "No space left on device")
            return self.file.write(content)

    def open_full(path: Path, mode: str = "r", *rest: object, **options: object):
        file = opened(path, mode, *rest, **options)  # type: ignore[call-overload]
        return Full(file) if "w" in mode and ".partial" in str(path) else file

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(FileWriteError, match="No space left on device"):
        copy_package(package, tmp_path / target)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
