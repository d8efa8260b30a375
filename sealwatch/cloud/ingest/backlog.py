"""Messages that have come in and wait for their commit: bounded by the memory they take, not by their number.

A broker should hand over no more than `receive_maximum` messages before their acks, but Mosquitto 2.0.11 sends another
`max_inflight_messages` after each of them; whoever hands in here is held up instead, which is flow control over TCP.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Generic, TypeVar

T = TypeVar("T")


class Backlog(Generic[T]):
    """A queue between two threads."""

    def __init__(self, most_bytes: int) -> None:
        """A single item is always taken, however large it is."""
        self._most_bytes = most_bytes
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()

    def put(self, items: Sequence[tuple[T, int]], *, timeout_s: float) -> int:
        """Hand in items with their sizes in bytes, waiting for room at most `timeout_s` in all; how many were taken.

        What was not taken are the last ones.
        """
        until_s = time.monotonic() + timeout_s
        with self._changed:
            for done, (item, size_bytes) in enumerate(items):
                if not self._room(size_bytes):
                    self._changed.notify_all()  # what was handed in so far is there to be taken
                    if not self._changed.wait_for(
                        partial(self._room, size_bytes), max(0.0, until_s - time.monotonic())
                    ):
                        return done
                self._items.append((item, size_bytes))
                self._bytes += size_bytes
            self._changed.notify_all()
            return len(items)

    def _room(self, size_bytes: int) -> bool:
        return not self._items or self._bytes + size_bytes <= self._most_bytes

    def take(self, most: int, *, timeout_s: float) -> list[T]:
        """Everything that is there, at most `most` items, the oldest first; waits for the first one."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items), timeout_s)
            taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
            self._bytes -= sum(size_bytes for _, size_bytes in taken)
            self._changed.notify_all()
            return [item for item, _ in taken]

    def __len__(self) -> int:
        return len(self._items)
