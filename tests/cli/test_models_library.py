"""``models``: import, export, rename, delete, undelete, default."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_seamless.models.library import LIBRARY_VARIABLE, load_model
from napari_seamless.models.package import save_model
from napari_seamless.models.remembered import RememberedPatch

Run = Callable[..., object]


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(LIBRARY_VARIABLE, str(tmp_path / "library"))
    return tmp_path / "library"


def test_a_model_goes_from_one_library_to_another(
    run: Run, library: Path, semantic_model: Path, tmp_path: Path
) -> None:
    answer = run("models", "export", semantic_model, tmp_path / "given.zip")
    assert answer.code == 0, answer.err
    assert answer.out.strip() == f"model: {tmp_path / 'given.zip'}"
    answer = run("models", "import", tmp_path / "given.zip", "--name", "mine")
    assert answer.code == 0, answer.err
    assert "imported as mine" in answer.out
    assert load_model("mine").name == "mine"
    assert "mine" in run("models", "list").out
    assert run("models", "export", "mine", tmp_path / "given.zip").code == 1
    assert run("models", "export", "mine", tmp_path / "given.zip", "--overwrite").code == 0
    assert load_model(tmp_path / "given.zip").name == "mine"


def test_examples_are_given_away_knowingly(run: Run, semantic_model: Path, tmp_path: Path) -> None:
    pixels = np.zeros((8, 8), np.uint8)
    patch = RememberedPatch("secret.tif", "mine", "train", "YX", pixels, pixels)
    package = save_model(load_model(semantic_model).with_examples([patch]), tmp_path / "model")
    assert "1 piece of training images" in run("models", "info", package).out
    answer = run("models", "export", package, tmp_path / "all.zip")
    assert "with 1 piece of training images, for fine-tuning; --without-examples leaves them out" in answer.out
    answer = run("models", "export", package, tmp_path / "bare.zip", "--without-examples")
    assert "piece" not in answer.out
    with zipfile.ZipFile(tmp_path / "bare.zip") as archive:
        assert sorted(archive.namelist()) == ["model.json", "weights.safetensors"]
        assert b"secret" not in archive.read("model.json")


def test_a_taken_name_is_refused_with_the_remedy(run: Run, library: Path, semantic_model: Path) -> None:
    assert run("models", "import", semantic_model).code == 0
    answer = run("models", "import", semantic_model)
    assert answer.code == 1
    assert "there is, or was, a model 'tiny-semantic'" in answer.err
    assert "choose another name with --name" in answer.err
    assert len(answer.err.strip().splitlines()) == 1


def test_rename_delete_and_undelete(run: Run, library: Path, semantic_model: Path) -> None:
    run("models", "import", semantic_model)
    assert "tiny-semantic is now called mine" in run("models", "rename", "tiny-semantic", "mine").out
    answer = run("models", "delete", "mine")
    assert "`napari-seamless models undelete mine` brings it back" in answer.out
    assert run("models", "list", "--deleted").out == "mine\n"
    assert run("models", "info", "mine").code == 1
    assert run("models", "undelete", "mine").code == 0
    assert run("models", "info", "mine").code == 0
    assert run("models", "list", "--deleted").out == "There is no deleted model.\n"
    assert "comes with the program" in run("models", "delete", "nuclei-2d").err


def test_the_default_is_taken_where_no_model_is_named(
    run: Run, library: Path, semantic_model: Path, image_file: Path, tmp_path: Path
) -> None:
    assert run("models", "default").out == "nuclei-2d\n"
    run("models", "import", semantic_model)
    assert run("models", "default", "tiny-semantic").out == "tiny-semantic\n"
    assert "Where no model is named, tiny-semantic is used" in run("models", "list").out
    for name, words in (("default", ()), ("named", ("--model", "tiny-semantic"))):
        answer = run("segment", image_file, tmp_path / f"{name}.tif", *words)
        assert answer.code == 0, answer.err
    assert (tmp_path / "default.tif").read_bytes() == (tmp_path / "named.tif").read_bytes()
    assert "with tiny-semantic" in " ".join(run("plan", image_file).out.split())


def test_a_model_of_another_program_is_refused(run: Run, library: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "rdf.yaml").write_text("type: model")
    answer = run("models", "import", tmp_path / "theirs")
    assert answer.code == 1
    assert "is a model of BioImage.IO (rdf.yaml), which cannot be read" in answer.err
    assert not library.exists()
