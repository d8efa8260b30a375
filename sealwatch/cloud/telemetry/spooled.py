"""A server behind a spool: writing is a commit on this machine's disk, sending is somebody else's worry.

What a failed attempt leads to is a pure decision (`judge`), with these reasons:
  unreachable, overloaded, server_error   wait with capped backoff and full jitter, then the same blocks again
  not_permitted, not_set_up               the same, because a person must mend it; nothing is thrown away
  refused, type_conflict, beyond_retention, not_parsable, cardinality, too_large
                                          one by one, to find the block that is meant; that one is set aside
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sealwatch.base.backoff import full_jitter_s
from sealwatch.base.clock import Clock, SystemClock
from sealwatch.cloud.ports import Series
from sealwatch.cloud.telemetry import columns
from sealwatch.cloud.telemetry.columns import Columns
from sealwatch.cloud.telemetry.guard import Limits, SeriesGuard
from sealwatch.cloud.telemetry.remote import BatchStore, PointsRefused, TelemetryUnavailable
from sealwatch.cloud.telemetry.spool import Spool, Waiting
from sealwatch.cloud.telemetry.sqlite import SqliteTelemetry

logger = logging.getLogger(__name__)
BATCH_POINTS: Final = 20_000
SETTLE_CHECK_MS: Final = 10_000


class Act(StrEnum):
    """What to do after an attempt failed."""

    WAIT = "wait"
    SINGLE_OUT = "single_out"
    SET_ASIDE = "set_aside"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The act and its named reason."""

    act: Act
    reason: str


def judge(error: Exception, blocks: int) -> Judgement:
    """What an error means for the `blocks` that were sent together."""
    if isinstance(error, TelemetryUnavailable):
        return Judgement(Act.WAIT, error.reason)
    reason = error.reason if isinstance(error, PointsRefused) else "not_encodable"
    return Judgement(Act.SINGLE_OUT if blocks > 1 else Act.SET_ASIDE, reason)


@dataclass(frozen=True, slots=True)
class Drained:
    """One turn of the sender: `reason` is empty, sent, set_aside or why it waits; `wait_s` before the next turn."""

    reason: str
    points: int
    wait_s: float


