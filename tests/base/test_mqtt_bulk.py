"""Messages by the read: whatever the reads are cut into, and beside everything else that paho does."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import MQTTErrorCode

from sealwatch.base.mqtt import MqttSettings, Session
from sealwatch.base.mqtt_bulk import BulkClient, MalformedError, Message, head, message
from tests.certificates import Authority
from tests.support import mosquitto_or_skip

WAIT_S = 20.0


def length(value: int) -> bytes:
    """A variable byte integer of MQTT 5, 1.5.5."""
    found = bytearray()
    while True:
        value, byte = divmod(value, 128)
        found.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(found)


def publish(one: Message, properties: bytes = b"") -> bytes:
    """A PUBLISH packet of MQTT 5, 3.3."""
    topic = one.topic.encode()
    body = len(topic).to_bytes(2, "big") + topic + (one.mid.to_bytes(2, "big") if one.mid else b"")
    body += length(len(properties)) + properties + one.payload
    return bytes([0x30 | (0x02 if one.mid else 0) | one.retain]) + length(len(body)) + body


class Pieces:
    """A socket that gives what came in pieces of the wanted sizes, then nothing more for now."""

    def __init__(self, data: bytes, sizes: Sequence[int]) -> None:
        self._data, self._sizes = data, list(sizes)

    def recv(self, most: int) -> bytes:
        if not self._data:
            raise BlockingIOError
        size = min(most, self._sizes.pop() if self._sizes else most)
        piece, self._data = self._data[:size], self._data[size:]
        return piece


def fed(data: bytes, sizes: Sequence[int], takes: Sequence[int] = ()) -> tuple[list[Message], MQTTErrorCode]:
    """What a client makes of these bytes; `takes` says how many of each offer are taken, then all are."""
    came: list[Message] = []
    limits = list(takes)

    def on_bulk(messages: Sequence[Message]) -> int:
        taken = min(len(messages), limits.pop()) if limits else len(messages)
        came.extend(messages[:taken])
        return taken

    client = BulkClient(client_id="fed", on_bulk=on_bulk)
    client._sock = Pieces(data, sizes)  # type: ignore[assignment]  # as much of a socket as reading wants
    result = MQTTErrorCode.MQTT_ERR_SUCCESS
    while result == MQTTErrorCode.MQTT_ERR_SUCCESS:
        if client._untaken:
            client._hand_over()
            continue
        result = client._packet_read()
    client._sock = None
    return came, result


MESSAGES = st.builds(
    Message, st.text(st.characters(codec="utf-8"), max_size=20), st.binary(max_size=300), st.integers(0, 65535),
    st.booleans(),
)  # fmt: skip
PINGRESP = b"\xd0\x00"


@given(
    st.lists(st.tuples(MESSAGES, st.binary(max_size=200)), max_size=8),
    st.lists(st.integers(1, 40), max_size=60),
    st.lists(st.integers(0, 3), max_size=6),
)
def test_messages_come_whole_and_in_their_order_however_the_reads_are_cut(
    sent: list[tuple[Message, bytes]], sizes: list[int], takes: list[int]
) -> None:
    data = b"".join(publish(one, properties) + PINGRESP for one, properties in sent)
    assert fed(data, sizes, takes) == ([one for one, _ in sent], MQTTErrorCode.MQTT_ERR_AGAIN)


@given(st.binary(max_size=60))
def test_noise_is_an_end_of_the_connection_and_never_an_exception(noise: bytes) -> None:
    _, result = fed(noise.replace(b"\xe0", b""), [])  # a DISCONNECT wants a connection to end
    assert result in (MQTTErrorCode.MQTT_ERR_AGAIN, MQTTErrorCode.MQTT_ERR_PROTOCOL, MQTTErrorCode.MQTT_ERR_CONN_LOST)


@pytest.mark.parametrize(
    "body", [b"", b"\x00", b"\x00\x05ab", b"\x00\x01a\x00\x01", b"\x00\x01a\x00\x01\x05ab", b"\x00\x01a\x00\x01\x80"]
)
def test_a_message_that_ends_too_early_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        message(0x32, body)


def test_a_length_of_five_bytes_is_malformed_and_one_that_is_cut_off_is_waited_for() -> None:
    with pytest.raises(MalformedError):
        head(b"\x30\x80\x80\x80\x80\x01", 0)
    assert head(b"\x30\x80\x80", 0) is None
    assert head(b"\x30\xff\xff\xff\x7f", 0) == (5, 5 + 268_435_455)


class Counted:
    """Lets a test wait until the broker has acknowledged so many of a session's messages."""

    def __init__(self) -> None:
        self._left = threading.Semaphore(0)

    def __call__(self, _mid: int) -> None:
        self._left.release()

    def wait_for(self, count: int) -> bool:
        return all(self._left.acquire(timeout=WAIT_S) for _ in range(count))


