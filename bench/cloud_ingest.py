"""Ingestion into each store beside a plain loop: the same broker, the same messages, the same store, one after another.

The messages wait at the broker, which has the queue limits that `deploy/mosquitto` ships, for a session that is away: a
county that comes back after an outage. Then the session comes, and the clock runs until the last message is durable
(ours: committed before its application ack) or on the server (plain). CPU is that of the process that takes them,
network thread included; broker and store are not counted.

The plain loop is what a first attempt looks like: paho's callback decodes the payload and puts lines into a list, which
goes to `/api/v2/write` whenever 5,000 lines are there. Nothing is on a disk, nobody is told what arrived.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bench.ingest import KEY, NODES, origin
from sealwatch.base.clock import SystemClock
from sealwatch.base.mqtt import MqttSettings
from sealwatch.cloud.db import migrate
from sealwatch.cloud.db.engine import Database, open_database, sqlite_url
from sealwatch.cloud.db.tables import Node, Site
from sealwatch.cloud.evidence.store import FileEvidence
from sealwatch.cloud.ingest.worker import Ingest
from sealwatch.cloud.paging.ladder import Ladder
from sealwatch.cloud.telemetry.influx import InfluxTelemetry
from sealwatch.cloud.telemetry.remote import reader
from sealwatch.cloud.telemetry.setup import Retention, set_up
from sealwatch.cloud.telemetry.spool import Spool
from sealwatch.cloud.telemetry.spooled import SpooledTelemetry
from sealwatch.cloud.telemetry.sqlite import SqliteTelemetry
from sealwatch.cloud.telemetry.victoria import VictoriaTelemetry
from sealwatch.contract import topics, wire
from sealwatch.contract.messages import Samples
from sealwatch.contract.signing import public_key_text
from sealwatch.contract.topics import Channel
from tests.servers import Influx1, Victoria, influx1_or_skip, victoria_or_skip
from tests.support import Mosquitto, mosquitto_or_skip

MESSAGES = 20_000
VALUES = 4
"""Values in a message: one reading of a meter, as the plain loop of the comparison has them too."""
PATIENCE_S = 120.0
BUCKET = "bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One run: seconds until everything was durable, CPU seconds of this process, messages that never came."""

    wall_s: float
    cpu_s: float
    lost: int


def payloads(seed_ms: int) -> list[tuple[str, bytes]]:
    """One reading a message, of fifty nodes in turn, each at a moment of its own."""
    made = []
    for n in range(MESSAGES):
        node = n % NODES
        message = Samples(
            origin=origin(node, n + 1),
            source_id="meter-1",
            at_ms=[seed_ms + n],
            values={
                "active_power_w": [1000.0 + n % 7],
                "voltage_a_v": [230.1],
                "current_a_a": [4.5],
                "forward_energy_wh": [float(n)],
            },
        )
        made.append((topics.topic(f"s{node}", f"n{node}", Channel.SAMPLES), wire.encode(message)))
    return made


def queue_up(broker: Mosquitto, session: Callable[[], None], messages: list[tuple[str, bytes]], folder: Path) -> None:
    """Make the session known to the broker, then publish everything while it is away."""
    session()
    file = folder / "messages"
    file.write_bytes(b"\n".join(topic.encode() + b" " + payload for topic, payload in messages))
    subprocess.run([sys.executable, "-m", "bench.ingest", "--publish", broker.url, str(file)], check=True)


def county(folder: Path) -> Database:
    """Sites and nodes."""
    database = open_database(sqlite_url(folder / "cloud.sqlite"))
    migrate.migrate(database.engine)
    key = public_key_text(KEY.public_key())
    with database.write() as session:
        session.add_all(
            Site(site_id=f"s{n}", name_zh=f"{n}", name_en=f"{n}", declared_status="power_cut") for n in range(NODES)
        )
        session.flush()
        session.add_all(Node(node_id=f"n{n}", site_id=f"s{n}", public_key=key) for n in range(NODES))
    return database


Store = SqliteTelemetry | SpooledTelemetry


def ours(broker: Mosquitto, store: Store, messages: list[tuple[str, bytes]], folder: Path) -> Taken:
    """Ingestion as it is."""
    database, worker = county(folder), secrets.token_hex(4)

    def make() -> Ingest:
        return Ingest(
            mqtt=MqttSettings(url=broker.url),
            group="ingest",
            worker=worker,
            database=database,
            telemetry=store,
            evidence=FileEvidence(folder / "evidence"),
            ladder=Ladder(),
            clock=SystemClock(),
            committed=lambda: None,
        )

    def known() -> None:
        ingest = make()
        ingest.start()
        if not ingest.wait_connected(20):
            raise SystemExit("no broker")
        time.sleep(0.5)  # the subscriptions, which nobody reports
        ingest.stop()

    queue_up(broker, known, messages, folder)
    ingest = make()
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    ingest.start()

    def stored() -> int:
        return int(ingest.counters.as_dict()["stored_by_channel"].get("samples", 0))

    def durable() -> bool:
        waiting = store.spool.state().points if isinstance(store, SpooledTelemetry) else 0
        return stored() >= len(messages) and waiting == 0

    _until(durable)
    taken = Taken(wall_s=time.perf_counter() - wall_s, cpu_s=time.process_time() - cpu_s, lost=len(messages) - stored())
    ingest.stop()
    database.close()
    return taken


