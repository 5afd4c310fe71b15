"""The main job: an image in, labels out, with known answers."""

import re
from pathlib import Path

import numpy as np
import pytest
import zarr
from known_models import priced, random_model, threshold_model

from napari_seamless.errors import Cancelled, FileWriteError, NotFiniteError, OutOfMemoryError, OutputExistsError
from napari_seamless.events import Event
from napari_seamless.images.image import Image
from napari_seamless.images.read import open_image
from napari_seamless.inference import backoff
from napari_seamless.inference.predictor import Prediction, Predictor
from napari_seamless.inference.run import predict_probabilities, segment
from napari_seamless.models.model import Model
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.objects.instances import InstanceRule, instances_from_states, states_from_probabilities


def gradient(shape: tuple[int, ...]) -> np.ndarray:
    """Distinct values in random order: their order is known, so is what exceeds a threshold."""
    return np.random.default_rng(0).permutation(int(np.prod(shape))).reshape(shape).astype(np.float32)


def expected_classes(image: np.ndarray) -> np.ndarray:
    return image > image.min() + 0.5 * (image.max() - image.min())


@pytest.mark.parametrize(
    ("axes", "shape", "dims"),
    [
        pytest.param("YX", (37, 21), 2, id="plane"),
        pytest.param("ZYX", (3, 20, 17), 2, id="stack, plane by plane"),
        pytest.param("TZYX", (2, 2, 9, 11), 2, id="stack over time, plane by plane"),
        pytest.param("TZYX", (2, 5, 9, 11), 3, id="volume over time"),
    ],
)
@pytest.mark.parametrize("tile_size", ["auto", 4, None])
def test_known_answer(axes: str, shape: tuple[int, ...], dims: int, tile_size: object) -> None:
    image = gradient(shape)
    labels = segment(image, threshold_model(spatial_dims=dims), axes=axes, tile_size=tile_size, precision="fp32")
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, expected_classes(image))


def test_channel_and_axes_order() -> None:
    image = np.stack([gradient((12, 15)), gradient((12, 15))[::-1]])
    labels = segment(image.transpose(2, 1, 0), threshold_model(), axes="XYC", channel=1, precision="fp32")
    assert np.array_equal(labels, expected_classes(image[1]))


def test_statistics_are_those_of_the_whole_image() -> None:
    """A dark plane stays dark: it is not scaled by itself."""
    image = np.stack([gradient((16, 16)), gradient((16, 16)) * 0.1])
    labels = segment(image, threshold_model(), axes="ZYX", tile_size=2, precision="fp32")
    assert labels[0].any()
    assert not labels[1].any()


@pytest.mark.parametrize("ending", ["out.ome.zarr", "out.ome.tif"])
def test_files_hold_the_same_labels(tmp_path: Path, ending: str) -> None:
    image = Image.from_array(gradient((3, 40, 50)), "ZYX", voxel_size_um=(2.0, 0.5, 0.5))
    output = tmp_path / ending
    returned = segment(image, threshold_model(), output=output, tile_size=16, precision="fp32")
    expected = expected_classes(np.asarray(image.data))
    assert np.array_equal(np.asarray(returned), expected)
    again = open_image(output)
    assert np.array_equal(np.asarray(again.data), expected)
    assert (again.axes, again.voxel_size_um) == ("ZYX", (2.0, 0.5, 0.5))
    if ending.endswith("zarr"):
        assert isinstance(returned, zarr.Array)
    assert [entry.name for entry in tmp_path.iterdir()] == [ending]


def instance_model() -> Model:
    """Random weights make rim and core everywhere: many objects that cross tiles."""
    return random_model(
        NetworkConfig(architecture="unetpp", features=(4, 6, 8), out_channels=3),
        task="instances",
        seed=9,
        instance_rule=InstanceRule(core_threshold=0.4, grow_steps=3, min_size=2),
    )


@pytest.mark.parametrize("tile_size", [4, 12, 32, "auto"])
def test_instances_are_those_of_the_whole(tile_size: object) -> None:
    model, image = instance_model(), gradient((67, 45))
    probabilities = predict_probabilities(image, model, axes="YX", tile_size=None)
    expected = instances_from_states(states_from_probabilities(probabilities, model.instance_rule), model.instance_rule)
    assert expected.max() > 5
    labels = segment(image, model, axes="YX", tile_size=tile_size, precision="fp32")
    assert labels.dtype == np.uint32
    assert np.array_equal(labels, expected)


def test_instances_of_planes_have_their_own_ids() -> None:
    image = np.stack([gradient((30, 20))] * 2)
    labels = segment(image, instance_model(), axes="ZYX", precision="fp32")
    n = int(labels[0].max())
    assert np.array_equal(labels[1], np.where(labels[0] > 0, labels[0] + n, 0))


def test_files_of_any_tile_size_are_identical(tmp_path: Path) -> None:
    image = gradient((130, 150))
    for tile_size in (16, 64):
        (tmp_path / str(tile_size)).mkdir()
        output = tmp_path / str(tile_size) / "labels.ome.tif"
        segment(image, instance_model(), axes="YX", output=output, tile_size=tile_size)
    small, large = (tmp_path / size / "labels.ome.tif" for size in ("16", "64"))
    assert small.read_bytes() == large.read_bytes()


