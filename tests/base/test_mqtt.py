"""One MQTT session on real brokers: the embedded one always, the distribution's Mosquitto where it is installed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from sealwatch.base.broker import EmbeddedBroker, free_port
from sealwatch.base.mqtt import Message, MqttSettings, Session, Will
from sealwatch.base.settings import SettingsError
from tests.support import Mosquitto, mosquitto_or_skip

TIMEOUT_S = 10.0


@pytest.fixture(params=["embedded", pytest.param("mosquitto", marks=pytest.mark.mosquitto)])
def broker(request: pytest.FixtureRequest) -> Iterator[EmbeddedBroker | Mosquitto]:
    started: EmbeddedBroker | Mosquitto
    started = EmbeddedBroker() if request.param == "embedded" else mosquitto_or_skip()
    with started:
        yield started


class Inbox:
    """Collects messages and lets a test wait for the one it wants."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._came = threading.Condition()

    def __call__(self, message: Message) -> None:
        with self._came:
            self.messages.append(message)
            self._came.notify_all()

    def wait_for(self, count: int) -> bool:
        with self._came:
            return self._came.wait_for(lambda: len(self.messages) >= count, TIMEOUT_S)


def subscribed(url: str, inbox: Inbox, topic: str) -> Session:
    """A session whose subscription the broker has confirmed."""
    session = Session(MqttSettings(url=url), client_id="listener", subscriptions=(topic,), on_message=inbox)
    session.start()
    assert session.wait_connected(TIMEOUT_S)
    return session


def test_a_published_message_arrives(broker: EmbeddedBroker | Mosquitto) -> None:
    inbox = Inbox()
    listener = subscribed(broker.url, inbox, "seal/v1/a/#")
    speaker = Session(MqttSettings(url=broker.url), client_id="speaker")
    speaker.start()
    assert speaker.wait_connected(TIMEOUT_S)
    before = len(inbox.messages)
    assert speaker.publish("seal/v1/a/b/alarm", b"hello") is not None
    assert inbox.wait_for(before + 1)
    assert b"hello" in [m.payload for m in inbox.messages]
    speaker.stop()
    listener.stop()


def test_the_will_is_spoken_when_a_node_vanishes(broker: EmbeddedBroker | Mosquitto) -> None:
    inbox = Inbox()
    listener = subscribed(broker.url, inbox, "seal/v1/w/#")
    node = Session(MqttSettings(url=broker.url), client_id="node", will=Will("seal/v1/w/n/status", b"offline"))
    node.start()
    assert node.wait_connected(TIMEOUT_S)
    before = len(inbox.messages)
    connection = node._client.socket()
    assert isinstance(connection, socket.socket)
    node._client.on_disconnect = None
    node._client.reconnect_delay_set(60, 60)
    connection.shutdown(socket.SHUT_RDWR)
    assert inbox.wait_for(before + 1)
    assert b"offline" in [m.payload for m in inbox.messages]
    listener.stop()
    node._client.loop_stop()


def test_publishing_while_offline_says_so_instead_of_queueing() -> None:
    session = Session(MqttSettings(url=f"mqtt://127.0.0.1:{free_port()}"), client_id="lonely")
    session.start()
    assert not session.connected
    assert session.publish("seal/v1/a/b/alarm", b"x") is None
    session.stop()


def test_a_broker_that_is_away_is_told_once_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    session = Session(MqttSettings(url=f"mqtt://127.0.0.1:{free_port()}"), client_id="lonely")
    session._client.reconnect_delay_set(0, 0)
    failed, failures = session._client.on_connect_fail, threading.Semaphore(0)

    def counted(client: paho.Client, data: object) -> None:
        assert failed is not None
        failed(client, data)
        failures.release()

    session._client.on_connect_fail = counted
    session.start()
    assert all(failures.acquire(timeout=TIMEOUT_S) for _ in range(3))
    session.stop()
    (told,) = caplog.messages
    assert "Connection refused" in told


def test_what_the_broker_does_not_let_a_session_hear_is_told(caplog: pytest.LogCaptureFixture) -> None:
    session = Session(MqttSettings(url="mqtt://127.0.0.1"), client_id="curious", subscriptions=("t/#", "u/#"))
    codes = [ReasonCode(PacketTypes.SUBACK, identifier=code) for code in (1, 0x87)]
    session._subscribe_came(session._client, None, 1, codes, None)
    session._subscribe_came(session._client, None, 2, codes, None)
    (told,) = caplog.messages
    assert "listen to u/#: Not authorized" in told


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ca_file": "/nowhere/ca.pem"}, "mqtt.ca_file: /nowhere/ca.pem cannot be read"),
        ({"certificate_file": __file__}, "certificate or key cannot be used"),
        ({"ca_file": __file__}, "certificate or key cannot be used"),
        ({"url": "mqtts://broker:99999999"}, "no valid port"),
    ],
)
def test_an_address_or_certificate_that_cannot_be_used_is_said_before_anything_starts(
    changes: dict[str, str], words: str
) -> None:
    wanted = {"url": "mqtts://127.0.0.1", **changes}
    with pytest.raises(SettingsError, match=words):
        Session(MqttSettings(**wanted), client_id="wrong")
