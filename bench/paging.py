"""From an alarm to a page, on PostgreSQL with synced writes: how fast, how many, what a storm does to a red one.

Alarms go through the same recorder as from the broker (signature, one commit a batch), pages through the pager with its
own threads. The receiver is in this process and takes `RECEIVER_S` for a page.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from sqlalchemy import distinct, func, select

from bench.ingest import KEY, origin
from sealwatch.base.clock import SystemClock
from sealwatch.cloud.auth.links import LinkSigner
from sealwatch.cloud.db import migrate
from sealwatch.cloud.db.engine import Database, open_database
from sealwatch.cloud.db.tables import AlarmRecord, Incident, Node, Page, Site
from sealwatch.cloud.evidence.store import MemoryEvidence
from sealwatch.cloud.ingest.counters import IngestCounters
from sealwatch.cloud.ingest.record import Arrival, Recorder
from sealwatch.cloud.paging.ladder import Ladder, Step
from sealwatch.cloud.paging.pager import Pager
from sealwatch.cloud.ports import ChangeBus, PageRequest, Submission
from sealwatch.cloud.registry.cache import RegistryCache
from sealwatch.cloud.telemetry.memory import MemoryTelemetry
from sealwatch.contract import topics, wire
from sealwatch.contract.codes import Level, Phase
from sealwatch.contract.messages import Alarm
from sealwatch.contract.signing import public_key_text
from sealwatch.contract.topics import Channel
from tests.servers import Postgres, postgres_or_skip

RECEIVER_S = 0.02
INCIDENTS = 50
GAP_S = 0.6  # 100 a minute
STREAM_S = 20
STREAM_PER_S = 500
STREAM_SITES = 250
BATCH = 100
RESENT = 5000
STORM = 10_000
RED_AFTER_S = 5.0
PATIENCE_S = 60.0


@dataclass
class Receiver:
    """Takes every page, and remembers when and at which level."""

    taken: list[tuple[float, str, str]] = field(default_factory=list)  # monotonic s, level, incident_id

    def wait_for(self, count: int) -> None:
        """Until so many have come."""
        until(lambda: len(self.taken) >= count)

    def submit(self, request: PageRequest) -> Submission:
        self.taken.append((time.monotonic(), request.level, request.incident_id))
        time.sleep(RECEIVER_S)
        return Submission(ok=True, outcome="taken")


class County:
    """Sites `s0` … each with a node, a recorder and a pager on one database."""

    def __init__(self, url: str, sites: int) -> None:
        self.database: Database = open_database(url)
        migrate.migrate(self.database.engine)
        key = public_key_text(KEY.public_key())
        with self.database.write() as session:
            session.add_all(
                Site(site_id=f"s{n}", name_zh=f"{n} 号井", name_en=f"Pit {n}", declared_status="power_cut")
                for n in range(sites)
            )
            session.flush()
            session.add_all(Node(node_id=f"n{n}", site_id=f"s{n}", public_key=key) for n in range(sites))
        self.receiver, self.changes, clock = Receiver(), ChangeBus(), SystemClock()
        step = Step(after_s=0, channel="webhook", person_id="wang", name="王", address="-")
        self.recorder = Recorder(
            self.database,
            registry=RegistryCache(self.database, clock).current,
            ladder=Ladder(steps=(step,), repeat_after_s=86_400),
            telemetry=MemoryTelemetry(),
            evidence=MemoryEvidence(),
            counters=IngestCounters(),
            clock=clock,
        )
        self.pager = Pager(
            self.database,
            channels={"webhook": self.receiver},
            links=LinkSigner(b"0123456789abcdef", "https://seal.example"),
            clock=clock,
            changes=self.changes,
            worker="bench",
        )

    def push(self, arrivals: Sequence[Arrival]) -> None:
        """A batch as a lane of ingestion hands it over."""
        if any(outcome is None for outcome in self.recorder.record(arrivals)):
            raise SystemExit("a message was not stored")
        self.changes.announce()

    def count(self, query: Any) -> int:
        """The number that a query gives."""
        with self.database.read() as session:
            return int(session.scalar(query) or 0)

    def close(self) -> None:
        self.pager.stop()
        self.database.close()


def arrival(number: int, seq: int, *, kind: str = "person", level: Level = Level.ORANGE) -> Arrival:
    """A signed alarm of site `number`."""
    message = Alarm(
        origin=origin(number, seq),
        alarm_id=f"a{seq}",
        kind=kind,
        phase=Phase.START,
        level=level,
        source_id="cam-1",
        started_at_ms=SystemClock().wall_ms(),
        score=0.9,
        reason="seen",
        sentence_zh="井口有 1 人",
        sentence_en="1 person at the shaft mouth",
    )
    return Arrival(topic=topics.topic(f"s{number}", f"n{number}", Channel.ALARM), payload=wire.seal(KEY, message))


def to_page(county: County) -> str:
    """One incident after another, 100 a minute: from the message in hand to the page at its channel."""
    delays_ms = []
    for number in range(INCIDENTS):
        message = arrival(number, number + 1)
        began = time.monotonic()
        county.push([message])
        county.receiver.wait_for(number + 1)
        delays_ms.append((county.receiver.taken[number][0] - began) * 1000)
        time.sleep(max(0.0, GAP_S - (time.monotonic() - began)))
    p95 = statistics.quantiles(delays_ms, n=20)[18]
    return (
        f"- alarm received to page submitted, {INCIDENTS} incidents at 100 a minute: "
        f"median {statistics.median(delays_ms):.0f} ms, p95 {p95:.0f} ms (bar: 50 ms)"
    )


def stream(county: County) -> str:
    """Alarms at a steady rate over many sites: whether ingestion keeps up, and whether each site has one incident."""
    total = STREAM_S * STREAM_PER_S
    messages = [arrival(n % STREAM_SITES, 1_000_000 + n, kind="vehicle", level=Level.YELLOW) for n in range(total)]
    began = time.monotonic()
    late_s = 0.0
    for start in range(0, total, BATCH):
        due_s = began + start / STREAM_PER_S
        time.sleep(max(0.0, due_s - time.monotonic()))
        late_s = max(late_s, time.monotonic() - due_s)
        county.push(messages[start : start + BATCH])
    spent_s = time.monotonic() - began
    alarms = county.count(select(func.count()).where(AlarmRecord.kind == "vehicle"))
    its_own = AlarmRecord.incident_id == Incident.incident_id
    mixed = county.count(select(func.count()).where(its_own, AlarmRecord.site_id != Incident.site_id))
    opened = county.count(select(func.count()).select_from(Incident))
    sites = county.count(select(func.count(distinct(Incident.site_id))))
    good = alarms == total and mixed == 0 and opened == sites == STREAM_SITES
    return (
        f"- {total:,} alarms at {STREAM_PER_S} a second over {STREAM_SITES} sites: taken in {spent_s:.1f} s, at most "
        f"{late_s:.2f} s behind (bar: sustained); {opened} incidents at {sites} sites, {mixed} alarms with another "
        f"site's: {'right' if good else 'WRONG'}"
    )


def resent(county: County) -> str:
    """The same alarm again and again."""
    number = STREAM_SITES + 1
    message = arrival(number, 2_000_000)
    for _ in range(0, RESENT, BATCH):
        county.push([message] * BATCH)
    until(lambda: county.count(_pages_of(number)) >= 1)
    time.sleep(1.0)
    return f"- one alarm sent {RESENT:,} times: {county.count(_pages_of(number))} page (bar: 1)"


def storm(county: County) -> str:
    """Ten thousand yellow incidents with a page each, and a red one in the middle of them."""
    messages = [arrival(n, 3_000_000 + n, kind="vehicle", level=Level.YELLOW) for n in range(STORM)]
    red = arrival(STORM, 4_000_000, kind="hoist_like_cycle")
    feeder = threading.Thread(target=lambda: [county.push(messages[n : n + BATCH]) for n in range(0, STORM, BATCH)])
    feeder.start()
    time.sleep(8.0)
    began = time.monotonic()
    county.push([red])
    until(lambda: any(level == "red" for _, level, _ in list(county.receiver.taken)))
    after_s = next(at for at, level, _ in list(county.receiver.taken) if level == "red") - began
    feeder.join()
    now_ms = SystemClock().wall_ms()
    waiting = county.count(select(func.count()).where(Page.state == "due", Page.due_at_ms <= now_ms))
    return (
        f"- a red alarm in a storm of {STORM:,} yellow ones: its page submitted after {after_s:.2f} s "
        f"(bar: {RED_AFTER_S:g} s), while {waiting:,} yellow pages waited"
    )


def _pages_of(number: int) -> Any:
    submitted = Page.submitted_at_ms.is_not(None)
    mine = Incident.site_id == f"s{number}"
    return select(func.count()).where(Page.incident_id == Incident.incident_id, mine, submitted)


def until(true: Callable[[], bool]) -> None:
    """Wait for something that must come true."""
    until_s = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > until_s:
            raise SystemExit("it did not come true")
        time.sleep(0.001)


@contextmanager
def county(server: Postgres, name: str, sites: int) -> Iterator[County]:
    """A county in a database of its own, with its pager at work."""
    place = {"host": "127.0.0.1", "port": server.port, "dbname": "postgres", "user": "sealwatch"}
    with psycopg.connect(**place, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
    made = County(server.url(name), sites)
    made.pager.start()
    try:
        yield made
    finally:
        made.close()


def main() -> int:
    """Print the section."""
    with postgres_or_skip(synced=True) as server:
        print("## From an alarm to a page\n\nPostgreSQL with synced commits, one process.\n")
        with county(server, "usual", STREAM_SITES + 20) as usual:
            for part in (to_page, stream, resent):
                print(part(usual), flush=True)
        with county(server, "stormy", STORM + 20) as stormy:
            print(storm(stormy), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