def test_probabilities_and_uncertainty(tmp_path: Path) -> None:
    image = np.stack([gradient((20, 33)), gradient((20, 33))])
    model = instance_model()
    segment(
        image,
        model,
        axes="TYX",
        tile_size=8,
        precision="fp32",
        probabilities=tmp_path / "p.ome.zarr",
        uncertainty=tmp_path / "u.ome.tif",
    )
    probabilities = open_image(tmp_path / "p.ome.zarr")
    assert (probabilities.axes, probabilities.channel_names) == ("TCYX", ("background", "rim", "core"))
    expected = predict_probabilities(image, model, axes="TYX", tile_size=None)
    np.testing.assert_allclose(np.asarray(probabilities.data).swapaxes(0, 1), expected, atol=1e-6)
    uncertainty = np.asarray(open_image(tmp_path / "u.ome.tif").data)
    heads = [predict_probabilities(image, model, axes="TYX", level=level) for level in (1, 2)]
    np.testing.assert_allclose(uncertainty, np.abs(heads[0] - heads[1]).sum(0) / 4, atol=1e-5)


def test_uncertainty_of_a_unet_is_entropy(tmp_path: Path) -> None:
    image, model = gradient((20, 20)), random_model(NetworkConfig(features=(2, 2)))
    segment(image, model, axes="YX", precision="fp32", uncertainty=tmp_path / "u.ome.zarr")
    p = predict_probabilities(image, model, axes="YX")
    uncertainty = np.asarray(open_image(tmp_path / "u.ome.zarr").data)
    np.testing.assert_allclose(uncertainty, -(p * np.log2(p)).sum(0), atol=1e-5)


def test_auto_segments_at_the_level_that_the_price_list_says(tmp_path: Path) -> None:
    image, model = gradient((20, 33)), random_model(NetworkConfig(architecture="unetpp", features=(2, 3, 4)))
    thrifty = priced(model, 0.8, 0.8)
    found = predict_probabilities(image, thrifty, axes="YX")
    np.testing.assert_array_equal(found, predict_probabilities(image, model, axes="YX", level=1))
    assert not np.array_equal(found, predict_probabilities(image, model, axes="YX"))
    # Level 1 has no shallower head to disagree with.
    segment(image, thrifty, axes="YX", precision="fp32", uncertainty=tmp_path / "u.ome.zarr")
    uncertainty = np.asarray(open_image(tmp_path / "u.ome.zarr").data)
    np.testing.assert_allclose(uncertainty, -(found * np.log2(found)).sum(0), atol=1e-5)


def test_a_region_has_its_own_shape() -> None:
    image = gradient((4, 30, 40))
    labels = segment(
        image, threshold_model(), axes="ZYX", precision="fp32", region={"Z": (2, 3), "Y": (5, 25), "X": (11, 40)}
    )
    assert np.array_equal(labels, expected_classes(image)[2:3, 5:25, 11:40])


def test_events_tell_everything() -> None:
    events: list[Event] = []
    image = gradient((2, 20, 30))
    labels = segment(image, threshold_model(), axes="ZYX", tile_size=16, precision="fp32", on_event=events.append)
    names = [event.name for event in events]
    assert names == ["plan", *["tile"] * 8, "done"]
    assert events[0].fields["n_tiles"] == 8
    assert "pixels" in events[0].fields["intensity"]
    assert [event.fields["done"] for event in events[1:-1]] == list(range(1, 9))
    assert events[-2].fields["seconds_left"] == 0
    painted = np.zeros_like(labels)
    for event in events[1:-1]:
        painted[tuple(slice(*span) for span in event.fields["region"])] = event.payload["labels"]
    assert np.array_equal(painted, labels)
    assert events[-1].fields["n_objects"] is None


def test_tiles_of_instances_come_as_objects() -> None:
    events: list[Event] = []
    labels = segment(
        gradient((40, 40)), instance_model(), axes="YX", tile_size=16, precision="fp32", on_event=events.append
    )
    tiles = [event for event in events if event.name == "tile"]
    ids = [set(np.unique(event.payload["labels"])) - {0} for event in tiles]
    assert len(set.union(*ids)) == sum(map(len, ids))  # no two tiles share an id
    assert {event.name for event in events} == {"plan", "tile", "stitch", "done"}
    assert events[-1].fields["n_objects"] == labels.max()


@pytest.mark.parametrize("ending", ["out.ome.zarr", "out.ome.tif"])
def test_cancel_between_tiles_leaves_no_file(tmp_path: Path, ending: str) -> None:
    done: list[Event] = []
    # Three tiles are reported when the run is asked to stop; the fourth is then computed, and is kept.
    with pytest.raises(Cancelled, match="stopped after 4 of 16 tiles; no file was written"):
        segment(
            gradient((64, 64)),
            threshold_model(),
            axes="YX",
            output=tmp_path / ending,
            tile_size=16,
            on_event=done.append,
            should_stop=lambda: sum(event.name == "tile" for event in done) == 3,
        )
    assert list(tmp_path.iterdir()) == []


