"""Batches made ahead: in order, from any number on, with nothing left behind."""

from __future__ import annotations

import threading
import time

import pytest

from napari_seamless.training.feeder import Feeder


def test_batches_come_in_order_however_long_each_takes():
    def slow(index):
        time.sleep(0.01 * (index % 3))
        return index

    with Feeder(slow, threads=3) as feeder:
        assert [feeder.take() for _ in range(20)] == list(range(20))


def test_any_batch_can_be_the_first():
    with Feeder(lambda index: index, first=7) as feeder:
        assert [feeder.take() for _ in range(3)] == [7, 8, 9]


def test_only_so_many_are_made_ahead():
    made = []
    with Feeder(made.append, ahead=3, threads=1) as feeder:
        feeder.take()
        deadline = time.monotonic() + 10
        while len(made) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        assert made == [0, 1, 2, 3]


def test_errors_are_raised_where_the_batch_is_taken():
    def broken(index):
        if index == 2:
            raise ValueError("no patch today")
        return index

    with Feeder(broken) as feeder:
        assert [feeder.take(), feeder.take()] == [0, 1]
        with pytest.raises(ValueError, match="no patch today"):
            feeder.take()


def test_waiting_is_counted():
    with Feeder(lambda index: time.sleep(0.3 if index == 0 else 0.0), threads=1) as feeder:
        feeder.take()
        assert feeder.waited > 0.2
        waited = feeder.waited
        time.sleep(0.3)  # the trainer is busy; meanwhile the next batch is made
        feeder.take()
        assert feeder.waited - waited < 0.2


def test_no_thread_is_left_and_nothing_more_is_made():
    made = []
    with Feeder(made.append) as feeder:
        feeder.take()
    count = len(made)
    time.sleep(0.05)
    assert len(made) == count
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("patches")]
