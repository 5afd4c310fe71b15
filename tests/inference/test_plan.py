"""Plans: what is asked, resolved once; and everything that is refused before a pixel is read."""

import dataclasses
import json

import dask.array as da
import numpy as np
import pytest
from known_models import priced, random_model, threshold_model

from napari_seamless.errors import (
    AxesError,
    ChannelError,
    DeviceError,
    EmptyImageError,
    LevelError,
    SeamlessError,
    TileSizeError,
)
from napari_seamless.images.image import Image
from napari_seamless.inference import devices
from napari_seamless.inference.plan import plan_segmentation
from napari_seamless.networks.config import NetworkConfig

NESTED = random_model(NetworkConfig(architecture="unetpp", features=(2, 2, 2, 2, 2)))
VOLUME = random_model(NetworkConfig(spatial_dims=3, features=(2, 2, 2)))
COLOUR = random_model(NetworkConfig(in_channels=3, features=(2, 2)), input_kind="colour")
TWO_CHANNELS = random_model(NetworkConfig(in_channels=2, features=(2, 2)), input_kind="channels")


def never_read(shape: tuple[int, ...], axes: str) -> Image:
    def fail(*args: object, **kwargs: object) -> None:
        raise AssertionError("a plan reads no pixels")

    blocks = da.zeros(shape, dtype=np.uint8, chunks=-1).map_blocks(fail, dtype=np.uint8, meta=np.empty((0,), np.uint8))
    return Image.from_array(blocks, axes)


def test_a_plan_of_a_huge_image_reads_nothing() -> None:
    plan = plan_segmentation(never_read((10, 100_000, 200_000), "ZYX"), NESTED, tile_size=1024)
    assert (plan.n_planes, plan.output_axes, plan.output_shape) == (10, "ZYX", (10, 100_000, 200_000))
    assert len(plan.tiles) == 98 * 196
    assert plan.n_tiles == 10 * 98 * 196
    assert (plan.tile_size, plan.halo, plan.level) == ((1024, 1024), (96, 96), 4)
    assert plan.exact
    assert plan.seconds is not None
    assert plan.seconds > 0
    assert plan.peak_bytes > 1216 * 1216 * 4


def test_a_plan_can_be_written_as_json() -> None:
    facts = plan_segmentation(np.zeros((30, 40), np.uint8), NESTED, axes="YX", calibrate=False).as_dict()
    assert json.loads(json.dumps(facts)) == facts
    assert facts["n_tiles"] == 1
    assert facts["region"] == [[0, 30], [0, 40]]


