"""Block by block must be exactly the whole."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seamless.errors import AxesError, Cancelled
from napari_seamless.events import Event
from napari_seamless.objects.instances import InstanceRule, instances_from_states
from napari_seamless.objects.stitch import stitch_instances


@st.composite
def problems(draw: st.DrawFn):
    """A random array of states, clustered or not, a block shape and a rule."""
    ndim = draw(st.sampled_from([2, 3]))
    limit = 24 if ndim == 2 else 10
    shape = tuple(draw(st.integers(1, limit)) for _ in range(ndim))
    block_shape = tuple(draw(st.integers(1, limit + 2)) for _ in range(ndim))
    weights = draw(st.sampled_from([(1, 1, 1), (2, 5, 1), (1, 1, 6), (8, 1, 1), (0, 1, 1)]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    states = random.choice(3, size=shape, p=np.array(weights) / sum(weights)).astype(np.uint8)
    rule = InstanceRule(grow_steps=draw(st.integers(0, 9)), min_size=draw(st.integers(0, 12)))
    return states, block_shape, rule


@settings(max_examples=250, deadline=None)
@given(problems())
def test_any_block_shape_gives_the_labels_of_the_whole(problem):
    states, block_shape, rule = problem
    out = np.full(states.shape, 77, np.uint32)
    n_objects = stitch_instances(states, out, rule, block_shape=block_shape)
    whole = instances_from_states(states, rule)
    np.testing.assert_array_equal(out, whole)
    assert n_objects == whole.max(initial=0)


def test_object_across_the_corner_of_four_blocks_is_one():
    states = np.zeros((20, 20), np.uint8)
    states[6:14, 6:14] = 1
    states[8:12, 8:12] = 2
    out = np.zeros(states.shape, np.uint32)
    assert stitch_instances(states, out, InstanceRule(), block_shape=(10, 10)) == 1
    np.testing.assert_array_equal(out, states > 0)


def test_object_across_the_corner_of_eight_blocks_is_one():
    states = np.zeros((8, 8, 8), np.uint8)
    states[2:6, 2:6, 2:6] = 1
    states[3:5, 3:5, 3:5] = 2
    out = np.zeros(states.shape, np.uint32)
    assert stitch_instances(states, out, InstanceRule(), block_shape=(4, 4, 4)) == 1
    np.testing.assert_array_equal(out, states > 0)


def test_first_id_shifts_all_ids():
    states = np.array([[2, 0, 2], [0, 0, 0], [0, 2, 0]], np.uint8)
    out = np.zeros(states.shape, np.uint32)
    n_objects = stitch_instances(states, out, InstanceRule(min_size=1), block_shape=(2, 2), first_id=11)
    assert n_objects == 3
    np.testing.assert_array_equal(out, [[11, 0, 12], [0, 0, 0], [0, 13, 0]])


def test_zarr_in_and_out(tmp_path):
    random = np.random.default_rng(0)
    states = random.choice(3, size=(70, 50), p=[0.3, 0.5, 0.2]).astype(np.uint8)
    stored = zarr.create_array(tmp_path / "states.zarr", shape=states.shape, chunks=(16, 16), dtype="uint8")
    stored[:] = states
    out = zarr.create_array(tmp_path / "labels.zarr", shape=states.shape, chunks=(16, 16), dtype="uint32")
    stitch_instances(stored, out, InstanceRule(), block_shape=(32, 16))
    np.testing.assert_array_equal(out[:], instances_from_states(states, InstanceRule()))


class ReadCounter:
    """An array that remembers the largest block that was read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.largest = array, array.shape, array.dtype, 0

    def __getitem__(self, region):
        block = self.array[region]
        self.largest = max(self.largest, block.size)
        return block

    def __setitem__(self, region, block):
        self.largest = max(self.largest, np.size(block))
        self.array[region] = block


def test_no_read_exceeds_a_block_and_its_surroundings():
    states = ReadCounter(np.random.default_rng(1).integers(0, 3, (200, 200)).astype(np.uint8))
    out = ReadCounter(np.zeros((200, 200), np.uint32))
    stitch_instances(states, out, InstanceRule(grow_steps=4), block_shape=(20, 20))
    assert max(states.largest, out.largest) == 28 * 28


def test_events_count_to_the_total():
    events: list[Event] = []
    out = np.zeros((10, 10), np.uint32)
    stitch_instances(np.ones((10, 10), np.uint8), out, InstanceRule(), block_shape=(5, 10), on_event=events.append)
    assert [event.fields["done"] for event in events] == [1, 2, 3, 4, 5, 6]
    assert {event.fields["total"] for event in events} == {6}


def test_stops_between_blocks():
    with pytest.raises(Cancelled, match="stopped"):
        stitch_instances(
            np.ones((4, 4), np.uint8),
            np.zeros((4, 4), np.uint32),
            InstanceRule(),
            block_shape=(2, 2),
            should_stop=lambda: True,
        )


def test_refuses_what_does_not_fit():
    states, rule = np.zeros((4, 4), np.uint8), InstanceRule()
    with pytest.raises(AxesError, match="one shape"):
        stitch_instances(states, np.zeros((4, 5), np.uint32), rule, block_shape=(2, 2))
    with pytest.raises(AxesError, match="block_shape needs 2 sides"):
        stitch_instances(states, np.zeros((4, 4), np.uint32), rule, block_shape=(2, 0))
    with pytest.raises(TypeError, match="at least 32 bits"):
        stitch_instances(states, np.zeros((4, 4), np.uint16), rule, block_shape=(2, 2))
    with pytest.raises(AxesError, match="2 or 3 spatial dimensions"):
        stitch_instances(np.zeros(4, np.uint8), np.zeros(4, np.uint32), rule, block_shape=(2,))
