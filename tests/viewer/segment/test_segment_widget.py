"""What comes out of the dock widget in a real viewer, opened through the manifest."""

from __future__ import annotations

import numpy as np
from napari.layers import Image
from skimage.measure import label

import napari_seamless as ns
from napari_seamless.images.write import write_array

from ..conftest import above_middle, save_threshold_model


def test_labels_have_values_type_place_and_origin(open_dock, segment_and_wait, spots, library):
    stack = np.stack([spots, spots[::-1], spots[:, ::-1]])
    layer = Image(
        stack,
        name="stack",
        scale=(2.0, 0.5, 0.25),
        translate=(10.0, 20.0, 30.0),
        units=("micrometer",) * 3,
        axis_labels=("z", "y", "x"),
    )
    viewer, widget = open_dock(layer)
    segment_and_wait(widget)
    labels = viewer.layers["stack · threshold"]
    np.testing.assert_array_equal(labels.data, above_middle(stack))
    assert labels.data.dtype == np.uint8
    np.testing.assert_allclose(labels.scale, layer.scale)
    np.testing.assert_allclose(labels.translate, layer.translate)
    assert labels.units == layer.units
    assert labels.axis_labels == layer.axis_labels
    assert labels.editable
    assert widget.panel.status.text().startswith("Done in")
    facts = labels.metadata["napari_seamless"]
    assert facts["model"] == "threshold"
    assert facts["model_path"] == str(library / "threshold")
    assert facts["image"] == "stack"
    assert facts["axes"] == "ZYX"
    assert facts["complete"] is True
    assert facts["plan"]["n_tiles"] == 3
    assert facts["plan"]["device"] == "cpu"


def test_objects_get_ids_of_their_own(open_dock, segment_and_wait, spots, library):
    save_threshold_model(library / "objects", instances=True)
    viewer, widget = open_dock(Image(spots, name="spots"), model="objects")
    segment_and_wait(widget)
    labels = viewer.layers["spots · objects"].data
    assert labels.dtype == np.uint32
    np.testing.assert_array_equal(labels, label(above_middle(spots)))
    assert widget.panel.status.text().startswith(f"Found {labels.max()} objects")


