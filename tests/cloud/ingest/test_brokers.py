"""Ingestion behind real brokers: the embedded one, and the distribution's Mosquitto with the limits of `deploy/`."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import func, select

from sealwatch.base.broker import EmbeddedBroker, free_port
from sealwatch.base.clock import SystemClock
from sealwatch.base.mqtt import Message, MqttSettings, Session
from sealwatch.cloud.db.tables import AlarmTransition, Node, QuarantineCount
from sealwatch.cloud.ingest.lane import LANES, acks, subscriptions
from sealwatch.cloud.ingest.record import Outcome
from sealwatch.cloud.ingest.worker import Ingest
from sealwatch.cloud.ports import TelemetryStore
from sealwatch.contract import topics, wire
from sealwatch.contract.messages import Ack, AckItem, Alarm, Status
from sealwatch.contract.topics import Channel
from tests.cloud.ingest.test_record import Flaky
from tests.cloud.world import World
from tests.support import Mosquitto, mosquitto_or_skip

WAIT_S = 20.0


@pytest.fixture(params=["embedded", pytest.param("mosquitto", marks=pytest.mark.mosquitto)])
def broker(request: pytest.FixtureRequest) -> Iterator[EmbeddedBroker | Mosquitto]:
    chosen = EmbeddedBroker() if request.param == "embedded" else mosquitto_or_skip()
    with chosen:
        yield chosen


class FieldNode:
    """A node as the broker sees it: publishes, and keeps the acks it gets."""

    def __init__(self, url: str, node_id: str = "node-1", site_id: str = "s1") -> None:
        self.node_id, self.site_id = node_id, site_id
        self.acks: queue.Queue[AckItem] = queue.Queue()
        self.session = Session(
            MqttSettings(url=url),
            client_id=f"test-{node_id}",
            subscriptions=(topics.topic(site_id, node_id, Channel.ACK),),
            on_message=self._came,
        )
        self.session.start()
        assert self.session.wait_connected(WAIT_S)

    def _came(self, message: Message) -> None:
        for item in wire.decode(Ack, message.payload).items:
            self.acks.put(item)

    def send(self, channel: Channel, payload: bytes, *, retain: bool = False) -> None:
        topic = topics.topic(self.site_id, self.node_id, channel)
        assert self.session.publish(topic, payload, retain=retain) is not None

    def next_ack(self) -> AckItem:
        return self.acks.get(timeout=WAIT_S)


class Running:
    """Ingestion on a world, started; `stop` and start again as often as a test likes."""

    def __init__(self, world: World, url: str, *, group: str = "", worker: str = "w1") -> None:
        self.world = world
        self.committed = threading.Semaphore(0)
        self.ingest = Ingest(
            mqtt=MqttSettings(url=url),
            group=group,
            worker=worker,
            database=world.database,
            telemetry=world.telemetry,
            evidence=world.evidence,
            ladder=world.ladder,
            clock=SystemClock(),
            committed=self.committed.release,
        )
        self.ingest.start()

    def wait_commit(self) -> None:
        assert self.committed.acquire(timeout=WAIT_S)

    def stop(self) -> None:
        self.ingest.stop()


@pytest.fixture
def started(world: World, broker: EmbeddedBroker | Mosquitto) -> Iterator[tuple[World, FieldNode, Running]]:
    running = Running(world, broker.url)
    assert running.ingest.wait_connected(WAIT_S)
    node = FieldNode(broker.url)
    yield world, node, running
    node.session.stop()
    running.stop()


Started = tuple[World, FieldNode, Running]


def stored(world: World) -> int:
    with world.database.read() as session:
        return session.scalar(select(func.count()).select_from(AlarmTransition)) or 0


def send_alarm(world: World, node: FieldNode, alarm: Alarm) -> None:
    node.send(Channel.ALARM, world.sealed(alarm).payload)


def test_when_the_ack_arrives_the_alarm_is_committed(started: Started) -> None:
    world, node, _ = started
    alarm = world.alarm("person")
    send_alarm(world, node, alarm)
    ack = node.next_ack()
    assert (ack.boot_id, ack.seq, ack.outcome) == (alarm.origin.boot_id, alarm.origin.seq, "stored")
    assert stored(world) == 1
    send_alarm(world, node, alarm)
    assert node.next_ack().outcome == "duplicate"
    assert stored(world) == 1


def test_a_refused_alarm_is_not_released_and_not_delivered_for_ever(
    started: Started, broker: EmbeddedBroker | Mosquitto
) -> None:
    world, node, running = started
    payload = world.sealed(world.alarm("person")).payload
    node.send(Channel.ALARM, payload.replace(b"person_in_zone", b"nothing_at_all"))
    ack = node.next_ack()
    assert (ack.outcome, ack.reason) == ("refused", "bad_signature")
    node.send(Channel.ALARM, b"{")
    send_alarm(world, node, world.alarm("person"))
    assert node.next_ack().outcome == "stored"
    running.stop()
    again = Running(world, broker.url)
    assert again.ingest.wait_connected(WAIT_S)
    send_alarm(world, node, world.alarm("person", alarm_id="p2"))
    assert node.next_ack().outcome == "stored"
    assert again.ingest.counters.as_dict()["quarantined"] == 0
    again.stop()
    with world.database.read() as session:
        assert session.get_one(QuarantineCount, "not_json").count == 1


def test_what_was_sent_while_the_service_was_away_arrives_when_it_is_back(
    started: Started, broker: EmbeddedBroker | Mosquitto
) -> None:
    world, node, running = started
    send_alarm(world, node, world.alarm("person", alarm_id="before"))
    assert node.next_ack().outcome == "stored"
    running.stop()
    for number in range(30):
        send_alarm(world, node, world.alarm("person", alarm_id=f"away-{number}"))
    again = Running(world, broker.url)
    assert {node.next_ack().outcome for _ in range(30)} <= {"stored", "duplicate"}
    assert stored(world) == 31
    again.stop()


def test_what_was_not_committed_when_the_service_stopped_comes_again(
    world: World, broker: EmbeddedBroker | Mosquitto
) -> None:
    class Away:
        """A database that can't take anything."""

        def record(self, arrivals: Sequence[Any]) -> list[Outcome | None]:
            asked.set()
            return [None] * len(arrivals)

    asked = threading.Event()
    running = Running(world, broker.url)
    running.ingest.lanes[0]._recorder = Away()
    assert running.ingest.wait_connected(WAIT_S)
    node = FieldNode(broker.url)
    send_alarm(world, node, world.alarm("person"))
    assert asked.wait(WAIT_S)
    running.stop()
    assert stored(world) == 0
    again = Running(world, broker.url)
    assert node.next_ack().outcome == "stored"
    again.stop()
    node.session.stop()