class Heard:
    """A listener that takes at most `most` messages an offer, and acknowledges what it takes when told to."""

    def __init__(self, most: int) -> None:
        self.messages: list[Message] = []
        self._most, self._came = most, threading.Condition()

    def __call__(self, messages: Sequence[Message]) -> int:
        with self._came:
            taken = messages[: self._most]
            self.messages.extend(taken)
            self._came.notify_all()
        return len(taken)

    def wait_for(self, count: int) -> bool:
        with self._came:
            return self._came.wait_for(lambda: len(self.messages) >= count, WAIT_S)


def listener(settings: MqttSettings, heard: Heard, acked: Counted) -> Session:
    """A session in the way of the service's lanes."""
    return Session(
        settings, client_id="bulk", subscriptions=("t/#",), on_messages=heard, on_published=acked, manual_ack=True,
        receive_maximum=2000,
    )  # fmt: skip


def speak(settings: MqttSettings, payloads: Sequence[bytes]) -> None:
    """Publish, and wait until the broker has everything."""
    acked = Counted()
    speaker = Session(settings, client_id="speaker", on_published=acked)
    speaker.start()
    assert speaker.wait_connected(WAIT_S)
    for payload in payloads:
        speaker.publish("t/a", payload)
    assert acked.wait_for(len(payloads))
    speaker.stop()


PLAIN = "listener {port} 127.0.0.1\nallow_anonymous true\n"
TLS = PLAIN + "cafile {folder}/ca.pem\ncertfile {folder}/broker.pem\nkeyfile {folder}/broker.key\n"
LIMITS = "persistence false\nmax_queued_messages 0\nmax_inflight_messages 1000\n"


@pytest.mark.mosquitto
@pytest.mark.parametrize("config", [PLAIN, TLS], ids=["plain", "tls"])
def test_what_was_acknowledged_together_does_not_come_again_and_everything_else_does(
    config: str, tmp_path: Path
) -> None:
    """Over TLS too, where a record is decrypted as a whole: what of it was not asked for shows in no `select`."""
    authority = Authority(tmp_path)
    authority.issue("broker")
    payloads = [b"%d" % n + b"x" * (n * 37 % 2000) for n in range(400)]
    with mosquitto_or_skip(config=LIMITS + config.replace("{folder}", str(tmp_path))) as broker:
        settings = MqttSettings(url=broker.url)
        if config is TLS:
            settings = MqttSettings(url=broker.url.replace("mqtt:", "mqtts:"), ca_file=str(authority.ca_file))
        heard, acked = Heard(7), Counted()
        session = listener(settings, heard, acked)
        session.start()
        assert session.wait_connected(WAIT_S)
        speak(settings, [b"first", *payloads])
        assert heard.wait_for(401)
        assert [one.payload for one in heard.messages] == [b"first", *payloads]
        session.ack(heard.messages[:301])
        # The broker reads a connection in its order, and leaves unread what the same client's next one overtakes.
        session.publish("elsewhere", b"")
        assert acked.wait_for(1)
        session.stop()
        again = Heard(1000)
        session = listener(settings, again, acked)
        session.start()
        assert again.wait_for(100)
        session.stop()
        assert [one.payload for one in again.messages] == payloads[300:]
