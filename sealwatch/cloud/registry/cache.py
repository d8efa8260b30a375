"""The registry picture that ingestion decides with, read again when it has grown old."""

from __future__ import annotations

import threading
from typing import Final

from sealwatch.base.clock import Clock
from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.registry.view import RegistryView, load

REFRESH_S: Final = 10.0
"""How long a node that was added or taken out by another process may go unnoticed."""


class RegistryCache:
    """`current()` from any thread."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._lock = threading.Lock()
        self._view: RegistryView | None = None
        self._read_at_s = 0.0

    def current(self) -> RegistryView:
        """The registry, about `REFRESH_S` old at most. Raises what the database raises while it can't be read."""
        if not self._lock.acquire(blocking=False):
            # While one thread reads anew, the others go on with what they have: an alarm need not wait for that.
            if (view := self._view) is not None:
                return view
            self._lock.acquire()
        try:
            now_s = self._clock.monotonic_s()
            if self._view is None or now_s - self._read_at_s >= REFRESH_S:
                with self._database.read() as session:
                    self._view = load(session)
                self._read_at_s = now_s
            return self._view
        finally:
            self._lock.release()
