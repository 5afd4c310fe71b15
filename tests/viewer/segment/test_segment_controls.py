"""What the dock widget says before a run, and what can be chosen in it."""

from __future__ import annotations

import numpy as np
from napari.layers import Image
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QRadioButton,
    QSlider,
)

import napari_seamless as ns
from napari_seamless.models.library import BUNDLED_MODELS, list_models, set_default_model
from napari_seamless.models.price_list import LevelPrice

from ..conftest import TIMEOUT_MS, save_threshold_model


def test_estimate_says_what_the_chosen_part_takes(open_dock, spots, qtbot):
    _, widget = open_dock(Image(np.stack([spots] * 7), name="stack"))
    qtbot.waitUntil(lambda: widget.panel.estimate.text().startswith("7 tiles of "), timeout=TIMEOUT_MS)
    assert "MB of memory" in widget.panel.estimate.text()
    qtbot.waitUntil(lambda: "second on cpu." in widget.panel.estimate.text(), timeout=TIMEOUT_MS)
    widget.scope.buttons["slice"].click()
    qtbot.waitUntil(lambda: widget.panel.estimate.text().startswith("1 tile of "), timeout=TIMEOUT_MS)


def test_what_does_not_fit_is_said_before_the_run(open_dock, spots, library, qtbot):
    save_threshold_model(library / "volume", spatial_dims=3)
    _, widget = open_dock(Image(spots, name="flat"), model="volume")
    qtbot.waitUntil(lambda: not widget.panel.start_button.isEnabled(), timeout=TIMEOUT_MS)
    assert "3" in widget.panel.estimate.text()
    assert widget.panel.start_button.toolTip() == widget.panel.estimate.text()


def test_damaged_model_is_refused_with_the_reason(open_dock, spots, library, notifications):
    _, widget = open_dock(Image(spots, name="spots"))
    (library / "threshold" / "model.json").write_text("{}")
    widget.models.add_model(library / "threshold")
    assert "cannot be used" in notifications[-1].message


def test_without_an_image_models_are_listed_and_nothing_can_be_started(library, make_napari_viewer, qtbot):
    save_threshold_model(library / "another")
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-seamless", "Segment")
    qtbot.waitUntil(lambda: widget.device.count() > 1, timeout=TIMEOUT_MS)
    names = [widget.models.model_box.itemText(index) for index in range(widget.models.model_box.count())]
    assert {"another", "threshold"} <= set(names)
    assert not widget.panel.start_button.isEnabled()
    assert "Open an image" in widget.panel.start_button.toolTip()
    assert "Open an image" in widget.images.image_box.toolTip()


def test_controls_say_what_they_are_for_or_why_they_cannot_be_used(open_dock, spots):
    _, widget = open_dock(Image(spots, name="spots"))
    reasons = {
        widget.images.axes_box: "flat image",
        widget.images.channel_box: "one channel",
        widget.models.level.slider: "U-Net has one level",
        widget.scope.buttons["slice"]: "single slice",
        widget.panel.cancel_button: "Nothing is running",
    }
    for control, reason in reasons.items():
        assert not control.isEnabled()
        assert reason in control.toolTip()
    kinds = (QComboBox, QPushButton, QRadioButton, QCheckBox, QLineEdit, QSlider, QProgressBar)
    controls = [control for kind in kinds for control in widget.findChildren(kind)]
    assert len(controls) > 14
    assert [control.objectName() for control in controls if not control.toolTip()] == []


def test_all_text_fits_a_small_window(open_dock, spots, qtbot):
    viewer, widget = open_dock(Image(spots, name="spots"), show=True)
    viewer.window.resize(1280, 800)
    qtbot.waitUntil(lambda: "on cpu" in widget.panel.estimate.text(), timeout=TIMEOUT_MS)
    qtbot.wait(50)
    for text in widget.findChildren(QLabel):
        if text.isVisible():
            needed = text.heightForWidth(text.width()) if text.wordWrap() else text.sizeHint().height()
            assert text.height() >= needed, text.text()
            assert text.wordWrap() or text.width() >= text.sizeHint().width(), text.text()
    for button in widget.findChildren(QRadioButton):
        assert button.width() >= button.sizeHint().width()


def test_renamed_and_new_layers_are_offered(open_dock, spots):
    viewer, widget = open_dock(Image(spots, name="first"))
    viewer.add_image(spots, name="second")
    viewer.layers["first"].name = "renamed"
    offered = [widget.images.image_box.itemText(index) for index in range(widget.images.image_box.count())]
    assert offered == ["second", "renamed"]
    assert widget.images.choice.text == "renamed"


def test_the_default_model_is_chosen_until_another_one_is(library, make_napari_viewer, qtbot):
    set_default_model("threshold")
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-seamless", "Segment")
    qtbot.waitUntil(lambda: widget.models.model is not None, timeout=TIMEOUT_MS)
    assert widget.models.model.name == "threshold"
    widget.models.add_model(BUNDLED_MODELS / "nuclei-2d")
    widget.models.set_models(list_models())
    assert widget.models.model.name == "nuclei-2d"


def test_auto_says_which_level_it_takes(open_dock, library):
    config = ns.NetworkConfig(architecture="unetpp", features=(2, 2, 2), out_channels=2)
    prices = [LevelPrice(level=level, score=0.8, ms_per_megapixel=5.0, parameters=9) for level in (1, 2)]
    ns.save_model(ns.create_model(config, price_list=tuple(prices)), library / "nested")
    _, widget = open_dock(model="nested")
    level = widget.models.level
    assert (level.level, level.caption.text(), level.slider.value()) == ("auto", "level 1 of 2", 1)
    level.auto.click()
    level.slider.setValue(2)
    assert (level.level, level.caption.text()) == (2, "level 2 of 2")
    level.auto.click()
    assert (level.level, level.caption.text(), level.slider.value()) == ("auto", "level 1 of 2", 1)


def test_levels_of_a_unetpp_can_be_chosen(open_dock, segment_and_wait, spots, library):
    config = ns.NetworkConfig(architecture="unetpp", features=(2, 2, 2), out_channels=2)
    model = ns.create_model(config, seed=3)
    ns.save_model(model, library / "nested")
    viewer, widget = open_dock(Image(spots, name="spots"), model="nested")
    assert widget.models.level.level == "auto"
    assert "level 2 of 2" in widget.models.level.caption.text()
    widget.models.level.auto.click()
    widget.models.level.slider.setValue(1)
    assert "level 1 of 2" in widget.models.level.caption.text()
    segment_and_wait(widget)
    np.testing.assert_array_equal(viewer.layers["spots · nested"].data, ns.segment(spots, model, axes="YX", level=1))
    widget.models.level.slider.setValue(3)
    assert widget.models.level.level == "accurate"
