"""TIFF files in the encodings that microscopes and programs write, made with tifffile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_seamless.errors import AxesError, FileReadError
from napari_seamless.images.read import open_image


def noise(shape: tuple[int, ...], dtype: str = "uint8", high: int = 100) -> np.ndarray:
    return np.random.default_rng(0).integers(0, high, shape).astype(dtype)


def pixels(path: Path, axes: str | None = None) -> np.ndarray:
    return np.asarray(open_image(path, axes).data)


ENCODINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "strips": {"rowsperstrip": 7},
    "one row a strip": {"rowsperstrip": 1, "compression": "zlib"},
    "tiles": {"tile": (16, 32)},
    "zlib": {"compression": "zlib", "predictor": 2},
    "lzw": {"compression": "lzw", "rowsperstrip": 16},
    "packbits": {"compression": "packbits"},
    "zstd tiles": {"compression": "zstd", "tile": (32, 16)},
    "lzma": {"compression": "lzma"},
    "bigtiff": {"bigtiff": True},
    "big-endian": {"byteorder": ">"},
    "big-endian bigtiff lzw": {"bigtiff": True, "byteorder": ">", "compression": "lzw", "predictor": 2},
    "big-endian strips": {"byteorder": ">", "rowsperstrip": 5},
}


@pytest.mark.parametrize("encoding", list(ENCODINGS))
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "float32", "float64"])
def test_every_encoding_gives_the_pixels_back(tmp_path: Path, encoding: str, dtype: str) -> None:
    data = noise((53, 61), dtype)
    options = dict(ENCODINGS[encoding])
    if "predictor" in options:
        options["predictor"] = 3 if "float" in dtype else 2
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack", **options)
    image = open_image(tmp_path / "a.tif")
    assert (image.axes, image.shape, image.dtype) == ("YX", (53, 61), np.dtype(dtype))
    assert image.dtype.isnative
    np.testing.assert_array_equal(image.data, data)


@pytest.mark.parametrize("encoding", list(ENCODINGS))
def test_a_region_reads_like_the_whole(tmp_path: Path, encoding: str) -> None:
    data = noise((4, 53, 61), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack", **ENCODINGS[encoding])
    image = open_image(tmp_path / "a.tif")
    assert image.axes == "ZYX"
    for region in (np.s_[2, 10:33, 15:50], np.s_[1:3, 52:, :1], np.s_[::2, 3:40:3, ::-1], np.s_[3, :0, 5]):
        np.testing.assert_array_equal(image.data[region], data[region])


def test_floating_point_predictor_and_half_floats(tmp_path: Path) -> None:
    data = noise((20, 30)).astype(np.float16) / 7
    tifffile.imwrite(tmp_path / "a.tif", data, predictor=3, compression="zlib", photometric="minisblack")
    image = open_image(tmp_path / "a.tif")
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image.data, data.astype(np.float32))


def test_twelve_bits(tmp_path: Path) -> None:
    data = noise((20, 32), "uint16", high=4096)
    bits = np.unpackbits(data.astype(">u2").view(np.uint8).reshape(20, 32, 2), axis=-1)[..., 4:]
    packed = np.packbits(bits.reshape(20, -1), axis=1).tobytes()
    options: dict[str, Any] = {"bitspersample": 12, "rowsperstrip": 20, "photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "a.tif", iter([packed]), shape=data.shape, dtype=data.dtype, **options)
    np.testing.assert_array_equal(pixels(tmp_path / "a.tif"), data)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_one_bit_is_zero_and_one_with_white_as_one(tmp_path: Path, photometric: str) -> None:
    data = noise((20, 33)) > 50
    tifffile.imwrite(tmp_path / "a.tif", data, photometric=photometric)
    image = open_image(tmp_path / "a.tif")
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image.data, data if photometric == "minisblack" else ~data)


def test_inverted_grey_is_turned_so_that_bright_is_high(tmp_path: Path) -> None:
    data = noise((20, 30), "uint16")
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="miniswhite")
    np.testing.assert_array_equal(pixels(tmp_path / "a.tif"), 65535 - data)


def test_a_palette_becomes_rgb(tmp_path: Path) -> None:
    palette = np.random.default_rng(1).integers(0, 256, (3, 256)).astype(np.uint16) * 257
    data = noise((20, 30), high=256)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="palette", colormap=palette)
    image = open_image(tmp_path / "a.tif")
    assert (image.axes, image.dtype) == ("YXS", np.uint8)
    np.testing.assert_array_equal(image.data, np.moveaxis(palette[:, data] // 257, 0, -1))
    np.testing.assert_array_equal(image.data[3:9, 5, 1], palette[1, data[3:9, 5]] // 257)


def test_the_palette_of_imagej_is_a_display_setting(tmp_path: Path) -> None:
    palette = np.random.default_rng(1).integers(0, 256, (3, 256)).astype(np.uint16) * 257
    data = noise((20, 30), high=256)
    description = "ImageJ=1.54f\nimages=1\n"
    tifffile.imwrite(
        tmp_path / "a.tif", data, photometric="palette", colormap=palette, description=description, metadata=None
    )
    np.testing.assert_array_equal(pixels(tmp_path / "a.tif"), data)


@pytest.mark.parametrize("samples", [3, 4])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_colours_stay_samples_at_the_end(
    tmp_path: Path, samples: int, planar: str, tile: tuple[int, int] | None
) -> None:
    data = noise((20, 30, samples))
    stored = data if planar == "contig" else np.moveaxis(data, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar, tile=tile)
    image = open_image(tmp_path / "a.tif")
    assert (image.axes, image.shape) == ("YXS", (20, 30, samples))
    np.testing.assert_array_equal(image.data, data)
    np.testing.assert_array_equal(image.data[5:9, 7:20, 1], data[5:9, 7:20, 1])


def test_a_stack_of_planar_colours(tmp_path: Path) -> None:
    data = noise((5, 3, 20, 30))
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", planarconfig="separate", compression="zlib")
    image = open_image(tmp_path / "a.tif")
    assert image.axes == "ZYXS"
    np.testing.assert_array_equal(image.data, np.moveaxis(data, 1, -1))


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    data = np.zeros((16, 16, 4), np.uint8)
    data[0, 0] = (255, 0, 0, 0)  # cyan
    data[0, 1] = (0, 0, 0, 255)  # black
    data[0, 2] = (0, 102, 0, 51)  # 60 % of magenta's green, all at 80 % light
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="separated")
    image = open_image(tmp_path / "a.tif")
    assert (image.axes, image.shape) == ("YXS", (16, 16, 3))
    np.testing.assert_array_equal(image.data[0, :4], [[0, 255, 255], [0, 0, 0], [204, 122, 204], [255, 255, 255]])


def test_alpha_beside_grey_is_dropped(tmp_path: Path) -> None:
    data = noise((20, 30, 2))
    tifffile.imwrite(
        tmp_path / "a.tif", data, photometric="minisblack", extrasamples=["unassalpha"], planarconfig="contig"
    )
    image = open_image(tmp_path / "a.tif")
    assert image.axes == "YX"
    np.testing.assert_array_equal(image.data, data[..., 0])


@pytest.mark.parametrize("samples", [2, 5])
def test_samples_that_are_no_colour_are_channels(tmp_path: Path, samples: int) -> None:
    data = noise((20, 30, samples), "uint16")
    tifffile.imwrite(
        tmp_path / "a.tif",
        data,
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unspecified"] * (samples - 1),
    )
    image = open_image(tmp_path / "a.tif")
    assert (image.axes, image.shape) == ("CYX", (samples, 20, 30))
    np.testing.assert_array_equal(image.data, np.moveaxis(data, -1, 0))


@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"rowsperstrip": 16}])
def test_jpeg_colours_are_those_of_the_decoder(tmp_path: Path, options: dict[str, Any]) -> None:
    ramp = np.stack(np.meshgrid(np.arange(48), np.arange(40)), -1).sum(-1).astype(np.uint8)
    data = np.stack([ramp, ramp * 2, 255 - ramp], -1)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb", compression="jpeg", **options)
    image = open_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.data, tifffile.imread(tmp_path / "a.tif"))
    assert np.abs(np.asarray(image.data).astype(int) - data).mean() < 4


def test_complex_pixels_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((20, 30), np.complex64))
    with pytest.raises(FileReadError, match=r"a\.tif.*complex64"):
        open_image(tmp_path / "a.tif")


def test_imagej_hyperstack(tmp_path: Path) -> None:
    data = noise((2, 5, 3, 20, 30), "uint16")
    metadata = {"axes": "TZCYX", "unit": "\\u00B5m", "spacing": 2.5}
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, metadata=metadata, resolution=(1 / 0.5, 1 / 0.25))
    image = open_image(tmp_path / "a.tif")
    assert (image.axes, image.shape) == ("TCZYX", (2, 3, 5, 20, 30))
    assert image.voxel_size_um == pytest.approx((2.5, 0.25, 0.5))
    np.testing.assert_array_equal(image.data, data.swapaxes(1, 2))
    np.testing.assert_array_equal(image.data[1, 2, 3:5, 7:9, ::2], data.swapaxes(1, 2)[1, 2, 3:5, 7:9, ::2])


def test_imagej_leaves_out_a_spacing_of_one_and_pixels_are_no_unit(tmp_path: Path) -> None:
    data = noise((5, 20, 30))
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, metadata={"axes": "ZYX", "unit": "nm"}, resolution=(4, 4))
    assert open_image(tmp_path / "a.tif").voxel_size_um == pytest.approx((0.001, 0.00025, 0.00025))
    tifffile.imwrite(tmp_path / "b.tif", data, imagej=True, metadata={"axes": "ZYX", "unit": "pixel"})
    assert open_image(tmp_path / "b.tif").voxel_size_um is None


def test_imagej_labels_name_channels_when_there_is_one_each(tmp_path: Path) -> None:
    metadata = {"axes": "CYX", "Labels": ["DAPI", "actin"]}
    tifffile.imwrite(tmp_path / "a.tif", noise((2, 20, 30)), imagej=True, metadata=metadata)
    assert open_image(tmp_path / "a.tif").channel_names == ("DAPI", "actin")
    metadata = {"axes": "ZCYX", "Labels": list("abcd")}
    tifffile.imwrite(tmp_path / "b.tif", noise((2, 2, 20, 30)), imagej=True, metadata=metadata)
    assert open_image(tmp_path / "b.tif").channel_names == ("channel 0", "channel 1")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_ome_tiff(tmp_path: Path, compression: str | None) -> None:
    data = noise((2, 3, 4, 20, 30), "uint16")
    metadata = {
        "axes": "TCZYX",
        "PhysicalSizeX": 65.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.000065,
        "PhysicalSizeYUnit": "mm",
        "PhysicalSizeZ": 0.3,
        "Channel": {"Name": ["DAPI", "GFP", "µ"]},
    }
    tifffile.imwrite(
        tmp_path / "a.ome.tif", data, ome=True, photometric="minisblack", compression=compression, metadata=metadata
    )
    image = open_image(tmp_path / "a.ome.tif")
    assert (image.axes, image.shape) == ("TCZYX", (2, 3, 4, 20, 30))
    assert image.voxel_size_um == pytest.approx((0.3, 0.065, 0.065))
    assert image.channel_names == ("DAPI", "GFP", "µ")
    np.testing.assert_array_equal(image.data, data)


def test_a_voxel_size_that_lacks_an_axis_is_unknown(tmp_path: Path) -> None:
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(tmp_path / "a.ome.tif", noise((4, 20, 30)), ome=True, photometric="minisblack", metadata=metadata)
    assert open_image(tmp_path / "a.ome.tif").voxel_size_um is None


def test_axes_of_length_one_are_left_out(tmp_path: Path) -> None:
    data = noise((1, 1, 4, 20, 30))
    tifffile.imwrite(tmp_path / "a.ome.tif", data, ome=True, photometric="minisblack", metadata={"axes": "TCZYX"})
    image = open_image(tmp_path / "a.ome.tif")
    assert (image.axes, image.shape) == ("ZYX", (4, 20, 30))
    np.testing.assert_array_equal(image.data, data[0, 0])


def test_an_ome_tiff_over_several_files(tmp_path: Path) -> None:
    uuids = ["urn:uuid:00000000-0000-0000-0000-00000000000" + str(part) for part in range(2)]
    planes = "".join(
        f'<TiffData IFD="0" FirstZ="{z}" PlaneCount="1"><UUID FileName="z{z}.ome.tif">{uuids[z]}</UUID></TiffData>'
        for z in range(2)
    )
    data = noise((2, 20, 30))
    for z in range(2):
        xml = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuids[z]}"><Image ID="Image:0">'
            '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="30" SizeY="20" SizeZ="2" SizeC="1" '
            f'SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>{planes}</Pixels></Image></OME>'
        )
        tifffile.imwrite(tmp_path / f"z{z}.ome.tif", data[z], description=xml, metadata=None, compression="zlib")
    image = open_image(tmp_path / "z0.ome.tif")
    assert image.axes == "ZYX"
    np.testing.assert_array_equal(image.data, data)
    (tmp_path / "z1.ome.tif").unlink()
    with pytest.raises(FileReadError, match="lacks some of the planes"):
        open_image(tmp_path / "z0.ome.tif")


def test_a_pyramid_keeps_its_levels(tmp_path: Path) -> None:
    data = noise((3, 96, 128), "uint16")
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        options: dict[str, Any] = {"photometric": "minisblack", "tile": (32, 32), "compression": "zlib"}
        writer.write(data, subifds=2, metadata={"axes": "ZYX"}, **options)
        writer.write(data[:, ::2, ::2], subfiletype=1, **options)
        writer.write(data[:, ::4, ::4], subfiletype=1, **options)
    image = open_image(tmp_path / "a.ome.tif")
    assert [level.shape for level in image.pyramid] == [(3, 96, 128), (3, 48, 64), (3, 24, 32)]
    for level, step in zip(image.pyramid, (1, 2, 4), strict=True):
        np.testing.assert_array_equal(level, data[:, ::step, ::step])
    assert image.data is image.pyramid[0]


def test_of_unrelated_images_the_largest_is_opened(tmp_path: Path) -> None:
    large = noise((70, 80))
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(noise((8, 8, 3)), photometric="rgb", metadata=None)
        writer.write(large, photometric="minisblack", metadata=None)
    np.testing.assert_array_equal(pixels(tmp_path / "a.tif"), large)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((20, 30), "YX"), ((4, 20, 30), "ZYX"), ((2, 4, 20, 30), "TZYX"), ((4, 20, 30, 3), "ZYXS")],
)
def test_axes_that_a_file_does_not_name_are_guessed(tmp_path: Path, shape: tuple[int, ...], axes: str) -> None:
    data = noise(shape)
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb" if axes.endswith("S") else "minisblack")
    image = open_image(tmp_path / "a.tif")
    assert image.axes == axes
    np.testing.assert_array_equal(image.data, data)


def test_too_many_unnamed_axes_have_to_be_named(tmp_path: Path) -> None:
    data = noise((2, 3, 4, 20, 30))
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="minisblack")
    with pytest.raises(AxesError, match=r"a\.tif does not say what its axes are .*axes='TCZYX'"):
        open_image(tmp_path / "a.tif")
    image = open_image(tmp_path / "a.tif", axes="TZCYX")
    assert image.axes == "TCZYX"
    np.testing.assert_array_equal(image.data, data.swapaxes(1, 2))


def test_given_axes_win_over_the_file(tmp_path: Path) -> None:
    data = noise((4, 20, 30))
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, metadata={"axes": "ZYX"})
    assert open_image(tmp_path / "a.tif", "TYX").axes == "TYX"
    assert open_image(tmp_path / "a.tif", "cyx").channel_names == ("channel 0", "channel 1", "channel 2", "channel 3")
    with pytest.raises(AxesError, match=r"name 2 axes, the array has 3 with shape \(4, 20, 30\)"):
        open_image(tmp_path / "a.tif", "YX")


def test_colours_may_be_opened_as_channels(tmp_path: Path) -> None:
    data = noise((20, 30, 3))
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="rgb")
    image = open_image(tmp_path / "a.tif", "YXC")
    assert image.axes == "CYX"
    np.testing.assert_array_equal(image.data, np.moveaxis(data, -1, 0))


@pytest.mark.parametrize(
    ("resolution", "unit", "expected"),
    [
        pytest.param((40000, 20000), "CENTIMETER", (0.5, 0.25), id="a microscope's"),
        pytest.param((300, 300), "INCH", None, id="a printer's"),
        pytest.param((1, 1), "NONE", None, id="no unit"),
    ],
)
def test_resolution_tags(
    tmp_path: Path, resolution: tuple[float, float], unit: str, expected: tuple[float, ...] | None
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise((20, 30)), resolution=resolution, resolutionunit=unit)
    found = open_image(tmp_path / "a.tif").voxel_size_um
    assert found == (expected if expected is None else pytest.approx(expected))


def test_pages_written_one_by_one(tmp_path: Path) -> None:
    data = noise((12, 20, 30))
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for index, page in enumerate(data):
            writer.write(page, metadata=None, compression="zlib" if index % 2 else None, contiguous=False)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert len(tif.series) > 1  # pages of different encodings: the larger group is what is opened
    with tifffile.TiffWriter(tmp_path / "b.tif") as writer:
        for page in data:
            writer.write(page, metadata=None, compression="lzw", contiguous=False)
    np.testing.assert_array_equal(pixels(tmp_path / "b.tif"), data)


def test_tifffile_does_not_talk_to_the_screen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise((9, 40, 40)), compression="zlib", photometric="minisblack")
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "b.tif").write_bytes(data[: len(data) // 2])
    with pytest.raises(FileReadError):
        open_image(tmp_path / "b.tif")
    assert capfd.readouterr() == ("", "")