def test_current_slice_alone_is_segmented_and_lies_where_it_was(open_dock, segment_and_wait, spots):
    stack = np.stack([spots, spots // 2, spots // 4])
    viewer, widget = open_dock(Image(stack, name="stack", scale=(3.0, 1.0, 1.0)))
    viewer.dims.set_current_step(0, 2)
    widget.scope.buttons["slice"].click()
    segment_and_wait(widget)
    labels = viewer.layers["stack · threshold"]
    assert labels.data.shape == (1, *spots.shape)
    np.testing.assert_allclose(labels.translate, (6.0, 0.0, 0.0))
    # The range is that of the whole stack, whatever part of it is segmented.
    np.testing.assert_array_equal(labels.data[0], above_middle(stack)[2])


def test_visible_field_alone_is_segmented(open_dock, segment_and_wait, spots):
    viewer, widget = open_dock(Image(np.tile(spots, (8, 8)), name="mosaic"), show=True)
    viewer.scene.camera.zoom = 8.0
    viewer.scene.camera.center = (0, 300.0, 400.0)
    widget.scope.buttons["field"].click()
    segment_and_wait(widget)
    labels = viewer.layers["mosaic · threshold"]
    half = np.array(viewer.canvas.size) / 8.0 / 2
    np.testing.assert_allclose(labels.data.shape, 2 * half, atol=2)
    top, left = labels.translate.astype(int)
    np.testing.assert_allclose((top, left), np.array((300, 400)) - half, atol=1.5)
    height, width = labels.data.shape
    expected = above_middle(np.tile(spots, (8, 8)))[top : top + height, left : left + width]
    np.testing.assert_array_equal(labels.data, expected)


def test_colour_channels_and_pyramids_are_segmented_as_their_kind_asks(open_dock, segment_and_wait, spots):
    grey = (spots > 150).astype(np.uint8) * 255
    viewer, widget = open_dock(Image(np.dstack([grey] * 3), rgb=True, name="colour"))
    segment_and_wait(widget)
    np.testing.assert_array_equal(viewer.layers["colour · threshold"].data, above_middle(grey))
    viewer.layers.clear()

    viewer.add_image(np.stack([spots, spots[::-1, ::-1]]), axis_labels=("c", "y", "x"), name="channels")
    assert widget.images.axes == "CYX"
    widget.images.channel_box.setCurrentIndex(1)
    segment_and_wait(widget)
    np.testing.assert_array_equal(viewer.layers["channels · threshold"].data, above_middle(spots[::-1, ::-1]))
    viewer.layers.clear()

    viewer.add_image([spots, spots[::2, ::2]], multiscale=True, name="pyramid")
    segment_and_wait(widget)
    np.testing.assert_array_equal(viewer.layers["pyramid · threshold"].data, above_middle(spots))


def test_channels_that_are_layers_can_be_given_to_a_model_together(
    open_dock, segment_and_wait, spots, library, tmp_path
):
    channels = np.stack([spots, spots[::-1]])
    write_array(tmp_path / "two.ome.zarr", channels, "CYX", channel_names=("first", "second"))
    config = ns.NetworkConfig(in_channels=2, features=(2, 2))
    model = ns.create_model(config, seed=5)
    ns.save_model(model, library / "pair")
    viewer, widget = open_dock(model="pair")
    viewer.open(tmp_path / "two.ome.zarr", plugin="napari-seamless")
    box = widget.images.image_box
    assert [box.itemText(index) for index in range(box.count())] == [
        "two · second",
        "two · first",
        "two, all 2 channels",
    ]
    box.setCurrentIndex(2)
    assert not widget.images.channel_box.isEnabled()
    segment_and_wait(widget)
    labels = viewer.layers["two · pair"].data
    np.testing.assert_array_equal(labels, ns.segment(channels, model, axes="CYX"))


def test_channel_axis_after_time_keeps_labels_under_every_channel(open_dock, segment_and_wait, spots):
    movie = np.stack([np.stack([spots, spots]), np.stack([spots[::-1], spots])])
    viewer, widget = open_dock(Image(movie, axis_labels=("t", "c", "y", "x"), name="movie"))
    segment_and_wait(widget)
    labels = viewer.layers["movie · threshold"]
    assert labels.data.shape == (2, 1, *spots.shape)
    for time_point, channel in np.ndindex(2, 2):
        index = np.round(labels.world_to_data((time_point, channel, 8, 8))).astype(int)
        assert labels.data[tuple(index)] == above_middle(movie[:, 0])[time_point, 8, 8]


def test_three_dimensional_model_runs_on_a_stack(open_dock, segment_and_wait, spots, library):
    save_threshold_model(library / "volume", spatial_dims=3)
    stack = np.stack([spots] * 6)
    viewer, widget = open_dock(Image(stack, name="stack"), model="volume")
    segment_and_wait(widget)
    np.testing.assert_array_equal(viewer.layers["stack · volume"].data, above_middle(stack))


def test_labels_are_also_written_to_the_chosen_file(open_dock, segment_and_wait, spots, tmp_path):
    viewer, widget = open_dock(Image(spots, name="spots", scale=(0.5, 0.5), units=("micrometer",) * 2))
    widget.output.line.setText(str(tmp_path / "labels.ome.tif"))
    segment_and_wait(widget)
    written = ns.open_image(tmp_path / "labels.ome.tif")
    np.testing.assert_array_equal(written.data.compute(), above_middle(spots))
    assert written.voxel_size_um == (0.5, 0.5)
    assert viewer.layers["spots · threshold"].editable


def test_zarr_output_is_shown_itself_so_that_painting_reaches_the_file(open_dock, segment_and_wait, spots, tmp_path):
    viewer, widget = open_dock(Image(spots, name="spots"))
    widget.output.line.setText(str(tmp_path / "labels.ome.zarr"))
    segment_and_wait(widget)
    labels = viewer.layers["spots · threshold"]
    labels.data_setitem((np.array([3]), np.array([4])), 7)
    assert ns.open_image(tmp_path / "labels.ome.zarr").data[3, 4].compute() == 7


def test_labels_larger_than_memory_go_to_a_temporary_file(open_dock, segment_and_wait, spots, library, monkeypatch):
    monkeypatch.setattr("napari_seamless.viewer.segment.provisional.MEMORY_SHARE", 0.0)
    save_threshold_model(library / "objects", instances=True)
    viewer, widget = open_dock(Image(spots, name="spots"), model="objects")
    segment_and_wait(widget)
    labels = viewer.layers["spots · objects"].data
    assert not isinstance(labels, np.ndarray)
    np.testing.assert_array_equal(np.asarray(labels), label(above_middle(spots)))
