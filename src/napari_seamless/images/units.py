"""Lengths as files write them, in micrometres."""

from __future__ import annotations

import math

_UM_PER_UNIT = {
    "angstrom": 1e-4, "å": 1e-4,
    "pm": 1e-6, "picometer": 1e-6, "picometre": 1e-6,
    "nm": 1e-3, "nanometer": 1e-3, "nanometre": 1e-3, "nanometers": 1e-3,
    "um": 1.0, "μm": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0, "micrometre": 1.0, "micrometers": 1.0,
    "mm": 1e3, "millimeter": 1e3, "millimetre": 1e3, "millimeters": 1e3,
    "cm": 1e4, "centimeter": 1e4, "centimetre": 1e4,
    "m": 1e6, "meter": 1e6, "metre": 1e6,
    "inch": 25400.0, "in": 25400.0,
}  # fmt: skip


def micrometres(value: float | str | None, unit: str | None) -> float | None:
    """Return a length in micrometres, or None when the value or the unit says nothing about a length.

    Parameters
    ----------
    value : float or str or None
        The number, as found in a file.
    unit : str or None
        A unit of length in the spelling of OME, ImageJ or UDUNITS; ``pixel`` and the like are no lengths.
    """
    if value is None or unit is None:
        return None
    factor = _UM_PER_UNIT.get(_plain(unit))
    try:
        length = float(value) * factor if factor is not None else math.nan
    except ValueError:
        return None
    return length if math.isfinite(length) and length > 0 else None


def _plain(unit: str) -> str:
    # Micro comes as U+00B5, as U+03BC, and, from ImageJ, as the escape sequence spelt out.
    return unit.strip().strip("\x00").lower().replace("\\u00b5", "μ").replace("µ", "μ")
