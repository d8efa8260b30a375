"""One MQTT 5 session over paho, as both sides use it: persistent, TLS by URL, reconnecting for ever.

A session is asked to start and never fails to: a broker that is down is tried again with capped backoff, and what is
known about the connection is in `connected` and in the log, once when it is lost and once when it comes back.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from sealwatch.base import settings
from sealwatch.base.mqtt_bulk import BulkClient, Message
from sealwatch.base.settings import SettingsError
from sealwatch.contract.messages import MAX_PAYLOAD_BYTES

__all__ = ["Message", "MqttSettings", "Session", "Will", "address", "tls_context"]
logger = logging.getLogger(__name__)


class MqttSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to reach the broker."""

    url: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^mqtts?://[^/]+$", description="mqtt://host:port, or mqtts://host:port for TLS (default 8883)."
        ),
    ]
    ca_file: Annotated[str, msgspec.Meta(description="CA that signed the broker's certificate (PEM).")] = ""
    certificate_file: Annotated[str, msgspec.Meta(description="This side's certificate (PEM).")] = ""
    key_file: Annotated[str, msgspec.Meta(description="Private key of that certificate (PEM).")] = ""
    username: Annotated[str, msgspec.Meta(description="User name, where the broker wants one.")] = ""
    password: Annotated[str, msgspec.Meta(description="Reference to the password: file:/path or env:NAME.")] = ""


class Will(msgspec.Struct, frozen=True):
    """What the broker says in this side's name when the connection breaks."""

    topic: str
    payload: bytes


def tls_context(settings_: MqttSettings) -> ssl.SSLContext | None:
    """How TLS is to be spoken, or None for plain mqtt://. Raises SettingsError for a file that can't be used."""
    if urlsplit(settings_.url).scheme != "mqtts":
        return None
    for field in ("ca_file", "certificate_file", "key_file"):
        path = getattr(settings_, field)
        if path and not os.access(path, os.R_OK):
            raise SettingsError(f"mqtt.{field}: {path} cannot be read; check path and rights")
    try:
        context = ssl.create_default_context(cafile=settings_.ca_file or None)
        if settings_.certificate_file:
            context.load_cert_chain(settings_.certificate_file, settings_.key_file or None)
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(
            f"mqtt: certificate or key cannot be used ({error}); they must be PEM files that belong together"
        ) from None
    return context


def address(settings_: MqttSettings) -> tuple[str, int]:
    """Host and port of the broker. Raises SettingsError."""
    parts = urlsplit(settings_.url)
    try:
        port = parts.port or (8883 if parts.scheme == "mqtts" else 1883)
    except ValueError:
        raise SettingsError(f"mqtt.url: {settings_.url} has no valid port; write mqtt://host:port") from None
    return parts.hostname or "localhost", port


def _without_delay(_client: paho.Client, _data: Any, connection: Any) -> None:
    """Send small packets at once, and tell the peer's TCP at once that its packet has come.

    Without the first our own second packet waits for the acknowledgement of the first (Nagle); without the second the
    broker's does, for up to 40 ms. The kernel forgets TCP_QUICKACK again, so it is renewed with every packet.
    """
    with contextlib.suppress(OSError, AttributeError):  # not TCP, already closed, or not Linux
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


