"""What waits for its commit is bounded, in order, and never blocks for ever."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from sealwatch.cloud.ingest.backlog import Backlog


def test_items_come_out_in_their_order_and_at_most_as_many_as_wanted() -> None:
    backlog: Backlog[int] = Backlog(100)
    assert backlog.put([(n, 1) for n in range(5)], timeout_s=0) == 5
    assert backlog.take(3, timeout_s=0) == [0, 1, 2]
    assert backlog.take(3, timeout_s=0) == [3, 4]
    assert backlog.take(3, timeout_s=0) == []


def test_a_full_backlog_takes_nothing_more_but_an_empty_one_takes_even_what_is_too_large() -> None:
    backlog: Backlog[str] = Backlog(100)
    assert backlog.put([("huge", 1000), ("more", 1)], timeout_s=0) == 1
    assert backlog.put([("more", 1)], timeout_s=0) == 0
    assert backlog.take(1, timeout_s=0) == ["huge"]
    assert backlog.put([("more", 1)], timeout_s=0) == 1


def test_whoever_waits_for_room_goes_on_when_there_is_some() -> None:
    backlog: Backlog[int] = Backlog(10)
    handed_in: list[int] = []
    thread = threading.Thread(target=lambda: handed_in.append(backlog.put([(1, 10), (2, 10)], timeout_s=20)))
    thread.start()
    assert backlog.take(1, timeout_s=20) == [1]
    thread.join()
    assert handed_in == [2]
    assert backlog.take(1, timeout_s=0) == [2]


@given(st.lists(st.integers(1, 60), max_size=40))
def test_never_more_bytes_than_allowed_unless_it_is_one_item(sizes: list[int]) -> None:
    backlog: Backlog[int] = Backlog(100)
    taken = [size for size in sizes if backlog.put([(size, size)], timeout_s=0)]
    assert sum(taken) <= 100 or len(taken) == 1
    assert backlog.take(1000, timeout_s=0) == taken
