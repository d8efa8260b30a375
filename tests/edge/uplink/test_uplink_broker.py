"""The uplink on real brokers: the embedded one always, the distribution's Mosquitto plain and with TLS where it is."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from sealwatch.base.broker import EmbeddedBroker, free_port
from sealwatch.base.clock import SystemClock
from sealwatch.base.mqtt import Message, MqttSettings, Session
from sealwatch.contract import topics, wire
from sealwatch.contract.messages import Status
from sealwatch.contract.topics import Channel
from sealwatch.edge.identity import load_or_create
from sealwatch.edge.uplink.entries import Ref
from sealwatch.edge.uplink.outbox import Outbox
from sealwatch.edge.uplink.publisher import Publisher
from tests.certificates import Authority
from tests.edge.uplink.helpers import BOOT_A
from tests.edge.uplink.test_publisher import draft
from tests.edge.uplink.wire_twin import NODE, SITE, TinyService, sink_for, topic
from tests.support import Mosquitto, mosquitto_or_skip

TIMEOUT_S = 15.0
_TLS = """\
listener {{port}} 127.0.0.1
cafile {ca}
certfile {certificate}
keyfile {key}
require_certificate true
use_identity_as_username true
allow_anonymous false
"""


class Watch:
    """Waits for something to become true, told by whoever changes it."""

    def __init__(self) -> None:
        self._condition = threading.Condition()

    def tell(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def until(self, holds: Callable[[], bool]) -> bool:
        with self._condition:
            return self._condition.wait_for(holds, TIMEOUT_S)


class Service:
    """The tiny service on a session of its own."""

    def __init__(self, tiny: TinyService, mqtt: MqttSettings, watch: Watch) -> None:
        self.tiny, self._watch = tiny, watch
        channels = (Channel.ALARM, Channel.SNAPSHOT, Channel.SAMPLES, Channel.STATUS, Channel.REPLY)
        self.session = Session(
            mqtt,
            client_id="service",
            subscriptions=tuple(topics.wildcard(channel) for channel in channels),
            on_message=self._came,
        )
        self.session.start()

    def _came(self, message: Message) -> None:
        ack = self.tiny.receive(message.topic, message.payload)
        if ack is not None:
            self.session.publish(topic(Channel.ACK), ack)
        self._watch.tell()

    def stop(self) -> None:
        self.session.stop()


class Uplink:
    """A node's outbox, sink and publisher on the system's clock, running on a thread."""

    def __init__(self, folder: Path, mqtt: MqttSettings) -> None:
        self.clock = SystemClock()
        self.identity = load_or_create(folder)
        self.outbox = Outbox(folder / "outbox.db", boot_id=BOOT_A, clock=self.clock)
        self.sink = sink_for(self.outbox, self.identity, self.clock)
        self.publisher = Publisher(self.outbox, site_id=SITE, node_id=NODE, mqtt=mqtt, clock=self.clock)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.publisher.run, args=(self._stop,))

    def start(self) -> None:
        self._thread.start()

    def emptied(self) -> bool:
        """Wait until the service's acks have emptied the outbox."""
        released, plain = Watch(), self.outbox.release

        def release(refs: Iterable[Ref]) -> None:
            plain(refs)
            released.tell()

        self.outbox.release = release  # type: ignore[method-assign]  # a tap, so that nothing has to be polled
        return released.until(lambda: self.outbox.stats().depth == 0)

    def alarm(self, alarm_id: str) -> None:
        self.sink.alarm(draft(self.clock, alarm_id))

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()
        self.outbox.close()


@pytest.fixture(params=["embedded", pytest.param("mosquitto", marks=pytest.mark.mosquitto)])
def broker(request: pytest.FixtureRequest) -> Iterator[EmbeddedBroker | Mosquitto]:
    started: EmbeddedBroker | Mosquitto
    started = EmbeddedBroker() if request.param == "embedded" else mosquitto_or_skip()
    with started:
        yield started


