"""Messages a second through ingestion with the commit before the ack, and the way from commit to page."""

from __future__ import annotations

import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.base.broker import EmbeddedBroker, free_port
from sealwatch.base.clock import SystemClock
from sealwatch.base.mqtt import MqttSettings, Session
from sealwatch.cloud.auth.links import LinkSigner
from sealwatch.cloud.db import migrate
from sealwatch.cloud.db.engine import Database, open_database, sqlite_url
from sealwatch.cloud.db.tables import Node, Site
from sealwatch.cloud.evidence.store import FileEvidence
from sealwatch.cloud.ingest.record import Arrival, Outcome
from sealwatch.cloud.ingest.worker import Ingest
from sealwatch.cloud.paging.ladder import Ladder, Step
from sealwatch.cloud.paging.pager import Pager
from sealwatch.cloud.paging.webhook import WebhookChannel
from sealwatch.cloud.ports import ChangeBus
from sealwatch.cloud.telemetry.sqlite import SqliteTelemetry
from sealwatch.contract import topics, wire
from sealwatch.contract.codes import ClockQuality, Level, Phase
from sealwatch.contract.messages import Alarm, Origin, Samples
from sealwatch.contract.signing import public_key_text
from sealwatch.contract.topics import Channel

NODES = 50
ALARMS = 3000
SAMPLES = 3000
PAGED = 100
KEY = Ed25519PrivateKey.generate()
BOOT = secrets.token_hex(16)