def plain(broker: Mosquitto, url: str, messages: list[tuple[str, bytes]], folder: Path) -> Taken:
    """The plain loop of the module's first paragraph."""
    came, lines = 0, list[str]()
    http = httpx.Client(base_url=url)
    parameters = {"bucket": BUCKET, "org": "bench", "precision": "ms"}

    def send() -> None:
        http.post("/api/v2/write", params=parameters, content="\n".join(lines)).raise_for_status()
        lines.clear()

    def on_message(_client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        nonlocal came
        row = json.loads(message.payload)
        fields = ",".join(f"{name}={column[0]}" for name, column in row["values"].items())
        tags = f"site={row['origin']['site_id']},node={row['origin']['node_id']}"
        lines.append(f"plain,{tags} {fields} {row['at_ms'][0]}")
        came += 1
        if len(lines) >= 5000 or came == len(messages):
            send()

    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"plain-{secrets.token_hex(4)}", protocol=paho.MQTTv5)
    client.on_message = on_message
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 3600
    host, port = "127.0.0.1", broker.port

    def known() -> None:
        subscribed = threading.Event()
        client.on_subscribe = lambda *_: subscribed.set()
        client.connect(host, port, clean_start=False, properties=properties)
        client.loop_start()
        client.subscribe("seal/v1/+/+/samples", qos=1)
        subscribed.wait(10)
        client.disconnect()
        client.loop_stop()

    queue_up(broker, known, messages, folder)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    client.connect(host, port, clean_start=False, properties=properties)
    client.loop_start()
    _until(lambda: came >= len(messages) and not lines)
    taken = Taken(wall_s=time.perf_counter() - wall_s, cpu_s=time.process_time() - cpu_s, lost=len(messages) - came)
    client.disconnect()
    client.loop_stop()
    http.close()
    return taken


def _until(condition: Callable[[], bool]) -> None:
    until_s = time.perf_counter() + PATIENCE_S
    while not condition() and time.perf_counter() < until_s:
        time.sleep(0.01)


def row(name: str, taken: Taken) -> str:
    """A line of the table."""
    rate = MESSAGES / taken.wall_s
    return f"| {name} | {rate:,.0f} | {rate * VALUES:,.0f} | {taken.cpu_s / MESSAGES * 1e6:.0f} | {taken.lost} |"


@contextmanager
def case() -> Iterator[tuple[Mosquitto, Path]]:
    """A broker and a folder of their own for each line, so that nothing is left over from the one before."""
    with mosquitto_or_skip() as broker, tempfile.TemporaryDirectory() as folder:
        yield broker, Path(folder)


def _server(server: Influx1 | Victoria, name: str) -> Iterator[str]:
    messages = payloads(time.time_ns() // 1_000_000 - 3_600_000)
    with case() as (broker, folder):
        yield row(f"{name}: plain loop", plain(broker, server.url, messages, folder))
    with case() as (broker, folder):
        remote = (
            InfluxTelemetry(server.url, bucket=BUCKET) if isinstance(server, Influx1) else VictoriaTelemetry(server.url)
        )
        store = SpooledTelemetry(remote, Spool(folder / "spool.sqlite"))
        store.start()
        yield row(f"{name}: ours", ours(broker, store, messages, folder))
        store.close()


def main() -> int:
    """Print the table; 1 where a server is not installed."""
    print("## Ingestion after an outage: the same messages into each store, beside a plain loop\n")
    print(
        f"{MESSAGES:,} messages of {VALUES} values wait at Mosquitto (queue limits as shipped). Wanted: 5,000 messages "
        "and 20,000 values a second, 60 µs of CPU a message, none lost.\n"
    )
    print("| way | messages/s | values/s | CPU µs a message | lost |\n|---|---|---|---|---|")
    try:
        influx, victoria = influx1_or_skip(), victoria_or_skip()
    except pytest.skip.Exception as missing:
        print(f"\n{missing}", file=sys.stderr)
        return 1
    with case() as (broker, folder):
        store = SqliteTelemetry(folder / "telemetry.sqlite")
        print(row("embedded: ours", ours(broker, store, payloads(1_700_000_000_000), folder)), flush=True)
        store.close()
    with influx as server:
        with reader(server.url, "") as client:
            set_up(client, bucket=BUCKET, org="bench", retention=Retention())
        for line in _server(server, "InfluxDB 1.6"):
            print(line, flush=True)
    with victoria as second:
        for line in _server(second, "VictoriaMetrics 1.79"):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