def test_while_the_telemetry_store_is_away_alarms_go_on_and_samples_wait(
    build_world: Callable[..., World], broker: EmbeddedBroker | Mosquitto
) -> None:
    telemetry = Flaky(ConnectionError("the server is away"))
    store: TelemetryStore = telemetry
    world = build_world(telemetry=store)
    running = Running(world, broker.url)
    assert running.ingest.wait_connected(WAIT_S)
    node = FieldNode(broker.url)
    samples = world.samples()
    node.send(Channel.SAMPLES, samples.payload)
    for number in range(5):
        send_alarm(world, node, world.alarm("person", alarm_id=f"p{number}"))
    assert [node.next_ack().outcome for _ in range(5)] == ["stored"] * 5
    assert node.acks.empty()
    telemetry.error = None
    ack = node.next_ack()
    assert ack.outcome == "stored"
    assert running.ingest.counters.as_dict()["stored_by_channel"]["samples"] == 1
    running.stop()
    node.session.stop()


def test_a_node_that_spoke_before_the_service_started_is_known_by_its_retained_status(
    world: World, broker: EmbeddedBroker | Mosquitto
) -> None:
    node = FieldNode(broker.url)
    status = Status(
        site_id="s1",
        node_id="node-1",
        boot_id="0" * 32,
        state="online",
        reported_at_ms=world.clock.wall_ms(),
        agent_version="1",
    )
    node.send(Channel.STATUS, wire.encode(status), retain=True)
    send_alarm(world, node, world.alarm("person"))  # the broker has taken both once this one is answered
    running = Running(world, broker.url)
    running.wait_commit()
    with world.database.read() as session:
        state = session.get_one(Node, "node-1").state
    while state != "online":
        running.wait_commit()
        with world.database.read() as session:
            state = session.get_one(Node, "node-1").state
    running.stop()
    node.session.stop()


