"""The uncertainty map alone: the same as beside labels, in memory or tile by tile to disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from known_models import priced, random_model, threshold_model

from napari_seamless.errors import Cancelled, ChannelError
from napari_seamless.events import Event
from napari_seamless.images.image import Image
from napari_seamless.images.read import open_image
from napari_seamless.inference import uncertainty_map
from napari_seamless.inference.run import predict_probabilities, segment
from napari_seamless.inference.uncertainty_map import measure_of, predict_uncertainty, write_uncertainty
from napari_seamless.models.model import Model
from napari_seamless.networks.config import NetworkConfig

HALF = 1e-3


def committee(dims: int = 2, depth: int = 3) -> Model:
    config = NetworkConfig(architecture="unetpp", spatial_dims=dims, features=(2,) * (depth + 1))
    return random_model(config, name="committee")


def image_of(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)


def test_an_undecided_pixel_of_a_unet_has_entropy_one() -> None:
    image = np.array([[0.0, 0.5, 1.0]], np.float32).repeat(4, 0)
    found = predict_uncertainty(image, threshold_model(), axes="YX")
    np.testing.assert_allclose(found, np.array([[0, 1, 0]]).repeat(4, 0), atol=1e-6)


@pytest.mark.parametrize(
    ("axes", "shape", "dims"),
    [("YX", (40, 56), 2), ("ZYX", (3, 40, 56), 2), ("TZYX", (2, 2, 20, 24), 2), ("ZYX", (12, 40, 24), 3)],
)
def test_it_is_what_segment_writes_beside_labels(axes: str, shape: tuple[int, ...], dims: int, tmp_path: Path) -> None:
    model, image = committee(dims, 2), image_of(shape)
    segment(image, model, axes=axes, uncertainty=tmp_path / "expected.zarr", precision="fp32")
    expected = zarr.open_array(tmp_path / "expected.zarr" / "0", mode="r")[:]
    assert expected.max() > 0.01
    np.testing.assert_allclose(predict_uncertainty(image, model, axes=axes), expected, atol=0.01)


def test_on_disk_it_is_the_same_with_voxels_and_facts(tmp_path: Path) -> None:
    image = Image.from_array(image_of((3, 40, 56)), "ZYX", (2.0, 0.5, 0.5))
    path = tmp_path / "map.zarr"
    write_uncertainty(image, committee(), path, facts={"model": "committee"})
    array = zarr.open_array(path / "0", mode="r")
    assert array.dtype == np.float16
    expected = {"model": "committee", "measure": "disagreement", "highest": pytest.approx(array[:].max(), abs=HALF)}
    assert array.attrs.asdict() == expected
    np.testing.assert_allclose(array[:], predict_uncertainty(image, committee()), atol=HALF)
    assert open_image(path).voxel_size_um == (2.0, 0.5, 0.5)


def test_a_model_that_segments_at_its_first_level_still_asks_two_heads() -> None:
    image = image_of((40, 56))
    shallow = priced(committee(), 0.9, 0.9, 0.9)
    assert shallow.auto_level == 1
    heads = [predict_probabilities(image, shallow, axes="YX", level=level) for level in (1, 2)]
    expected = np.abs(heads[0] - heads[1]).sum(0) / 4
    np.testing.assert_allclose(predict_uncertainty(image, shallow, axes="YX"), expected, atol=0.04)  # bf16 or fp32


def test_which_measure() -> None:
    assert measure_of(committee()) == "disagreement"
    assert measure_of(threshold_model()) == "entropy"
    alone = NetworkConfig(architecture="unetpp", features=(2, 2, 2), deep_supervision=False)
    assert measure_of(random_model(alone)) == "entropy"


def test_progress_is_told_to_the_end(tmp_path: Path) -> None:
    events: list[Event] = []
    image = Image.from_array(image_of((3, 40, 56)), "ZYX")
    write_uncertainty(image, threshold_model(), tmp_path / "map.zarr", on_event=events.append)
    assert [event.name for event in events] == ["plan", "tile", "tile", "tile"]
    assert [event.fields["done"] for event in events[1:]] == [1, 2, 3]
    assert events[-1].fields["seconds_left"] == 0


def test_cancelled_leaves_what_was_there(tmp_path: Path) -> None:
    image, path = Image.from_array(image_of((3, 40, 56)), "ZYX"), tmp_path / "map.zarr"
    write_uncertainty(image, threshold_model(), path, facts={"model": "first"})
    seen: list[Any] = []
    with pytest.raises(Cancelled):
        write_uncertainty(
            image,
            committee(),
            path,
            overwrite=True,
            on_event=seen.append,
            should_stop=lambda: any(event.name == "tile" for event in seen),
        )
    assert zarr.open_array(path / "0", mode="r").attrs["model"] == "first"
    assert [file.name for file in tmp_path.iterdir()] == ["map.zarr"]


def test_a_channel_must_be_chosen(tmp_path: Path) -> None:
    image = Image.from_array(image_of((2, 30, 30)), "CYX")
    with pytest.raises(ChannelError, match="choose 1 channel"):
        write_uncertainty(image, threshold_model(), tmp_path / "map.zarr")
    write_uncertainty(image, threshold_model(), tmp_path / "map.zarr", channel=1)
    alone = predict_uncertainty(np.asarray(image.data)[1], threshold_model(), axes="YX")
    np.testing.assert_allclose(zarr.open_array(tmp_path / "map.zarr" / "0", mode="r")[:], alone, atol=HALF)


def test_chunks_lie_in_planes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uncertainty_map, "_CHUNK_SIDE", 16)
    image = Image.from_array(image_of((12, 40, 24)), "ZYX")
    write_uncertainty(image, committee(3, 2), tmp_path / "map.zarr")
    array = zarr.open_array(tmp_path / "map.zarr" / "0", mode="r")
    assert array.chunks == (1, 16, 16)
    np.testing.assert_allclose(array[:], predict_uncertainty(image, committee(3, 2)), atol=HALF)
