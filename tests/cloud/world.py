"""A small county for tests: sites, nodes with keys, people, a clock that is moved by hand, and nothing that sleeps."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from sealwatch.base.clock import ManualClock
from sealwatch.cloud.auth.links import LinkSigner
from sealwatch.cloud.db.engine import Database, open_database
from sealwatch.cloud.db.tables import AlarmRecord, Incident, IncidentEvent, Node, Page, Site
from sealwatch.cloud.evidence.store import MemoryEvidence
from sealwatch.cloud.incidents import service
from sealwatch.cloud.ingest.counters import IngestCounters
from sealwatch.cloud.ingest.record import Arrival, Outcome, Recorder
from sealwatch.cloud.paging.ladder import Ladder, Step
from sealwatch.cloud.paging.pager import Pager
from sealwatch.cloud.ports import ChangeBus, EvidenceStore, PageRequest, Submission, TelemetryStore
from sealwatch.cloud.registry.cache import RegistryCache
from sealwatch.cloud.telemetry.memory import MemoryTelemetry
from sealwatch.cloud.watch.watcher import Watcher
from sealwatch.contract import topics, wire
from sealwatch.contract.codes import ClockQuality, Closure, Level, Phase
from sealwatch.contract.messages import Alarm, Origin, Samples, Status
from sealwatch.contract.signing import public_key_text
from sealwatch.contract.topics import Channel

TAKEN = Submission(ok=True, outcome="200 ok")
BUSY = Submission(ok=False, outcome="503 busy", retry=True)
REFUSED = Submission(ok=False, outcome='200 {"errcode": 310000}')


class InlineExecutor(Executor):
    """Runs what it is given at once, in the caller's thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class MemoryChannel:
    """A receiver that does what it is told, and remembers every page that reached it."""

    def __init__(self, clock: ManualClock, sent: list[tuple[float, str]]) -> None:
        self._clock = clock
        self.answers: list[Submission] = []
        self.always: Submission = TAKEN
        self.requests: list[PageRequest] = []
        self.sent = sent
        self.start_ms = clock.wall_ms()
        self.before: Callable[[PageRequest], None] | None = None

    def submit(self, request: PageRequest) -> Submission:
        self.requests.append(request)
        self.sent.append(((self._clock.wall_ms() - self.start_ms) / 1000, request.address))
        if self.before is not None:
            self.before(request)
        return self.answers.pop(0) if self.answers else self.always


def step(after_s: float, person_id: str, channel: str = "webhook") -> Step:
    return Step(
        after_s=after_s, channel=channel, person_id=person_id, name=person_id.title(), address=f"to:{person_id}"
    )


TWO_STEPS = Ladder(steps=(step(0, "wang"), step(60, "li", "email")), repeat_after_s=300)


