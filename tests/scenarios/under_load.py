"""A county under load while its store, its broker and its database are killed in turn: who lost what.

Real agents (with their outboxes on disk) and the real service; Mosquitto, PostgreSQL, and InfluxDB or VictoriaMetrics
of the distribution, each ended by SIGKILL and started again on its own data. Used by a short test and by a long
measurement (`bench.cloud_kills`).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from sqlalchemy import func, select

from sealwatch.base.broker import free_port
from sealwatch.base.clock import SystemClock
from sealwatch.cloud.config import load_cloud
from sealwatch.cloud.db import migrate
from sealwatch.cloud.db.engine import open_engine
from sealwatch.cloud.db.tables import AlarmTransition
from sealwatch.cloud.service import Service
from sealwatch.cloud.telemetry.influx import InfluxTelemetry
from sealwatch.cloud.telemetry.remote import reader
from sealwatch.cloud.telemetry.setup import Retention, set_up
from sealwatch.cloud.telemetry.spooled import SpooledTelemetry
from sealwatch.contract import signing
from sealwatch.contract.codes import Level, Phase
from sealwatch.edge import identity
from sealwatch.edge.agent import Agent
from sealwatch.edge.config import load_node
from sealwatch.edge.ports import AlarmDraft
from tests.servers import Influx1, Postgres, Victoria
from tests.support import Mosquitto

NODES: Final = 4
TURNS_PER_S: Final = 20
POINTS: Final = 20
ALARM_EVERY_TURNS: Final = 5
PATIENCE_S: Final = 60.0
Engine = Literal["influxdb", "victoria"]


@dataclass(slots=True)
class Losses:
    """What was promised to the nodes' programs, and what arrived. `waiting` is what no ack came for in the end."""

    alarms: int = 0
    alarms_stored: int = 0
    points: int = 0
    points_stored: int = 0
    waiting: int = 0
    kills: dict[str, int] = field(default_factory=dict)
    drained_s: float = 0.0


