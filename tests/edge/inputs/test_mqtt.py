"""Sensors over MQTT: what counts as a value, what the twin delivers, and a real broker."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.base.broker import EmbeddedBroker
from sealwatch.base.clock import ManualClock, SystemClock
from sealwatch.base.mqtt import Message, MqttSettings, Session
from sealwatch.base.settings import SettingsError
from sealwatch.edge.inputs.mqtt import CONNECT_WITHIN_S, MqttSensors, session_for, value_of
from sealwatch.edge.inputs.wire import Sample, WireError


@pytest.mark.parametrize(
    ("payload", "key", "value"),
    [
        (b"ON", "", True),
        (b" off\n", "", False),
        (b"open", "", False),
        (b"1", "", True),
        (b"12.5", "", 12.5),
        (b'{"contact": true, "battery": 97}', "contact", True),
        (b'{"contact": false}', "contact", False),
        (b'{"state": {"left": "ON"}}', "state.left", True),
        (b"LOCK", "", True),
        (b'{"state": "unlocked"}', "state", False),
        (b'{"motion": "detected"}', "motion", True),
        (b'{"battery": 97}', "battery", 97.0),
        (b'{"battery": 97}', "contact", None),
        (b"[1]", "contact", None),
        (b"{", "contact", None),
        (b"\xff\xfe", "", None),
        (b"nan", "", None),
        (b"hello", "", None),
        (b"1" * 20_000, "", None),
    ],
)
def test_values_of_plain_and_of_json_payloads(payload: bytes, key: str, value: float | bool | None) -> None:
    assert value_of(payload, key) == value


@given(st.binary(max_size=200), st.sampled_from(["", "contact", "a.b"]))
def test_no_payload_breaks_the_reader(payload: bytes, key: str) -> None:
    value_of(payload, key)


class Twin:
    def __init__(self) -> None:
        self.connected = True
        self.published: list[tuple[str, bytes]] = []
        self.running = False
        self.hear: Callable[[Message], None] = lambda _message: None
        self.subscriptions: tuple[str, ...] = ()

    def connect(self, subscriptions: tuple[str, ...], on_message: Callable[[Message], None]) -> Twin:
        self.subscriptions, self.hear = subscriptions, on_message
        return self

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int | None:
        if not self.connected:
            return None
        self.published.append((topic, payload))
        return 1


def test_what_comes_is_kept_in_order_with_its_moment_and_old_words_are_marked() -> None:
    clock, twin = ManualClock(monotonic_s=5.0), Twin()
    wire = MqttSensors(twin.connect, ["door#contact", "door#battery", "horn"], clock)
    assert wire.read() == []
    assert sorted(twin.subscriptions) == ["door", "horn"]
    twin.hear(Message("door", b'{"contact": true, "battery": 80}', 1, retain=True))
    clock.advance(1)
    twin.hear(Message("door", b'{"contact": false}', 2, retain=False))
    twin.hear(Message("elsewhere", b"ON", 3, retain=False))
    assert wire.read() == [
        Sample("door#contact", True, 5.0, live=False),
        Sample("door#battery", 80.0, 5.0, live=False),
        Sample("door#contact", False, 6.0),
    ]
    wire.close()
    assert not twin.running


def test_switching_is_a_plain_word_or_a_field_and_is_refused_while_the_broker_is_away() -> None:
    clock, twin = ManualClock(), Twin()
    wire = MqttSensors(twin.connect, [], clock)
    wire.write("horn/set", True)
    wire.write("z2m/siren/set#state", False)
    assert twin.published == [("horn/set", b"ON"), ("z2m/siren/set", b'{"state": "OFF"}')]
    assert wire.state("horn/set") is None
    twin.connected = False
    with pytest.raises(WireError, match="horn/set"):
        wire.write("horn/set", True)


def test_a_broker_that_stays_away_is_told_and_a_moments_gap_is_not() -> None:
    clock, twin = ManualClock(), Twin()
    twin.connected = False
    wire = MqttSensors(twin.connect, ["door"], clock)
    assert wire.read() == []
    clock.advance(CONNECT_WITHIN_S + 1)
    with pytest.raises(WireError, match="cannot be reached") as caught:
        wire.read()
    assert caught.value.reason == "unreachable"
    twin.connected = True
    assert wire.read() == []


def test_settings_that_cannot_be_used_are_told_as_such() -> None:
    def connect(_subscriptions: tuple[str, ...], _hear: Callable[[Message], None]) -> Twin:
        raise SettingsError("secret env:NONE: not set")

    with pytest.raises(WireError, match=r"\[sensors\]: secret") as caught:
        MqttSensors(connect, ["door"], ManualClock()).read()
    assert caught.value.reason == "wrong_setup"


def test_over_a_real_broker_a_sensor_is_heard_and_a_switch_is_told() -> None:
    heard, came = [], threading.Event()

    def take(message: Message) -> None:
        heard.append((message.topic, message.payload))
        came.set()

    with EmbeddedBroker() as broker:
        settings = MqttSettings(url=broker.url)
        sensor = Session(settings, client_id="sensor", subscriptions=("horn/set",), on_message=take, session_expiry_s=0)
        sensor.start()
        wire = MqttSensors(session_for(settings), ["z2m/door#contact"], SystemClock())
        assert sensor.wait_connected(10)
        said: list[Sample] = []
        waiter = threading.Event()
        for _ in range(500):
            said += wire.read()
            if said:
                break
            sensor.publish("z2m/door", b'{"contact": false, "linkquality": 90}')
            waiter.wait(0.02)
        assert (said[0].channel, said[0].value, said[0].live) == ("z2m/door#contact", False, True)
        wire.write("horn/set", True)
        assert came.wait(10)
        assert heard[0] == ("horn/set", b"ON")
        wire.close()
        sensor.stop()
