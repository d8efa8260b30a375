"""The thread that notices what no message tells: permits and silences that have ended with something still there, and
whoever says nothing any more; it also sends the heartbeat.

`turn` is the whole of it, the thread only calls it in time. Any number of services may run it on one database: each
thing is looked for with a read and decided again under the site's lock.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import Counter
from collections.abc import Callable
from typing import Final

from sealwatch.base.clock import Clock
from sealwatch.cloud.db.away import FailedTurns
from sealwatch.cloud.db.duty_tables import Mark
from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.incidents import area, aside, outage, recall, steps
from sealwatch.cloud.paging.ladder import LadderSource
from sealwatch.cloud.ports import ChangeBus
from sealwatch.cloud.silences import store as silences
from sealwatch.cloud.watch import deadman, steady
from sealwatch.cloud.watch.heartbeat import Heartbeat
from sealwatch.cloud.watch.steady import Steady

logger = logging.getLogger(__name__)
LOOK_EVERY_S: Final = 15.0
MARK_EVERY_MS: Final = 30_000
_CLOCK: Final = "clock"
_COUNTED: Final = ("recalled", "silences_ended", "silent_changes", "area_outages")


class Watcher:
    """`start` begins; `stop` ends the thread after the turn under way."""

    def __init__(
        self,
        database: Database,
        *,
        ladder: LadderSource,
        clock: Clock,
        changes: ChangeBus,
        connected: Callable[[], bool] = lambda: True,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        """`connected`: whether ingestion hears its broker at this moment."""
        self._database, self._ladder, self._clock, self._changes = database, ladder, clock, changes
        self._connected, self._heartbeat = connected, heartbeat
        self._listening_ms: int | None = None
        self._steady: Steady | None = None
        self._distrust = False  # the clock was set back while no service ran, and silences still hold
        self._marked_ms = 0
        self.turns = 0  # how often the wheel has turned: the evidence that it lives
        self.failed_turns = FailedTurns("watcher")
        self.counters: Counter[str] = Counter(
            {"recalled": 0, "silences_ended": 0, "silent_changes": 0, "area_outages": 0}
        )
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
            with self.failed_turns.survived():
                self.turn()
            self._stop.wait(LOOK_EVERY_S)

    def turn(self) -> int:
        """Look at everything once; how many things were changed."""
        now_ms = self._now()
        if self._heartbeat is not None:
            self._heartbeat.beat(self._clock.monotonic_s())
        done = self._end_silences(now_ms) + self._end_shelves(now_ms) + self._dead_man()
        done += self._outages() + self._recall(now_ms)
        self._mark(now_ms)
        if done:
            self._changes.announce()
        return done

    def _now(self) -> int:
        """The time that is never set back."""
        wall_ms, monotonic_s = self._clock.wall_ms(), self._clock.monotonic_s()
        if self._steady is None:
            with self._database.read() as session:
                mark = session.get(Mark, _CLOCK)
            woken = steady.wake(mark.at_ms if mark else None, wall_ms=wall_ms, monotonic_s=monotonic_s)
            self._distrust = woken.went_back
            if woken.went_back:
                logger.error("the clock was set back while no service ran: every silence ends now; set the clock right")
            self._steady = woken.steady
        self._steady = steady.advance(self._steady, wall_ms=wall_ms, monotonic_s=monotonic_s)
        return self._steady.at_ms

    def _dead_man(self) -> int:
        wall_ms = self._clock.wall_ms()
        if not self._connected():  # who hears nobody can't tell who is silent
            self._listening_ms = None
            return 0
        if self._listening_ms is None or self._listening_ms > wall_ms:
            self._listening_ms = wall_ms
        changed = deadman.turn(self._database, ladder=self._ladder, now_ms=wall_ms, listening_ms=self._listening_ms)
        self.counters["silent_changes"] += changed
        return changed

    def _outages(self) -> int:
        """Troubles of many sites that are one, before each of them is paged alone."""
        with self._database.read() as session:
            troubles = outage.waiting(session, noted=aside.NOTE)
            if not troubles:
                return 0
            areas = outage.load(session)
        late = {one: running for one in troubles if (running := areas.outage(one.site_id, one.since_ms)) is not None}
        for one, incident_id in late.items():
            with self._database.write() as session:
                outage.join_one(session, one, incident_id, now_ms=self._clock.wall_ms())
        found = area.find([one for one in troubles if one not in late], areas.of_site)
        opened = 0
        for together in found:
            with self._database.write() as session:
                now_ms = self._clock.wall_ms()
                opened += outage.open_one(session, together, ladder=self._ladder, now_ms=now_ms) is not None
        self.counters["area_outages"] += opened
        return opened + len(late)

    def _mark(self, now_ms: int) -> None:
        if now_ms - self._marked_ms < MARK_EVERY_MS:
            return
        with self._database.write() as session:
            mark = session.get(Mark, _CLOCK, with_for_update=True)
            if mark is None:
                session.add(Mark(name=_CLOCK, at_ms=now_ms))
            else:
                mark.at_ms = max(mark.at_ms, now_ms)
        self._marked_ms = now_ms

    def _end_silences(self, now_ms: int) -> int:
        with self._database.read() as session:
            wanted = silences.any_to_end(session, now_ms=now_ms, everything=self._distrust)
        ended: list[str] = []
        if wanted:
            with self._database.write() as session:
                ended = silences.end_all_over(session, now_ms=now_ms, everything=self._distrust)
        self._distrust = False
        self.counters["silences_ended"] += len(ended)
        return len(ended)

    def _end_shelves(self, now_ms: int) -> int:
        """The pager ends shelves by the wall clock; this one sees to it where that was set back."""
        wall_ms = self._clock.wall_ms()
        if wall_ms >= now_ms - steady.SLACK_MS:
            return 0
        with self._database.write() as session:
            return len(steps.end_shelves(session, now_ms=wall_ms, over_ms=now_ms))

    def _recall(self, now_ms: int) -> int:
        with self._database.read() as session:
            found = recall.find(session, now_ms=now_ms)
        done = 0
        for _, alarms in itertools.groupby(found, key=lambda one: one.site_id):
            with self._database.write() as session:
                wall_ms = self._clock.wall_ms()  # pages are due by the clock of the pager
                done += len(recall.recall(session, list(alarms), ladder=self._ladder, now_ms=wall_ms))
        self.counters["recalled"] += done
        return done