@pytest.mark.parametrize("size", [300_000, 1_000_000])
def test_a_payload_far_too_large_does_not_stop_what_comes_after_it(started: Started, size: int) -> None:
    world, node, _ = started
    node.send(Channel.ALARM, b"x" * size)
    send_alarm(world, node, world.alarm("person"))
    assert node.next_ack().outcome == "stored"


def test_a_message_at_qos_0_does_not_cost_the_connection(started: Started) -> None:
    world, node, running = started
    topic = topics.topic("s1", "node-1", Channel.ALARM)
    node.session._client.publish(topic, world.sealed(world.alarm("person", alarm_id="q0")).payload, qos=0)
    assert node.next_ack().outcome == "stored"
    send_alarm(world, node, world.alarm("person", alarm_id="q1"))
    assert node.next_ack().outcome == "stored"
    assert running.ingest.connected


def test_a_broker_that_is_down_at_the_start_is_tried_until_it_is_there(world: World) -> None:
    port = free_port()
    running = Running(world, f"mqtt://127.0.0.1:{port}")
    assert not running.ingest.connected
    with EmbeddedBroker(port) as broker:
        assert running.ingest.wait_connected(WAIT_S)
        node = FieldNode(broker.url)
        send_alarm(world, node, world.alarm("person"))
        assert node.next_ack().outcome == "stored"
        node.session.stop()
        running.stop()


@pytest.mark.mosquitto
def test_two_services_of_one_group_share_the_messages_and_store_each_once(world: World) -> None:
    with mosquitto_or_skip() as broker:
        workers = [Running(world, broker.url, group="ingest", worker=f"w{n}") for n in range(2)]
        assert all(w.ingest.wait_connected(WAIT_S) for w in workers)
        node = FieldNode(broker.url)
        for number in range(60):
            send_alarm(world, node, world.alarm("person", alarm_id=f"p{number}"))
        assert [node.next_ack().outcome for _ in range(60)] == ["stored"] * 60
        shares = [w.ingest.counters.as_dict()["stored"] for w in workers]
        assert sum(shares) == 60
        assert min(shares) > 0
        for worker in workers:
            worker.stop()
        node.session.stop()
    assert stored(world) == 60
    assert len(world.incidents()) == 1


def test_subscriptions_are_shared_but_for_the_status() -> None:
    assert subscriptions(LANES[0], "ingest") == (
        "$share/ingest-alarms/seal/v1/+/+/alarm",
        "$share/ingest-alarms/seal/v1/+/+/reply",
    )
    assert subscriptions(LANES[1], "ingest") == ("seal/v1/+/+/status",)
    assert subscriptions(LANES[-1], "") == ("seal/v1/+/+/samples",)


def test_acks_are_one_message_a_node_and_never_longer_than_the_contract_allows(world: World) -> None:
    outcomes = [
        Outcome(name="stored", reason="taken", channel="alarm", origin=world.origin("node-1")) for _ in range(1500)
    ]
    outcomes.append(Outcome(name="quarantined", reason="not_json", channel="alarm"))
    outcomes.append(Outcome(name="quarantined", reason="unknown_key", channel="alarm", origin=world.origin("node-2")))
    made = acks(outcomes, now_ms=1)
    assert [(topic.rsplit("/", 2)[1], len(ack.items)) for topic, ack in made] == [
        ("node-1", 1000),
        ("node-1", 500),
        ("node-2", 1),
    ]
    assert made[-1][1].items[0].outcome == "refused"
    for _, ack in made:
        wire.decode(Ack, wire.encode(ack))
