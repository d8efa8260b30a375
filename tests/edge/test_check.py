"""`sealwatch edge check`: every red line says what to do, and nothing that hangs keeps the answer back."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from sealwatch.base import text
from sealwatch.base.broker import EmbeddedBroker
from sealwatch.base.text import Language
from sealwatch.cli import main
from sealwatch.edge import probes
from sealwatch.edge.check import Finding, Probe, as_json, check_node, passed, print_table, try_all
from sealwatch.edge.config import CameraSettings, MeterSettings, load_node
from sealwatch.edge.identity import load_or_create
from sealwatch.edge.probes import Found
from sealwatch.simulator.loads.scenarios import demo_load
from sealwatch.simulator.meter import SimulatedMeter
from tests.certificates import Authority
from tests.edge.uplink.helpers import alarm, outbox
from tests.edge.video.clips import wall, write_clip
from tests.support import mosquitto_or_skip


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never says anything: a hung camera, a converter without a meter."""
    kept: list[socket.socket] = []
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def accept() -> None:
            while True:
                try:
                    kept.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in kept:
        connection.close()


def node_file(
    folder: Path, *, camera: str = "", meter: str = "", broker: str = "mqtt://127.0.0.1:1", data_dir: str = "data"
) -> Path:
    path = folder / "node.toml"
    lines = [f'site_id = "410100000001"\nnode_id = "node-1"\ndata_dir = "{data_dir}"\n[mqtt]\nurl = "{broker}"']
    if camera:
        lines.append(f'[[cameras]]\ncamera_id = "cam-1"\nsource = "{camera}"')
    if meter:
        lines.append(f'[[meters]]\nmeter_id = "meter-1"\nurl = "{meter}"\naddress = "42"')
    path.write_text("\n".join(lines))
    return path


def checked(path: Path) -> dict[str, Finding]:
    return {finding.subject: finding for finding in check_node(load_node(path), path)}


def test_with_camera_and_meter_dead_the_answer_comes_within_ten_seconds_and_says_what_to_do(tmp_path: Path) -> None:
    with silent_port() as camera, silent_port() as meter:
        path = node_file(tmp_path, camera=f"rtsp://127.0.0.1:{camera}/live", meter=f"tcp://127.0.0.1:{meter}")
        began_s = time.monotonic()
        found = checked(path)
        took_s = time.monotonic() - began_s
    assert took_s < 10
    assert (found["camera"].state, found["camera"].reason) == ("wrong", "silent")
    assert (found["meter"].state, found["meter"].reason) == ("wrong", "silent")
    assert "A/B 接线" in found["meter"].sentence(Language.ZH)
    assert "restart the camera" in found["camera"].sentence(Language.EN)
    assert (found["broker"].state, found["broker"].reason) == ("wrong", "refused")
    assert not passed(list(found.values()))


def test_where_everything_is_there_nothing_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "clip.mp4", [wall()] * 10)
    monkeypatch.setattr(
        probes, "model", lambda: Found(ok=True, reason="ready", values={"model": "m", "milliseconds": "1"})
    )
    with EmbeddedBroker() as broker, SimulatedMeter(demo_load(), address="42", port=0) as meter:
        path = node_file(tmp_path, camera=str(tmp_path / "clip.mp4"), meter=meter.url, broker=broker.url)
        found = checked(path)
    assert [f for f in found.values() if f.state == "wrong"] == []
    assert found["camera"].values["width"] == "320"
    assert float(found["meter"].values["kilowatts"]) >= 0
    assert found["broker"].reason == "connected"
    assert found["key"].values["public_key"] == load_or_create(tmp_path / "data").public_key_text
    assert passed(list(found.values()))


def test_a_probe_that_hangs_costs_a_line_and_not_the_answer() -> None:
    gate = threading.Event()

    def hang() -> Found:
        gate.wait()
        return Found(ok=True, reason="picture")

    def burst() -> Found:
        raise RuntimeError("libcamera fell over")

    wanted = [
        Probe("camera", "hangs", hang),
        Probe("camera", "bursts", burst),
        Probe("meter", "behind-1", hang, line="tcp://a"),
        Probe("meter", "behind-2", lambda: Found(ok=True, reason="reading", values={"kilowatts": "1"}), line="tcp://a"),
        Probe(
            "disk",
            "",
            lambda: Found(ok=True, reason="good", values={"folder": "/", "milliseconds": "1", "free_gb": "1"}),
        ),
    ]
    found = try_all(wanted, deadline_s=1.0)
    gate.set()
    assert [(f.name, f.reason) for f in found] == [
        ("hangs", "no_answer"),
        ("bursts", "broke"),
        ("behind-1", "no_answer"),
        ("behind-2", "no_answer"),
        ("", "good"),
    ]
    assert "libcamera fell over" in found[1].sentence(Language.EN)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("/nowhere/clip.mp4", "no_file"),
        ("gopher://camera", "unknown_address"),
        ("empty.mp4", "empty"),
        ("text.mp4", "not_video"),
    ],
)
def test_what_is_wrong_with_a_camera_is_named(tmp_path: Path, source: str, reason: str) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no video " * 1000)
    where = str(tmp_path / source) if source.endswith(".mp4") and not source.startswith("/") else source
    assert probes.camera(CameraSettings(camera_id="cam-1", source=where)).reason == reason


