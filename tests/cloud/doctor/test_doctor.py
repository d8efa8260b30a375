"""The doctor: each figure at its bounds, and a real service that is well, ill, and away."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import update

from sealwatch.base import text
from sealwatch.base.broker import EmbeddedBroker, free_port
from sealwatch.base.mqtt import MqttSettings
from sealwatch.base.text import Language
from sealwatch.cli import main
from sealwatch.cloud.config import CloudSettings, load_cloud
from sealwatch.cloud.db.tables import Page
from sealwatch.cloud.doctor import judge, look
from sealwatch.cloud.doctor.cli import sentence
from sealwatch.cloud.doctor.judge import DAY_MS, HOUR_MS, Finding, Verdict
from sealwatch.cloud.service import Service
from sealwatch.cloud.telemetry.memory import MemoryTelemetry
from tests.cloud.world import REFUSED, World

NOW = 1_800_000_000_000
URL = "http://127.0.0.1:8000/healthz"

CASES = [
    (judge.pages(200, "", URL), Verdict.OK, "answer"),
    (judge.pages(503, "", URL), Verdict.WRONG, "ill"),
    (judge.pages(None, "refused", URL), Verdict.WRONG, "silent"),
    (judge.workers({"pager": (NOW, 1.0)}, NOW), Verdict.OK, "turn"),
    (judge.workers({"pager": (NOW, 1.0), "lane": (NOW, 0.0)}, NOW), Verdict.WRONG, "hanging"),
    (judge.workers({"pager": (NOW - 6 * 60_000, 1.0)}, NOW), Verdict.WRONG, "none"),
    (judge.workers({}, NOW), Verdict.WRONG, "none"),
    (judge.store_away("refused"), Verdict.WRONG, "store_away"),
    (judge.stranded([]), Verdict.OK, "steps"),
    (judge.stranded(["i1"]), Verdict.WRONG, "stranded"),
    (judge.channels({}), Verdict.OK, "take"),
    (judge.channels({"sms": (3, 1)}), Verdict.WATCH, "weak"),
    (judge.channels({"sms": (0, 1), "mail": (5, 1)}), Verdict.WRONG, "dead"),
    (judge.nodes({}, 3), Verdict.OK, "report"),
    (judge.nodes({"n1": "never_seen"}, 3), Verdict.WATCH, "never_seen"),
    (judge.nodes({"n1": "never_seen", "n2": "overdue"}, 3), Verdict.WRONG, "silent"),
    (judge.quarantine({}), Verdict.OK, "none"),
    (judge.quarantine({"bad_signature": 2}), Verdict.WATCH, "some"),
    (judge.spool(0, None, 0, NOW), Verdict.OK, "flows"),
    (judge.spool(9, NOW - 9 * 60_000, 0, NOW), Verdict.OK, "flows"),
    (judge.spool(9, NOW - 11 * 60_000, 0, NOW), Verdict.WRONG, "waiting"),
    (judge.spool(0, None, 1, NOW), Verdict.WATCH, "set_aside"),
    (judge.disk(50, 100, "/d"), Verdict.OK, "room"),
    (judge.disk(9, 100, "/d"), Verdict.WATCH, "filling"),
    (judge.disk(2, 100, "/d"), Verdict.WRONG, "full"),
    (judge.certificates({}), Verdict.OK, "none"),
    (judge.certificates({"a": 400.0, "b": 31.0}), Verdict.OK, "valid"),
    (judge.certificates({"a": 400.0, "b": 29.0}), Verdict.WATCH, "ending"),
    (judge.certificates({"a": 6.0}), Verdict.WRONG, "ending"),
    (judge.certificates({"a": -0.1}), Verdict.WRONG, "ended"),
    (judge.certificates({"a": 400.0, "b": None}), Verdict.WRONG, "unreadable"),
    (judge.backup(NOW - HOUR_MS, "/b", NOW), Verdict.OK, "fresh"),
    (judge.backup(NOW - 3 * DAY_MS, "/b", NOW), Verdict.WRONG, "old"),
    (judge.backup(None, "/b", NOW), Verdict.WRONG, "none"),
    (judge.clock(True), Verdict.OK, "kept"),
    (judge.clock(False), Verdict.WRONG, "free"),
    (judge.clock(None), Verdict.WATCH, "unknown"),
]


@pytest.mark.parametrize(
    ("finding", "verdict", "reason"), CASES, ids=lambda value: str(getattr(value, "reason", value))
)
def test_every_reason_has_its_verdict_and_its_sentence(finding: Finding, verdict: Verdict, reason: str) -> None:
    assert (finding.verdict, finding.reason) == (verdict, reason)
    for language in Language:
        assert sentence(finding, language)


def test_no_sentence_stands_in_the_catalogue_without_a_case() -> None:
    subjects = {finding.subject for finding, _, _ in CASES}
    entries = {key for key in text.catalogue() if key.split(".")[0] == "doctor" and key.split(".")[1] in subjects}
    assert entries == {f"doctor.{finding.subject}.{finding.reason}" for finding, _, _ in CASES}


def test_many_names_are_cut_and_counted() -> None:
    said = sentence(judge.nodes({f"n{i}": "offline" for i in range(8)}, 9), Language.EN)
    assert "(+3)" in said


def _settings() -> CloudSettings:
    return CloudSettings(data_dir="data", mqtt=MqttSettings(url="mqtt://127.0.0.1:1"))


def looked(world: World, folder: Path) -> dict[str, Finding]:
    telemetry = MemoryTelemetry()
    found = look.findings(_settings(), folder, world.database, telemetry, backups=None, now_ms=world.clock.wall_ms())
    return {finding.subject: finding for finding in found}


def test_an_incident_whose_pages_are_gone_is_stranded(world: World, tmp_path: Path) -> None:
    world.push(world.alarm())
    assert looked(world, tmp_path)["paging"].verdict is Verdict.OK
    with world.database.write() as session:
        session.execute(update(Page).values(state="failed"))
    assert looked(world, tmp_path)["paging"].values["names"] == world.incident().incident_id
    world.answer()
    assert looked(world, tmp_path)["paging"].verdict is Verdict.OK


def test_a_channel_that_takes_nothing_is_dead(world: World, tmp_path: Path) -> None:
    world.webhook.always = REFUSED
    world.push(world.alarm())
    world.until(90)
    assert looked(world, tmp_path)["channels"].values["names"] == "webhook"
    assert looked(world, tmp_path)["channels"].reason == "dead"


def test_a_refused_message_is_told_for_a_day(world: World, tmp_path: Path) -> None:
    arrival = world.sealed(world.alarm())
    world.recorder.record([type(arrival)(topic=arrival.topic, payload=b"{")])
    assert looked(world, tmp_path)["quarantine"].values["count"] == 1
    world.clock.advance(25 * 3600)
    assert looked(world, tmp_path)["quarantine"].verdict is Verdict.OK


def test_certificates_are_read_from_their_files(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=12))
        .sign(key, hashes.SHA256())
    )
    from cryptography.hazmat.primitives.serialization import Encoding

    (tmp_path / "ca.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (tmp_path / "cut.pem").write_text("-----BEGIN")
    settings = MqttSettings(
        url="mqtts://h:1", ca_file=str(tmp_path / "ca.pem"), certificate_file=str(tmp_path / "cut.pem")
    )
    days = look._days_left(settings, round(now.timestamp() * 1000))
    assert days[str(tmp_path / "ca.pem")] == pytest.approx(12, abs=0.01)
    assert days[str(tmp_path / "cut.pem")] is None


def test_a_running_service_is_well_and_a_stopped_one_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look, "_synchronised", lambda: True)  # the clock of the test machine is not the question
    port = free_port()
    config = tmp_path / "cloud.toml"
    with EmbeddedBroker() as broker:
        config.write_text(
            f'data_dir = "data"\ningest_group = ""\nmqtt.url = "{broker.url}"\n'
            f'[web]\nport = {port}\npublic_url = "http://127.0.0.1:{port}"\n'
        )
        service = Service(load_cloud(config), config)
        service.start()
        try:
            service.teller.turn()
            assert main(["doctor", "--config", str(config), "--json"]) == 0
            well = {one["subject"]: one for one in json.loads(capsys.readouterr().out)}
        finally:
            service.stop()
    assert {subject: one["reason"] for subject, one in well.items()} == {
        "pages": "answer", "workers": "turn", "paging": "steps", "channels": "take", "nodes": "report",
        "quarantine": "none", "disk": "room", "certificates": "none", "clock": "kept",
    }  # fmt: skip
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("LC_MESSAGES", raising=False)
    backups = tmp_path / "backups"
    backups.mkdir()
    assert main(["doctor", "--config", str(config), "--backups", str(backups)]) == 1
    said = capsys.readouterr().out
    assert "无应答" in said
    assert "没有完整的备份" in said


def test_a_service_that_was_never_started_is_told_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "cloud.toml"
    config.write_text('data_dir = "data"\nmqtt.url = "mqtt://127.0.0.1:1"\n')
    assert main(["doctor", "--config", str(config)]) == 2
    assert "start the service first" in capsys.readouterr().err
