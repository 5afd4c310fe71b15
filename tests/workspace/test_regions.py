"""Which regions strokes join, and which regions are kept for validation."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from napari_seamless.workspace.regions import (
    REACH,
    Regions,
    changed,
    with_changed,
    with_edit,
    with_marked,
    with_role,
    with_validation,
)


def strokes(*boxes: tuple[tuple[int, int], ...]) -> Regions:
    regions: Regions = ()
    for number, box in enumerate(boxes, 1):
        regions = with_edit(regions, box, "ZYX", number, "now")
    return regions


def test_near_strokes_of_one_plane_are_one_region() -> None:
    (region,) = strokes(((3, 4), (10, 20), (10, 20)), ((3, 4), (20 + REACH - 1, 60), (5, 12)))
    assert region.box == ((3, 4), (10, 60), (5, 20))
    assert region.id == 1


def test_far_strokes_and_other_planes_are_regions_of_their_own() -> None:
    regions = strokes(((3, 4), (10, 20), (10, 20)), ((3, 4), (20 + REACH, 60), (5, 12)), ((4, 5), (10, 20), (10, 20)))
    assert [region.id for region in regions] == [1, 2, 3]


def test_a_stroke_between_two_regions_joins_those_of_one_role_only() -> None:
    first, second = ((0, 1), (0, 10), (0, 10)), ((0, 1), (0, 10), (100, 110))
    between = ((0, 1), (0, 10), (40, 70))
    assert len(strokes(first, second, between)) == 2  # training and validation do not mix
    regions = with_role(strokes(first, second), 2, "train")
    regions = with_role(regions, 1, "train")
    (joined,) = with_edit(regions, between, "ZYX", 3, "now")
    assert joined.box == ((0, 1), (0, 10), (0, 110))


def test_strokes_inside_a_verified_box_need_no_region() -> None:
    box = ((0, 1), (0, 50), (0, 50))
    regions = with_marked(strokes(((0, 1), (5, 9), (5, 9)), ((2, 3), (5, 9), (5, 9))), "box", box, 3, "now")
    assert [(region.id, region.kind) for region in regions] == [(2, "edit"), (3, "box")]
    assert with_edit(regions, ((0, 1), (7, 30), (7, 30)), "ZYX", 4, "now") == regions
    assert with_marked(regions, "slice", box, 5, "now") == regions


@given(st.lists(st.integers(0, 30), max_size=30, unique=True), st.data())
def test_from_two_regions_on_one_is_for_validation_and_roles_stay(planes: list[int], data: st.DataObject) -> None:
    regions: Regions = ()
    for number, plane in enumerate(planes, 1):
        before = {region.id: region.role for region in regions}
        regions = with_marked(regions, "slice", ((plane, plane + 1), (0, 9), (0, 9)), number, "now")
        roles = {region.id: region.role for region in regions}
        assert all(roles[number] == role for number, role in before.items())
        held_out = sum(role == "validation" for role in roles.values())
        if len(regions) >= 2:
            assert 1 <= held_out <= len(regions) / 2
        if len(regions) > 2 and data.draw(st.booleans()):
            gone = data.draw(st.sampled_from(regions))
            regions = with_validation(tuple(region for region in regions if region is not gone))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 200), st.integers(0, 200)), min_size=1, max_size=12))
def test_changes_of_regions_can_be_replayed_and_taken_back(places: list[tuple[int, int, int]]) -> None:
    before: Regions = ()
    for number, (z, y, x) in enumerate(places, 1):
        after = with_edit(before, ((z, z + 1), (y, y + 5), (x, x + 5)), "ZYX", number, "now")
        change = changed(before, after)
        assert with_changed(before, change) == after
        assert with_changed(after, change, backwards=True) == before
        before = after
