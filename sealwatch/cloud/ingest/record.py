"""A batch of arrivals into the stores: one commit, and what became of each message.

Order of durability: pictures and curves first (their stores keep the same thing twice without harm), then one
transaction over identities, alarms, incidents, pages and quarantine. Only what comes back from `record` may be
acknowledged.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import insert, select, tuple_
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from sealwatch.base.clock import Clock
from sealwatch.cloud.db.engine import Database, is_passing
from sealwatch.cloud.db.tables import AlarmTransition, Received
from sealwatch.cloud.incidents.intake import take_alarm
from sealwatch.cloud.ingest import rows
from sealwatch.cloud.ingest.counters import IngestCounters
from sealwatch.cloud.ingest.judge import Accepted, Rejected, Verdict, judge
from sealwatch.cloud.paging.ladder import Ladder
from sealwatch.cloud.ports import EvidenceStore, TelemetryStore
from sealwatch.cloud.registry.view import RegistryView
from sealwatch.contract import topics
from sealwatch.contract.messages import Alarm, Origin, Reply, Samples, Snapshot, Status

logger = logging.getLogger(__name__)
_RACES: Final = 3
_UNSTORABLE: Final = (SQLAlchemyError, ValueError, TypeError, LookupError, ArithmeticError)
"""What storing one particular message can raise, where the store itself is well."""

Identity = tuple[str, str, int, str]
"""node_id, boot_id, seq, channel."""


class StoreUnavailable(Exception):  # noqa: N818 - a condition that passes, not a fault of the message
    """A store can't take anything right now. Nothing was acknowledged; try again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A payload as it came in."""

    topic: str
    payload: bytes
    retain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one arrival, once it is durable. `origin` is whom to tell, where that is known."""

    name: Literal["stored", "duplicate", "quarantined"]
    reason: str
    channel: str
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class _Judged:
    arrival: Arrival
    verdict: Verdict


class Recorder:
    """Takes batches from any number of threads."""

    def __init__(
        self,
        database: Database,
        *,
        registry: Callable[[], RegistryView],
        ladder: Ladder,
        telemetry: TelemetryStore,
        evidence: EvidenceStore,
        counters: IngestCounters,
        clock: Clock,
    ) -> None:
        self._database, self._registry, self._ladder = database, registry, ladder
        self._telemetry, self._evidence = telemetry, evidence
        self._counters, self._clock = counters, clock

    def record(self, arrivals: Sequence[Arrival]) -> list[Outcome | None]:
        """What became of each arrival, in order; None for one that must be offered again later.

        A message that the stores choke on goes to the quarantine alone and takes no other one with it. Raises
        StoreUnavailable where nothing at all could be stored.
        """
        try:
            registry = self._registry()
        except (SQLAlchemyError, OSError) as error:
            raise StoreUnavailable(str(error)) from error
        judged = [_Judged(arrival, judge(arrival.topic, arrival.payload, registry)) for arrival in arrivals]
        try:
            return list(self._together(judged))
        except _UNSTORABLE as error:
            logger.warning("a batch of %d could not be stored together (%s); one by one now", len(judged), error)
        return self._one_by_one(judged)

    def _one_by_one(self, judged: Sequence[_Judged]) -> list[Outcome | None]:
        outcomes: list[Outcome | None] = []
        for one in judged:
            try:
                outcomes.append(self._alone(one))
            except StoreUnavailable:
                outcomes.append(None)
        if judged and all(outcome is None for outcome in outcomes):
            raise StoreUnavailable("no message of the batch could be stored")
        return outcomes

    def _alone(self, one: _Judged) -> Outcome:
        for _ in range(_RACES):
            try:
                return self._together([one])[0]
            except IntegrityError as error:  # another worker took the same message, or opened the site's incident
                cause: Exception = error
            except _UNSTORABLE as error:
                cause = error
                break
        logger.error("a message under %s can't be stored: %s", one.arrival.topic, cause)
        origin = one.verdict.origin if isinstance(one.verdict, Accepted) else one.verdict.claims
        rejected = Rejected(reason="not_storable", detail=str(cause)[:500], address=one.verdict.address, claims=origin)
        return self._together([_Judged(one.arrival, rejected)])[0]

    def _together(self, judged: Sequence[_Judged]) -> list[Outcome]:
        """All of them in one commit. Raises StoreUnavailable for what passes, anything else for what does not."""
        accepted = [one.verdict for one in judged if isinstance(one.verdict, Accepted)]
        self._keep_files(accepted)
        try:
            with self._database.write() as session:
                outcomes = self._in_transaction(session, judged)
        except (SQLAlchemyError, OSError) as error:
            if is_passing(error):
                raise StoreUnavailable(str(error)) from error
            raise
        self._count(outcomes)
        return outcomes

    def _keep_files(self, accepted: Iterable[Accepted]) -> None:
        for one in accepted:
            try:
                if isinstance(one.message, Snapshot):
                    self._evidence.put(one.message.evidence.sha256, one.data)
                elif isinstance(one.message, Samples):
                    origin = one.message.origin
                    self._telemetry.write(
                        site_id=origin.site_id,
                        node_id=origin.node_id,
                        source_id=one.message.source_id,
                        at_ms=one.message.at_ms,
                        values=one.message.values,
                    )
            except ValueError:
                raise
            except Exception as error:  # a store's client may raise anything while its server is away
                raise StoreUnavailable(f"{type(error).__name__}: {error}") from error

    def _in_transaction(self, session: Session, judged: Sequence[_Judged]) -> list[Outcome]:
        now_ms = self._clock.wall_ms()
        known = _known(session, judged)
        outcomes: list[Outcome] = []
        received: list[dict[str, object]] = []
        for one in judged:
            verdict = one.verdict
            if isinstance(verdict, Accepted) and (identity := _identity(verdict)) in known:
                conflict = _conflict(session, verdict)
                if conflict is None:
                    outcomes.append(_outcome(verdict, "duplicate", "taken_before"))
                    continue
                verdict = conflict
            if isinstance(verdict, Rejected):
                rows.quarantine(session, one.arrival.topic, one.arrival.payload, verdict, now_ms=now_ms)
                outcomes.append(_refusal(one.arrival, verdict))
                continue
            if identity is not None:
                known.add(identity)
                received.append(dict(zip(_IDENTITY, identity, strict=True)) | {"received_at_ms": now_ms})
            reason = self._take(session, one.arrival, verdict, now_ms=now_ms)
            outcomes.append(_outcome(verdict, "stored", reason))
        if received:
            session.execute(insert(Received), received)
        return outcomes

    def _take(self, session: Session, arrival: Arrival, accepted: Accepted, *, now_ms: int) -> str:
        """One believed message into its tables; the named reason of what it led to."""
        match accepted.message:
            case Alarm() as alarm:
                rows.add_transition(session, alarm, arrival.payload, now_ms=now_ms)
                return take_alarm(session, alarm, ladder=self._ladder, now_ms=now_ms).reason
            case Snapshot() as snapshot:
                rows.add_evidence(session, snapshot, now_ms=now_ms)
            case Status() as status:
                rows.set_status(session, status, retained=arrival.retain, now_ms=now_ms)
            case Reply() as reply:
                rows.set_reply(session, reply, now_ms=now_ms)
        return "taken"

    def _count(self, outcomes: Sequence[Outcome]) -> None:
        self._counters.add_settled(
            stored=Counter(o.channel for o in outcomes if o.name == "stored"),
            duplicate=Counter(o.channel for o in outcomes if o.name == "duplicate"),
            quarantined=Counter(o.reason for o in outcomes if o.name == "quarantined"),
        )


_IDENTITY: Final = ("node_id", "boot_id", "seq", "channel")


def _identity(accepted: Accepted) -> Identity | None:
    origin = accepted.origin
    if origin is None:
        return None
    return origin.node_id, origin.boot_id, origin.seq, str(accepted.address.channel)


def _known(session: Session, judged: Sequence[_Judged]) -> set[Identity | None]:
    """Which of these identities have been taken before."""
    wanted = {_identity(one.verdict) for one in judged if isinstance(one.verdict, Accepted)} - {None}
    if not wanted:
        return set()
    columns = (Received.node_id, Received.boot_id, Received.seq, Received.channel)
    found = session.execute(select(*columns).where(tuple_(*columns).in_(list(wanted))))
    return {(row.node_id, row.boot_id, row.seq, row.channel) for row in found}


def _conflict(session: Session, accepted: Accepted) -> Rejected | None:
    """A second alarm under the identity of another one is not a duplicate: taking it for one would lose it."""
    alarm = accepted.message
    if not isinstance(alarm, Alarm):
        return None
    session.flush()
    origin = alarm.origin
    taken = session.get(AlarmTransition, (origin.node_id, origin.boot_id, origin.seq))
    if taken is None or (taken.alarm_id, taken.phase) == (alarm.alarm_id, str(alarm.phase)):
        return None
    return Rejected(
        reason="identity_conflict",
        detail=f"seq {origin.seq} of this boot is alarm {taken.alarm_id} ({taken.phase}) already",
        address=accepted.address,
        claims=origin,
    )


def channel_name(topic: str) -> str:
    """The channel a message came in on, as counters name it; "none" for a topic that is not ours."""
    address = topics.parse(topic)
    return "none" if address is None else str(address.channel)


def _refusal(arrival: Arrival, rejected: Rejected) -> Outcome:
    return Outcome(
        name="quarantined", reason=rejected.reason, channel=channel_name(arrival.topic), origin=rejected.claims
    )


def _outcome(accepted: Accepted, name: Literal["stored", "duplicate"], reason: str) -> Outcome:
    return Outcome(name=name, reason=reason, channel=str(accepted.address.channel), origin=accepted.origin)