class Session:
    """A persistent MQTT 5 session (QoS 1). Callbacks come on paho's network thread and must not block for long."""

    def __init__(
        self,
        settings_: MqttSettings,
        *,
        client_id: str,
        subscriptions: tuple[str, ...] = (),
        on_message: Callable[[Message], None] | None = None,
        on_messages: Callable[[Sequence[Message]], int] | None = None,
        on_connected: Callable[[], None] | None = None,
        on_published: Callable[[int], None] | None = None,
        will: Will | None = None,
        manual_ack: bool = False,
        receive_maximum: int = 1000,
        session_expiry_s: int = 7 * 24 * 3600,
        keepalive_s: int = 30,
    ) -> None:
        """`on_messages` gets together what one read brought, in place of `on_message`, and says how many it took
        (`BulkClient`): for whoever hears thousands a second.

        Raises SettingsError for an address, certificate or password that can't be used.
        """
        self._settings, self._address = settings_, address(settings_)
        self._subscriptions = subscriptions
        self._on_message, self._on_connected, self._on_published = on_message, on_connected, on_published
        self._on_messages = on_messages
        self._keepalive_s = keepalive_s
        self._connected, self._ready = threading.Event(), threading.Event()
        self._refusal = ""
        self._told: set[str] = set()
        self._properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        self._properties.SessionExpiryInterval = session_expiry_s
        self._properties.ReceiveMaximum = receive_maximum
        self._properties.MaximumPacketSize = 2 * MAX_PAYLOAD_BYTES
        self._client = self._build(client_id, will, manual_ack=manual_ack)

    def _build(self, client_id: str, will: Will | None, *, manual_ack: bool) -> paho.Client:
        client = (
            paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5, manual_ack=manual_ack)
            if self._on_messages is None
            else BulkClient(client_id=client_id, manual_ack=manual_ack, on_bulk=self._messages_came)
        )
        client.max_inflight_messages_set(1000)
        client.max_queued_messages_set(0)
        client.reconnect_delay_set(min_delay=1, max_delay=random.randint(30, 60))  # noqa: S311 - spreads reconnects
        self._context = tls_context(self._settings)
        if self._context is not None:
            client.tls_set_context(self._context)
            client.on_pre_connect = self._before_connect
        if self._settings.username:
            password = settings.secret(self._settings.password) if self._settings.password else None
            client.username_pw_set(self._settings.username, password)
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=True)
        client.on_socket_open = _without_delay
        client.on_connect = self._connect_came
        client.on_connect_fail = self._connect_failed
        client.on_disconnect = self._disconnect_came
        client.on_subscribe = self._subscribe_came
        client.on_message = self._message_came
        client.on_publish = self._publish_done
        return client

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted this session and the connection stands."""
        return self._connected.is_set()

    @property
    def refusal(self) -> str:
        """What the broker said when it last refused the session; empty since it accepts it."""
        return self._refusal

    def wait_connected(self, timeout_s: float) -> bool:
        """Wait until connected and heard for every subscription, at most `timeout_s`; whether it is."""
        return self._ready.wait(timeout_s)

    def start(self) -> None:
        """Begin to connect, and keep at it. Returns at once."""
        self._client.connect_async(
            *self._address,
            keepalive=self._keepalive_s,
            clean_start=False,
            properties=self._properties,
        )
        self._client.loop_start()

    def stop(self) -> None:
        """Say goodbye (the will is not sent) and end the network thread."""
        self._client.disconnect()
        self._client.loop_stop()
        self._connected.clear()
        self._ready.clear()

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int | None:
        """Hand one message to the broker at QoS 1; its mid, or None while there is no connection.

        Nothing is queued here while offline: whoever must not lose a message keeps it in an outbox.
        """
        if not self._connected.is_set():
            return None
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        return info.mid if info.rc == paho.MQTT_ERR_SUCCESS else None

    def ack(self, messages: Sequence[Message]) -> None:
        """Acknowledge received messages to the broker (with `manual_ack`), in one write where they came in bulk.

        A message sent at QoS 0 has no packet identifier and wants no ack; answering it would break the connection.
        """
        mids = [message.mid for message in messages if message.mid]
        if isinstance(self._client, BulkClient):
            self._client.ack_all(mids)
            return
        for mid in mids:
            self._client.ack(mid, 1)

    def _before_connect(self, _client: paho.Client, _data: Any) -> None:
        """Take up a certificate that was renewed meanwhile; the former one stays where the new one can't be read."""
        if self._context is not None and self._settings.certificate_file:
            with contextlib.suppress(ssl.SSLError, OSError):
                self._context.load_cert_chain(self._settings.certificate_file, self._settings.key_file or None)

    def _connect_came(
        self, client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self._refusal = str(reason)
            self._tell("refused", "the broker %s refused the connection: %s", self._settings.url, reason)
            return
        self._refusal = ""
        self._told.clear()
        self._connected.set()
        logger.info("connected to the broker %s", self._settings.url)
        if self._subscriptions:
            client.subscribe([(wanted, SubscribeOptions(qos=1)) for wanted in self._subscriptions])
        else:
            self._ready.set()
        if self._on_connected is not None:
            self._on_connected()

    def _subscribe_came(
        self, _client: paho.Client, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        for wanted, reason in zip(self._subscriptions, reasons, strict=False):
            if reason.is_failure:
                self._tell(
                    wanted, "the broker %s does not let this side listen to %s: %s", self._settings.url, wanted, reason
                )
        self._ready.set()

    def _connect_failed(self, _client: paho.Client, _data: Any) -> None:
        cause = sys.exc_info()[1]  # paho calls this while it handles the error, and does not hand it over
        kind = "tls" if isinstance(cause, ssl.SSLError) else "away"
        self._tell(kind, "the broker %s cannot be reached (%s); trying again until it can", self._settings.url, cause)

    def _disconnect_came(
        self, _client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        was_connected = self._connected.is_set()
        self._connected.clear()
        self._ready.clear()
        if was_connected and reason.is_failure:
            self._tell("away", "the connection to the broker %s was lost: %s", self._settings.url, reason)

    def _tell(self, kind: str, sentence: str, *values: object) -> None:
        """Log each kind of trouble once, not with every attempt, until the broker accepts the session again."""
        if kind not in self._told:
            self._told.add(kind)
            logger.warning(sentence, *values)

    def _message_came(self, client: paho.Client, data: Any, message: paho.MQTTMessage) -> None:
        _without_delay(client, data, client.socket())
        if self._on_message is not None:
            self._on_message(Message(message.topic, bytes(message.payload), message.mid, message.retain))

    def _messages_came(self, messages: Sequence[Message]) -> int:
        _without_delay(self._client, None, self._client.socket())
        return len(messages) if self._on_messages is None else self._on_messages(messages)

    def _publish_done(
        self, client: paho.Client, data: Any, mid: int, _reason: ReasonCode, _properties: Properties | None
    ) -> None:
        _without_delay(client, data, client.socket())
        if self._on_published is not None:
            self._on_published(mid)