class SpooledTelemetry:
    """The telemetry port over any server. `start` begins to send; `close` stops and leaves the rest on disk."""

    def __init__(
        self,
        store: BatchStore,
        spool: Spool,
        *,
        limits: Limits | None = None,
        clock: Clock | None = None,
        jitter_s: Callable[[int], float] = full_jitter_s,
    ) -> None:
        self.store, self.spool = store, spool
        self._guard = SeriesGuard(limits, spool.names())
        self._guard_lock = threading.Lock()
        self._clock, self._jitter_s = clock or SystemClock(), jitter_s
        self._attempt = 0
        self._hold_ms = int(getattr(store, "hold_s", 0) * 1000)
        self._server_start = ""
        self._checked_ms = 0
        spool.take_back()
        self._stopping = threading.Event()
        self._news = threading.Event()
        self._sender: threading.Thread | None = None

    def write(
        self,
        *,
        site_id: str,
        node_id: str,
        source_id: str,
        at_ms: Sequence[int],
        values: Mapping[str, Sequence[float | None]],
    ) -> None:
        """Keep columns on disk until the server has them. Raises ValueError, SpoolFullError, OSError."""
        self.write_blocks([Columns(site_id=site_id, node_id=node_id, source_id=source_id, at_ms=at_ms, values=values)])

    def write_blocks(self, blocks: Sequence[Columns]) -> None:
        """Keep many blocks in one commit. Raises ValueError, SpoolFullError, OSError."""
        for block in blocks:
            columns.check(block.at_ms, block.values)
        with self._guard_lock:
            admitted = [self._guard.admit(block) for block in blocks]
        overflow: Counter[str] = Counter()
        for one in admitted:
            if one.overflow:
                overflow += one.overflow
        self.spool.add(
            [one.block for one in admitted if one.block is not None],
            now_ms=self._clock.wall_ms(),
            overflow=overflow,
            new_names=[name for one in admitted for name in one.new_names],
        )
        self._news.set()

    def read(
        self,
        *,
        site_id: str,
        metric: str,
        from_ms: int,
        to_ms: int,
        source_id: str | None = None,
        max_points: int = 600,
    ) -> dict[str, Series]:
        """Series from the server; what still waits here is not among them. Raises TelemetryUnavailable."""
        return self.store.read(
            site_id=site_id, metric=metric, from_ms=from_ms, to_ms=to_ms, source_id=source_id, max_points=max_points
        )

    def drain_once(self) -> Drained:
        """Send what is oldest: one turn. Raises nothing that a server does."""
        if self._hold_ms:
            try:
                self._settle()
            except TelemetryUnavailable as error:
                return self._failed(error.reason, error)
        waiting = self.spool.oldest(BATCH_POINTS)
        if not waiting:
            return Drained("empty", 0, 0.0)
        return self._send(waiting)

    def _settle(self) -> None:
        """For a server that answers before its disk does: let go of what it has had long enough.

        Where it was started anew in between, what is held goes out again; a point sent twice counts once.
        """
        now_ms = self._clock.wall_ms()
        if self._server_start and 0 <= now_ms - self._checked_ms < SETTLE_CHECK_MS:
            return
        start = self.store.started()
        if start != self._server_start:
            again = self.spool.take_back() if self._server_start else 0
            if again:
                logger.warning("telemetry: the store was started anew; %d blocks are sent again", again)
            self._server_start = start
        self.spool.let_go(now_ms)
        self._checked_ms = now_ms

    def _send(self, waiting: Sequence[Waiting]) -> Drained:
        try:
            self.store.write_blocks([one.block for one in waiting])
        except (TelemetryUnavailable, ValueError) as error:
            judgement = judge(error, len(waiting))
            if judgement.act is Act.WAIT:
                return self._failed(judgement.reason, error)
            if judgement.act is Act.SET_ASIDE:
                logger.warning("telemetry: a block is set aside (%s): %s", judgement.reason, error)
                self.spool.set_aside(
                    waiting[0], reason=judgement.reason, detail=str(error), now_ms=self._clock.wall_ms()
                )
                return Drained("set_aside", 0, 0.0)
            return self._one_by_one(waiting)
        if self._attempt:
            logger.info("telemetry: the store takes points again")
            self._attempt = 0
        held = self._clock.wall_ms() + self._hold_ms if self._hold_ms else None
        self.spool.release(waiting, hold_until_ms=held)
        return Drained("sent", sum(one.block.points for one in waiting), 0.0)

    def _one_by_one(self, waiting: Sequence[Waiting]) -> Drained:
        points = 0
        for one in waiting:
            done = self._send([one])
            points += done.points
            if done.wait_s:
                return Drained(done.reason, points, done.wait_s)
        return Drained("sent", points, 0.0)

    def _failed(self, reason: str, error: Exception) -> Drained:
        if self._attempt == 0:
            logger.warning("telemetry: points wait on disk (%s): %s", reason, error)
        self._checked_ms = 0
        if self._hold_ms and reason == "unreachable":
            self.spool.take_back()  # whoever was away may have been started anew, within the same second too
        wait_s = self._jitter_s(self._attempt)
        self._attempt += 1
        return Drained(reason, 0, wait_s)

    def start(self) -> None:
        """Send in a thread of its own."""
        self._sender = threading.Thread(target=self._run, name="telemetry-sender", daemon=True)
        self._sender.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._news.clear()
            try:
                turn = self.drain_once()
            except OSError as error:
                turn = self._failed("spool_broken", error)
            if turn.reason == "empty":
                self._news.wait(1.0)
            elif turn.wait_s:
                self._stopping.wait(turn.wait_s)

    def close(self) -> None:
        """Stop sending and close; may be called once."""
        self._stopping.set()
        self._news.set()
        if self._sender is not None:
            self._sender.join()
        self.spool.close()
        self.store.close()


class GuardedTelemetry:
    """The embedded store behind the same bound on series; names of earlier runs come from its own table."""

    def __init__(self, store: SqliteTelemetry, seen: Sequence[tuple[str, str]], limits: Limits | None = None) -> None:
        self.store = store
        self._guard = SeriesGuard(limits, seen)
        self._lock = threading.Lock()
        self.overflow: dict[str, int] = {}

    def write(
        self,
        *,
        site_id: str,
        node_id: str,
        source_id: str,
        at_ms: Sequence[int],
        values: Mapping[str, Sequence[float | None]],
    ) -> None:
        """Store what is within the bounds; count the rest. Raises ValueError, OSError."""
        self.write_blocks([Columns(site_id=site_id, node_id=node_id, source_id=source_id, at_ms=at_ms, values=values)])

    def write_blocks(self, blocks: Sequence[Columns]) -> None:
        """Store many blocks in one commit. Raises ValueError, OSError."""
        for block in blocks:
            columns.check(block.at_ms, block.values)
        with self._lock:
            admitted = [self._guard.admit(block) for block in blocks]
            for one in admitted:
                for reason, points in one.overflow.items():
                    self.overflow[reason] = self.overflow.get(reason, 0) + points
        kept = [one.block for one in admitted if one.block is not None]
        if kept:
            self.store.write_blocks(kept)

    def read(
        self,
        *,
        site_id: str,
        metric: str,
        from_ms: int,
        to_ms: int,
        source_id: str | None = None,
        max_points: int = 600,
    ) -> dict[str, Series]:
        """As the store reads."""
        return self.store.read(
            site_id=site_id, metric=metric, from_ms=from_ms, to_ms=to_ms, source_id=source_id, max_points=max_points
        )

    def close(self) -> None:
        """Close the store."""
        self.store.close()