class County:
    """Servers, service and nodes in a folder; `run` is the whole story."""

    def __init__(
        self, folder: Path, engine: Engine, store: Influx1 | Victoria, broker: Mosquitto, postgres: Postgres
    ) -> None:
        self.folder, self.engine = folder, engine
        self.store, self.broker, self.postgres = store, broker, postgres
        self.losses = Losses()
        self._stop = threading.Event()
        self._configure()

    def _configure(self) -> None:
        url = self.postgres.url()
        made = open_engine(url)
        migrate.migrate(made)
        made.dispose()
        if isinstance(self.store, Influx1):
            with reader(self.store.url, "") as client:
                set_up(client, bucket="sealwatch", org="", retention=Retention())
        nodes = sites = ""
        for n in range(NODES):
            key = identity.load_or_create(self.folder / f"node-{n}").public_key_text
            nodes += f'[[nodes]]\nnode_id = "node-{n}"\nsite_id = "s{n}"\npublic_key = "{key}"\n'
            sites += f'[[sites]]\nsite_id = "s{n}"\nname_zh = "{n}号井"\nname_en = "Pit {n}"\n'
        sites = "".join(
            f'[[sites]]\nsite_id = "s{n}"\nname_zh = "{n}号井"\nname_en = "Pit {n}"\n' for n in range(NODES)
        )
        self.cloud = self.folder / "cloud.toml"
        self.cloud.write_text(
            f'data_dir = "cloud"\nmqtt.url = "{self.broker.url}"\nweb.port = {free_port()}\n'
            f'database.url = "{url}"\n[telemetry]\nengine = "{self.engine}"\nurl = "{self.store.url}"\n{sites}{nodes}',
            encoding="utf-8",
        )

    def _agents(self, service: Service) -> list[Agent]:
        pinned = signing.public_key_text(service.signing_key.public_key())
        agents = []
        for n in range(NODES):
            file = self.folder / f"node-{n}.toml"
            file.write_text(
                f'site_id = "s{n}"\nnode_id = "node-{n}"\ndata_dir = "node-{n}"\nservice_public_key = "{pinned}"\n'
                f'mqtt.url = "{self.broker.url}"\n',
                encoding="utf-8",
            )
            agents.append(Agent(load_node(file), file))
        return agents

    def run(self, rounds: int, *, each_s: float = 2.0, down_s: float = 1.0) -> Losses:
        """Load all the while; in each round every server is killed once and is away for `down_s`."""
        service = Service(load_cloud(self.cloud), self.cloud)
        with contextlib.ExitStack() as running:
            service.start()
            running.callback(service.stop)
            agents = self._agents(service)
            for agent in agents:
                agent.start()
                running.callback(agent.stop)
            load = threading.Thread(target=self._load, args=(agents,), name="load")
            load.start()
            for _ in range(rounds):
                for name in ("store", "broker", "postgres"):
                    self._stop.wait(each_s)
                    self._kill(name, down_s)
            self._stop.wait(each_s)
            self._stop.set()
            load.join()
            self._drain(agents, service)
            self._count(service)
        return self.losses

    def _kill(self, name: str, down_s: float) -> None:
        servers = {"store": self.store, "broker": self.broker, "postgres": self.postgres}
        server = servers[name]
        if isinstance(server, Postgres):
            server.kill_all()
        else:
            server.kill()
        self._stop.wait(down_s)
        server.start()
        self.losses.kills[name] = self.losses.kills.get(name, 0) + 1

    def _load(self, agents: list[Agent]) -> None:
        turn = 0
        while not self._stop.wait(1 / TURNS_PER_S):
            now_ms = SystemClock().wall_ms()
            for n, agent in enumerate(agents):
                at_ms = [now_ms - POINTS + i for i in range(POINTS)]
                values = [float(self.losses.points + i) for i in range(POINTS)]
                agent.sink.samples("meter-1", at_ms, {"active_power_w": values})
                self.losses.points += POINTS
                if turn % ALARM_EVERY_TURNS == 0:
                    agent.sink.alarm(alarm_draft(f"{n}-{turn}", now_ms))
                    self.losses.alarms += 1
            turn += 1
        for agent in agents:
            agent.sink.flush()

    def _drain(self, agents: list[Agent], service: Service) -> None:
        """Until every node has every ack and every point has been sent on, or patience ends."""
        began_s = time.monotonic()
        store = service.telemetry
        assert isinstance(store, SpooledTelemetry)

        def waiting() -> int:
            return sum(agent.outbox.stats().depth for agent in agents) + store.spool.state().points

        _until(lambda: waiting() == 0)
        self.losses.waiting, self.losses.drained_s = waiting(), time.monotonic() - began_s

    def _count(self, service: Service) -> None:
        with service.database.read() as session:
            self.losses.alarms_stored = session.scalar(select(func.count()).select_from(AlarmTransition)) or 0
        _until(lambda: self._points(service) >= self.losses.points, patience_s=10.0)
        self.losses.points_stored = self._points(service)

    def _points(self, service: Service) -> int:
        if isinstance(self.store, Victoria):
            self.store.flush()
            with reader(self.store.url, "") as client:
                answer = client.get("/api/v1/export", params={"match[]": '{__name__=~".*active_power_w"}'})
            lines = [line for line in answer.text.splitlines() if line]
            return sum(line.count(",", line.index('"timestamps":')) + 1 for line in lines)
        store = service.telemetry.store
        assert isinstance(store, InfluxTelemetry)
        found = store.query('SELECT count("active_power_w") FROM "samples"', "sealwatch")
        return int(found[0]["values"][0][1]) if found else 0


def alarm_draft(alarm_id: str, now_ms: int) -> AlarmDraft:
    """A person at the shaft, now."""
    return AlarmDraft(
        alarm_id=alarm_id,
        kind="person",
        phase=Phase.START,
        level=Level.YELLOW,
        source_id="cam-1",
        started_at_ms=now_ms,
        captured_at_ms=now_ms,
        score=0.9,
        reason="seen_long_enough",
        sentence_zh="井口有 1 人",
        sentence_en="1 person at the shaft",
    )


def _until(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    pause, until_s = threading.Event(), time.monotonic() + patience_s
    while not condition() and time.monotonic() < until_s:
        pause.wait(0.1)
