"""A bundle says how a node is and nothing that nobody else may know, however it is written; and it stays small."""

from __future__ import annotations

import io
import json
import logging
import random
import threading
import zipfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.base.clock import SystemClock
from sealwatch.cli import main
from sealwatch.contract import signing
from sealwatch.contract.messages import Snapshot
from sealwatch.contract.topics import Channel
from sealwatch.edge import identity
from sealwatch.edge.config import load_node
from sealwatch.edge.diagnostics import bundle, redact
from sealwatch.edge.diagnostics.bundle import Facts, LogRing
from tests.edge.test_agent import Built
from tests.edge.uplink.wire_twin import command

SECRET = "Tr0ub4dor&3"
LONG = "hunter2-hunter2-hunter2"


@pytest.mark.parametrize(
    ("said", "left"),
    [
        (f"rtsp://admin:{SECRET}@192.168.1.64:554/ch1", "rtsp://***@192.168.1.64:554/ch1"),
        (f"cannot open 'rtsp://admin:p@ss{LONG}@10.0.0.2/1': refused", "cannot open 'rtsp://***@10.0.0.2/1': refused"),
        (f'password = "{SECRET} with a blank"', "password = ***"),
        (f"'mqtt_password': '{LONG}', 'x': 1", "'mqtt_password': ***, 'x': 1"),
        (f'{{"access_token": "{LONG}"}}', '{"access_token": ***}'),
        (f"GET /x?token={LONG}&a=1", "GET /x?token=***&a=1"),
        (f"Authorization: Bearer {LONG}", "Authorization: Bearer ***"),
        (f"sent bearer {LONG}", "sent bearer ***"),
        ('password = "file:/etc/sealwatch/camera-password"', 'password = "file:/etc/sealwatch/camera-password"'),
        ('password = "env:CAMERA"', 'password = "env:CAMERA"'),
        ('service_public_key = "abc"', 'service_public_key = "abc"'),
        ('key_file = "/etc/x.key"', 'key_file = "/etc/x.key"'),
        ("gpio_pin = 17", "gpio_pin = 17"),
        ("2026-03-01 22:15:00 INFO connected to the broker mqtts://b:8883", None),
    ],
)
def test_what_nobody_else_may_know_is_taken_out_and_the_rest_stays(said: str, left: str | None) -> None:
    found = redact.text(said)
    assert found == (said if left is None else left)
    assert redact.text(found) == found


def test_a_private_key_is_taken_out_whole_also_where_its_end_is_cut_off() -> None:
    pem = (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )
    assert redact.text(f"a\n{pem}b") == "a\n***\nb"
    assert redact.text(f"a\n{pem[:90]}") == "a\n***"


@given(st.text(st.characters(codec="ascii", exclude_characters="\x00"), max_size=80))
def test_a_secret_that_the_configuration_refers_to_is_found_wherever_it_stands(around: str) -> None:
    assert LONG not in redact.text(f"{around}{LONG}{around}", [LONG])


def facts(log: list[str], config: str = "") -> Facts:
    return Facts(
        site_id="s1",
        node_id="n1",
        now_ms=1_700_000_000_000,
        boot_id="0" * 32,
        health=[{"part_id": "cam-1", "reason": f"rtsp://a:{SECRET}@h"}],
        outbox={"depth": 3},
        updates={},
        config=config,
        log=log,
    )


def opened(data: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_a_log_that_is_too_large_gives_way_from_its_oldest_end(tmp_path: Path) -> None:
    noise = random.Random(1)
    lines = [f"{number} {noise.randbytes(40).hex()}" for number in range(5000)]
    data = bundle.build(facts(lines), tmp_path, [])
    assert len(data) <= bundle.MOST_BYTES
    kept = opened(data)["log.txt"].splitlines()
    assert kept == lines[-len(kept) :]
    assert len(kept) > 500


def test_what_is_too_large_without_a_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without a log"):
        bundle.build(facts([], random.Random(1).randbytes(2000).hex()), tmp_path, [], most_bytes=1000)


def test_the_ring_keeps_the_newest_lines_of_the_log() -> None:
    ring, logger = LogRing(3), logging.getLogger("tests.ring")
    logger.addHandler(ring)
    try:
        for number in range(5):
            logger.warning("line %d", number)
    finally:
        logger.removeHandler(ring)
    assert [line[-6:] for line in ring.lines()] == ["line 2", "line 3", "line 4"]


def test_no_secret_of_a_node_is_in_its_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that a node's folder and configuration hold is looked for in every file of the bundle."""
    (tmp_path / "camera-password").write_text(f"{LONG}\n")
    monkeypatch.setenv("BROKER_PASSWORD", SECRET)
    config, out = tmp_path / "node.toml", tmp_path / "out.zip"
    config.write_text(
        'site_id = "s1"\nnode_id = "n1"\ndata_dir = "data"\n[mqtt]\nurl = "mqtt://127.0.0.1:1"\nusername = "n1"\n'
        'password = "env:BROKER_PASSWORD"\n[[cameras]]\ncamera_id = "cam-1"\n'
        f'source = "rtsp://127.0.0.1:1/ch1"\nusername = "admin"\npassword = "file:{tmp_path}/camera-password"\n',
        encoding="utf-8",
    )
    identity.load_or_create(tmp_path / "data")
    (tmp_path / "data" / "changes.jsonl").write_text(f'{{"what": "seen {LONG} and {SECRET}"}}\n')
    assert main(["edge", "diagnostics", "--config", str(config), "--out", str(out)]) == 0
    assert main(["edge", "diagnostics", "--config", str(config), "--out", str(out)]) == 2
    found = opened(out.read_bytes())
    everything = "\n".join(found.values())
    pem = (tmp_path / "data" / identity.KEY_FILE).read_text().splitlines()[1]
    assert not [secret for secret in (LONG, SECRET, pem, "PRIVATE KEY") if secret in everything]
    assert "signing-key.pem" in found["files.txt"], "its name and rights are no secret"
    assert "seen *** and ***" in found["changes.jsonl"]
    assert json.loads(found["about.json"])["node_id"] == "n1"
    assert redact.known_secrets(load_node(config)) == [LONG, SECRET]


def test_as_a_command_it_goes_to_the_service_like_a_picture(tmp_path: Path) -> None:
    built = Built(tmp_path)
    built.modem.connected = True
    built.agent.start()
    built.modem.publisher.connection_came()
    expires_at_ms = SystemClock().wall_ms() + 60_000
    wanted = command(SystemClock(), "diagnostics", "c-1", expires_at_ms=expires_at_ms)  # type: ignore[arg-type]  # any clock will do
    built.modem.deliver(Channel.COMMAND, wanted)
    waiter = threading.Event()
    bundles: list[Snapshot] = []
    for _ in range(500):
        built.modem.carry()
        bundles = [m for m in built.service.taken.values() if isinstance(m, Snapshot) and m.alarm_id == "c-1"]
        if built.service.replies and bundles:
            break
        waiter.wait(0.02)
    built.agent.stop()
    [bundle_] = bundles
    assert (built.service.replies[0].reason, built.service.replies[0].detail) == ("sent", bundle_.evidence.sha256)
    assert bundle_.evidence.media_type == "application/zip"
    found = opened(signing.from_base64url(bundle_.data))
    assert {part["part_id"] for part in json.loads(found["health.json"])} >= {"cam-1", "uplink", "configuration"}
    assert set(json.loads(found["outbox.json"])) >= {"pending", "refused"}