def test_a_missing_password_is_named_without_trying_the_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAMERA_PASSWORD", raising=False)
    settings = CameraSettings(
        camera_id="cam-1", source="rtsp://127.0.0.1:1/", username="u", password="env:CAMERA_PASSWORD"
    )
    assert probes.camera(settings).reason == "secret_missing"


def test_a_meter_profile_that_does_not_exist_is_named() -> None:
    settings = MeterSettings(meter_id="m", url="tcp://127.0.0.1:1", address="1", profile="no-such")
    assert probes.MeterLines().read(settings).reason == "settings"


def test_a_missing_model_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEALWATCH_MODEL_DIR", str(tmp_path))
    found = probes.model()
    assert (found.ok, found.reason) == (False, "missing")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file is in the way")
    path = node_file(tmp_path)
    assert probes.disk(load_node(path), path).reason == "cannot_write"
    assert probes.key(load_node(path), path).reason == "unusable"


def test_what_waits_for_the_service_is_told_while_the_agent_works(tmp_path: Path) -> None:
    path = node_file(tmp_path)
    node = load_node(path)
    assert probes.outbox(node, path).reason == "none_yet"
    (tmp_path / "data").mkdir()
    box = outbox(tmp_path / "data")
    assert probes.outbox(node, path).reason == "empty"
    (ref,) = box.enqueue([alarm("one")])
    found = probes.outbox(node, path)
    assert (found.ok, found.reason, found.values["waiting"]) == (True, "waiting", "1")
    box.refuse({ref: "unknown_key"})
    found = probes.outbox(node, path)
    assert (found.ok, found.reason, found.values["why"]) == (False, "refused", "unknown_key")
    box.close()
    (tmp_path / "data" / "outbox.db").write_bytes(b"no database" * 1000)
    assert probes.outbox(node, path).reason == "unreadable"


def test_a_port_that_speaks_something_else_is_no_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "BROKER_TIMEOUT_S", 0.3)
    with silent_port() as port:
        node = load_node(node_file(tmp_path, broker=f"mqtt://127.0.0.1:{port}"))
        assert probes.broker(node).reason == "no_mqtt"


@pytest.mark.parametrize(("url", "reason"), [("mqtt://no-such-host.invalid", "no_name"), ("mqtts://h:x", "settings")])
def test_an_address_that_leads_nowhere_is_named(tmp_path: Path, url: str, reason: str) -> None:
    assert probes.broker(load_node(node_file(tmp_path, broker=url))).reason == reason


_BROKERS = {
    "password": "listener {{port}} 127.0.0.1\nallow_anonymous false\n",
    "tls": "listener {{port}} 127.0.0.1\nallow_anonymous true\ncafile {ca}\ncertfile {certificate}\nkeyfile {key}\n",
}


@pytest.mark.mosquitto
@pytest.mark.parametrize(
    ("kind", "scheme", "trusted", "reason"),
    [
        ("password", "mqtt", True, "not_let_in"),
        ("password", "mqtts", True, "tls_failed"),
        ("tls", "mqtts", True, "connected"),
        ("tls", "mqtts", False, "untrusted"),
    ],
)
def test_a_broker_that_does_not_let_the_node_in_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, scheme: str, trusted: bool, reason: str
) -> None:
    monkeypatch.setattr(probes, "BROKER_TIMEOUT_S", 2.0)
    authority = Authority(tmp_path)
    certificate, key = authority.issue("broker")
    config = _BROKERS[kind].format(ca=authority.ca_file, certificate=certificate, key=key)
    with mosquitto_or_skip(config) as broker:
        path = node_file(tmp_path, broker=f"{scheme}://127.0.0.1:{broker.port}")
        if trusted and scheme == "mqtts":
            path.write_text(path.read_text() + f'\nca_file = "{authority.ca_file}"\n')
        assert probes.broker(load_node(path)).reason == reason


def finding(subject: str, reason: str, *, ok: bool) -> Finding:
    return Finding(subject=subject, name="x", reason=reason, ok=ok, seconds=0.1)


