"""The thread that pages. What is due stands in the rows; this claims it, hands it to its channel, and writes down what
the receiver said.

Policy for a page that was being sent when its worker died: it may or may not have gone out, so it is sent again under
the same page_id (which receivers see as idempotency key and Message-ID). A page recorded as submitted is never sent
again, and none goes out once a person has answered.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog
from sqlalchemy import func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from sealwatch.base.backoff import full_jitter_s
from sealwatch.base.clock import Clock
from sealwatch.cloud.answering import desk as answering
from sealwatch.cloud.answering import said as saying
from sealwatch.cloud.db.away import FailedTurns, cause
from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.db.tables import Incident, Page
from sealwatch.cloud.incidents import states, steps
from sealwatch.cloud.paging import digest, plan, request, store
from sealwatch.cloud.paging.queue import MOST_IN_A_DIGEST, Limits, QueueState, decide, open_now, paused, sent
from sealwatch.cloud.paging.request import AnswerLinks
from sealwatch.cloud.ports import ChangeBus, PageChannel, PageRequest, Submission

logger = logging.getLogger(__name__)
T = TypeVar("T")
SLOTS: Final = 8
URGENT_SLOTS: Final = 2
"""Slots that only red pages may use, so that none waits behind a storm of yellow ones."""
LEASE_S: Final = 60.0
"""Longer than any channel takes: after this a worker that holds a page is taken for gone."""
AUDIT_EVERY_S: Final = 15.0
_BUSY_WAIT_S: Final = 1.0
_TOGETHER: Final = 10
"""Rows of one digest in one transaction: a red page's own transaction never waits for many."""
_GIVE_WAY_S: Final = 0.05
"""Between two of them, because SQLite gives its lock to whoever asks at the right moment."""


