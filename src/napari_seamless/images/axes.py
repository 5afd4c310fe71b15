"""Axis letters at the edges of the package: which there are, which order they take, which combinations are refused.

``T`` time, ``C`` channel, ``Z``, ``Y``, ``X`` space, ``S`` the samples of a colour pixel (RGB or RGBA).
"""

from __future__ import annotations

from collections.abc import Sequence

from napari_seamless.errors import AxesError, EmptyImageError

CANONICAL_AXES = "TCZYXS"
SPATIAL_AXES = "ZYX"

_MEANING = "T (time), C (channel), Z, Y, X, S (RGB or RGBA samples)"


def check_axes(axes: str, shape: Sequence[int]) -> str:
    """Return ``axes`` in capitals after checking that they name every axis of an array once.

    Parameters
    ----------
    axes : str
        One letter per axis of the array, in any order and case.
    shape : sequence of int
        The array's shape.

    Raises
    ------
    AxesError
        For an unknown, repeated or missing letter, or a count that is not the array's number of axes.
    EmptyImageError
        For an axis of length zero.
    """
    letters = axes.upper()
    unknown = sorted(set(letters) - set(CANONICAL_AXES))
    if unknown:
        raise AxesError(f"axes {axes!r}: {', '.join(unknown)} is not an axis; use letters of {_MEANING}")
    repeated = sorted({letter for letter in letters if letters.count(letter) > 1})
    if repeated:
        raise AxesError(f"axes {axes!r}: {', '.join(repeated)} occurs more than once; give every axis its own letter")
    if len(letters) != len(shape):
        raise AxesError(
            f"axes {axes!r} name {len(letters)} axes, the array has {len(shape)} with shape {tuple(shape)}; "
            f"give one letter per axis: {_MEANING}"
        )
    if not {"Y", "X"} <= set(letters):
        raise AxesError(f"axes {axes!r}: an image has at least Y and X; say which axes they are, for example 'ZYX'")
    if 0 in shape:
        raise EmptyImageError(f"the image of shape {tuple(shape)} (axes {axes}) is empty: an axis has length 0")
    samples = shape[letters.index("S")] if "S" in letters else 3
    if samples not in (3, 4):
        raise AxesError(
            f"axes {axes!r}: S holds the samples of a colour and has length 3 (RGB) or 4 (RGBA), found {samples}; "
            "name the axis C if these are channels"
        )
    return letters


def canonical_order(axes: str) -> str:
    """Return the letters of ``axes`` in the order ``TCZYXS``."""
    return "".join(sorted(axes, key=CANONICAL_AXES.index))


def permutation(axes: str, target: str) -> tuple[int, ...]:
    """Return the argument for ``transpose`` that brings an array of ``axes`` to the order ``target``."""
    return tuple(axes.index(letter) for letter in target)


def spatial_axes(axes: str) -> str:
    """Return the spatial letters of ``axes`` in the order ``ZYX``."""
    return "".join(letter for letter in SPATIAL_AXES if letter in axes)