def test_a_plan_is_frozen() -> None:
    plan = plan_segmentation(np.zeros((30, 40), np.uint8), NESTED, axes="YX", calibrate=False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.level = 2  # type: ignore[misc]


@pytest.mark.parametrize(("level", "halo"), [(1, 8), (2, 24), (3, 48), (4, 96), ("auto", 96), ("accurate", 96)])
def test_the_level_decides_the_halo(level: object, halo: int) -> None:
    plan = plan_segmentation(np.zeros((30, 40), np.uint8), NESTED, axes="YX", level=level, calibrate=False)
    assert plan.halo == (halo, halo)
    assert plan.accurate == (level == "accurate")


def test_auto_takes_the_shallowest_level_that_is_as_good_as_the_best() -> None:
    image = np.zeros((30, 40), np.uint8)
    for scores, level in (((0.5, 0.7, 0.704, 0.7), 2), ((0.5, 0.7, 0.71, 0.8), 4)):
        plan = plan_segmentation(image, priced(NESTED, *scores), axes="YX", calibrate=False)
        asked = plan_segmentation(image, NESTED, axes="YX", level=level, calibrate=False)
        assert (plan.level, plan.halo, plan.as_dict()["level"]) == (level, asked.halo, level)
    assert plan_segmentation(image, priced(NESTED, 1, 1, 1, 1), axes="YX", level=4, calibrate=False).level == 4


def test_a_pruned_level_costs_less() -> None:
    image = np.zeros((300, 400), np.uint8)
    costs = [
        plan_segmentation(image, NESTED, axes="YX", level=level, calibrate=False).tiles.outer_pixels
        for level in (1, 2, 3, 4)
    ]
    assert costs == sorted(costs)


@pytest.mark.parametrize(
    ("model", "axes", "shape", "planes", "output_axes"),
    [
        pytest.param(NESTED, "YX", (5, 6), 1, "YX", id="plane"),
        pytest.param(NESTED, "TZYX", (2, 3, 5, 6), 6, "TZYX", id="2D model over time and depth"),
        pytest.param(VOLUME, "TZYX", (2, 3, 5, 6), 2, "TZYX", id="3D model over time"),
        pytest.param(COLOUR, "YXS", (5, 6, 3), 1, "YX", id="colour"),
        pytest.param(COLOUR, "YXS", (5, 6, 4), 1, "YX", id="colour with opacity"),
        pytest.param(COLOUR, "ZYX", (4, 5, 6), 4, "ZYX", id="grey in a colour model"),
        pytest.param(TWO_CHANNELS, "TCYX", (3, 2, 5, 6), 3, "TYX", id="all channels"),
        pytest.param(TWO_CHANNELS, "XYC", (6, 5, 2), 1, "YX", id="any order of axes"),
    ],
)
def test_axes(model: object, axes: str, shape: tuple[int, ...], planes: int, output_axes: str) -> None:
    plan = plan_segmentation(np.zeros(shape, np.uint8), model, axes=axes, calibrate=False)
    assert (plan.n_planes, plan.output_axes) == (planes, output_axes)
    sizes = dict(zip(axes, shape, strict=True))
    assert plan.output_shape == tuple(sizes[axis] for axis in output_axes)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        pytest.param({"axes": None}, AxesError, r"shape \(8, 9\) does not say what its axes are", id="no axes"),
        pytest.param({"axes": "QX"}, AxesError, "Q", id="unknown axis"),
        pytest.param({"axes": "YXZ"}, AxesError, "YXZ", id="too many axes"),
        pytest.param({"model": VOLUME}, AxesError, "is 3D and needs the axes ZYX, the image has YX", id="3D model"),
        pytest.param({"model": TWO_CHANNELS}, ChannelError, r"takes 2 channel\(s\), the image has 1", id="one channel"),
        pytest.param({"channel": 3}, ChannelError, "has no channel axis", id="channel of a grey image"),
        pytest.param({"level": 5}, LevelError, r"level 5 has no head .* choose from \[1, 2, 3, 4\]", id="level 5"),
        pytest.param({"level": "best"}, LevelError, "must be 'auto', 'accurate' or one of", id="level word"),
        pytest.param(
            {"model": VOLUME, "image": np.zeros((4, 8, 9)), "axes": "ZYX", "level": "accurate"},
            LevelError,
            "has one head: use 'auto'",
            id="accurate U-Net",
        ),
        pytest.param(
            {"tile_size": 100}, TileSizeError, r"not a multiple of 16 \(4 poolings\): use 96 or 112", id="tile"
        ),
        pytest.param(
            {"tile_size": "big"}, TileSizeError, "must be 'auto', a number of pixels, or None", id="tile word"
        ),
        pytest.param(
            {"device": "cuda:7"}, DeviceError, "device 'cuda:7' is not on this machine: use 'auto' or", id="device"
        ),
        pytest.param({"precision": "fp8"}, DeviceError, "precision 'fp8' is unknown", id="precision"),
        pytest.param(
            {"region": {"Y": (0, 99)}}, AxesError, "Y=0..99 does not lie in the image, whose Y has 8", id="region"
        ),
        pytest.param(
            {"region": {"T": (0, 1)}}, AxesError, r"names the axes \['T'\], the labels have YX", id="region axis"
        ),
        pytest.param({"region": {"Y": (3, 3)}}, EmptyImageError, "axis Y has no pixel to segment", id="empty region"),
        pytest.param({"image": np.zeros((0, 9))}, EmptyImageError, "length", id="empty image"),
        pytest.param({"model": "no such model"}, SeamlessError, "no model called 'no such model'", id="model"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, object], error: type[Exception], message: str) -> None:
    arguments = {"image": np.zeros((8, 9), np.uint8), "model": NESTED, "axes": "YX", **options}
    with pytest.raises(error, match=message):
        plan_segmentation(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("channel", "expected"),
    [pytest.param(1, [1], id="index"), pytest.param("GFP", [1], id="name"), pytest.param("2", [2], id="digits")],
)
def test_a_channel_is_chosen(channel: object, expected: list[int]) -> None:
    from napari_seamless.inference.source import source_of

    pixels = np.arange(3 * 4).reshape(3, 2, 2).astype(np.uint8)
    image = Image.from_array(pixels, "CYX", channel_names=("DAPI", "GFP", "RFP"))
    source = source_of(image, threshold_model(), channel)
    assert np.array_equal(np.asarray(source.data), pixels[expected])


