"""Overlapping keeps the order, bounds what waits, and loses neither results nor errors."""

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_seamless.inference.pipeline import READ_AHEAD, WRITE_BEHIND, overlapped


@given(st.lists(st.integers(), max_size=12))
def test_every_item_goes_through_in_order(items: list[int]) -> None:
    finished = list(overlapped(items, lambda i: i + 1, lambda i, loaded: (i, loaded * 2), lambda i, done: (i, *done)))
    assert finished == [(i, i, (i + 1) * 2) for i in items]


def test_the_three_steps_run_at_the_same_time() -> None:
    """Each step of an item waits until the next step of the item before it is under way."""
    reading, writing = threading.Barrier(2, timeout=5), threading.Barrier(2, timeout=5)

    def read(item: int) -> int:
        if item > 0:
            reading.wait()  # meets the computation of the item before
        return item

    def compute(item: int, loaded: int) -> int:
        if item < 3:
            reading.wait()
        if item > 0:
            writing.wait()  # meets the writing of the item before
        return loaded

    def finish(item: int, computed: int) -> int:
        if item < 3:
            writing.wait()
        return computed

    assert list(overlapped(range(4), read, compute, finish)) == [0, 1, 2, 3]


def test_only_a_few_items_wait() -> None:
    loaded = done = most = 0

    def read(item: int) -> int:
        nonlocal loaded
        loaded += 1
        return item

    def finish(item: int, computed: int) -> int:
        nonlocal done, most
        most = max(most, loaded - done)
        time.sleep(0.002)
        done += 1
        return computed

    assert len(list(overlapped(range(30), read, lambda item, value: value, finish))) == 30
    assert most <= READ_AHEAD + WRITE_BEHIND + 2  # and the ones being computed and written


@pytest.mark.parametrize(
    ("step", "kept"), [("items", [0, 1]), ("read", [0, 1, 2]), ("compute", [0, 1, 2]), ("finish", [0, 1, 2])]
)
def test_errors_come_out_after_what_was_computed(step: str, kept: list[int]) -> None:
    def fails(at: str, item: int) -> int:
        if at == step and item == 3:
            raise ValueError(f"{at} of {item}")
        return item

    def items() -> Iterator[int]:
        for item in range(6):
            yield fails("items", item)

    finished: list[int] = []
    run = overlapped(
        items(), lambda i: fails("read", i), lambda i, _: fails("compute", i), lambda i, _: fails("finish", i)
    )
    with pytest.raises(ValueError, match=f"{step} of 3"):
        finished.extend(run)
    assert finished == kept
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("read-ahead", "write-behind"))]


def test_a_listener_that_leaves_stops_the_work() -> None:
    computed: list[int] = []
    run = overlapped(range(100), lambda i: i, lambda i, _: computed.append(i), lambda i, _: i)
    assert next(run) == 0
    run.close()
    assert len(computed) <= 1 + READ_AHEAD + WRITE_BEHIND
