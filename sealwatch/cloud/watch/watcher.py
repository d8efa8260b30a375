"""The thread that notices what no message tells: permits that have ended with somebody still there.

`turn` is the whole of it, the thread only calls it in time. Any number of services may run it on one database: each
thing is looked for with a read and decided again under the site's lock.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import Counter
from typing import Final

from sealwatch.base.clock import Clock
from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.paging.ladder import Ladder
from sealwatch.cloud.permits import overstay
from sealwatch.cloud.ports import ChangeBus

logger = logging.getLogger(__name__)
LOOK_EVERY_S: Final = 15.0


class Watcher:
    """`start` begins; `stop` ends the thread after the turn under way."""

    def __init__(self, database: Database, *, ladder: Ladder, clock: Clock, changes: ChangeBus) -> None:
        self._database, self._ladder, self._clock, self._changes = database, ladder, clock, changes
        self.turns = 0  # how often the wheel has turned: the evidence that it lives
        self.counters: Counter[str] = Counter({"overstays": 0})
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self.turns += 1
            try:
                self.turn()
            except Exception:  # the end of this thread would be the end of watching: say it and go on
                logger.exception("watcher: a turn failed; trying again")
            self._stop.wait(LOOK_EVERY_S)

    def turn(self) -> int:
        """Look at everything once; how many things were raised."""
        raised = self._overstays(self._clock.wall_ms())
        if raised:
            self._changes.announce()
        return raised

    def _overstays(self, now_ms: int) -> int:
        with self._database.read() as session:
            found = overstay.find(session, now_ms=now_ms)
        raised = 0
        for _, alarms in itertools.groupby(found, key=lambda one: one.site_id):
            with self._database.write() as session:
                raised += len(overstay.recall(session, list(alarms), ladder=self._ladder, now_ms=now_ms))
        self.counters["overstays"] += raised
        return raised