@contextmanager
def broker() -> Iterator[tuple[str, str]]:
    """(name, URL): the distribution's Mosquitto where there is one, as in production, else the embedded broker."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        with EmbeddedBroker() as embedded:
            yield "the embedded broker", embedded.url
        return
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "mosquitto.conf"
        limits = "max_queued_messages 100000\nmax_inflight_messages 1000\n"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n{limits}", encoding="utf-8")
        process = subprocess.Popen([program, "-c", str(config)], stderr=subprocess.DEVNULL)
        try:
            yield "Mosquitto", f"mqtt://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def origin(number: int, seq: int) -> Origin:
    """Who says it: node `number` of the county, now."""
    now_ms = SystemClock().wall_ms()
    return Origin(
        site_id=f"s{number}",
        node_id=f"n{number}",
        boot_id=BOOT,
        seq=seq,
        captured_at_ms=now_ms,
        enqueued_at_ms=now_ms,
        clock_quality=ClockQuality.SYNCHRONISED,
    )


def alarm(number: int, seq: int, alarm_id: str) -> tuple[str, bytes]:
    """Topic and signed payload of a person alarm."""
    message = Alarm(
        origin=origin(number, seq),
        alarm_id=alarm_id,
        kind="person",
        phase=Phase.START,
        level=Level.ORANGE,
        source_id="cam-1",
        started_at_ms=SystemClock().wall_ms(),
        score=0.9,
        reason="person_in_zone",
        sentence_zh="井口有 1 人,已停留 3 秒",
        sentence_en="1 person at the shaft mouth for 3 seconds",
    )
    return topics.topic(f"s{number}", f"n{number}", Channel.ALARM), wire.seal(KEY, message)


def samples(number: int, seq: int) -> tuple[str, bytes]:
    """Topic and payload of a minute of meter readings, one every five seconds."""
    now_ms = SystemClock().wall_ms()
    message = Samples(
        origin=origin(number, seq),
        source_id="meter-1",
        at_ms=[now_ms + 5000 * n + seq for n in range(12)],
        values={name: [float(n) for n in range(12)] for name in ("active_power_w", "voltage_v", "energy_kwh")},
    )
    return topics.topic(f"s{number}", f"n{number}", Channel.SAMPLES), wire.encode(message)


def publish(url: str, file: Path) -> None:
    """The child process: hands every message of a file to the broker as fast as it takes them."""
    done = threading.Semaphore(0)
    session = Session(MqttSettings(url=url), client_id="bench", on_published=lambda _mid: done.release())
    session.start()
    if not session.wait_connected(10):
        raise SystemExit("no broker")
    lines = file.read_bytes().splitlines()
    for line in lines:
        topic, _, payload = line.partition(b" ")
        session.publish(topic.decode(), payload)
    for _ in lines:
        done.acquire()
    session.stop()


class County:
    """A database with sites and nodes, and ingestion in front of it."""

    def __init__(self, folder: Path, url: str, committed: Callable[[], None], ladder: Ladder, nodes: int) -> None:
        self.database: Database = open_database(sqlite_url(folder / "cloud.sqlite"))
        migrate.migrate(self.database.engine)
        key = public_key_text(KEY.public_key())
        with self.database.write() as session:
            session.add_all(
                Site(site_id=f"s{n}", name_zh=f"{n} 号井", name_en=f"Pit {n}", declared_status="power_cut")
                for n in range(nodes)
            )
            session.flush()
            session.add_all(Node(node_id=f"n{n}", site_id=f"s{n}", public_key=key) for n in range(nodes))
        self.telemetry = SqliteTelemetry(folder / "telemetry.sqlite")
        self.ingest = Ingest(
            mqtt=MqttSettings(url=url),
            group="",
            worker=secrets.token_hex(4),
            database=self.database,
            telemetry=self.telemetry,
            evidence=FileEvidence(folder / "evidence"),
            ladder=ladder,
            clock=SystemClock(),
            committed=committed,
        )
        self.ingest.start()
        if not self.ingest.wait_connected(20):
            raise SystemExit("no broker")

    def close(self) -> None:
        """Stop and let go of the files."""
        self.ingest.stop()
        self.telemetry.close()
        self.database.close()


def throughput(url: str, messages: list[tuple[str, bytes]], channel: str) -> tuple[float, float]:
    """(messages a second from the first arrival to the last commit, messages in a commit on average)."""
    commits: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "messages"
        file.write_bytes(b"\n".join(topic.encode() + b" " + payload for topic, payload in messages))
        county = County(folder, url, lambda: None, Ladder(), NODES)
        record = county.ingest.recorder.record

        def counted(arrivals: Sequence[Arrival]) -> list[Outcome | None]:
            outcomes = record(arrivals)
            commits.append(time.monotonic())
            return outcomes

        county.ingest.recorder.record = counted  # type: ignore[method-assign]  # commits are counted where they are
        began_s = time.monotonic()
        child = subprocess.Popen([sys.executable, "-m", "bench.ingest", "--publish", url, str(file)])
        first_s = 0.0
        while county.ingest.counters.as_dict()["stored_by_channel"].get(channel, 0) < len(messages):
            if not first_s and county.ingest.counters.as_dict()["received"]:
                first_s = time.monotonic()
            if time.monotonic() - began_s > 120:
                raise SystemExit(f"only {county.ingest.counters.as_dict()} after two minutes")
            time.sleep(0.002)
        took_s = commits[-1] - first_s
        child.wait()
        county.close()
    return len(messages) / took_s, len(messages) / len(commits)


class Receiver:
    """A webhook receiver that notes when each page came."""

    def __init__(self) -> None:
        self.came = threading.Semaphore(0)
        self.at_s = 0.0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                receiver.at_s = time.monotonic()
                body = b'{"ok": true}'
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                receiver.came.release()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()


def latencies(url: str) -> tuple[list[float], list[float]]:
    """Milliseconds from the service's commit, and from the node's publishing, to the page at its receiver."""
    receiver, changes = Receiver(), ChangeBus()
    committed_s: list[float] = []

    def committed() -> None:
        committed_s.append(time.monotonic())
        changes.announce()

    step = Step(after_s=0, channel="webhook", person_id="wang", name="王×", address=receiver.url)
    from_commit_ms, from_publish_ms = [], []
    with tempfile.TemporaryDirectory() as folder:
        county = County(Path(folder), url, committed, Ladder(steps=(step,)), PAGED)
        pager = Pager(
            county.database,
            channels={"webhook": WebhookChannel("secret")},
            links=LinkSigner(secrets.token_bytes(32), "http://127.0.0.1:8000"),
            clock=SystemClock(),
            changes=changes,
            worker="bench",
        )
        pager.start()
        node = Session(MqttSettings(url=url), client_id="bench-node")
        node.start()
        node.wait_connected(10)
        for number in range(PAGED):
            topic, payload = alarm(number, 1, "a")
            committed_s.clear()
            sent_s = time.monotonic()
            node.publish(topic, payload)
            if not receiver.came.acquire(timeout=20):
                raise SystemExit("a page did not come")
            from_commit_ms.append((receiver.at_s - committed_s[0]) * 1000)
            from_publish_ms.append((receiver.at_s - sent_s) * 1000)
            time.sleep(0.05)
        node.stop()
        pager.stop()
        county.close()
    return from_commit_ms, from_publish_ms


def row(name: str, values_ms: list[float]) -> str:
    """A line of the table."""
    ranked = sorted(values_ms)
    p95 = ranked[int(0.95 * (len(ranked) - 1))]
    return f"| {name} | {statistics.median(ranked):.1f} | {p95:.1f} | {ranked[-1]:.1f} |"


def main() -> None:
    """Print the section."""
    alarms = [alarm(n % NODES, n + 1, f"a{n}") for n in range(ALARMS)]
    curves = [samples(n % NODES, n + 1) for n in range(SAMPLES)]
    with broker() as (name, url):
        print(f"## Ingest: {name}, SQLite with synchronous=FULL, one service\n")
        print("| messages | a second | in one commit, mean |\n|---|---|---|")
        rate, batch = throughput(url, alarms, "alarm")
        print(f"| {ALARMS} signed alarms of {NODES} sites, each a new alarm | {rate:.0f} | {batch:.0f} |")
        rate, batch = throughput(url, curves, "samples")
        print(f"| {SAMPLES} samples messages of 36 values | {rate:.0f} | {batch:.0f} |")
        from_commit_ms, from_publish_ms = latencies(url)
    print("\nEvery message was verified, stored and committed before its application ack was sent.\n")
    print(f"| {PAGED} incidents, one after another, ms | median | p95 | largest |\n|---|---|---|---|")
    print(row("service's commit to the page at its receiver (webhook on this machine)", from_commit_ms))
    print(row("node's publish to the page at its receiver", from_publish_ms))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--publish"]:
        publish(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
