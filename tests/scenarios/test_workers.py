"""Three services share one county's messages over a real Mosquitto and PostgreSQL; one is killed, nothing is lost."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from sealwatch.base.broker import free_port
from sealwatch.base.clock import SystemClock
from sealwatch.cli import main
from sealwatch.cloud.auth import secret, service_key
from sealwatch.cloud.db import migrate
from sealwatch.cloud.db.engine import open_database, open_engine
from sealwatch.cloud.db.tables import AlarmTransition, Incident
from sealwatch.contract import signing
from sealwatch.edge import identity
from sealwatch.edge.agent import Agent
from sealwatch.edge.config import load_node
from tests.scenarios.under_load import alarm_draft
from tests.servers import postgres_or_skip
from tests.support import mosquitto_or_skip

pytestmark = [pytest.mark.mosquitto, pytest.mark.slow, pytest.mark.timeout(900)]
NODES, WORKERS = 3, 3
WAIT_S = 240.0
"""Patience costs nothing where things go well; a machine that does much else starts three services in a minute."""


class Worker:
    """One `sealwatch cloud serve` in a data folder of its own, with the same secret and signing key as the others."""

    def __init__(self, folder: Path, number: int, broker_url: str, database_url: str, registry: str) -> None:
        self.data, self.port = folder / f"cloud-{number}", free_port()
        self.config = folder / f"cloud-{number}.toml"
        self.config.write_text(
            f'data_dir = "{self.data}"\nmqtt.url = "{broker_url}"\nweb.port = {self.port}\n'
            f'database.url = "{database_url}"\n{registry}',
            encoding="utf-8",
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.data.parent / f"{self.data.name}.log").open("ab") as log:
            command = [sys.executable, "-m", "sealwatch", "cloud", "serve", "--config", str(self.config)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/healthz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def stored(self) -> int:
        counters = httpx.get(f"http://127.0.0.1:{self.port}/api/v1/counters", timeout=30).json()
        return int(counters.get("ingest_stored_alarm", 0))

    def died(self) -> str:
        """What it wrote at its end, where it ended by itself; waiting for it is of no use then."""
        if self._process is None or self._process.poll() is None:
            return ""
        return (self.data.parent / f"{self.data.name}.log").read_text(encoding="utf-8")[-2000:]

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def until(condition: Callable[[], bool], workers: list[Worker]) -> None:
    pause, until_s = threading.Event(), time.monotonic() + WAIT_S
    while not condition():
        for worker in workers:
            assert not worker.died(), worker.died()
        assert time.monotonic() < until_s, "it did not come"
        pause.wait(0.1)


def test_a_killed_worker_of_three_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    with contextlib.ExitStack() as running:
        postgres = running.enter_context(postgres_or_skip())
        broker = running.enter_context(mosquitto_or_skip())
        engine = open_engine(postgres.url())
        migrate.migrate(engine)
        engine.dispose()
        registry = ""
        for n in range(NODES):
            key = identity.load_or_create(tmp_path / f"node-{n}").public_key_text
            registry += f'[[sites]]\nsite_id = "s{n}"\nname_zh = "{n}号井"\nname_en = "Pit {n}"\n'
            registry += f'[[nodes]]\nnode_id = "node-{n}"\nsite_id = "s{n}"\npublic_key = "{key}"\n'
        workers = [Worker(tmp_path, n, broker.url, postgres.url(), registry) for n in range(WORKERS)]
        pinned = _share_keys(workers)
        for worker in workers:
            worker.start()
            running.callback(worker.kill)
        until(lambda: all(worker.answers() for worker in workers), workers)
        agents = [_agent(tmp_path, n, broker.url, pinned) for n in range(NODES)]
        for agent in agents:
            agent.start()
            running.callback(agent.stop)
        sent = _say(agents, 40)
        until(lambda: min(worker.stored() for worker in workers) > 0, workers)
        workers[0].kill()
        sent += _say(agents, 40)
        # Two are left, and the broker goes on keeping the third one's share for it until somebody tells it otherwise.
        gone = (workers[0].data / "worker.id").read_text(encoding="ascii").strip()
        assert main(["cloud", "leave", gone, "--config", str(workers[0].config)]) == 2, "that is itself"
        assert main(["cloud", "leave", gone, "--config", str(workers[1].config)]) == 0
        until(lambda: sum(agent.outbox.stats().depth for agent in agents) == 0, workers)
        workers[0].start()
        until(workers[0].answers, workers)
        database = open_database(postgres.url())
        with database.read() as session:
            transitions = session.scalar(select(func.count()).select_from(AlarmTransition))
            incidents = session.scalars(select(Incident.site_id)).all()
        database.close()
        assert transitions == sent
        assert sorted(incidents) == [f"s{n}" for n in range(NODES)], "one incident a site, whoever took its alarms"


def _share_keys(workers: list[Worker]) -> str:
    """The first one's secret and signing key for all of them, as docs/operations.md asks; the public key."""
    first = workers[0].data
    first.mkdir(mode=0o700)
    secret.load_or_create(first)
    key = service_key.load_or_create(first)
    for other in workers[1:]:
        other.data.mkdir(mode=0o700)
        for name in (secret.FILE_NAME, service_key.KEY_FILE):
            shutil.copy(first / name, other.data / name)
    return signing.public_key_text(key.public_key())


def _agent(folder: Path, number: int, broker_url: str, pinned: str) -> Agent:
    file = folder / f"node-{number}.toml"
    file.write_text(
        f'site_id = "s{number}"\nnode_id = "node-{number}"\ndata_dir = "node-{number}"\n'
        f'service_public_key = "{pinned}"\nmqtt.url = "{broker_url}"\n',
        encoding="utf-8",
    )
    return Agent(load_node(file), file)


def _say(agents: list[Agent], each: int) -> int:
    """Alarms of every node, as fast as their disks take them; how many."""
    for agent in agents:
        for n in range(each):
            now_ms = SystemClock().wall_ms()
            agent.sink.alarm(alarm_draft(f"{now_ms}-{n}", now_ms))
    return each * len(agents)
