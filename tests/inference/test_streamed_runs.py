"""Volumes that are streamed because tiles would cost more: the same results, events and cancelling."""

from pathlib import Path

import numpy as np
import pytest
from known_models import random_model

from napari_seamless.errors import Cancelled
from napari_seamless.events import Event
from napari_seamless.inference import plan as planning
from napari_seamless.inference import tiling
from napari_seamless.inference.plan import SegmentationPlan, plan_segmentation
from napari_seamless.inference.run import predict_probabilities, segment
from napari_seamless.inference.tiling import work_pixels
from napari_seamless.models.model import Model
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.objects.instances import InstanceRule

SHAPE = (70, 30, 26)


@pytest.fixture(autouse=True)
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """So little that the volume does not fit into one tile, all of it for the network."""
    monkeypatch.setattr(tiling, "FIXED_BYTES", 0)
    monkeypatch.setattr(planning, "free_memory", lambda device: 40 * 2**20)


def volume(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(1).normal(100, 20, shape).astype(np.float32)


def model_3d(**settings: object) -> Model:
    config = NetworkConfig(architecture="unetpp", spatial_dims=3, features=(4, 6, 8), out_channels=3)
    rule = InstanceRule(core_threshold=0.4, grow_steps=3, min_size=2)
    return random_model(config, task="instances", seed=5, instance_rule=rule, **settings)


def planned(image: np.ndarray, model: Model, **options: object) -> SegmentationPlan:
    return plan_segmentation(image, model, axes="ZYX", precision="fp32", calibrate=False, **options)  # type: ignore[arg-type]


def test_a_volume_is_streamed_where_tiles_cost_more() -> None:
    plan = planned(volume(), model_3d())
    assert plan.columns is not None
    assert plan.streamed_axis == "Z"
    assert plan.as_dict()["streamed_axis"] == "Z"
    tiled = planned(volume(), model_3d(), tile_size=8)
    assert tiled.columns is None
    assert plan.columns.equal_pixels < work_pixels(model_3d().config, 2, tiled.tiles)
    assert plan.peak_bytes < plan.free_bytes / 2


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"tile_size": 8}, id="a tile size is given"),
        pytest.param({"halo": 4, "tile_size": 8}, id="the halo is not exact"),
        pytest.param({"tile_size": None}, id="untiled"),
    ],
)
def test_what_was_asked_for_is_done(options: dict[str, object]) -> None:
    assert planned(volume(), model_3d(), **options).columns is None


@pytest.mark.parametrize(("level", "megabytes"), [(1, 12), (2, 40), ("accurate", 40)])
def test_streamed_is_untiled(level: object, megabytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "free_memory", lambda device: megabytes * 2**20)
    model, image = model_3d(), volume()
    assert planned(image, model, level=level).columns is not None
    streamed = predict_probabilities(image, model, axes="ZYX", level=level)
    untiled = predict_probabilities(image, model, axes="ZYX", level=level, tile_size=None)
    assert np.abs(streamed - untiled).max() <= 1e-5


def test_a_streamed_region_is_a_crop_of_the_whole() -> None:
    model, image = model_3d(), volume()
    region = {"Z": (3, 68), "Y": (5, 29), "X": (0, 26)}
    whole = predict_probabilities(image, model, axes="ZYX", tile_size=None)
    part = predict_probabilities(image, model, axes="ZYX", region=region)
    assert np.abs(part - whole[:, 3:68, 5:29]).max() <= 1e-5


def test_labels_events_and_files_of_a_streamed_run(tmp_path: Path) -> None:
    model, image = random_model(model_3d().config, seed=5), np.stack([volume(), volume()[::-1]])
    events: list[Event] = []
    labels = segment(
        image, model, axes="TZYX", precision="fp32", output=tmp_path / "out.ome.zarr", on_event=events.append
    )
    expected = segment(image, model, axes="TZYX", precision="fp32", tile_size=None)
    assert np.bincount(expected.ravel()).min() > 10_000
    assert (np.asarray(labels) == expected).mean() > 0.999  # rounding may move a pixel across a threshold
    plan = events[0].payload["plan"]
    assert plan.columns is not None
    tiles = [event for event in events if event.name == "tile"]
    done = [event.fields["done"] for event in tiles]
    assert done == sorted(done)
    assert done[-1] == tiles[-1].fields["total"] == plan.n_pieces
    assert tiles[-1].fields["seconds_left"] == 0
    covered = np.zeros(image.shape, int)
    for event in tiles:
        place = tuple(slice(*span) for span in event.fields["region"])
        assert event.payload["labels"].shape == covered[place].shape
        covered[place] += 1
    assert (covered == 1).all()


def test_a_streamed_run_stops_when_asked(tmp_path: Path) -> None:
    reported: list[Event] = []
    with pytest.raises(Cancelled, match="the run was stopped after"):
        segment(
            volume((300, 30, 26)),
            model_3d(),
            axes="ZYX",
            precision="fp32",
            output=tmp_path / "out.ome.tif",
            on_event=reported.append,
            should_stop=lambda: any(event.name == "tile" for event in reported),
        )
    assert list(tmp_path.iterdir()) == []
