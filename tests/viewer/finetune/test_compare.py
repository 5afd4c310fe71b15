"""Before and after, and the decision."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

import napari_seamless as ns
from napari_seamless.viewer.finetune.compare_view import LAYER_NAME, with_ids_of
from napari_seamless.viewer.finetune.progress import Comparison
from napari_seamless.workspace.lineage import Lineage

from ..conftest import above_middle, save_threshold_model
from .conftest import TIMEOUT_MS, click, finish


def wait_for_view(qtbot, widget):
    qtbot.waitUntil(lambda: widget.view.is_shown, timeout=TIMEOUT_MS)


def wait_for_name(qtbot, widget):
    qtbot.waitUntil(lambda: bool(widget.result.name.text()), timeout=TIMEOUT_MS)


def test_better_model_is_adopted_with_its_lineage(open_finetune, qtbot, library):
    _, widget = open_finetune()
    workspace = widget.form.corrections[0].workspace
    finish(qtbot, widget)
    wait_for_name(qtbot, widget)
    assert widget.result.name.text() == "threshold-2"
    widget.result.name.setText("mine")
    click(qtbot, widget.result.adopt_button)
    qtbot.waitUntil(lambda: "Adopted as 'mine'" in widget.result.verdict.text(), timeout=TIMEOUT_MS)
    assert ns.load_model("mine").parent == "threshold"
    for folder in (library, workspace.models_folder):
        (entry,) = [entry for entry in Lineage(folder).entries() if entry.name == "mine"]
        assert entry.parent == "threshold"
        assert entry.before["iou"] == 0.71
        assert entry.after["iou"] == 0.83
        assert entry.trained_on == ("spots.tif: box Y 0-25 X 0-30",)
        assert entry.adopted
    assert Lineage(workspace.models_folder).current == "mine"
    (run,) = workspace.runs_folder.iterdir()
    assert sorted(path.name for path in run.iterdir()) == ["model.curves.csv", "run.json"]
    qtbot.waitUntil(lambda: widget.form.model is not None and widget.form.model.name == "mine", timeout=TIMEOUT_MS)
    click(qtbot, widget.result.back_button)
    assert widget.panel.start_button.isEnabled()


def test_worse_model_is_adopted_only_deliberately(open_finetune, qtbot, fake):
    fake("worse")
    _, widget = open_finetune()
    finish(qtbot, widget)
    wait_for_name(qtbot, widget)
    assert not widget.result.adopt_button.isEnabled()
    assert "worse on your validation regions: IoU 0.83 → 0.71" in widget.result.adopt_button.toolTip()
    click(qtbot, widget.result.anyway)
    click(qtbot, widget.result.adopt_button)
    qtbot.waitUntil(lambda: "Adopted" in widget.result.verdict.text(), timeout=TIMEOUT_MS)
    assert ns.load_model("threshold-2").parent == "threshold"


def test_model_that_nobody_could_judge_says_so(open_finetune, qtbot, fake):
    fake("unjudged")
    _, widget = open_finetune()
    finish(qtbot, widget)
    assert "Nobody can tell whether it is better" in widget.result.adopt_button.toolTip()
    assert not widget.result.adopt_button.isEnabled()
    assert widget.result.anyway.isVisibleTo(widget.result)


def test_discarded_model_leaves_everything_as_it_was(open_finetune, qtbot, library):
    viewer, widget = open_finetune()
    workspace = widget.form.corrections[0].workspace
    finish(qtbot, widget)
    click(qtbot, widget.result.discard_button)
    qtbot.waitUntil(lambda: widget.pages.current == 0, timeout=TIMEOUT_MS)
    assert sorted(path.name for path in library.iterdir()) == ["threshold"]
    assert Lineage(workspace.models_folder).entries() == []
    (run,) = workspace.runs_folder.iterdir()
    assert sorted(path.name for path in run.iterdir()) == ["model.curves.csv", "run.json"]
    assert LAYER_NAME not in viewer.layers


def test_taken_name_is_refused_and_nothing_is_decided(open_finetune, qtbot, library, notifications):
    save_threshold_model(library / "taken")
    _, widget = open_finetune()
    finish(qtbot, widget)
    wait_for_name(qtbot, widget)
    widget.result.name.setText("taken")
    click(qtbot, widget.result.adopt_button)
    qtbot.waitUntil(lambda: bool(notifications), timeout=TIMEOUT_MS)
    assert "a model 'taken'" in notifications[-1].message
    assert Lineage(widget.form.corrections[0].workspace.models_folder).entries() == []
    assert widget.result.adopt_button.isEnabled()
    widget.result.name.setText("free")
    click(qtbot, widget.result.adopt_button)
    qtbot.waitUntil(lambda: "Adopted" in widget.result.verdict.text(), timeout=TIMEOUT_MS)


def test_any_ancestor_is_used_again(open_finetune, qtbot):
    viewer, widget = open_finetune()
    _, models = viewer.window.add_plugin_dock_widget("napari-seamless", "Models")
    for name in ("threshold-2", "threshold-3"):
        finish(qtbot, widget)
        qtbot.waitUntil(lambda name=name: widget.result.name.text() == name, timeout=TIMEOUT_MS)
        click(qtbot, widget.result.adopt_button)
        qtbot.waitUntil(lambda name=name: widget.form.model.name == name, timeout=TIMEOUT_MS)
        click(qtbot, widget.result.back_button)
    workspace = widget.form.corrections[0].workspace
    assert [entry.name for entry in Lineage(workspace.models_folder).ancestors("threshold-3")] == ["threshold-2"]
    qtbot.waitUntil(lambda: (str(workspace.models_folder), "threshold-3") in models._items, timeout=TIMEOUT_MS)
    models.list.setCurrentItem(models._items[str(workspace.models_folder), "threshold-2"])
    assert "threshold" in models.card.toPlainText()
    click(qtbot, models.buttons["restore"])
    qtbot.waitUntil(lambda: widget.form.model.name == "threshold-2", timeout=TIMEOUT_MS)
    assert Lineage(workspace.models_folder).current == "threshold-2"


def test_scores_of_both_models_are_in_the_table(open_finetune, qtbot):
    _, widget = open_finetune()
    finish(qtbot, widget)
    table = widget.result.table
    rows = [[table.item(row, column).text() for column in range(3)] for row in range(table.rowCount())]
    assert rows == [["IoU, your regions", "0.710", "0.830"], ["IoU, earlier images", "0.900", "0.900"]]


def test_before_and_after_are_shown_and_wiped(open_finetune, qtbot, spots, library):
    viewer, widget = open_finetune(show=True)
    viewer.layers.selection.active = viewer.layers[0]
    finish(qtbot, widget)
    wait_for_view(qtbot, widget)
    layer = viewer.layers[LAYER_NAME]
    assert viewer.layers.selection.active is viewer.layers[0]
    assert not layer.editable
    top, left = layer.translate.astype(int)
    height, width = layer.data.shape
    expected = above_middle(spots)[top : top + height, left : left + width]
    np.testing.assert_array_equal(layer.data, expected)
    widget.view._after[:] = 7
    widget.result.modes["after"].click()
    assert (layer.data == 7).all()
    widget.result.modes["before"].click()
    np.testing.assert_array_equal(layer.data, expected)
    widget.result.modes["wipe"].click()
    widget.result.wipe.setValue(50)
    line = round(width / 4)
    np.testing.assert_array_equal(layer.data[:, :line], expected[:, :line])
    assert (layer.data[:, line:] == 7).all()
    viewer.layers.remove(layer)
    widget.result.show_state()
    assert not widget.result.wipe.isEnabled()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param([0, 5, 5, 0], [0, 1, 1, 0], [0, 5, 5, 0], id="same object, same id"),
        pytest.param([5, 5, 5, 0], [1, 1, 2, 0], [5, 5, 6, 0], id="the larger part keeps the id"),
        pytest.param([3, 3, 4, 4], [1, 1, 1, 1], [3, 3, 3, 3], id="merged"),
        pytest.param([0, 0, 0, 0], [9, 0, 2, 2], [2, 0, 1, 1], id="all new"),
        pytest.param([7, 8, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], id="all gone"),
    ],
)
def test_objects_keep_their_colour(before, after, expected):
    found = with_ids_of(np.array([before], np.uint32), np.array([after], np.uint32))
    np.testing.assert_array_equal(found, [expected])
    assert found.dtype == np.uint32


def test_toggle_key_switches(open_finetune, qtbot):
    viewer, widget = open_finetune(show=True)
    finish(qtbot, widget)
    wait_for_view(qtbot, widget)
    widget.view.toggle()
    assert widget.view.mode == "after"
    assert widget.result.modes["after"].isChecked()
    qtbot.keyClick(viewer.window.main_menu.window(), Qt.Key.Key_B, Qt.KeyboardModifier.ShiftModifier)
    assert widget.view.mode == "before"


def test_comparison_of_an_older_event_without_judgement_counts_as_judged():
    comparison = Comparison.from_event({"event": "comparison", "before": {"iou": 0.5}, "after": {}, "better": True})
    assert comparison.judged
    assert comparison.before == {"iou": 0.5}
