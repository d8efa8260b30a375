"""Ingestion as a whole: the lanes, their recorder and their counters."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from sealwatch.base.clock import Clock
from sealwatch.base.mqtt import MqttSettings, Session
from sealwatch.cloud.db.engine import Database
from sealwatch.cloud.ingest.counters import IngestCounters
from sealwatch.cloud.ingest.lane import LANES, Lane
from sealwatch.cloud.ingest.record import Recorder
from sealwatch.cloud.paging.ladder import LadderSource
from sealwatch.cloud.ports import EvidenceStore, TelemetryStore
from sealwatch.cloud.registry.cache import RegistryCache
from sealwatch.cloud.telemetry.facts import Told


def session_name(worker: str, lane: str) -> str:
    """The client id under which the broker keeps the session of one lane of a service."""
    return f"sealwatch-{worker}-{lane}"


def end_sessions(mqtt: MqttSettings, worker: str, *, timeout_s: float) -> int:
    """Have the broker forget a service that does not come back; how many sessions were ended.

    Its share of the messages goes on being queued for it until then (MQTT 5, 3.1.2.11.2). What waited there comes again
    from the nodes, who hold it until it is acknowledged. A service that runs under this name would be thrown out.
    """
    ended = 0
    for spec in LANES:
        # No subscription and an expiry of none: the session ends with this connection.
        session = Session(mqtt, client_id=session_name(worker, spec.name), manual_ack=True, session_expiry_s=0)
        session.start()
        ended += session.wait_connected(timeout_s)
        session.stop()
    return ended


class Ingest:
    """Takes what the nodes send. `committed` is called after each commit, from the lanes' threads."""

    def __init__(
        self,
        *,
        mqtt: MqttSettings,
        group: str,
        worker: str,
        database: Database,
        telemetry: TelemetryStore,
        evidence: EvidenceStore,
        ladder: LadderSource,
        clock: Clock,
        committed: Callable[[], None],
        counters: IngestCounters | None = None,
        tell: Callable[[Sequence[Told], int], None] | None = None,
    ) -> None:
        """`worker` names this service to the broker: the same name at every start, so that its sessions persist."""
        self.counters = counters or IngestCounters()
        self.recorder = Recorder(
            database,
            registry=RegistryCache(database, clock).current,
            ladder=ladder,
            telemetry=telemetry,
            evidence=evidence,
            counters=self.counters,
            clock=clock,
            tell=tell,
        )
        self.lanes = tuple(
            Lane(
                spec,
                mqtt,
                client_id=session_name(worker, spec.name),
                group=group,
                recorder=self.recorder,
                counters=self.counters,
                clock=clock,
                committed=committed,
            )
            for spec in LANES
        )

    @property
    def connected(self) -> bool:
        """Whether every lane has its broker session."""
        return all(lane.connected for lane in self.lanes)

    def wait_connected(self, timeout_s: float) -> bool:
        """Wait until every lane has its session, at most `timeout_s` in all; whether they have."""
        until_s = time.monotonic() + timeout_s
        return all(lane.wait_connected(max(0.0, until_s - time.monotonic())) for lane in self.lanes)

    def start(self) -> None:
        """Begin to connect and to take messages. Returns at once; a broker that is down is tried for ever."""
        for lane in self.lanes:
            lane.start()

    def stop(self) -> None:
        """Finish what is under way and leave; un-acked messages come again at the next start."""
        with ThreadPoolExecutor(max_workers=len(self.lanes)) as pool:  # each waits a second for a broker that is down
            list(pool.map(Lane.stop, self.lanes))
