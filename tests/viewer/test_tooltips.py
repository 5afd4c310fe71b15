"""Every control of every dock widget and of the own dialogs has a tooltip, in each of their states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QProgressBar,
    QScrollBar,
    QSlider,
    QTextEdit,
    QWidget,
)

from napari_seamless.viewer.controls import combo, set_choices
from napari_seamless.viewer.correct.workspaces import workspaces_of
from napari_seamless.viewer.finetune.closing import question
from napari_seamless.viewer.image_choice import image_choices

from .conftest import TIMEOUT_MS

KINDS = (QAbstractButton, QComboBox, QLineEdit, QAbstractSpinBox, QSlider, QProgressBar, QTextEdit, QAbstractItemView)
WIDGETS = ("Segment", "Correct", "Fine-tune", "Models")


def silent(widget: QWidget) -> list[str]:
    """Return the controls without a tooltip, but for the parts that Qt makes controls of."""
    controls = {control for kind in KINDS for control in widget.findChildren(kind)}
    own = [each for each in controls if not is_part(each) and not isinstance(each, QScrollBar)]
    assert own
    return [f"{type(each).__name__} {each.objectName()}" for each in own if not each.toolTip().strip()]


def is_part(control: QWidget) -> bool:
    """Whether a control is inside another one, as the list of a combo box and the corner of a table are."""
    parent = control.parentWidget()
    while parent is not None:
        if isinstance(parent, KINDS):
            return True
        parent = parent.parentWidget()
    return False


@pytest.fixture
def viewer(make_napari_viewer: Any, library: Path, tmp_path: Path, spots: np.ndarray) -> Any:
    tifffile.imwrite(tmp_path / "spots.tif", spots)
    return make_napari_viewer()


@pytest.mark.parametrize("name", WIDGETS)
def test_every_control_tells_what_it_is_for(viewer: Any, tmp_path: Path, qtbot: Any, name: str) -> None:
    _, widget = viewer.window.add_plugin_dock_widget("napari-seamless", name)
    assert silent(widget) == []
    viewer.open(tmp_path / "spots.tif", plugin="napari-seamless")
    workspaces = workspaces_of(viewer)
    workspaces.start(image_choices(viewer.layers)[0], "YX")
    qtbot.waitUntil(lambda: bool(workspaces.corrections), timeout=TIMEOUT_MS)
    workspaces.corrections[0].workspace.verify_region({"Y": (0, 20)})
    qtbot.wait(400)
    assert silent(widget) == []


@pytest.mark.parametrize("name", WIDGETS)
def test_every_disabled_control_says_why(viewer: Any, qtbot: Any, name: str) -> None:
    """With nothing open most can't be used: each has another tooltip then than the one that it has for its use."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-seamless", name)
    qtbot.wait(100)
    controls = [each for kind in (QAbstractButton, QComboBox, QLineEdit) for each in widget.findChildren(kind)]
    disabled = [each for each in controls if not each.isEnabled() and each.isVisibleTo(widget) and not is_part(each)]
    unexplained = [each.objectName() for each in disabled if each.toolTip() == each.property("purpose")]
    assert disabled
    assert unexplained == []


@pytest.mark.parametrize("can_cancel", [False, True])
def test_every_answer_to_the_question_at_the_end_tells_what_it_does(qtbot: Any, can_cancel: bool) -> None:
    box, *_ = question(None, has_budget=True, can_cancel=can_cancel)
    qtbot.addWidget(box)
    assert len(box.buttons()) == 2 + can_cancel
    assert [button.text() for button in box.buttons() if not button.toolTip()] == []


def test_the_tooltip_of_a_narrow_box_tells_what_is_cut_off(qtbot: Any) -> None:
    box = combo("image", "Which image.")
    qtbot.addWidget(box)
    set_choices(box, [("short", 0), ("2026-11-22 experiment 7, well B3, nuclei, deconvolved", 1)])
    box.resize(150, 30)
    assert box.full_tip == "Which image."
    box.setCurrentIndex(1)
    assert box.full_tip == "2026-11-22 experiment 7, well B3, nuclei, deconvolved\n\nWhich image."
