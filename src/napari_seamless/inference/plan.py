"""From intent to a frozen plan: everything a run needs to know, resolved once, before any pixel is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

from napari_seamless.errors import AxesError, EmptyImageError, LevelError, TileSizeError
from napari_seamless.images.image import Image
from napari_seamless.inference.calibration import seconds_per_pixel
from napari_seamless.inference.columns import PIECE_PLANES, Columns, choose_columns
from napari_seamless.inference.devices import free_memory, resolve_device, resolve_precision
from napari_seamless.inference.source import Channel, Source, source_of
from napari_seamless.inference.tiles import Span, TileGrid, whole_region_tile
from napari_seamless.inference.tiling import (
    choose_tile_size,
    levels_run,
    network_bytes,
    requested_tile_size,
    work_pixels,
)
from napari_seamless.models.model import Model
from napari_seamless.networks.geometry import Geometry, geometry

Level = int | Literal["auto", "accurate"]
Halo = int | Literal["exact"]
TileSize = int | tuple[int, ...] | Literal["auto"] | None
Region = Mapping[str, tuple[int, int]]

STREAMING_PAYS = 0.8
"""A volume is streamed where that is predicted to take less than this part of what tiles would take."""


@dataclass(frozen=True)
class SegmentationPlan:
    """What a run will do.

    Attributes
    ----------
    tiles : TileGrid
        The tiles of one plane, a sequence of `Tile`; every plane has the same.
    planes : tuple of (start, stop)
        Which indices along `plane_axes` are run.
    plane_axes, spatial_axes : str
        Axes run one index at a time, and the network's own.
    level : int
        UNet++ pruning level, or the depth of a U-Net.
    accurate : bool
        Mean of all heads.
    device, precision : str
    exact : bool
        Whether tiled output equals untiled output: False for a halo smaller than needed.
    keep_heads : bool
        Whether the heads' disagreement is computed.
    free_bytes : int
        Memory that was free on the device when the plan was made.
    peak_bytes : int
        Predicted peak of the memory the run adds on the device that holds the activations.
    seconds : float or None
        Predicted duration; None if no calibration was asked for.
    columns : Columns or None
        How the region is streamed, where that costs less than tiles; `tiles` are then the columns.
    """

    tiles: TileGrid
    planes: tuple[Span, ...]
    plane_axes: str
    spatial_axes: str
    level: int
    accurate: bool
    device: str
    precision: str
    exact: bool
    keep_heads: bool
    free_bytes: int
    peak_bytes: int
    seconds: float | None
    columns: Columns | None = None

    @property
    def tile_size(self) -> tuple[int, ...]:
        """Pixels of a tile's inner region, for each spatial axis."""
        return self.tiles.tile_size

    @property
    def halo(self) -> tuple[int, ...]:
        """Pixels of context on each side, for each spatial axis."""
        return self.tiles.geometry.halo

    @property
    def n_planes(self) -> int:
        """Number of planes (time points, and sections for 2D networks) that are run."""
        return prod(stop - start for start, stop in self.planes)

    @property
    def n_tiles(self) -> int:
        """Number of tiles over all planes."""
        return len(self.tiles) * self.n_planes

    @property
    def n_pieces(self) -> int:
        """Number of steps in which results come: tiles, or pieces of columns."""
        if self.columns is None:
            return self.n_tiles
        start, stop = self.columns.grid.region[self.columns.axis]
        return self.n_tiles * -(-(stop - start) // PIECE_PLANES)

    @property
    def streamed_axis(self) -> str | None:
        """The axis along which the network is streamed, if it is."""
        return None if self.columns is None else self.spatial_axes[self.columns.axis]

    @property
    def output_axes(self) -> str:
        """Axes of the labels."""
        return self.plane_axes + self.spatial_axes

    @property
    def output_region(self) -> tuple[Span, ...]:
        """What of the image is segmented, over `output_axes`."""
        return (*self.planes, *self.tiles.region)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the labels."""
        return tuple(stop - start for start, stop in self.output_region)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan's facts, ready for JSON."""
        return {
            "n_tiles": self.n_tiles,
            "n_planes": self.n_planes,
            "tile_size": list(self.tile_size),
            "halo": list(self.halo),
            "streamed_axis": self.streamed_axis,
            "exact": self.exact,
            "axes": self.output_axes,
            "shape": list(self.output_shape),
            "region": [list(span) for span in self.output_region],
            "level": self.level,
            "accurate": self.accurate,
            "device": self.device,
            "precision": self.precision,
            "free_bytes": self.free_bytes,
            "peak_bytes": self.peak_bytes,
            "seconds": self.seconds,
        }


def plan_segmentation(
    image: Any,
    model: Model | str,
    *,
    axes: str | None = None,
    channel: Channel = None,
    level: Level = "auto",
    tile_size: TileSize = "auto",
    halo: Halo = "exact",
    device: str = "auto",
    precision: str = "auto",
    region: Region | None = None,
    keep_heads: bool = False,
    calibrate: bool = True,
) -> SegmentationPlan:
    """Resolve an image, a model and options into a plan; nothing is read from the image but its metadata.

    Parameters
    ----------
    image : Image or array
        An array needs `axes`.
    model : Model or str
        A model, its name, or a path.
    axes : str, optional
        For an array: one letter of ``TCZYXS`` for each axis.
    channel : int, str or sequence of them, optional
        Which channel(s), by index or name; needed if the image has more than the model takes.
    level : "auto", "accurate" or int
        UNet++ level; ``auto`` is the shallowest one that is as good as the best (`Model.auto_level`; without a price
        list the deepest), ``accurate`` the mean of all heads.
    tile_size : "auto", int, tuple of int, or None
        Inner pixels of a tile for each spatial axis; None: one tile for the whole region (the untiled reference).
        With ``auto``, volumes are streamed along z where that costs less than tiles.
    halo : "exact" or int
        Context in pixels on each side; less than exact makes seams.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
    precision : str
        ``auto``, ``fp32``, ``bf16``, ``fp16``, ``fp64``.
    region : mapping of axis letter to (start, stop), optional
        The part of the image to segment; other axes are taken whole.
    keep_heads : bool
        Compute the disagreement of UNet++'s heads.
    calibrate : bool
        Measure the network's speed (an instant, once per process) to predict `seconds`.

    Raises
    ------
    AxesError, ChannelError, EmptyImageError, LevelError, TileSizeError, DeviceError, ModelError
        If image, model and options do not fit together.
    """
    image, model = as_image(image, axes), as_model(model)
    source = source_of(image, model, channel)
    depth, accurate = _resolve_level(model, level)
    device = resolve_device(device)
    precision = resolve_precision(precision, device)
    found = geometry(model.config, depth)
    used = found if halo == "exact" else found.with_halo(halo)
    spans = _resolve_region(source, region)
    split = len(source.plane_axes)
    free = free_memory(device)
    heads = keep_heads or accurate
    grid = _grid(model, depth, spans[split:], used, tile_size, free, precision, heads)
    columns = _columns(model, depth, grid, tile_size, free, precision, heads) if used == found else None
    peak = network_bytes(
        model.config, depth, grid.largest_outer_shape, precision, keep_heads=heads, wanted=grid.largest_cut
    )
    plan = SegmentationPlan(
        tiles=grid if columns is None else columns.grid,
        planes=spans[:split],
        plane_axes=source.plane_axes,
        spatial_axes=source.spatial_axes,
        level=depth,
        accurate=accurate,
        device=device,
        precision=precision,
        exact=used.is_exact,
        keep_heads=keep_heads,
        free_bytes=free,
        peak_bytes=peak if columns is None else columns.peak_bytes,
        seconds=None,
        columns=columns,
    )
    return _timed(plan, model) if calibrate else plan


def as_image(image: Any, axes: str | None = None) -> Image:
    """Return an Image; an array needs `axes`.

    Raises
    ------
    AxesError
        If an array comes without axes, or an Image with contradicting ones.
    """
    if isinstance(image, Image):
        if axes is not None and axes != image.axes:
            raise AxesError(f"the image has the axes {image.axes}, but axes={axes!r} was given: leave axes out")
        return image
    if axes is None:
        shape = getattr(image, "shape", None)
        raise AxesError(f"an array of shape {shape} does not say what its axes are: give axes, for example 'ZYX'")
    return Image.from_array(image, axes)


def as_model(model: Model | str) -> Model:
    """Return a model, loading it if a name or path is given."""
    if isinstance(model, Model):
        return model
    from napari_seamless.models.library import load_model

    return load_model(model)


def _resolve_level(model: Model, level: Level | str) -> tuple[int, bool]:
    if level == "auto":
        return model.auto_level, False
    if level == "accurate":
        if len(model.config.levels) < 2:
            raise LevelError(
                f"level 'accurate' is the mean of a UNet++'s heads; model {model.name!r} has one head: use 'auto'"
            )
        return model.config.depth, True
    if not isinstance(level, int) or isinstance(level, bool):
        raise LevelError(f"level must be 'auto', 'accurate' or one of {list(model.config.levels)}, not {level!r}")
    return model.config.resolve_level(level), False


def _resolve_region(source: Source, region: Region | None) -> tuple[Span, ...]:
    asked = dict(region or {})
    spans: list[Span] = []
    for axis, length in zip(source.output_axes, source.output_shape, strict=True):
        start, stop = asked.pop(axis, (0, length))
        if not 0 <= start <= stop <= length:
            raise AxesError(
                f"region {axis}={start}..{stop} does not lie in the image, whose {axis} has {length} pixels"
            )
        if start == stop:
            raise EmptyImageError(f"axis {axis} has no pixel to segment ({start}..{stop}): choose a larger region")
        spans.append((int(start), int(stop)))
    if asked:
        raise AxesError(f"region names the axes {sorted(asked)}, the labels have {source.output_axes}")
    return tuple(spans)


def _grid(
    model: Model,
    level: int,
    region: tuple[Span, ...],
    used: Geometry,
    asked: TileSize | str,
    free: int,
    precision: str,
    heads: bool,
) -> TileGrid:
    if asked is None:
        size = whole_region_tile(region, used.alignment)
    elif isinstance(asked, str):
        if asked != "auto":
            raise TileSizeError(f"tile_size must be 'auto', a number of pixels, or None, not {asked!r}")
        size = choose_tile_size(model.config, level, region, used, free, precision, keep_heads=heads)
    else:
        size = requested_tile_size(asked, used.alignment)
    return TileGrid(region, size, used)


def _columns(
    model: Model, level: int, tiles: TileGrid, asked: TileSize | str, free: int, precision: str, heads: bool
) -> Columns | None:
    """Return how to stream a volume, if the tile size is left open and tiles would cost clearly more."""
    config = model.config
    if asked != "auto" or config.spatial_dims < 3 or config.padding != "same" or len(tiles) == 1:
        return None
    levels = levels_run(config, level, keep_heads=heads)
    try:
        columns = choose_columns(config, levels, tiles.region, tiles.geometry, free, precision)
    except TileSizeError:
        return None  # tiles fit: they were chosen before
    work = work_pixels(config, level, tiles, keep_heads=heads)
    return columns if columns.equal_pixels < STREAMING_PAYS * work else None


def _timed(plan: SegmentationPlan, model: Model) -> SegmentationPlan:
    heads = plan.keep_heads or plan.accurate
    per_pixel = seconds_per_pixel(model, plan.level, plan.device, plan.precision, keep_heads=heads)
    if plan.columns is None:
        pixels = work_pixels(model.config, plan.level, plan.tiles, keep_heads=heads)
    else:
        pixels = plan.columns.equal_pixels
    return replace(plan, seconds=per_pixel * pixels * plan.n_planes)