def test_alarms_arrive_are_acked_and_leave_and_the_status_says_online_and_goodbye(
    tmp_path: Path, broker: EmbeddedBroker | Mosquitto
) -> None:
    mqtt, watch = MqttSettings(url=broker.url), Watch()
    uplink = Uplink(tmp_path, mqtt)
    service = Service(TinyService(uplink.identity), mqtt, watch)
    assert service.session.wait_connected(TIMEOUT_S)
    uplink.start()
    for number in range(50):
        uplink.alarm(f"alarm-{number}")
    assert watch.until(lambda: len(service.tiny.taken) == 50)
    assert watch.until(lambda: any(s.state == "online" for s in service.tiny.statuses))
    assert uplink.emptied()
    uplink.stop()
    assert watch.until(lambda: service.tiny.statuses[-1].state == "offline")
    service.stop()


def test_who_subscribes_later_still_learns_the_status_because_it_is_retained(
    tmp_path: Path, broker: EmbeddedBroker | Mosquitto
) -> None:
    mqtt, watch = MqttSettings(url=broker.url), Watch()
    uplink = Uplink(tmp_path, mqtt)
    uplink.start()
    early = Service(TinyService(uplink.identity), mqtt, watch)
    assert watch.until(lambda: bool(early.tiny.statuses))
    early.stop()
    late: list[Status] = []

    def came(message: Message) -> None:
        late.append(wire.decode(Status, message.payload))
        watch.tell()

    session = Session(mqtt, client_id="late", subscriptions=(topic(Channel.STATUS),), on_message=came)
    session.start()
    assert watch.until(lambda: bool(late))
    assert late[0].state == "online"
    assert late[0].boot_id == BOOT_A
    session.stop()
    uplink.stop()


@pytest.mark.mosquitto
def test_a_broker_that_comes_up_later_dies_and_comes_back_loses_nothing(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        broker = mosquitto_or_skip()
        stack.push(broker)
        mqtt, watch = MqttSettings(url=broker.url), Watch()
        uplink = Uplink(tmp_path, mqtt)
        uplink.start()
        uplink.alarm("before")
        assert uplink.publisher.health().reason == "broker_unreachable"
        broker.start()
        service = Service(TinyService(uplink.identity), mqtt, watch)
        assert watch.until(lambda: len(service.tiny.taken) == 1)
        broker.kill()
        for number in range(20):
            uplink.alarm(f"while-away-{number}")
        assert uplink.outbox.stats().depth in (20, 21), "the first one's ack may have died with the broker"
        broker.start()
        assert watch.until(lambda: len(service.tiny.taken) == 21)
        uplink.stop()
        service.stop()


@pytest.mark.mosquitto
def test_with_tls_and_a_certificate_for_each_side_alarms_arrive(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("broker")
    broker = mosquitto_or_skip(_TLS.format(ca=authority.ca_file, certificate=certificate, key=key))
    with broker:
        url = broker.url.replace("mqtt://", "mqtts://")

        def settings_of(name: str) -> MqttSettings:
            own, private = authority.issue(name)
            return MqttSettings(
                url=url, ca_file=str(authority.ca_file), certificate_file=str(own), key_file=str(private)
            )

        watch = Watch()
        uplink = Uplink(tmp_path, settings_of(NODE))
        service = Service(TinyService(uplink.identity), settings_of("service"), watch)
        assert service.session.wait_connected(TIMEOUT_S)
        uplink.start()
        uplink.alarm("one")
        assert watch.until(lambda: len(service.tiny.taken) == 1)
        uplink.stop()
        service.stop()


@pytest.mark.mosquitto
def test_a_node_without_a_certificate_is_not_let_in_and_keeps_its_alarms(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("broker")
    broker = mosquitto_or_skip(_TLS.format(ca=authority.ca_file, certificate=certificate, key=key))
    with broker:
        mqtt = MqttSettings(url=broker.url.replace("mqtt://", "mqtts://"), ca_file=str(authority.ca_file))
        uplink = Uplink(tmp_path, mqtt)
        uplink.alarm("one")
        uplink.start()
        uplink.stop()
        assert not uplink.publisher._link.connected
    assert Outbox(tmp_path / "outbox.db", boot_id=BOOT_A, clock=SystemClock()).stats().depth == 1


def test_a_port_nobody_listens_on_stops_nothing(tmp_path: Path) -> None:
    uplink = Uplink(tmp_path, MqttSettings(url=f"mqtt://127.0.0.1:{free_port()}"))
    uplink.start()
    uplink.alarm("one")
    assert uplink.outbox.stats().depth == 1
    uplink.stop()
