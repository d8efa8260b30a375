"""A batch of arrivals into the stores: one commit, and what became of each message.

Order of durability: pictures and curves first (their stores keep the same thing twice without harm), then one
transaction over identities, alarms, incidents, pages and quarantine. Only what comes back from `record` may be
acknowledged.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import insert, select, tuple_
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from sealwatch.base.clock import Clock
from sealwatch.cloud.db.away import cause
from sealwatch.cloud.db.engine import Database, is_passing
from sealwatch.cloud.db.tables import AlarmTransition, Received
from sealwatch.cloud.incidents.intake import Intake, touched
from sealwatch.cloud.ingest import rows
from sealwatch.cloud.ingest.counters import IngestCounters
from sealwatch.cloud.ingest.judge import Accepted, Rejected, Verdict, judge
from sealwatch.cloud.paging.ladder import LadderSource
from sealwatch.cloud.ports import Columns, EvidenceStore, TelemetryStore
from sealwatch.cloud.registry.view import RegistryView
from sealwatch.cloud.telemetry.facts import Told
from sealwatch.contract import topics
from sealwatch.contract.messages import Alarm, Origin, Reply, Samples, Snapshot, Status
from sealwatch.contract.topics import Channel

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
        ladder: LadderSource,
        telemetry: TelemetryStore,
        evidence: EvidenceStore,
        counters: IngestCounters,
        clock: Clock,
        tell: Callable[[Sequence[Told], int], None] | None = None,
    ) -> None:
        """`tell` hears after each commit what was stored and when (ms)."""
        self._tell = tell
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
            raise StoreUnavailable(cause(error)) from error
        now_ms = self._clock.wall_ms()
        judged = [_Judged(arrival, judge(arrival.topic, arrival.payload, registry, now_ms)) for arrival in arrivals]
        try:
            return list(self._together(judged))
        except _UNSTORABLE as error:
            logger.warning("a batch of %d could not be stored together (%s); one by one now", len(judged), cause(error))
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
                refusal: Exception = error
            except _UNSTORABLE as error:
                refusal = error
                break
        logger.error("a message under %s can't be stored: %s", one.arrival.topic, cause(refusal))
        origin = one.verdict.origin if isinstance(one.verdict, Accepted) else one.verdict.claims
        rejected = Rejected(
            reason="not_storable", detail=str(refusal)[:500], address=one.verdict.address, claims=origin
        )
        return self._together([_Judged(one.arrival, rejected)])[0]

    def _together(self, judged: Sequence[_Judged]) -> list[Outcome]:
        """All of them in one commit. Raises StoreUnavailable for what passes, anything else for what does not."""
        accepted = [one.verdict for one in judged if isinstance(one.verdict, Accepted)]
        self._keep_files(accepted)
        if all(isinstance(one.verdict, Accepted) and isinstance(one.verdict.message, Samples) for one in judged):
            outcomes = [_outcome(one, "stored", "taken") for one in judged]  # durable already, and nothing else to say
        else:
            outcomes = self._in_database(judged)
        self._count(outcomes)
        if self._tell is not None:
            pairs = zip(judged, outcomes, strict=True)
            told = (_told(one.verdict) for one, outcome in pairs if outcome.name == "stored")
            self._tell([one for one in told if one is not None], self._clock.wall_ms())
        return outcomes

    def _in_database(self, judged: Sequence[_Judged]) -> list[Outcome]:
        try:
            with self._database.write() as session:
                return self._in_transaction(session, judged)
        except (SQLAlchemyError, OSError) as error:
            if is_passing(error):
                raise StoreUnavailable(cause(error)) from error
            raise

    def _keep_files(self, accepted: Sequence[Accepted]) -> None:
        blocks = [_columns(one.message) for one in accepted if isinstance(one.message, Samples)]
        try:
            for one in accepted:
                if isinstance(one.message, Snapshot):
                    self._evidence.put(one.message.evidence.sha256, one.data)
            if blocks:
                self._telemetry.write_blocks(blocks)
        except ValueError:
            raise
        except Exception as error:  # a store's client may raise anything while its server is away
            raise StoreUnavailable(f"{type(error).__name__}: {error}") from error

    def _in_transaction(self, session: Session, judged: Sequence[_Judged]) -> list[Outcome]:
        now_ms = self._clock.wall_ms()
        accepted = [one.verdict for one in judged if isinstance(one.verdict, Accepted)]
        known = _Known(session, accepted)
        alarms = [one.message for one in accepted if isinstance(one.message, Alarm)]
        intake = Intake(session, touched(alarms), ladder=self._ladder, now_ms=now_ms) if alarms else None
        outcomes: list[Outcome] = []
        for one in judged:
            verdict = known.compare(one.verdict) if isinstance(one.verdict, Accepted) else one.verdict
            match verdict:
                case None:
                    outcomes.append(_outcome(one, "duplicate", "taken_before"))
                case Rejected():
                    rows.quarantine(session, one.arrival.topic, one.arrival.payload, verdict, now_ms=now_ms)
                    outcomes.append(_refusal(one.arrival, verdict))
                case Accepted():
                    known.add(verdict)
                    reason = _take(session, intake, one.arrival, verdict, now_ms=now_ms)
                    outcomes.append(_outcome(one, "stored", reason))
        statuses = [
            (one.verdict.message, one.arrival.retain)
            for one in judged
            if isinstance(one.verdict, Accepted) and isinstance(one.verdict.message, Status)
        ]
        rows.set_statuses(session, statuses, now_ms=now_ms)
        if known.new:
            session.execute(insert(Received), [row | {"received_at_ms": now_ms} for row in known.new])
        return outcomes

    def _count(self, outcomes: Sequence[Outcome]) -> None:
        self._counters.add_settled(
            stored=Counter(o.channel for o in outcomes if o.name == "stored"),
            duplicate=Counter(o.channel for o in outcomes if o.name == "duplicate"),
            quarantined=Counter(o.reason for o in outcomes if o.name == "quarantined"),
        )


def _take(session: Session, intake: Intake | None, arrival: Arrival, accepted: Accepted, *, now_ms: int) -> str:
    """One believed message into its tables; the named reason of what it led to."""
    match accepted.message:
        case Alarm() as alarm:
            rows.add_transition(session, alarm, arrival.payload, now_ms=now_ms)
            return "" if intake is None else intake.take(alarm).reason
        case Snapshot() as snapshot:
            rows.add_evidence(session, snapshot, now_ms=now_ms)
        case Reply() as reply:
            rows.set_reply(session, reply, now_ms=now_ms)
    return "taken"


class _Known:
    """Which messages have been taken before, in earlier batches or earlier in this one."""

    def __init__(self, session: Session, accepted: Sequence[Accepted]) -> None:
        self.new: list[dict[str, object]] = []
        wanted = {identity for one in accepted if (identity := _identity(one)) is not None}
        columns = (Received.node_id, Received.boot_id, Received.seq, Received.channel)
        found = session.execute(select(*columns).where(tuple_(*columns).in_(sorted(wanted)))) if wanted else ()
        self._taken: set[Identity] = {(row.node_id, row.boot_id, row.seq, row.channel) for row in found}
        alarms = sorted(identity[:3] for identity in self._taken if identity[3] == Channel.ALARM)
        self._alarms = _alarms_under(session, alarms) if alarms else {}

    def compare(self, accepted: Accepted) -> Accepted | Rejected | None:
        """The message itself where it is new, None for a duplicate.

        A second alarm under the identity of another one is no duplicate: taking it for one would lose it.
        """
        identity = _identity(accepted)
        if identity is None or identity not in self._taken:
            return accepted
        alarm = accepted.message
        if not isinstance(alarm, Alarm):
            return None
        taken = self._alarms.get(identity[:3])
        if taken is None or taken == (alarm.alarm_id, str(alarm.phase)):
            return None
        return Rejected(
            reason="identity_conflict",
            detail=f"seq {identity[2]} of this boot is alarm {taken[0]} ({taken[1]}) already",
            address=accepted.address,
            claims=alarm.origin,
        )

    def add(self, accepted: Accepted) -> None:
        """This one is being taken."""
        identity = _identity(accepted)
        if identity is None:
            return
        self._taken.add(identity)
        self.new.append(dict(zip(("node_id", "boot_id", "seq", "channel"), identity, strict=True)))
        if isinstance(accepted.message, Alarm):
            self._alarms[identity[:3]] = (accepted.message.alarm_id, str(accepted.message.phase))


def _alarms_under(
    session: Session, identities: Sequence[tuple[str, str, int]]
) -> dict[tuple[str, str, int], tuple[str, str]]:
    """(alarm_id, phase) of the transitions stored under these identities."""
    columns = (AlarmTransition.node_id, AlarmTransition.boot_id, AlarmTransition.seq)
    found = session.execute(
        select(*columns, AlarmTransition.alarm_id, AlarmTransition.phase).where(tuple_(*columns).in_(identities))
    )
    return {(row.node_id, row.boot_id, row.seq): (row.alarm_id, row.phase) for row in found}


def _identity(accepted: Accepted) -> Identity | None:
    """What makes a second copy of a message known; None where a second copy does no harm.

    Curves keep none: a point is its own identity by series and time in every store, and a row for each message of
    10,000 nodes would be fourteen million rows a day.
    """
    origin = accepted.origin
    if origin is None or isinstance(accepted.message, Samples):
        return None
    return origin.node_id, origin.boot_id, origin.seq, str(accepted.address.channel)


def channel_name(topic: str) -> str:
    """The channel a message came in on, as counters name it; "none" for a topic that is not ours."""
    address = topics.parse(topic)
    return "none" if address is None else str(address.channel)


def _refusal(arrival: Arrival, rejected: Rejected) -> Outcome:
    return Outcome(
        name="quarantined", reason=rejected.reason, channel=channel_name(arrival.topic), origin=rejected.claims
    )


def _outcome(one: _Judged, name: Literal["stored", "duplicate"], reason: str) -> Outcome:
    if not isinstance(one.verdict, Accepted):
        return Outcome(name=name, reason=reason, channel=channel_name(one.arrival.topic))
    return Outcome(name=name, reason=reason, channel=str(one.verdict.address.channel), origin=one.verdict.origin)


def _told(verdict: Verdict) -> Told | None:
    if isinstance(verdict, Rejected):
        return None
    return verdict.message if isinstance(verdict.message, Alarm | Status) else verdict.origin


def _columns(samples: Samples) -> Columns:
    origin = samples.origin
    return Columns(
        site_id=origin.site_id,
        node_id=origin.node_id,
        source_id=samples.source_id,
        at_ms=samples.at_ms,
        values=samples.values,
    )