def test_channels_that_are_not_there_are_refused() -> None:
    image = Image.from_array(np.zeros((3, 2, 2)), "CYX", channel_names=("DAPI", "GFP", "RFP"))
    with pytest.raises(ChannelError, match=r"choose 1 channel\(s\) .* 0 = DAPI, 1 = GFP, 2 = RFP"):
        plan_segmentation(image, threshold_model())
    with pytest.raises(ChannelError, match="no channel 'YFP'"):
        plan_segmentation(image, threshold_model(), channel="YFP")
    with pytest.raises(ChannelError, match="2 were chosen"):
        plan_segmentation(image, threshold_model(), channel=(0, 1))


def test_channels_are_fed_in_the_order_asked_for() -> None:
    from napari_seamless.inference.source import source_of

    pixels = np.arange(3 * 4).reshape(3, 2, 2).astype(np.uint8)
    source = source_of(Image.from_array(pixels, "CYX"), TWO_CHANNELS, (2, 0))
    assert np.array_equal(np.asarray(source.data), pixels[[2, 0]])


def test_colour_becomes_luminance_for_a_grey_model() -> None:
    from skimage.color import rgb2gray

    from napari_seamless.inference.source import source_of

    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3)).astype(np.uint8)
    source = source_of(Image.from_array(pixels, "YXS"), threshold_model())
    np.testing.assert_allclose(np.asarray(source.data)[0], rgb2gray(pixels) * 255, rtol=1e-5)


def test_the_first_device_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "available_devices", lambda: ("cuda:0", "cuda:1", "cpu"))
    assert devices.resolve_device("auto") == "cuda:0"
    assert devices.resolve_device("cuda") == "cuda:0"
    assert devices.resolve_device("cuda:1") == "cuda:1"
    with pytest.raises(DeviceError, match="one of cuda:0, cuda:1, cpu"):
        devices.resolve_device("mps")


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "fp16"), ((8, 0), "bf16")])
def test_precision_follows_the_hardware(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: str
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: capability)
    assert devices.resolve_precision("auto", "cuda:0") == expected
    assert devices.resolve_precision("fp32", "cuda:0") == "fp32"
    monkeypatch.setattr(devices, "cpu_has_bf16", lambda: False)
    assert devices.resolve_precision("auto", "cpu") == "fp32"
    monkeypatch.setattr(devices, "cpu_has_bf16", lambda: True)
    assert devices.resolve_precision("auto", "cpu") == "bf16"
    assert devices.resolve_precision("auto", "mps") == "fp32"
    with pytest.raises(DeviceError, match="does not exist on mps"):
        devices.resolve_precision("fp64", "mps")
