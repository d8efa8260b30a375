"""Sensors and switches on a broker of the node's own network: plain on/off, and JSON as Zigbee2MQTT publishes it.

The channel of a terminal is ``topic`` for a plain payload or ``topic#key`` for one field of a JSON object. A topic that
the broker had kept (retained) gives a state and is no sign of life.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

from sealwatch.base.clock import Clock
from sealwatch.base.mqtt import Message, MqttSettings, Session
from sealwatch.base.settings import SettingsError
from sealwatch.edge.inputs.wire import Sample, WireError

logger = logging.getLogger(__name__)
CONNECT_WITHIN_S: Final = 10.0
_MOST_WAITING: Final = 10_000
_MOST_BYTES: Final = 16_384
# "close" and "lock" are how some gateways name the state that they were brought to.
_ON: Final = {"on", "true", "yes", "1", "closed", "close", "locked", "lock", "detected"}
_OFF: Final = {"off", "false", "no", "0", "open", "opened", "unlocked", "unlock", "clear"}


class Broker(Protocol):
    """What is wanted of a session with the broker."""

    @property
    def connected(self) -> bool: ...

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int | None: ...


Connect = Callable[[tuple[str, ...], Callable[[Message], None]], Broker]
"""Makes a session from what is subscribed to and who is told; raises SettingsError."""


def session_for(settings: MqttSettings) -> Connect:
    """Sessions with the broker of `settings`; nothing is kept for them while they are away."""

    def connect(subscriptions: tuple[str, ...], on_message: Callable[[Message], None]) -> Broker:
        return Session(
            settings,
            client_id=f"sealwatch-io-{secrets.token_hex(4)}",
            subscriptions=subscriptions,
            on_message=on_message,
            session_expiry_s=0,
        )

    return connect


class MqttSensors:
    """The `Wire` of one broker. What comes is kept in order until it is read."""

    def __init__(self, connect: Connect, channels: Collection[str], clock: Clock) -> None:
        """`channels`: the inputs that are wanted."""
        self._connect, self._clock = connect, clock
        self._keys: dict[str, list[str]] = {}
        for channel in channels:
            topic, _, key = channel.partition("#")
            self._keys.setdefault(topic, []).append(key)
        self._broker: Broker | None = None
        self._lock = threading.Lock()
        self._waiting: deque[Sample] = deque(maxlen=_MOST_WAITING)
        self._away_since_s: float | None = None
        self._unread: set[str] = set()

    def read(self) -> Sequence[Sample]:
        """What came since the last call. Raises WireError: unreachable | wrong_setup."""
        self._opened()
        with self._lock:
            said, self._waiting = list(self._waiting), deque(maxlen=_MOST_WAITING)
        return said

    def write(self, channel: str, on: bool) -> None:
        """Publish ON or OFF, or ``{"key": "ON"}`` for ``topic#key``. Raises WireError."""
        topic, _, key = channel.partition("#")
        word = "ON" if on else "OFF"
        payload = json.dumps({key: word}) if key else word
        if self._opened().publish(topic, payload.encode()) is None:
            raise WireError("unreachable", f"the broker does not take the message for {topic} now")

    def state(self, channel: str) -> bool | None:
        """Nothing is read back over MQTT."""
        del channel
        return None

    def close(self) -> None:
        """Say goodbye to the broker."""
        with self._lock:
            broker, self._broker, self._away_since_s = self._broker, None, None
        if broker is not None:
            broker.stop()

    def _opened(self) -> Broker:
        now_s = self._clock.monotonic_s()
        with self._lock:
            if self._broker is None:
                try:
                    self._broker = self._connect(tuple(self._keys), self._heard)
                except SettingsError as error:
                    raise WireError("wrong_setup", f"[sensors]: {error}") from None
                self._broker.start()
                self._away_since_s = now_s
            broker = self._broker
            if broker.connected:
                self._away_since_s = None
                return broker
            if self._away_since_s is None:
                self._away_since_s = now_s
            away_s = now_s - self._away_since_s
        if away_s < CONNECT_WITHIN_S:
            return broker  # just begun, or a moment's gap: nothing to tell yet
        raise WireError(
            "unreachable", "the broker of [sensors] cannot be reached; check its power, address and password"
        )

    def _heard(self, message: Message) -> None:
        now_s = self._clock.monotonic_s()
        for key in self._keys.get(message.topic, ()):
            channel = f"{message.topic}#{key}" if key else message.topic
            value = value_of(message.payload, key)
            if value is None:
                if channel not in self._unread:
                    self._unread.add(channel)
                    logger.warning("sensor %s says what cannot be read: %r", channel, message.payload[:80])
                continue
            self._unread.discard(channel)
            with self._lock:
                self._waiting.append(Sample(channel, value, now_s, live=not message.retain))


def value_of(payload: bytes, key: str = "") -> float | bool | None:
    """The value in a payload: a word such as on, false, open or locked, or a number, by itself or under a key of a JSON
    object.

    None where there is none, such as a message of the same topic that speaks of something else.
    """
    if len(payload) > _MOST_BYTES:
        return None
    try:
        text = payload.decode().strip()
        found = json.loads(text) if key else text
    except (ValueError, RecursionError):
        return None
    if key:
        for part in key.split("."):
            if not isinstance(found, dict) or part not in found:
                return None
            found = found[part]
    if isinstance(found, bool):
        return found
    if isinstance(found, int | float):
        return _finite(found)
    if not isinstance(found, str):
        return None
    word = found.strip().lower()
    if word in _ON or word in _OFF:
        return word in _ON
    try:
        return _finite(float(word))
    except ValueError:
        return None


def _finite(number: float) -> float | None:
    """The number, where a wire can carry it."""
    return float(number) if abs(number) < 1e12 else None
