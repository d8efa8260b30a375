"""Sealing, refusing, and what survives a round trip."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.contract import topics, wire
from sealwatch.contract.codes import ClockQuality, DeclaredStatus, Level, Phase
from sealwatch.contract.messages import (
    MAX_PAYLOAD_BYTES,
    Alarm,
    Command,
    Declaration,
    NodeConfig,
    Origin,
    Permit,
    Samples,
    Sealed,
    Snapshot,
)
from sealwatch.contract.wire import Refused

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def an_alarm(**changes: object) -> Alarm:
    values: dict[str, object] = {
        "origin": Origin(
            site_id="610000000001",
            node_id="node-1",
            boot_id="0" * 32,
            seq=1,
            captured_at_ms=1_700_000_000_000,
            enqueued_at_ms=1_700_000_000_050,
            clock_quality=ClockQuality.SYNCHRONISED,
        ),
        "alarm_id": "a1",
        "kind": "person",
        "phase": Phase.START,
        "level": Level.ORANGE,
        "source_id": "cam-1",
        "started_at_ms": 1_699_999_999_000,
        "score": 0.75,
        "reason": "person_in_zone",
        "sentence_zh": "井口发现 1 人",
        "sentence_en": "1 person at the shaft mouth",
    }
    values.update(changes)
    return Alarm(**values)  # type: ignore[arg-type]


def test_a_sealed_alarm_comes_back_unchanged() -> None:
    alarm = an_alarm()
    assert wire.unseal(Alarm, wire.seal(KEY, alarm), KEY.public_key()) == alarm


@given(st.data())
def test_any_changed_byte_of_a_sealed_alarm_is_refused_or_changes_nothing(data: st.DataObject) -> None:
    alarm = an_alarm()
    payload = bytearray(wire.seal(KEY, alarm))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] ^= data.draw(st.integers(1, 255))
    try:
        got = wire.unseal(Alarm, bytes(payload), KEY.public_key())
    except Refused:
        return
    assert got == alarm  # such as white space, or the last unused bits of a base64 character


def test_a_foreign_key_is_named_as_such() -> None:
    other = Ed25519PrivateKey.generate()
    with pytest.raises(Refused, match="unknown_key"):
        wire.unseal(Alarm, wire.seal(other, an_alarm()), KEY.public_key())
    with pytest.raises(Refused, match="unknown_key"):
        wire.unseal(Alarm, wire.seal(KEY, an_alarm()), None)


def test_an_alarm_never_passes_for_a_snapshot() -> None:
    with pytest.raises(Refused, match="bad_signature"):
        wire.unseal(Snapshot, wire.seal(KEY, an_alarm()), KEY.public_key())


def test_a_body_moved_under_another_signature_is_refused() -> None:
    one = json.loads(wire.seal(KEY, an_alarm()))
    two = json.loads(wire.seal(KEY, an_alarm(score=0.1)))
    one["sig"] = two["sig"]
    with pytest.raises(Refused, match="bad_signature"):
        wire.unseal(Alarm, json.dumps(one).encode(), KEY.public_key())


def test_unknown_fields_are_ignored_so_that_a_newer_node_can_talk_to_us() -> None:
    value = json.loads(wire.encode(an_alarm()))
    value["later"] = {"x": 1}
    value["kind"] = "kind_of_next_year"
    assert wire.decode(Alarm, json.dumps(value).encode()).kind == "kind_of_next_year"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"[" * 100_000, "wrong_shape"),
        (b'{"x":' * 40_000, "not_json"),
        (b"{}", "wrong_shape"),
        (b"null", "wrong_shape"),
        (b'{"v":2}', "wrong_shape"),
        (b" " * (MAX_PAYLOAD_BYTES + 1), "too_large"),
    ],
)
def test_bad_payloads_are_refused_by_name(payload: bytes, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        wire.decode(Sealed, payload)
    assert refused.value.reason == reason


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_no_payload_makes_decoding_fail_in_another_way(payload: bytes) -> None:
    for kind in (Sealed, Alarm, Samples):
        with pytest.raises(Refused):
            wire.decode(kind, payload)


@given(st.text(max_size=80))
def test_a_topic_is_ours_or_none(text: str) -> None:
    assert topics.parse(text) is None or text.startswith("seal/v1/")


def test_topics_round_trip() -> None:
    for channel in topics.Channel:
        address = topics.parse(topics.topic("610000000001", "node-1", channel))
        assert address == ("610000000001", "node-1", channel)


def test_a_node_speaks_only_for_itself() -> None:
    address = topics.parse("seal/v1/site/node/alarm")
    assert address is not None
    wire.check_origin(address, site_id="site", node_id="node")
    with pytest.raises(Refused, match="foreign_origin"):
        wire.check_origin(address, site_id="site", node_id="other")


FROM_SERVICE = (
    Command(site_id="s1", node_id="n1", command_id="c1", name="ping", issued_at_ms=1, expires_at_ms=2),
    NodeConfig(site_id="s1", node_id="n1", version=1, issued_at_ms=1, toml='site_id = "s1"'),
    Declaration(
        site_id="s1",
        node_id="n1",
        version=7,
        issued_at_ms=1,
        declared_status=DeclaredStatus.PERMITTED_WORK,
        permits=[Permit(permit_id="p1", from_ms=1, to_ms=2, from_hour=22, to_hour=6, max_power_w=5000.0)],
    ),
)


@pytest.mark.parametrize("message", FROM_SERVICE, ids=lambda message: type(message).__name__)
def test_what_the_service_says_comes_back_unchanged_and_passes_for_nothing_else(
    message: Command | NodeConfig | Declaration,
) -> None:
    payload = wire.seal(KEY, message)
    assert wire.unseal(type(message), payload, KEY.public_key()) == message
    kinds: tuple[type[object], ...] = (Command, NodeConfig, Declaration, Alarm)
    for other in kinds:
        if other is type(message):
            continue
        with pytest.raises(Refused) as refused:
            wire.unseal(other, payload, KEY.public_key())
        assert refused.value.reason == "bad_signature"
