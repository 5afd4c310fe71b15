"""The Models widget: every model there is, its card, and what is done with it; models that are dropped onto napari."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtWidgets import QFileDialog, QInputDialog

import napari_seamless as ns
from napari_seamless.models.library import default_model
from napari_seamless.viewer.files.reader import get_reader
from napari_seamless.viewer.models import importing as models_import
from napari_seamless.viewer.models.importing import imports, is_model

from ..conftest import TIMEOUT_MS, save_threshold_model


@pytest.fixture
def open_models(make_napari_viewer: Any, library: Path, qtbot: Any) -> Callable[[], Any]:
    """Return a function that docks Models through the manifest and waits for the list."""

    def open_it() -> Any:
        viewer = make_napari_viewer()
        _, widget = viewer.window.add_plugin_dock_widget("napari-seamless", "Models")
        qtbot.waitUntil(lambda: widget.row is not None, timeout=TIMEOUT_MS)
        return widget

    return open_it


def names(widget: Any) -> list[str]:
    return [row.text for row in widget._rows.values()]


def act(qtbot: Any, widget: Any, button: str, name: str) -> None:
    """Choose a model, press a button, and wait until the list is up to date again."""
    widget.choose(name)
    assert widget.buttons[button].isEnabled(), widget.buttons[button].toolTip()
    with qtbot.waitSignal(widget.list.model().rowsInserted, timeout=TIMEOUT_MS):
        widget.buttons[button].click()
    qtbot.waitUntil(lambda: not widget._is_busy, timeout=TIMEOUT_MS)


def test_bundled_and_own_models_are_listed_with_their_cards(open_models):
    widget = open_models()
    assert "threshold" in names(widget)
    assert "nuclei-2d  (default)" in names(widget)
    widget.choose("nuclei-2d")
    page = widget.card.toPlainText()
    for word in ("nuclei", "UNet++", "Scores", "Learned from", "Licence"):
        assert word in page
    assert not widget.buttons["delete"].isEnabled()
    assert "come with the program" in widget.buttons["delete"].toolTip()


def test_own_model_is_renamed(open_models, qtbot, monkeypatch, library):
    widget = open_models()
    monkeypatch.setattr(QInputDialog, "getText", lambda *words, **settings: ("better name", True))
    act(qtbot, widget, "rename", "threshold")
    assert "better name" in names(widget)
    assert "threshold" not in names(widget)
    assert widget.row.name == "better name"
    assert ns.load_model("better name").name == "better name"


def test_deleted_model_is_brought_back(open_models, qtbot, library):
    widget = open_models()
    act(qtbot, widget, "delete", "threshold")
    assert "threshold  (deleted)" in names(widget)
    assert not (library / "threshold").exists()
    widget.choose("threshold")
    assert widget.buttons["delete"].text() == "Bring back"
    assert not widget.buttons["export"].isEnabled()
    act(qtbot, widget, "delete", "threshold")
    assert "threshold" in names(widget)
    assert ns.load_model("threshold").name == "threshold"


def test_default_is_chosen_and_protected(open_models, qtbot):
    widget = open_models()
    act(qtbot, widget, "default", "threshold")
    assert default_model() == "threshold"
    assert "threshold  (default)" in names(widget)
    widget.choose("threshold")
    assert "choose another default first" in widget.buttons["delete"].toolTip()


def test_model_is_exported_as_a_zip_that_can_be_imported(open_models, qtbot, monkeypatch, tmp_path, library):
    widget = open_models()
    target = tmp_path / "out.zip"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *words, **settings: (str(target), ""))
    act(qtbot, widget, "export", "threshold")
    assert is_model(target)
    act(qtbot, widget, "delete", "threshold")
    save_threshold_model(tmp_path / "friend")
    with qtbot.waitSignal(imports().done, timeout=TIMEOUT_MS):
        imports().start(tmp_path / "friend")
    qtbot.waitUntil(lambda: "friend" in names(widget), timeout=TIMEOUT_MS)
    assert widget.row.name == "friend"


@pytest.mark.parametrize("as_zip", [False, True], ids=["folder", "zip"])
def test_model_dropped_onto_the_viewer_is_imported_after_asking(
    as_zip, make_napari_viewer, library, tmp_path, qtbot, monkeypatch
):
    asked = []
    monkeypatch.setattr(models_import, "ask", lambda parent, path: asked.append(path.name) or True)
    path = save_threshold_model(tmp_path / "gift")
    if as_zip:
        path = ns.save_model(ns.load_model(path), tmp_path / "gift.zip")
    viewer = make_napari_viewer()
    with qtbot.waitSignal(imports().done, timeout=TIMEOUT_MS):
        viewer.open(path, plugin="napari-seamless")
    assert asked == [path.name]
    assert len(viewer.layers) == 0
    assert ns.load_model("gift").name == "gift"


def test_model_is_left_alone_when_the_answer_is_no(make_napari_viewer, library, tmp_path, qtbot, monkeypatch):
    asked = []
    monkeypatch.setattr(models_import, "ask", lambda parent, path: asked.append(path.name))
    viewer = make_napari_viewer()
    viewer.open(save_threshold_model(tmp_path / "gift"), plugin="napari-seamless")
    qtbot.waitUntil(lambda: asked == ["gift"], timeout=TIMEOUT_MS)
    qtbot.wait(100)
    assert sorted(path.name for path in library.iterdir()) == ["threshold"]


def test_model_whose_name_is_taken_gets_the_next_one(library, tmp_path, qtbot):
    with qtbot.waitSignal(imports().done, timeout=TIMEOUT_MS) as done:
        imports().start(save_threshold_model(tmp_path / "threshold"))
    assert done.args == ["threshold-2"]
    assert ns.load_model("threshold-2").name == "threshold-2"


def test_damaged_model_is_refused_with_the_reason(library, tmp_path, qtbot, notifications):
    save_threshold_model(tmp_path / "gift")
    (tmp_path / "gift" / "weights.safetensors").write_bytes(b"rubbish")
    imports().start(tmp_path / "gift")
    qtbot.waitUntil(lambda: bool(notifications), timeout=TIMEOUT_MS)
    assert "weights.safetensors" in notifications[-1].message
    assert sorted(path.name for path in library.iterdir()) == ["threshold"]


def test_other_zips_are_left_to_other_readers(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("table.csv", "1,2")
    (tmp_path / "broken.zip").write_bytes(b"no zip")
    assert get_reader(str(tmp_path / "data.zip")) is None
    assert get_reader(str(tmp_path / "broken.zip")) is None


def test_every_control_has_a_tooltip(open_models):
    widget = open_models()
    for control in (*widget.buttons.values(), widget.list, widget.card):
        assert control.toolTip()