def test_existing_output_is_refused_before_work(tmp_path: Path) -> None:
    output = tmp_path / "out.ome.tif"
    output.write_bytes(b"precious")
    with pytest.raises(OutputExistsError):
        segment(
            gradient((9, 9)), threshold_model(), axes="YX", output=output, should_stop=lambda: pytest.fail("worked")
        )
    assert output.read_bytes() == b"precious"


def test_two_results_need_two_files(tmp_path: Path) -> None:
    with pytest.raises(FileWriteError, match="written to the same file"):
        segment(
            gradient((9, 9)),
            threshold_model(),
            axes="YX",
            output=tmp_path / "a.ome.zarr",
            uncertainty=tmp_path / "a.ome.zarr",
        )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite_pixels_are_found_before_work(bad: float) -> None:
    image = gradient((20, 30))
    image[7, 11] = bad
    with pytest.raises(NotFiniteError, match=r"1 NaN or infinite pixels, the first at C=0, Y=7, X=11"):
        segment(image, threshold_model(), axes="YX", should_stop=lambda: pytest.fail("worked"))


def test_a_constant_image_is_background() -> None:
    assert not segment(np.full((20, 20), 7, np.uint16), threshold_model(), axes="YX").any()


def test_empty_tiles_are_predicted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.zeros((400, 400), np.float32)
    image[:9, :9] = gradient((9, 9))
    model = instance_model()
    expected = segment(image, model, axes="YX", tile_size=None, precision="fp32")
    shapes: list[tuple[int, ...]] = []
    original = Predictor.__call__

    def counting(self: Predictor, outer: np.ndarray, wanted: object) -> Prediction:
        shapes.append(outer.shape)
        return original(self, outer, wanted)

    monkeypatch.setattr(Predictor, "__call__", counting)
    labels = segment(image, model, axes="YX", tile_size=40, precision="fp32")
    assert np.array_equal(labels, expected)
    assert len(shapes) == 2  # of 100 tiles: one with the object, one of the empty ones


class TinyDevice:
    """Stands in for a device that has no room for more than `most` pixels."""

    def __init__(self, most: dict[str, int]) -> None:
        self.most, self.made = most, []
        self.real = backoff.predictor_maker

    def maker(self, model: Model, plan: object):  # type: ignore[no-untyped-def]
        make = self.real(model, plan)

        def limited(device: str, precision: str):  # type: ignore[no-untyped-def]
            self.made.append(device)
            predict = make("cpu", precision)

            def run(outer: np.ndarray, wanted: object) -> Prediction:
                if outer[0].size > self.most[device]:
                    raise MemoryError
                return predict(outer, wanted)

            return run

        return limited


@pytest.fixture
def two_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_seamless.inference import devices, plan

    monkeypatch.setattr(devices, "available_devices", lambda: ("cuda:0", "cpu"))
    monkeypatch.setattr(plan, "free_memory", lambda device: 2**32)
    monkeypatch.setattr(backoff, "release_memory", lambda device: None)


@pytest.mark.parametrize(
    ("most", "devices_used", "notice"),
    [
        pytest.param(
            {"cuda:0": 60**2, "cpu": 0}, ["cuda:0"], "going on with tiles of .* the result is the same", id="tiles"
        ),
        pytest.param({"cuda:0": 0, "cpu": 10**9}, ["cuda:0", "cpu"], "tiles of 64 x 64; slower, on the cpu", id="cpu"),
        pytest.param({"cuda:0": 0, "cpu": 60**2}, ["cuda:0", "cpu"], "slower, on the cpu", id="cpu, smaller tiles"),
    ],
)
@pytest.mark.usefixtures("two_devices")
def test_out_of_memory(monkeypatch: pytest.MonkeyPatch, most: dict, devices_used: list[str], notice: str) -> None:
    model, image = instance_model(), gradient((90, 100))
    expected = segment(image, model, axes="YX", device="cpu", precision="fp32")
    tiny = TinyDevice(most)
    monkeypatch.setattr("napari_seamless.inference.pieces.predictor_maker", tiny.maker)
    events: list[Event] = []
    labels = segment(image, model, axes="YX", device="cuda:0", tile_size=64, precision="fp32", on_event=events.append)
    assert np.array_equal(labels, expected)
    assert tiny.made == devices_used
    (told,) = [event for event in events if event.name == "notice"]
    assert re.search(notice, told.fields["message"])


@pytest.mark.usefixtures("two_devices")
def test_out_of_memory_everywhere_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_seamless.inference.pieces.predictor_maker", TinyDevice({"cuda:0": 0, "cpu": 0}).maker)
    with pytest.raises(OutOfMemoryError, match=r"smallest tile \(4, 4\) .* does not fit"):
        segment(gradient((90, 100)), instance_model(), axes="YX", device="cuda:0", precision="fp32")


def test_other_errors_are_not_taken_for_lack_of_memory() -> None:
    from napari_seamless.inference.devices import is_out_of_memory

    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