def test_a_clock_without_a_source_is_a_note_and_a_wrong_date_is_wrong() -> None:
    assert finding("clock", "never_synchronised", ok=False).state == "attention"
    assert finding("clock", "date_in_the_past", ok=False).state == "wrong"
    assert passed([finding("clock", "source_away", ok=False)])


def test_the_table_speaks_chinese_and_english_and_has_no_colours_away_from_a_terminal() -> None:
    findings = [finding("camera", "silent", ok=False), finding("disk", "other", ok=True)]
    for language, words in (
        (Language.ZH, ["✗ 异常", "摄像机", "有 1 项异常"]),
        (Language.EN, ["✗ wrong", "camera", "1 wrong"]),
    ):
        out = io.StringIO()
        print_table(findings, language, Console(file=out, width=100))
        assert "\x1b" not in out.getvalue()
        for word in words:
            assert word in out.getvalue()


def test_every_reason_that_a_probe_can_give_has_its_own_sentence() -> None:
    """The general sentence is for what no one foresaw."""
    known = {
        "camera": "picture silent access_refused refused unreachable not_found not_video no_video no_file empty "
        "damaged truncated ended unknown_address secret_missing no_answer",
        "meter": "reading unreachable silent echo foreign late bad_checksum garbage exception settings no_answer",
        "model": "ready missing damaged no_answer",
        "disk": "good slow nearly_full cannot_write no_answer",
        "outbox": "none_yet empty waiting refused unreadable no_answer",
        "key": "ready unusable no_answer",
        "clock": "disciplined source_away never_synchronised kernel_says_nothing date_in_the_past no_answer",
        "broker": "connected no_name refused unreachable untrusted tls_failed not_let_in no_mqtt settings no_answer",
    }
    for subject, reasons in known.items():
        for reason in [*reasons.split(), "other"]:
            assert f"edge.check.{subject}.{reason}" in text.catalogue()


def test_the_json_holds_both_languages_and_the_named_reason() -> None:
    document = json.loads(as_json([finding("camera", "silent", ok=False)]))
    assert document["ok"] is False
    (line,) = document["findings"]
    assert (line["state"], line["reason"]) == ("wrong", "silent")
    assert line["sentence_zh"] != line["sentence_en"]


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(["edge", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_the_command_ends_with_one_where_something_is_wrong_and_nought_where_nothing_is(
    tmp_path: Path, run: Run
) -> None:
    code, out, _ = run("check", "--config", str(node_file(tmp_path)), "--json")
    assert code == 1
    assert {f["subject"]: f["state"] for f in json.loads(out)["findings"]}["broker"] == "wrong"
    with EmbeddedBroker() as broker:
        code, out, _ = run("check", "--config", str(node_file(tmp_path, broker=broker.url)), "--lang", "en")
    assert code == 0
    assert "Everything the node needs is there." in out


def test_the_key_command_prints_the_public_key_alone_and_the_same_each_time(tmp_path: Path, run: Run) -> None:
    path = node_file(tmp_path)
    assert run("key", "--config", str(path)) == run("key", "--config", str(path))
    code, out, _ = run("key", "--config", str(path))
    assert (code, out.strip()) == (0, load_or_create(tmp_path / "data").public_key_text)


@pytest.mark.parametrize("command", ["run", "check", "key"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("site_id = 5", "site_id"),
        ('site_id = "a"\nnode_id = "n"\ndata_dir = "d"\nsurprise = 1\n[mqtt]\nurl = "mqtt://h"', "surprise"),
        ('site_id = "a"\nnode_id = "n"\ndata_dir = "d"\n[mqtt]\nurl = "http://h"', "mqtt.url"),
        ("[[", "not valid TOML"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_said_in_one_sentence(
    tmp_path: Path, run: Run, command: str, content: str, words: str
) -> None:
    path = tmp_path / "node.toml"
    path.write_text(content)
    code, _, err = run(command, "--config", str(path))
    assert code == 2
    assert words in err
    assert "Traceback" not in err


def test_a_missing_certificate_is_said_before_the_agent_starts(tmp_path: Path, run: Run) -> None:
    path = node_file(tmp_path, broker="mqtts://127.0.0.1:1")
    path.write_text(path.read_text() + '\nca_file = "/nowhere/ca.pem"\n')
    code, _, err = run("run", "--config", str(path))
    assert code == 2
    assert "/nowhere/ca.pem cannot be read" in err


def test_the_commands_of_others_are_offered_without_being_loaded(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["edge", "--help"])
    assert ended.value.code == 0
    assert "replay" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["edge", "replay", "--help"])
    assert "VIDEO" in capsys.readouterr().out
