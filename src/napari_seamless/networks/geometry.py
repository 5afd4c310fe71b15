"""Halo, alignment and valid sizes of a network, from its configuration alone: integers, no torch.

Everything here is a walk over the network's graph (`graph.py`), one axis at a time:

* **Same padding.** Start from an inner region that fills whole cells of the pooling grid and ask, node by node, which
  interval of its inputs it depends on: a block of two 3x3 convolutions widens an interval by 2 a side, pooling by a
  factor f maps ``[a, b]`` to ``[f a, f b + f - 1]``, up-sampling maps it to ``[floor(a/f), floor(b/f)]``, linear
  up-sampling having first widened it by 1. What sticks out of the inner region at the image is the halo. For factors
  of 2 at every level this is ``H = 2^d (c_d + 2 + u) - 2 - u`` with c_1 = 3, c_d = 4 otherwise, u = 1 for linear
  up-sampling.
* **Valid padding.** Sizes go forward: a block takes 4, pooling divides, up-sampling multiplies (linear up-sampling
  then loses 1 a side, which would depend on the tile's edge). Input and output are affine in the size of the deepest
  node: 572 → 388 at depth 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from napari_seamless.errors import TileSizeError
from napari_seamless.networks.config import NetworkConfig
from napari_seamless.networks.reach import BLOCK_REACH, axis_grid, needed_spans, widen


@dataclass(frozen=True)
class Geometry:
    """What tiling must know of a network at one level; every tuple has one entry for each spatial axis.

    Attributes
    ----------
    alignment : tuple of int
        m, the product of the pooling factors: tiles start at multiples of m.
    needed_halo : tuple of int
        H, the pixels on each side of an aligned region on which its result depends.
    halo : tuple of int
        The context that is read on each side: H rounded up to a multiple of m, or the crop for valid padding.
    crop : tuple of int
        Pixels that the network itself removes on each side: 0 for same padding.
    surplus : tuple of int
        Valid padding: an input of ``m k + surplus`` pixels is accepted. 0 for same padding.
    """

    alignment: tuple[int, ...]
    needed_halo: tuple[int, ...]
    halo: tuple[int, ...]
    crop: tuple[int, ...]
    surplus: tuple[int, ...]

    @property
    def is_exact(self) -> bool:
        """Whether the halo is large enough for tiled output to equal untiled output."""
        return all(
            crop > 0 or halo >= needed
            for crop, halo, needed in zip(self.crop, self.halo, self.needed_halo, strict=True)
        )

    def input_sizes(self, inner: Sequence[int]) -> tuple[int, ...]:
        """Return the smallest sizes the network accepts whose output covers an `inner` region, for each axis."""
        return tuple(self.input_size(axis, size) for axis, size in enumerate(inner))

    def input_size(self, axis: int, inner: int) -> int:
        """Return `input_sizes` for one spatial axis."""
        m, crop = self.alignment[axis], self.crop[axis]
        context = self.halo[axis]
        if crop == 0:
            return round_up(inner, m) + 2 * context
        return round_up(inner + 2 * crop - self.surplus[axis], m) + self.surplus[axis]

    def output_sizes(self, outer: Sequence[int]) -> tuple[int, ...]:
        """Return the network's output sizes for an input of `outer` pixels.

        Raises
        ------
        TileSizeError
            If the network cannot take that input without rounding.
        """
        for axis, size in enumerate(outer):
            m, rest, crop = self.alignment[axis], self.surplus[axis], self.crop[axis]
            if (size - rest) % m or size <= 2 * crop:
                least = round_up(2 * crop + 1 - rest, m) + rest
                accepted = f"{least}, {least + m}, {least + 2 * m}, ..."
                raise TileSizeError(
                    f"the network takes sizes of {accepted} along spatial axis {axis}, not {size}: "
                    "mirror-pad the input to the next one"
                )
        return tuple(size - 2 * crop for size, crop in zip(outer, self.crop, strict=True))

    def with_halo(self, halo: int) -> Geometry:
        """Return the geometry with a chosen halo, rounded up to the pooling grid; smaller than needed means seams.

        Raises
        ------
        TileSizeError
            For a negative halo, or for valid padding, where the network itself fixes it.
        """
        if halo < 0:
            raise TileSizeError(f"halo must be 'exact' or at least 0 pixels, not {halo}")
        if any(self.crop):
            raise TileSizeError(
                f"a network with valid padding always has a halo of {self.crop} pixels: use halo 'exact', not {halo}"
            )
        return replace(self, halo=tuple(round_up(halo, m) for m in self.alignment))


def round_up(value: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that is at least `value`."""
    return -(-value // multiple) * multiple


def geometry(config: NetworkConfig, level: int | None = None) -> Geometry:
    """Return the geometry of a network's head.

    Parameters
    ----------
    config : NetworkConfig
    level : int, optional
        Pruning level of a UNet++ with deep supervision; the full depth by default.

    Raises
    ------
    LevelError
        If the network has no head at that level.
    """
    depth = config.resolve_level(level)
    axes = range(config.spatial_dims)
    factors = [[pooling[axis] for pooling in config.poolings[:depth]] for axis in axes]
    alignment = tuple(prod(axis_factors) for axis_factors in factors)
    if config.padding == "valid":
        sizes = [_valid_sizes(config, axis_factors) for axis_factors in factors]
        crop = tuple(c for c, _ in sizes)
        return Geometry(alignment, crop, crop, crop, tuple(s for _, s in sizes))
    needed = tuple(_needed_halo(config, depth, axis, alignment[axis]) for axis in axes)
    halo = tuple(round_up(h, m) for h, m in zip(needed, alignment, strict=True))
    none = (0,) * config.spatial_dims
    return Geometry(alignment, needed, halo, none, none)


def _needed_halo(config: NetworkConfig, depth: int, axis: int, cell: int) -> int:
    spans = needed_spans(config, (depth,), axis_grid(config, depth, axis, first=0), (0, cell))
    low, high = widen(spans[(0, 0)], BLOCK_REACH)
    return max(-low, high - cell)


def _valid_sizes(config: NetworkConfig, factors: Sequence[int]) -> tuple[int, int]:
    """Return (crop per side, surplus of the input over a multiple of the alignment) for one axis."""
    deepest = 64  # any size large enough to leave pixels everywhere: both results do not depend on it
    size = deepest + 2 * BLOCK_REACH
    for factor in reversed(factors):
        size = factor * size + 2 * BLOCK_REACH
    output = deepest
    for factor in reversed(factors):
        lost_to_edges = 2 if config.upsample == "bilinear" and factor > 1 else 0
        output = factor * output - lost_to_edges - 2 * BLOCK_REACH
    return (size - output) // 2, size % prod(factors)


def valid_sizes(config: NetworkConfig, up_to: int, axis: int = -1, level: int | None = None) -> list[tuple[int, int]]:
    """Return every (input, output) size of a network along one spatial axis, with inputs of at most `up_to` pixels."""
    found = geometry(config, level)
    m, rest, crop = found.alignment[axis], found.surplus[axis], found.crop[axis]
    first = round_up(2 * crop + 1 - rest, m) + rest
    return [(size, size - 2 * crop) for size in range(first, up_to + 1, m)]