class World:
    """One node `node-1` at site `s1` (declared cut off), one `node-2` at `s2` (guard hut only).

    Wang is paged at once by webhook, Li after a minute by e-mail, and the ladder begins again five minutes later.
    """

    def __init__(
        self,
        database_url: str,
        *,
        ladder: Ladder = TWO_STEPS,
        telemetry: TelemetryStore | None = None,
        evidence: EvidenceStore | None = None,
    ) -> None:
        self.database_url = database_url
        self.clock = ManualClock()
        self.start_ms = self.clock.wall_ms()
        self.database: Database = open_database(database_url)
        self.keys = {"node-1": Ed25519PrivateKey.generate(), "node-2": Ed25519PrivateKey.generate()}
        self.boot_id = secrets.token_hex(16)
        self.seq = itertools.count(1)
        self.ladder = ladder
        self.telemetry = telemetry or MemoryTelemetry()
        self.evidence = evidence or MemoryEvidence()
        self.counters = IngestCounters()
        self.changes = ChangeBus()
        self.sent: list[tuple[float, str]] = []
        self.webhook, self.email = MemoryChannel(self.clock, self.sent), MemoryChannel(self.clock, self.sent)
        self._fill()
        self.recorder = self.new_recorder()
        self.pager = self.new_pager()
        self.watcher = self.new_watcher()

    def _fill(self) -> None:
        with self.database.write() as session:
            session.add(Site(site_id="s1", name_zh="一号井", name_en="Pit 1", declared_status="power_cut"))
            session.add(Site(site_id="s2", name_zh="二号井", name_en="Pit 2", declared_status="guard_hut_only"))
            session.flush()
            for node_id, site_id in (("node-1", "s1"), ("node-2", "s2")):
                key = public_key_text(self.keys[node_id].public_key())
                session.add(Node(node_id=node_id, site_id=site_id, public_key=key))

    def new_recorder(self, database: Database | None = None) -> Recorder:
        chosen = database or self.database
        return Recorder(
            chosen,
            registry=RegistryCache(chosen, self.clock).current,
            ladder=self.ladder,
            telemetry=self.telemetry,
            evidence=self.evidence,
            counters=self.counters,
            clock=self.clock,
        )

    def new_pager(self, worker: str = "worker-1", database: Database | None = None) -> Pager:
        return Pager(
            database or self.database,
            channels={"webhook": self.webhook, "email": self.email},
            links=LinkSigner(b"0123456789abcdef", "https://seal.example"),
            clock=self.clock,
            changes=self.changes,
            worker=worker,
            executor=InlineExecutor(),
        )

    def new_watcher(self) -> Watcher:
        return Watcher(self.database, ladder=self.ladder, clock=self.clock, changes=self.changes)

    def restart(self) -> None:
        """The process ends and another one opens the same database."""
        self.database.close()
        self.database = open_database(self.database_url)
        self.recorder, self.pager = self.new_recorder(), self.new_pager("worker-1")
        self.watcher = self.new_watcher()
        self.pager.take_over()
        self.pager.audit()

    def close(self) -> None:
        """Let go of the database that is open by now."""
        self.database.close()

    # What nodes send

    def origin(self, node_id: str = "node-1", *, seq: int | None = None, site_id: str | None = None) -> Origin:
        return Origin(
            site_id=site_id or ("s1" if node_id == "node-1" else "s2"),
            node_id=node_id,
            boot_id=self.boot_id,
            seq=next(self.seq) if seq is None else seq,
            captured_at_ms=self.clock.wall_ms(),
            enqueued_at_ms=self.clock.wall_ms(),
            clock_quality=ClockQuality.SYNCHRONISED,
        )

    def alarm(self, kind: str = "person", node_id: str = "node-1", **changes: Any) -> Alarm:
        values: dict[str, Any] = {
            "origin": self.origin(node_id),
            "alarm_id": f"{kind}-1",
            "kind": kind,
            "phase": Phase.START,
            "level": Level.ORANGE,
            "source_id": "cam-1",
            "started_at_ms": self.clock.wall_ms(),
            "score": 0.9,
            "reason": "person_in_zone",
            "sentence_zh": "井口发现 1 人",
            "sentence_en": "1 person at the shaft mouth",
        }
        return Alarm(**(values | changes))

    def sealed(self, alarm: Alarm) -> Arrival:
        origin = alarm.origin
        return Arrival(
            topic=topics.topic(origin.site_id, origin.node_id, Channel.ALARM),
            payload=wire.seal(self.keys[origin.node_id], alarm),
        )

    def samples(self, node_id: str = "node-1", **changes: Any) -> Arrival:
        values: dict[str, Any] = {
            "origin": self.origin(node_id),
            "source_id": "meter-1",
            "at_ms": [self.clock.wall_ms()],
            "values": {"active_power_w": [3000.0]},
        }
        message = Samples(**(values | changes))
        topic = topics.topic(message.origin.site_id, message.origin.node_id, Channel.SAMPLES)
        return Arrival(topic=topic, payload=wire.encode(message))

    def say(self, node_id: str = "node-1", state: Literal["online", "offline"] = "online", **changes: Any) -> None:
        """A node's status arrives, or the broker's word that it is gone."""
        now_ms = self.clock.wall_ms()
        values: dict[str, Any] = {
            "site_id": "s1" if node_id == "node-1" else "s2",
            "boot_id": self.boot_id,
            "reported_at_ms": now_ms,
        }
        status = Status(node_id=node_id, state=state, agent_version="1", **(values | changes))
        topic = topics.topic(status.site_id, node_id, Channel.STATUS)
        self.recorder.record([Arrival(topic=topic, payload=wire.encode(status))])

    def push(self, *alarms: Alarm) -> list[Outcome | None]:
        """Alarms arrive, in one batch."""
        return self.recorder.record([self.sealed(alarm) for alarm in alarms])

    # Time

    def until(self, at_s: float) -> None:
        """Let time pass until `at_s` seconds after the start; the pager wakes as often as its own thread would."""
        while True:
            self.pager.turn()
            self.pager.audit()
            self.watcher.turn()
            self.pager.turn()
            now_s = (self.clock.wall_ms() - self.start_ms) / 1000
            if now_s >= at_s:
                return
            self.clock.advance(min(self.pager._wait_s(), at_s - now_s))

    # What people see

    def pages_sent(self) -> list[tuple[float, str]]:
        """(seconds since the start, address) of every page that reached a receiver, in their order."""
        return list(self.sent)

    def incidents(self) -> list[Incident]:
        with self.database.read() as session:
            return list(session.scalars(select(Incident).order_by(Incident.opened_at_ms, Incident.incident_id)))

    def alarms(self) -> list[AlarmRecord]:
        with self.database.read() as session:
            return list(session.scalars(select(AlarmRecord).order_by(AlarmRecord.started_at_ms, AlarmRecord.alarm_id)))

    def incident(self) -> Incident:
        (only,) = self.incidents()
        return only

    def history(self) -> list[str]:
        with self.database.read() as session:
            return [e.kind for e in session.scalars(select(IncidentEvent).order_by(IncidentEvent.id))]

    def events(self, kind: str) -> list[IncidentEvent]:
        with self.database.read() as session:
            wanted = select(IncidentEvent).where(IncidentEvent.kind == kind).order_by(IncidentEvent.id)
            return list(session.scalars(wanted))

    def page_states(self) -> list[str]:
        with self.database.read() as session:
            return [p.state for p in session.scalars(select(Page).order_by(Page.cycle, Page.step))]

    def answer(self, actor: str = "person:wang", incident_id: str | None = None) -> service.AnswerOutcome:
        with self.database.write() as session:
            return service.acknowledge(
                session,
                incident_id=incident_id or self.incident().incident_id,
                actor=actor,
                reason="link",
                now_ms=self.clock.wall_ms(),
            )

    def close_incident(self, closure: Closure = Closure.FALSE_ALARM) -> None:
        with self.database.write() as session:
            service.close(
                session,
                incident_id=self.incident().incident_id,
                actor="desk",
                closure=closure,
                now_ms=self.clock.wall_ms(),
            )
