"""A paho client that takes messages by the read instead of one by one: for a service that hears thousands a second.

paho reads each packet with three or more system calls, asks `select` in between, and sends each acknowledgement as a
packet of its own with a wake-up of its own: most of what taking a small message costs. Here one read takes what the
socket holds, its PUBLISH packets are handed over together, and acknowledgements leave together. Everything else
(connecting, TLS, keepalive, reconnecting, every other packet) is paho's own.

The two methods that are replaced and the fields they touch are paho's inner ones: `tests/base/test_mqtt_bulk.py` drives
them, and `pyproject.toml` names the versions they were tried with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.exception import MalformedPacket

_READ_BYTES: Final = 256 * 1024
_PUBLISH: Final = 0x30
_PUBACK: Final = 0x40
_LONGEST_HEAD: Final = 5


class Message(msgspec.Struct, frozen=True):
    """A received message. With manual acks, `mid` is what `Session.ack` wants; 0 at QoS 0, which wants none."""

    topic: str
    payload: bytes
    mid: int
    retain: bool


class MalformedError(ValueError):
    """Bytes that are no MQTT; the connection has to be given up."""


def head(buffer: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """Where the packet at `at` has its body: ``(start, end)``; None while its head is not here whole.

    MQTT 5, 2.1.4 (variable byte integer). Raises MalformedError for a length of more than four bytes.
    """
    length = shift = 0
    for place in range(at + 1, min(at + _LONGEST_HEAD, len(buffer))):
        byte = buffer[place]
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            return place + 1, place + 1 + length
        shift += 7
    if len(buffer) - at >= _LONGEST_HEAD:
        raise MalformedError("a packet's length has more than four bytes")
    return None


def message(first: int, body: bytes) -> Message:
    """A PUBLISH packet's body read (MQTT 5, 3.3); a topic that is no UTF-8 gets replacement characters.

    Raises MalformedError where it ends too early.
    """
    topic_end = 2 + int.from_bytes(body[:2], "big")
    at, mid = topic_end, 0
    if first & 0x06:
        mid = int.from_bytes(body[at : at + 2], "big")
        at += 2
    if at >= len(body):
        raise MalformedError("a message ends before its properties")
    if body[at]:
        # No property says anything to a subscriber of ours: aliases are not allowed to the broker, and a payload's
        # format is checked by whoever reads it.
        found = head(body, at - 1)
        if found is None or found[1] > len(body):
            raise MalformedError("a message ends within its properties")
        at = found[1] - 1
    return Message(str(body[2:topic_end], "utf-8", "replace"), body[at + 1 :], mid, bool(first & 0x01))


class BulkClient(paho.Client):
    """MQTT 5 only, with `loop_start`. `on_message` is never called.

    `on_bulk` gets the messages of one read, on the network thread, and says how many of them, the first ones, it took.
    The others are offered again, and until they are taken nothing is read: flow control over TCP. It may wait for room,
    but below a second, because nothing is sent meanwhile.
    """

    def __init__(
        self, *, client_id: str, manual_ack: bool = False, on_bulk: Callable[[Sequence[Message]], int]
    ) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5, manual_ack=manual_ack)
        self._on_bulk = on_bulk
        self._unread = bytearray()
        self._untaken: list[Message] = []

    def ack_all(self, mids: Sequence[int]) -> None:
        """Acknowledge messages of QoS 1 in one write (MQTT 5, 3.4: two bytes of identifier mean success)."""
        packets = b"".join(b"\x40\x02" + mid.to_bytes(2, "big") for mid in mids)
        if packets:
            self._packet_queue(_PUBACK, packets, 0, 0)

    def _create_socket(self) -> Any:
        self._unread.clear()  # what the connection before had begun is not ended by this one
        self._untaken.clear()  # un-acked, so it comes again
        return super()._create_socket()

    def _loop(self, timeout: float = 1.0) -> MQTTErrorCode:
        if self._untaken:
            self._hand_over()
        return super()._loop(0.0 if self._untaken else timeout)

    def _hand_over(self) -> None:
        del self._untaken[: self._on_bulk(self._untaken)]

    def _packet_read(self) -> MQTTErrorCode:
        if self._untaken:
            return MQTTErrorCode.MQTT_ERR_AGAIN
        try:
            data = self._sock_recv(_READ_BYTES)
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_AGAIN
        except OSError:  # the peer is gone, or a time-out
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        if not data:
            return MQTTErrorCode.MQTT_ERR_CONN_LOST
        with self._msgtime_mutex:
            self._last_bytes_received = time.monotonic()
        self._unread += data
        try:
            return self._packets()
        except MalformedError:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL

    def _packets(self) -> MQTTErrorCode:
        """Take every packet that is here whole; what is not stays for the next read."""
        unread, at = self._unread, 0
        result = MQTTErrorCode.MQTT_ERR_SUCCESS
        try:
            while at < len(unread):
                place = head(unread, at)
                if place is None or place[1] > len(unread):
                    break
                first, body, at = unread[at], bytes(unread[place[0] : place[1]]), place[1]
                if first & 0xF0 == _PUBLISH:
                    self._untaken.append(message(first, body))
                    continue
                result = self._other(first, body)
                if result != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    break
        finally:
            del unread[:at]
            if self._untaken:
                self._hand_over()
        return result

    def _other(self, first: int, body: bytes) -> MQTTErrorCode:
        """A packet that is not a message goes paho's way, from where its own reader would have left it."""
        self._in_packet = {
            "command": first,
            "have_remaining": 1,
            "remaining_count": [],
            "remaining_mult": 1,
            "remaining_length": len(body),
            "packet": bytearray(body),
            "to_process": 0,
            "pos": 0,
        }
        try:
            return self._packet_handle()
        except MalformedPacket as error:
            raise MalformedError(str(error)) from error
        finally:
            self._in_packet["command"] = 0
