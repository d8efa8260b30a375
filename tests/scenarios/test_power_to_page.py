"""From a hoist at the meter to the page of the incident: the seconds around the alarm and the small chart arrive."""

from __future__ import annotations

import hashlib
import itertools
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from sealwatch.cloud.db import migrate
from sealwatch.cloud.db.engine import Database, open_database, open_engine
from sealwatch.cloud.db.tables import AlarmRecord, Node
from sealwatch.cloud.ingest.counters import IngestCounters
from sealwatch.cloud.ingest.record import Arrival, Recorder
from sealwatch.cloud.registry.cache import RegistryCache
from sealwatch.cloud.telemetry.sqlite import SqliteTelemetry
from sealwatch.cloud.web.app import create_app
from sealwatch.contract import topics
from sealwatch.contract.codes import AlarmKind, ClockQuality, DeclaredStatus
from sealwatch.edge import identity
from sealwatch.edge.config import MeterSettings
from sealwatch.edge.declared import FixedDeclared
from sealwatch.edge.health.clock import ClockState
from sealwatch.edge.power.bus import Dlt645Bus
from sealwatch.edge.power.line import Line
from sealwatch.edge.power.outlet import AFTER_S, BEFORE_S
from sealwatch.edge.power.profiles import load_profile
from sealwatch.edge.power.ring import RawRing
from sealwatch.edge.power.watcher import MeterWatcher
from sealwatch.edge.power.wire import NullModem
from sealwatch.edge.uplink.entries import OUTBOX_FILE
from sealwatch.edge.uplink.outbox import Outbox
from sealwatch.edge.uplink.sink import OutboxSink
from sealwatch.simulator.loads.scenarios import demo_load
from sealwatch.simulator.meter_twin import Load, MeterTwin
from tests.cloud.web.scene import Scene
from tests.cloud.world import TWO_STEPS
from tests.edge.power.test_watcher import StoppingClock

SITE, NODE, METER = "jingjiagou", "jingjiagou-1", "meter-1"


class Shaft:
    """A node of one meter whose service gets minutes, and the seconds around an alarm."""

    def __init__(self, folder: Path, load: Load, *, run_s: float) -> None:
        self.stop = threading.Event()
        self.clock = StoppingClock(self.stop, run_s)
        self.twin = MeterTwin(load, address="42", seconds=self.clock.monotonic_s)
        self.identity = identity.load_or_create(folder)
        self.outbox = Outbox(folder / OUTBOX_FILE, boot_id=identity.new_boot_id(), clock=self.clock)
        self.sink = OutboxSink(
            self.outbox,
            self.identity,
            site_id=SITE,
            node_id=NODE,
            clock=self.clock,
            clock_state=lambda: ClockState(quality=ClockQuality.SYNCHRONISED, offset_ms=1.0, reason="test"),
        )
        line = Line(lambda: NullModem(self.twin.hear, self.clock), clock=self.clock)
        self.watcher = MeterWatcher(
            MeterSettings(meter_id=METER, url="tcp://127.0.0.1:1", address="42", uplink="minutes"),
            declared=FixedDeclared(DeclaredStatus.POWER_CUT),
            sink=self.sink,
            clock=self.clock,
            bus=Dlt645Bus(line, load_profile("dlt645-2007-three-phase")),
            ring=RawRing(folder / "raw", METER),
        )

    def run(self) -> list[Arrival]:
        """Live until the time has come; everything that the node has to say, as the broker would carry it."""
        self.watcher.run(self.stop)
        self.sink.flush()
        said: list[Arrival] = []
        while entries := self.outbox.head(100):
            for entry in entries:
                payload = self.outbox.payload(entry.ref)
                assert payload is not None
                said.append(Arrival(topic=topics.topic(SITE, NODE, entry.channel), payload=payload))
            self.outbox.release([entry.ref for entry in entries])
        self.outbox.close()
        return said


def scene_alarms(database: Database) -> list[AlarmRecord]:
    with database.read() as session:
        return list(session.scalars(select(AlarmRecord)))


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path / 'cloud.sqlite'}"
    engine = open_engine(url)
    migrate.migrate(engine)
    engine.dispose()
    opened = open_database(url)
    yield opened
    opened.close()


def test_seconds_around_a_hoist_alarm_and_its_chart_are_on_the_page_of_the_incident(
    tmp_path: Path, database: Database
) -> None:
    shaft = Shaft(tmp_path / "node", demo_load(), run_s=480)
    began_ms = shaft.clock.wall_ms()
    said = shaft.run()
    telemetry = SqliteTelemetry(tmp_path / "telemetry.sqlite")
    scene = Scene(database, telemetry=telemetry, clock=shaft.clock)
    scene.add_registry()
    with database.write() as session:
        node = session.get(Node, NODE)
        assert node is not None
        node.public_key = shaft.identity.public_key_text
    counters = IngestCounters()
    recorder = Recorder(
        database,
        registry=RegistryCache(database, scene.clock).current,
        ladder=TWO_STEPS,
        telemetry=telemetry,
        evidence=scene.evidence,
        counters=counters,
        clock=scene.clock,
    )
    assert all(outcome is not None for outcome in recorder.record(said))

    with TestClient(
        create_app(scene.services()), base_url="http://127.0.0.1:8000", headers={"Accept": "text/html"}
    ) as desk:
        (incident_id,) = set(re.findall(r'href="/incidents/([0-9a-f]{32})"', desk.get("/").text))
        page = desk.get(f"/incidents/{incident_id}").text
        # The chart that the node drew of the trips it saw.
        (chart, *_) = re.findall(rf'href="(/incidents/{incident_id}/pictures/([0-9a-f]{{64}}))"', page)
        jpeg = desk.get(chart[0]).content
        assert jpeg[:2] == b"\xff\xd8"
        assert hashlib.sha256(jpeg).hexdigest() == chart[1]
        assert "提升样脉冲" in page

    # What the service kept: a second for each second around the alarm, minutes elsewhere.
    kept = telemetry.read(
        site_id=SITE, metric="active_power_w", from_ms=began_ms, to_ms=shaft.clock.wall_ms(), max_points=10_000
    )[METER]
    hoist_ms = next(
        alarm.started_at_ms for alarm in scene_alarms(database) if alarm.kind == AlarmKind.HOIST_LIKE_CYCLE.value
    )
    around = [at for at in kept.at_ms if hoist_ms <= at <= hoist_ms + 1000 * AFTER_S]
    assert len(around) >= AFTER_S
    assert max(b - a for a, b in itertools.pairwise(around)) <= 1500
    assert len(kept.at_ms) < 480
    first_alarm_ms = min(alarm.started_at_ms for alarm in scene_alarms(database))
    assert min(b for a, b in itertools.pairwise(kept.at_ms) if b - a < 2000) >= first_alarm_ms - 1000 * (BEFORE_S + 30)

    # And what the page draws of it: far more points than minutes, up to the height of the trips.
    lines = re.findall(r'class="line"[^>]* d="([^"]+)"', page)
    assert sum(line.count("L") for line in lines) > 150
    assert min(float(y) for line in lines for _, y in re.findall(r"(\d+) (\d+)", line)) < 400
    telemetry.close()
