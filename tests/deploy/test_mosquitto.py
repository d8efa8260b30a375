"""The shipped broker configuration on the distribution's Mosquitto: a node touches its own branch and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sealwatch.base.mqtt import Message, MqttSettings, Session
from tests.certificates import Authority
from tests.support import Mosquitto, mosquitto_or_skip

pytestmark = pytest.mark.mosquitto
DEPLOY = Path(__file__).parents[2] / "deploy" / "mosquitto"
TIMEOUT_S = 10.0


class County:
    """The broker as shipped, and sessions with certificates."""

    def __init__(self, broker: Mosquitto, authority: Authority) -> None:
        self.broker, self.authority = broker, authority
        self.received: list[Message] = []
        self._came = threading.Condition()
        self._sessions: list[Session] = []

    def session(self, name: str, *subscriptions: str, authority: Authority | None = None) -> Session:
        certificate, key = (authority or self.authority).issue(name)
        session = Session(
            MqttSettings(
                url=self.broker.url.replace("mqtt:", "mqtts:"),
                ca_file=str(self.authority.ca_file),
                certificate_file=str(certificate),
                key_file=str(key),
            ),
            client_id=name,
            subscriptions=subscriptions,
            on_message=self._receive,
        )
        session.start()
        self._sessions.append(session)
        return session

    def connected(self, name: str, *subscriptions: str) -> Session:
        session = self.session(name, *subscriptions)
        assert session.wait_connected(TIMEOUT_S)
        return session

    def _receive(self, message: Message) -> None:
        with self._came:
            self.received.append(message)
            self._came.notify_all()

    def wait_for(self, payload: bytes) -> bool:
        with self._came:
            return self._came.wait_for(lambda: payload in [m.payload for m in self.received], TIMEOUT_S)

    def stop(self) -> None:
        for session in self._sessions:
            session.stop()


@pytest.fixture
def county(tmp_path: Path) -> Iterator[County]:
    authority = Authority(tmp_path)
    authority.issue("broker")
    authority.write_crl()
    acl = tmp_path / "acl"
    acl.write_text((DEPLOY / "acl").read_text())
    shipped = (DEPLOY / "mosquitto.conf").read_text()
    config = (
        shipped.replace("listener 8883", "listener {port} 127.0.0.1")
        .replace("/etc/mosquitto/sealwatch/", f"{tmp_path}/")
        .replace("/var/lib/mosquitto/", "{folder}/")
    )
    broker = mosquitto_or_skip(config)
    with broker:
        county = County(broker, authority)
        yield county
        county.stop()


def test_a_node_reaches_the_service_and_the_service_reaches_it(county: County) -> None:
    service = county.connected("sealwatch-cloud", "$share/ingest/seal/v1/+/+/alarm")
    node = county.connected("node-1", "seal/v1/site-1/node-1/ack")
    node.publish("seal/v1/site-1/node-1/alarm", b"alarm of node 1")
    assert county.wait_for(b"alarm of node 1")
    service.publish("seal/v1/site-1/node-1/ack", b"ack for node 1")
    assert county.wait_for(b"ack for node 1")


def test_a_node_can_neither_write_nor_read_anothers_branch(county: County) -> None:
    service = county.connected("sealwatch-cloud", "seal/v1/+/+/alarm")
    thief = county.connected("node-2", "seal/v1/+/+/alarm", "seal/v1/site-1/node-1/ack", "#")
    thief.publish("seal/v1/site-1/node-1/alarm", b"forged")
    service.publish("seal/v1/site-1/node-1/ack", b"not for node 2")
    # What is allowed and sent afterwards arrives; what was sent before it would have arrived first.
    thief.publish("seal/v1/site-1/node-2/alarm", b"own alarm")
    service.publish("seal/v1/site-1/node-2/ack", b"own ack")
    county.connected("node-2-reader", "seal/v1/site-1/node-2-reader/ack")
    assert county.wait_for(b"own alarm")
    payloads = [m.payload for m in county.received]
    assert b"forged" not in payloads
    assert b"not for node 2" not in payloads


def test_a_certificate_of_another_authority_is_turned_away(county: County, tmp_path: Path) -> None:
    folder = tmp_path / "stranger"
    folder.mkdir()
    stranger = county.session("node-1", authority=Authority(folder, name="another CA"))
    assert not stranger.wait_connected(1.0)


def test_a_connection_without_a_certificate_is_turned_away(county: County) -> None:
    settings = MqttSettings(url=county.broker.url.replace("mqtt:", "mqtts:"), ca_file=str(county.authority.ca_file))
    session = Session(settings, client_id="nobody")
    session.start()
    assert not session.wait_connected(1.0)
    session.stop()
