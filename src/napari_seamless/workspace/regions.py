"""The regions that a person verified, and which of them are for training and which for validation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from napari_seamless.errors import WorkspaceError
from napari_seamless.images.boxes import Box, contains, intersection, union

Kind = Literal["slice", "box", "edit"]
Role = Literal["train", "validation"]
Regions = tuple["VerifiedRegion", ...]

REACH = 32
"""Strokes of one plane whose boxes are nearer than this (pixels along Y and X) belong to one region."""

_VALIDATION_SHARE = 4


@dataclass(frozen=True)
class VerifiedRegion:
    """One row of the table of verified regions.

    Attributes
    ----------
    id : int
        Never used again for another region.
    kind : {"slice", "box", "edit"}
        A plane or a box that was said to be right, background included; or the surroundings of painted strokes, of
        which only the painted pixels are verified.
    box : tuple of (start, stop)
        One pair per axis of the labels.
    role : {"train", "validation"}
    automatic : bool
        Whether the program chose the role.
    created : str
        ISO 8601, UTC.
    """

    id: int
    kind: Kind
    box: Box
    role: Role
    automatic: bool
    created: str

    def as_dict(self) -> dict[str, Any]:
        """Return the region as JSON."""
        return {
            "id": self.id,
            "kind": self.kind,
            "box": [list(pair) for pair in self.box],
            "role": self.role,
            "automatic": self.automatic,
            "created": self.created,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> VerifiedRegion:
        """Read what `as_dict` returned."""
        return cls(**{**values, "box": tuple((int(start), int(stop)) for start, stop in values["box"])})


def automatic_role(others: Iterable[VerifiedRegion]) -> Role:
    """Return the role of a new region: the second is for validation, and from then on about one in four.

    A role once given stays when regions are added, so that no region that a model learned from judges the next one.
    """
    others = tuple(others)
    held_out = sum(region.role == "validation" for region in others)
    return "validation" if others and _VALIDATION_SHARE * held_out < len(others) + 1 else "train"


def with_validation(regions: Regions) -> Regions:
    """Return regions of which at least one is for validation, if there are two: else the newest automatic one is."""
    if len(regions) < 2 or any(region.role == "validation" for region in regions):
        return regions
    for region in sorted(regions, key=lambda region: -region.id):
        if region.automatic:
            return tuple(replace(other, role="validation") if other is region else other for other in regions)
    return regions


def with_marked(regions: Regions, kind: Kind, box: Box, new_id: int, now: str) -> Regions:
    """Return the regions after a plane or box was verified; strokes inside it need no region of their own."""
    if any(region.kind != "edit" and region.box == box for region in regions):
        return regions
    kept = tuple(region for region in regions if region.kind != "edit" or not contains(box, region.box))
    new = VerifiedRegion(new_id, kind, box, automatic_role(kept), True, now)
    return with_validation((*kept, new))


def with_edit(regions: Regions, box: Box, axes: str, new_id: int, now: str) -> Regions:
    """Return the regions after strokes in a box: they join the region of near strokes, or begin a new one."""
    if any(region.kind != "edit" and contains(region.box, box) for region in regions):
        return regions
    near = [region for region in regions if region.kind == "edit" and _near(region.box, box, axes)]
    if not near:
        return with_validation((*regions, VerifiedRegion(new_id, "edit", box, automatic_role(regions), True, now)))
    grown = replace(near[0], box=union(near[0].box, box))
    others = tuple(region for region in regions if region.id != grown.id)
    joined = [
        region
        for region in others
        if region.kind == "edit"
        and region.role == grown.role
        and region.automatic == grown.automatic
        and _near(region.box, grown.box, axes)
    ]
    for region in joined:
        grown = replace(grown, box=union(grown.box, region.box))
    kept = (region for region in others if region not in joined)
    return with_validation(tuple(sorted((*kept, grown), key=lambda region: region.id)))


def with_role(regions: Regions, region_id: int, role: Role | None) -> Regions:
    """Return the regions after a person chose a role, or None to leave the choice to the program.

    Raises
    ------
    WorkspaceError
        If there is no such region or role.
    """
    found = region_of(regions, region_id)
    if role not in (None, "train", "validation"):
        raise WorkspaceError(f"a region is for 'train' or 'validation' (or None: automatic), not for {role!r}")
    others = tuple(region for region in regions if region is not found)
    chosen = replace(found, role=role or automatic_role(others), automatic=role is None)
    return with_validation(tuple(chosen if region is found else region for region in regions))


def region_of(regions: Regions, region_id: int) -> VerifiedRegion:
    """Return a region by its id.

    Raises
    ------
    WorkspaceError
        If there is none.
    """
    for region in regions:
        if region.id == region_id:
            return region
    raise WorkspaceError(f"there is no verified region {region_id}; there are {[region.id for region in regions]}")


def changed(before: Regions, after: Regions) -> dict[str, Any]:
    """Return what became of regions as JSON: those that went or were changed, and those that came or were changed."""
    removed = [region.as_dict() for region in before if region not in after]
    added = [region.as_dict() for region in after if region not in before]
    return {"removed": removed, "added": added} if removed or added else {}


def with_changed(regions: Regions, change: dict[str, Any], *, backwards: bool = False) -> Regions:
    """Return the regions after what `changed` returned, or before it."""
    if not change:
        return regions
    gone, come = ("added", "removed") if backwards else ("removed", "added")
    going = {values["id"] for values in (*change[gone], *change[come])}
    coming = (VerifiedRegion.from_dict(values) for values in change[come])
    kept = (region for region in regions if region.id not in going)
    return tuple(sorted((*kept, *coming), key=lambda region: region.id))


def _near(first: Box, second: Box, axes: str) -> bool:
    margin = [REACH if axis in "YX" else 0 for axis in axes]
    grown = tuple((start - side, stop + side) for (start, stop), side in zip(first, margin, strict=True))
    return intersection(grown, second) is not None
