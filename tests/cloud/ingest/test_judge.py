"""What is believed and what is not: the decision alone, without a broker or a database."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.cloud.ingest.judge import Accepted, Rejected, judge
from sealwatch.cloud.registry.view import RegisteredNode, RegistryView
from sealwatch.contract import signing, wire
from sealwatch.contract.codes import ClockQuality, Level, Phase
from sealwatch.contract.messages import (
    MAX_PAYLOAD_BYTES,
    Alarm,
    EvidenceRef,
    Origin,
    Reply,
    Samples,
    Sealed,
    Snapshot,
    Status,
)
from tests.support import shared_data_or_skip

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
NOW_MS = 1_700_000_000_000
REGISTRY = RegistryView(
    site_ids=frozenset({"s1", "s2"}),
    nodes={"n1": RegisteredNode(node_id="n1", site_id="s1", public_key=KEY.public_key())},
)
ALARM_TOPIC = "seal/v1/s1/n1/alarm"


def an_origin(**changes: Any) -> Origin:
    values: dict[str, Any] = {
        "site_id": "s1",
        "node_id": "n1",
        "boot_id": "0" * 32,
        "seq": 7,
        "captured_at_ms": 1_700_000_000_000,
        "enqueued_at_ms": 1_700_000_000_000,
        "clock_quality": ClockQuality.SYNCHRONISED,
    }
    return Origin(**(values | changes))


def an_alarm(**changes: Any) -> Alarm:
    values: dict[str, Any] = {
        "origin": an_origin(),
        "alarm_id": "a1",
        "kind": "person",
        "phase": Phase.START,
        "level": Level.ORANGE,
        "source_id": "cam-1",
        "started_at_ms": 1_700_000_000_000,
        "score": 0.9,
        "reason": "person_in_zone",
        "sentence_zh": "井口发现 1 人",
        "sentence_en": "1 person",
    }
    return Alarm(**(values | changes))


def a_snapshot(**changes: Any) -> Snapshot:
    data = b"\xff\xd8jpeg"
    evidence = EvidenceRef(sha256=hashlib.sha256(data).hexdigest(), media_type="image/jpeg", size_bytes=len(data))
    values: dict[str, Any] = {
        "origin": an_origin(),
        "alarm_id": "a1",
        "source_id": "cam-1",
        "evidence": evidence,
        "data": signing.to_base64url(data),
    }
    return Snapshot(**(values | changes))


def a_status(**changes: Any) -> Status:
    values: dict[str, Any] = {
        "site_id": "s1",
        "node_id": "n1",
        "boot_id": "0" * 32,
        "state": "online",
        "reported_at_ms": 1,
        "agent_version": "1",
    }
    return Status(**(values | changes))


def rejected(topic: str, payload: bytes) -> Rejected:
    verdict = judge(topic, payload, REGISTRY, NOW_MS)
    assert isinstance(verdict, Rejected), verdict
    return verdict


def test_a_signed_alarm_of_a_registered_node_is_believed() -> None:
    verdict = judge(ALARM_TOPIC, wire.seal(KEY, an_alarm()), REGISTRY, NOW_MS)
    assert isinstance(verdict, Accepted)
    assert verdict.message == an_alarm()
    assert verdict.origin == an_origin()


def test_a_snapshot_brings_its_picture() -> None:
    verdict = judge("seal/v1/s1/n1/snapshot", wire.seal(KEY, a_snapshot()), REGISTRY, NOW_MS)
    assert isinstance(verdict, Accepted)
    assert verdict.data == b"\xff\xd8jpeg"


def test_status_and_replies_are_believed_and_want_no_application_ack() -> None:
    reply = Reply(site_id="s1", node_id="n1", command_id="c1", ok=True, reason="done", replied_at_ms=1)
    for channel, message in (("status", a_status()), ("reply", reply)):
        verdict = judge(f"seal/v1/s1/n1/{channel}", wire.encode(message), REGISTRY, NOW_MS)
        assert isinstance(verdict, Accepted)
        assert verdict.origin is None


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("seal/v1/s9/n1/alarm", "unknown_site"),
        ("seal/v1/s1/n9/alarm", "unknown_node"),
        ("seal/v1/s2/n1/alarm", "wrong_site"),
        ("seal/v1/s1/n1/ack", "unknown_topic"),
        ("seal/v1/s1/n1/command", "unknown_topic"),
        ("seal/v1/s1/n1/alarm/more", "unknown_topic"),
        ("seal/v1/../n1/alarm", "unknown_topic"),
        ("seal/v1/s1/n1/ALARM", "unknown_topic"),
        ("", "unknown_topic"),
    ],
)
def test_a_topic_that_is_not_the_nodes_own_is_refused_by_name(topic: str, reason: str) -> None:
    assert rejected(topic, wire.seal(KEY, an_alarm())).reason == reason


def test_a_node_that_is_not_registered_learns_that_it_was_refused() -> None:
    alarm = an_alarm(origin=an_origin(node_id="n9"))
    verdict = rejected("seal/v1/s1/n9/alarm", wire.seal(KEY, alarm))
    assert (verdict.reason, verdict.claims) == ("unknown_node", alarm.origin)


def test_a_foreign_key_is_refused_and_its_node_told() -> None:
    verdict = rejected(ALARM_TOPIC, wire.seal(Ed25519PrivateKey.generate(), an_alarm()))
    assert (verdict.reason, verdict.claims) == ("unknown_key", an_origin())


def test_an_altered_body_is_a_bad_signature() -> None:
    sealed = json.loads(wire.seal(KEY, an_alarm()))
    sealed["body"] = sealed["body"].replace("person_in_zone", "nothing_at_all")
    assert rejected(ALARM_TOPIC, json.dumps(sealed).encode()).reason == "bad_signature"


def test_an_alarm_that_names_another_node_than_its_topic_is_foreign_and_nobody_is_told() -> None:
    alarm = an_alarm(origin=an_origin(node_id="n2"))
    verdict = rejected(ALARM_TOPIC, wire.seal(KEY, alarm))
    assert (verdict.reason, verdict.claims) == ("foreign_origin", None)


def test_samples_and_status_of_another_node_are_foreign() -> None:
    samples = Samples(origin=an_origin(node_id="n2"), source_id="m", at_ms=[1], values={"a_w": [1.0]})
    assert rejected("seal/v1/s1/n1/samples", wire.encode(samples)).reason == "foreign_origin"
    assert rejected("seal/v1/s1/n1/status", wire.encode(a_status(node_id="n2"))).reason == "foreign_origin"


def test_samples_with_columns_of_another_length_are_refused() -> None:
    samples = Samples(origin=an_origin(), source_id="m", at_ms=[1, 2], values={"a_w": [1.0]})
    verdict = rejected("seal/v1/s1/n1/samples", wire.encode(samples))
    assert (verdict.reason, verdict.claims) == ("wrong_columns", an_origin())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data": "!"}, "wrong_shape"),
        ({"data": signing.to_base64url(b"another picture")}, "wrong_hash"),
        ({"data": "A"}, "wrong_shape"),
    ],
)
def test_a_picture_that_is_not_what_it_says_is_refused(changes: dict[str, Any], reason: str) -> None:
    snapshot = a_snapshot(**changes)
    assert rejected("seal/v1/s1/n1/snapshot", wire.seal(KEY, snapshot)).reason == reason


def test_an_alarm_never_passes_as_a_snapshot() -> None:
    assert rejected("seal/v1/s1/n1/snapshot", wire.seal(KEY, an_alarm())).reason == "bad_signature"


def test_a_megabyte_is_too_large_whatever_is_in_it() -> None:
    verdict = rejected(ALARM_TOPIC, b'{"v":1,' + b" " * 1_000_000)
    assert (verdict.reason, verdict.claims) == ("too_large", None)


def sealed_body(body: str) -> bytes:
    """Any text under a good signature: what a node with a bug, or a thief of its key, can send."""
    kind: Any = "alarm"
    return wire.encode(
        Sealed(type=kind, key_id=signing.key_id(KEY.public_key()), body=body, sig=signing.sign(KEY, kind, body))
    )


@pytest.mark.parametrize(
    ("find", "replace"),
    [
        ('"seq":7', '"seq":-1'),
        ('"seq":7', '"seq":1e400'),
        ('"seq":7', '"seq":9007199254740993'),
        ('"score":0.9', '"score":NaN'),
        ('"score":0.9', '"score":2'),
        ('"phase":"start"', '"phase":"START"'),
        ('"alarm_id":"a1"', '"alarm_id":"../../etc/passwd"'),
        ('"alarm_id":"a1"', '"alarm_id":""'),
        ('"kind":"person"', '"kind":"person; DROP TABLE alarms"'),
        ('"captured_at_ms":1700000000000', '"captured_at_ms":-5'),
        ('"sentence_en":"1 person"', '"sentence_en":"' + "x" * 501 + '"'),
        ('"sentence_en":"1 person"', '"sentence_en":"\\ud800"'),
    ],
)
def test_a_wrong_field_under_a_good_signature_is_refused_and_never_believed(find: str, replace: str) -> None:
    body = wire.encode(an_alarm()).decode()
    assert find in body
    assert rejected(ALARM_TOPIC, sealed_body(body.replace(find, replace))).reason in {"wrong_shape", "not_json"}


HOSTILE = [
    b"",
    b"\x00",
    b"null",
    b"[]",
    b'"alarm"',
    b"\xff\xfe\x00",
    b"\xef\xbb\xbf{}",
    b"{" * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 30_000 + b"1" + b"}" * 30_000,
    b'{"v":1e999999}',
    b'{"origin":{"seq":"' + b"9" * 100_000 + b'"}}',
    b'{"type":"alarm","key_id":"0000000000000000","body":"{}","sig":""}',
    b'{"type":"alarm","key_id":"0000000000000000","body":"\\ud800","sig":"AA"}',
    b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>",
    b"%n%n%n%s",
]
CHANNELS = ("alarm", "snapshot", "samples", "status", "reply")


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_payloads_are_rejected_on_every_channel(number: int, channel: str) -> None:
    assert rejected(f"seal/v1/s1/n1/{channel}", HOSTILE[number]).claims is None


@given(st.text(max_size=80), st.binary(max_size=400))
def test_nothing_makes_the_decision_fail_in_another_way(topic: str, payload: bytes) -> None:
    assert isinstance(judge(topic, payload, REGISTRY, NOW_MS), Rejected)
    for channel in CHANNELS:
        assert isinstance(judge(f"seal/v1/s1/n1/{channel}", payload, REGISTRY, NOW_MS), Rejected)


@given(st.data())
def test_no_altered_alarm_is_believed_as_something_else(data: st.DataObject) -> None:
    payload = bytearray(wire.seal(KEY, an_alarm()))
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    verdict = judge(ALARM_TOPIC, bytes(payload), REGISTRY, NOW_MS)
    assert isinstance(verdict, Rejected) or verdict.message == an_alarm()


@pytest.mark.shared_data
def test_the_hostile_json_corpus_is_rejected_alone_and_inside_a_good_signature() -> None:
    files = sorted((shared_data_or_skip() / "corpora/jsontestsuite").rglob("*.json"))
    assert len(files) > 300
    for file in files:
        payload = file.read_bytes()
        for channel in CHANNELS:
            assert isinstance(judge(f"seal/v1/s1/n1/{channel}", payload, REGISTRY, NOW_MS), Rejected), file.name
        if len(payload) < MAX_PAYLOAD_BYTES // 8:
            body = payload.decode("utf-8", "replace")
            assert isinstance(judge(ALARM_TOPIC, sealed_body(body), REGISTRY, NOW_MS), Rejected), file.name


@pytest.mark.shared_data
def test_naughty_strings_are_taken_as_text_or_refused_by_name() -> None:
    strings = json.loads((shared_data_or_skip() / "corpora/blns/blns.json").read_text(encoding="utf-8"))
    believed = 0
    for text in strings:
        verdict = judge(ALARM_TOPIC, wire.seal(KEY, an_alarm(sentence_en=text, zone=text[:64])), REGISTRY, NOW_MS)
        if isinstance(verdict, Accepted):
            assert isinstance(verdict.message, Alarm)
            assert verdict.message.sentence_en == text
            believed += 1
    assert believed > 400