def batched(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """`items` in runs of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


@dataclass(frozen=True, slots=True)
class _Claimed:
    """A message of ours, ready to be sent: one page, or several that share it."""

    claims: tuple[store.Claim, ...]
    request: PageRequest
    channel: str


class Pager:
    """Claims and sends; `turn` and `audit` are the whole of it, the thread only calls them in time."""

    def __init__(
        self,
        database: Database,
        *,
        channels: Mapping[str, PageChannel],
        links: AnswerLinks,
        clock: Clock,
        changes: ChangeBus,
        worker: str,
        executor: Executor | None = None,
        slots: int = SLOTS,
        robots: Mapping[str, Limits] | None = None,
    ) -> None:
        """`worker` must differ between services on one database. `executor` runs the sending; threads by default.

        `robots` are the channels with a limit a minute: their pages go through `sealwatch.cloud.paging.queue`.
        """
        self._database, self._channels, self._links = database, channels, links
        self._clock, self._changes, self._worker = clock, changes, worker
        self._slots = slots
        self._executor = executor or ThreadPoolExecutor(max_workers=slots, thread_name_prefix="page")
        self._lock = threading.Lock()
        self._in_flight = 0
        self._robots = dict(robots or {})
        self._queues = {name: QueueState() for name in self._robots}
        self._paused: dict[str, tuple[float, str]] = {}  # channel -> until when (monotonic), and why
        self._counts: Counter[str] = Counter()
        self.turns = 0  # how often the wheel has turned: the evidence that the pager lives
        self.failed_turns = FailedTurns("pager")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pager", daemon=True)

    @property
    def counters(self) -> dict[str, int]:
        """How many pages were submitted, retried and failed, and what the auditor had to do, since the start."""
        with self._lock:
            return dict(self._counts)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Claim nothing more, and wait for the pages under way: each ends within its channel's timeout."""
        self._stop.set()
        self._changes.announce()
        if self._thread.is_alive():
            self._thread.join()
        self._executor.shutdown(wait=True)

    def take_over(self) -> None:
        """At the start: what this worker was sending when it died is free. Other workers' pages are their own."""
        mine = select(Page.page_id).where(Page.state == "sending", Page.claimed_by == self._worker)
        with self._database.write() as session:
            ids = list(session.scalars(mine))
            store.hold_incidents(session, ids)
            session.execute(update(Page).where(Page.page_id.in_(ids)).values(claimed_until_ms=0))

    def _run(self) -> None:
        seen = self._changes.version
        audited_at_s = float("-inf")
        while not self._stop.is_set():
            self.turns += 1
            wait_s = _BUSY_WAIT_S
            with self.failed_turns.survived():
                self._end_shelves(self._clock.wall_ms())
                if self._clock.monotonic_s() - audited_at_s >= AUDIT_EVERY_S:
                    self.audit()
                    audited_at_s = self._clock.monotonic_s()
                self.turn()
                wait_s = self._wait_s()
            seen = self._changes.wait(seen, wait_s)

    def _wait_s(self) -> float:
        with self._database.read() as session:
            page_ms = session.scalar(select(func.min(Page.due_at_ms)).where(Page.state == "due"))
            shelf_ms = session.scalar(
                select(func.min(Incident.shelved_until_ms)).where(Incident.state == str(states.State.SHELVED))
            )
        due = [at_ms for at_ms in (page_ms, shelf_ms) if at_ms is not None]
        if not due:
            return AUDIT_EVERY_S
        wait_s = (min(due) - self._clock.wall_ms()) / 1000
        return min(wait_s, AUDIT_EVERY_S) if wait_s > 0 else _BUSY_WAIT_S

    def turn(self) -> int:
        """Send everything that is due and fits into slots and limits; how many messages were handed to channels."""
        now_ms = self._clock.wall_ms()
        return self._turn_plain(now_ms) + sum(self._turn_robot(name, now_ms) for name in self._robots)

    def _turn_plain(self, now_ms: int) -> int:
        with self._lock:
            free = self._slots - self._in_flight
        ids = self._due(free, now_ms)
        if not ids:
            return 0
        claimed: list[_Claimed] = []
        with self._database.write() as session:
            store.hold_incidents(session, ids)
            for page_id in ids:
                ready = self._claim(session, page_id, now_ms)
                if ready is not None:
                    claimed.append(ready)
        with self._lock:
            self._in_flight += len(claimed)
        for ready in claimed:
            self._executor.submit(self._send, ready)
        return len(claimed)

    def _turn_robot(self, name: str, now_ms: int) -> int:
        """Send what a robot's queue lets out now; how many messages that were."""
        now_s, limits = self._clock.monotonic_s(), self._robots[name]
        with self._lock:
            state, free = self._queues[name], self._slots - self._in_flight
        if free <= 0:
            return 0
        others: list[str] = []
        with self._database.read() as session:
            red = store.due_pages(session, now_ms=now_ms, limit=MOST_IN_A_DIGEST, urgent_only=True, channel=name)
            if free > URGENT_SLOTS and open_now(state, now_s, limits):
                most = MOST_IN_A_DIGEST + len(red)
                due = store.due_pages(session, now_ms=now_ms, limit=most, urgent_only=False, channel=name)
                others = [page_id for page_id in due if page_id not in set(red)]
        if not red and not others:
            return 0
        _, messages = decide(state, red=red, others=others, now_s=now_s, limits=limits)
        count = 0
        for message in messages:
            ready = self._claim_together(message.page_ids, now_ms)
            if ready is None:
                continue
            count += 1
            with self._lock:
                self._in_flight += 1
                if message.reason != "channel_paused":
                    self._queues[name] = sent(self._queues[name], now_s)
                self._counts[f"messages_{message.reason}"] += 1
            self._executor.submit(self._send, ready)
        return count

    def _claim_together(self, page_ids: Sequence[str], now_ms: int) -> _Claimed | None:
        """Several pages as one message; None where none of them is to be had any more."""
        if len(page_ids) == 1:
            with self._database.write() as session:
                store.hold_incidents(session, page_ids)
                return self._claim(session, page_ids[0], now_ms)
        shown: list[_Claimed] = []
        with self._database.write() as session:
            store.hold_incidents(session, page_ids)
            for page_id in page_ids[: digest.SHOWN]:
                ready = self._claim(session, page_id, now_ms)
                if ready is not None:
                    shown.append(ready)
            if not shown:
                return None
            until_ms = now_ms + round(LEASE_S * 1000)
            others = store.claim_all(
                session, page_ids[digest.SHOWN :], worker=self._worker, now_ms=now_ms, until_ms=until_ms
            )
        claims = (*(ready.claims[0] for ready in shown), *others)
        if len(claims) == 1:
            return shown[0]
        request_ = digest.compose([ready.request for ready in shown], [claim.page_id for claim in claims])
        return _Claimed(claims, request_, shown[0].channel)

    def _claim(self, session: Session, page_id: str, now_ms: int) -> _Claimed | None:
        until_ms = now_ms + round(LEASE_S * 1000)
        claim = store.claim(session, page_id, worker=self._worker, now_ms=now_ms, until_ms=until_ms)
        page = session.get_one(Page, page_id, populate_existing=True)
        if claim is None:  # taken by another worker, or its incident answered
            self._plan(session, session.get_one(Incident, page.incident_id), now_ms)
            return None
        try:
            return _Claimed((claim,), request.build(session, page_id, self._links, now_ms=now_ms), page.channel)
        except (LookupError, ValueError) as error:  # one page that can't be written must not stop the others
            logger.exception("page %s cannot be put together", page_id)
            failure = Submission(ok=False, outcome=f"it could not be put together: {error!r}")
            self._write_down(session, claim, failure, now_ms)
            return None

    def _due(self, free: int, now_ms: int) -> Sequence[str]:
        if free <= 0:
            return []
        with self._database.read() as session:
            queued = self._robots.keys()
            ids = store.due_pages(session, now_ms=now_ms, limit=free, urgent_only=True, not_over=queued)
            ordinary = min(free - len(ids), free - URGENT_SLOTS)
            if ordinary > 0:
                more = store.due_pages(session, now_ms=now_ms, limit=free, urgent_only=False, not_over=queued)
                ids += [page_id for page_id in more if page_id not in ids][:ordinary]
            return ids

    def _plan(self, session: Session, incident: Incident, now_ms: int) -> int:
        actions = plan.next_actions(
            store.view_incident(incident), store.pages_of(session, incident.incident_id), now_ms
        )
        store.carry_out(session, incident, actions, now_ms=now_ms)
        return sum(not isinstance(action, plan.Send) for action in actions)

    def _send(self, ready: _Claimed) -> None:
        try:
            # Whatever is logged on the way, by a channel too, says which incident it is about.
            with structlog.contextvars.bound_contextvars(
                incident_id=ready.request.incident_id, page_id=ready.request.page_id, channel=ready.channel
            ):
                self._deliver(ready)
        finally:
            with self._lock:
                self._in_flight -= 1
            self._changes.announce()

    def _deliver(self, ready: _Claimed) -> None:
        submission = self._submit(ready.request, ready.channel)
        for claims in batched(ready.claims, _TOGETHER):
            self._settle(claims, submission)
            if len(ready.claims) > _TOGETHER:
                self._stop.wait(_GIVE_WAY_S)

    def _submit(self, page_request: PageRequest, channel_name: str) -> Submission:
        channel = self._channels.get(channel_name)
        if channel is None:
            return Submission(ok=False, outcome=f"the channel {channel_name!r} is not configured any more")
        with self._lock:
            until_s, why = self._paused.get(channel_name, (float("-inf"), ""))
        if self._clock.monotonic_s() < until_s:
            return Submission(ok=False, outcome=f"channel_paused: {why}", reason="channel_paused")
        try:
            submission = channel.submit(page_request)
        except Exception as error:
            logger.exception("the channel %s broke its promise never to raise", channel_name)
            return Submission(ok=False, outcome=f"{type(error).__name__}: {error}", retry=True)
        if submission.pause_s > 0:
            self._pause(channel_name, submission)
        return submission

    def _pause(self, channel_name: str, submission: Submission) -> None:
        """Leave a channel alone that reaches nobody for a while: its pages go to the next step at once."""
        until_s = self._clock.monotonic_s() + submission.pause_s
        logger.error("channel %s is left alone for %g s: %s", channel_name, submission.pause_s, submission.outcome)
        with self._lock:
            self._paused[channel_name] = (until_s, submission.outcome)
            if channel_name in self._queues:
                self._queues[channel_name] = paused(self._queues[channel_name], until_s=until_s)
            self._counts["channel_pauses"] += 1

    def _settle(self, claims: Sequence[store.Claim], submission: Submission) -> None:
        """Write down the receiver's word. It must not get lost, so a database that is away is tried again."""
        for attempt in range(1_000_000):
            try:
                written = self._settled(claims, submission)
            except SQLAlchemyError as error:
                if self._stop.is_set():
                    raise
                if attempt == 0:
                    logger.warning("page %s: its outcome cannot be stored yet: %s", claims[0].page_id, cause(error))
                self._stop.wait(full_jitter_s(attempt, base_s=0.2, cap_s=5.0))
                continue
            with self._lock:
                self._counts.update("retried" if state == "due" else str(state) for state in written)
            if not submission.ok:
                logger.warning("page %s over its channel: %s (%s)", claims[0].page_id, submission.outcome, written[0])
            return

    def _settled(self, claims: Sequence[store.Claim], submission: Submission) -> list[str | None]:
        with self._database.write() as session:
            store.hold_incidents(session, [claim.page_id for claim in claims])
            now_ms = self._clock.wall_ms()
            states_ = [self._write_down(session, claim, submission, now_ms) for claim in claims]
            answer = saying.parse(submission.key) if submission.ok and len(claims) == 1 else None
            if answer is not None and answer.what != "closes":  # a key in a call closes nothing
                page = session.get_one(Page, claims[0].page_id)
                answering.by_key(
                    session,
                    answer,
                    incident_id=page.incident_id,
                    person_id=page.person_id,
                    channel=page.channel,
                    now_ms=now_ms,
                )
            return states_

    def _write_down(self, session: Session, claim: store.Claim, submission: Submission, now_ms: int) -> str | None:
        retry_s = full_jitter_s(claim.attempts - 1, base_s=2.0, cap_s=plan.RETRY_CAP_S)
        state = store.settle(
            session,
            claim.page_id,
            submission,
            worker=self._worker,
            now_ms=now_ms,
            retry_at_ms=now_ms + round(retry_s * 1000),
        )
        session.flush()
        self._plan(session, session.get_one(Incident, claim.incident_id), now_ms)
        return state

    def audit(self) -> int:
        """Look at every incident that waits for an answer or has a page stuck: each must have a next step.

        Returns how many things had to be put right; in an undisturbed service that is none.
        """
        now_ms = self._clock.wall_ms()
        self._end_shelves(now_ms)
        stuck = select(Page.incident_id).where(
            Page.state == "sending", func.coalesce(Page.claimed_until_ms, 0) <= now_ms
        )
        wanted = select(Incident.incident_id).where(
            or_(Incident.state.in_([str(s) for s in states.UNANSWERED]), Incident.incident_id.in_(stuck))
        )
        with self._database.read() as session:
            candidates = [
                incident.incident_id
                for incident in session.scalars(select(Incident).where(Incident.incident_id.in_(wanted)))
                if self._needs_something(session, incident, now_ms)
            ]
        done = 0
        for incident_id in candidates:
            with self._database.write() as session:
                done += self._plan(session, session.get_one(Incident, incident_id, with_for_update=True), now_ms)
        if done:
            with self._lock:
                self._counts["audit_corrections"] += done
            self._changes.announce()
        return done

    def _end_shelves(self, now_ms: int) -> None:
        over = (Incident.state == str(states.State.SHELVED)) & (Incident.shelved_until_ms <= now_ms)
        with self._database.read() as session:
            if session.scalar(select(func.count()).select_from(Incident).where(over)) == 0:
                return
        with self._database.write() as session:
            ended = steps.end_shelves(session, now_ms=now_ms)
        if ended:
            with self._lock:
                self._counts["shelves_ended"] += len(ended)
            self._changes.announce()

    @staticmethod
    def _needs_something(session: Session, incident: Incident, now_ms: int) -> bool:
        actions = plan.next_actions(
            store.view_incident(incident), store.pages_of(session, incident.incident_id), now_ms
        )
        return any(not isinstance(action, plan.Send) for action in actions)
