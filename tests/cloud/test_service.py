"""The service as a whole, in this process and as the program that an operator starts."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.base.broker import EmbeddedBroker, free_port
from sealwatch.base.clock import SystemClock
from sealwatch.base.errors import UsageError
from sealwatch.base.text import Language
from sealwatch.cli import main
from sealwatch.cloud import check
from sealwatch.cloud.config import CloudSettings, load_cloud
from sealwatch.cloud.db import migrate
from sealwatch.cloud.db.engine import open_database, sqlite_url
from sealwatch.cloud.db.tables import Node, Site
from sealwatch.cloud.service import Service
from sealwatch.contract import signing, wire
from sealwatch.contract.codes import ClockQuality, Level, Phase
from sealwatch.contract.messages import Alarm, EvidenceRef, Origin, Samples, Snapshot
from sealwatch.contract.topics import Channel
from tests.cloud.ingest.test_brokers import WAIT_S, FieldNode
from tests.servers import postgres_or_skip

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
BOOT = "0" * 32
_SEQ = itertools.count(1)
CONFIG = """
data_dir = "data"
ingest_group = ""
mqtt.url = "mqtt://127.0.0.1:{broker_port}"
webhook.secret = "env:SEAL_WEBHOOK_SECRET"
ladder_repeat_s = 30.0
[web]
port = {web_port}
public_url = "http://127.0.0.1:{web_port}"
[[sites]]
site_id = "s1"
name_zh = "一号井"
name_en = "Pit 1"
[[nodes]]
node_id = "node-1"
site_id = "s1"
public_key = "{public_key}"
[[people]]
person_id = "wang"
name = "王×"
level = 2
webhook_url = "http://127.0.0.1:{hook_port}/hook"
[[ladder]]
after_s = 0.0
person_id = "wang"
channel = "webhook"
"""


class Hook:
    """A person's receiver: takes pages and hands them to the test."""

    def __init__(self) -> None:
        self.pages: queue.Queue[dict[str, Any]] = queue.Queue()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.pages.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                body = b'{"ok": true}'
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.stop()


@pytest.fixture
def config(tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEAL_WEBHOOK_SECRET", "shared")
    file = tmp_path / "cloud.toml"
    values = {
        "broker_port": free_port(),
        "web_port": free_port(),
        "hook_port": hook.port,
        "public_key": signing.public_key_text(KEY.public_key()),
    }
    file.write_text(CONFIG.format(**values), encoding="utf-8")
    return file


def broker_of(config: Path) -> EmbeddedBroker:
    return EmbeddedBroker(int(load_cloud(config).mqtt.url.rpartition(":")[2]))


def origin() -> Origin:
    now_ms = SystemClock().wall_ms()
    return Origin(
        site_id="s1",
        node_id="node-1",
        boot_id=BOOT,
        seq=next(_SEQ),
        captured_at_ms=now_ms,
        enqueued_at_ms=now_ms,
        clock_quality=ClockQuality.SYNCHRONISED,
    )


def an_alarm(**changes: Any) -> Alarm:
    values: dict[str, Any] = {
        "origin": origin(),
        "alarm_id": f"a{next(_SEQ)}",
        "kind": "person",
        "phase": Phase.START,
        "level": Level.ORANGE,
        "source_id": "cam-1",
        "started_at_ms": SystemClock().wall_ms(),
        "score": 0.9,
        "reason": "person_in_zone",
        "sentence_zh": "井口发现 1 人",
        "sentence_en": "1 person at the shaft mouth",
    }
    return Alarm(**(values | changes))


def test_from_an_alarm_to_an_answered_page_with_picture_and_curve(config: Path, hook: Hook) -> None:
    picture = b"\xff\xd8\xff\xd9"
    evidence = EvidenceRef(sha256=hashlib.sha256(picture).hexdigest(), media_type="image/jpeg", size_bytes=len(picture))
    with broker_of(config) as broker:
        service = Service(load_cloud(config), config)
        service.start()
        assert service.ingest.wait_connected(WAIT_S)
        node = FieldNode(broker.url)
        alarm = an_alarm(snapshot=evidence)
        node.send(Channel.ALARM, wire.seal(KEY, alarm))
        page = hook.pages.get(timeout=WAIT_S)
        assert page["level"] == "orange"
        assert "一号井" in page["title"]
        snapshot = Snapshot(
            origin=origin(),
            alarm_id=alarm.alarm_id,
            source_id="cam-1",
            evidence=evidence,
            data=signing.to_base64url(picture),
        )
        node.send(Channel.SNAPSHOT, wire.seal(KEY, snapshot))
        samples = Samples(
            origin=origin(),
            source_id="meter-1",
            at_ms=[SystemClock().wall_ms()],
            values={"active_power_w": [3000.0]},
        )
        node.send(Channel.SAMPLES, wire.encode(samples))
        assert {node.next_ack().outcome for _ in range(3)} == {"stored"}
        assert service.evidence.get(evidence.sha256) == picture
        answer(page["answer_url"])
        incidents = httpx.get(f"http://127.0.0.1:{service.port}/api/v1/incidents").json()
        assert "acknowledged" in json.dumps(incidents)
        counters = httpx.get(f"http://127.0.0.1:{service.port}/api/v1/counters").json()
        assert counters["ingest_stored"] == 3
        assert counters["pages_submitted"] + counters.get("pages_answered", 0) == 1
        node.session.stop()
        service.stop()
    assert hook.pages.empty()


def answer(url: str) -> None:
    """Open the link as a person's browser does and press the first button."""
    with httpx.Client(follow_redirects=True) as browser:
        form = browser.get(url)
        assert form.status_code == 200
        target = re.search(r'<form[^>]*action="([^"]+)"><button[^>]*name="answer" value="going"', form.text)
        assert target is not None
        done = browser.post(httpx.URL(url).join(target[1]), data={"answer": "going"})
        assert done.status_code == 200, done.text


def test_a_service_that_starts_again_neither_loses_nor_repeats(config: Path, hook: Hook) -> None:
    with broker_of(config) as broker:
        first = Service(load_cloud(config), config)
        first.start()
        assert first.ingest.wait_connected(WAIT_S)
        node = FieldNode(broker.url)
        payload = wire.seal(KEY, an_alarm())
        node.send(Channel.ALARM, payload)
        hook.pages.get(timeout=WAIT_S)
        assert node.next_ack().outcome == "stored"
        first.stop()
        second = Service(load_cloud(config), config)
        second.start()
        node.send(Channel.ALARM, payload)
        assert node.next_ack().outcome == "duplicate"
        node.session.stop()
        second.stop()
    assert hook.pages.empty()


def changed(config: Path, old: str, new: str) -> Path:
    config.write_text(config.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    return config


def refusal(config: Path) -> str:
    with pytest.raises(UsageError) as refused:
        Service(load_cloud(config), config)
    return str(refused.value)


def test_pages_open_to_a_network_without_a_token_are_refused_at_the_start(config: Path) -> None:
    changed(config, "[web]", '[web]\nhost = "0.0.0.0"')
    assert "access_token" in refusal(config)


def test_a_second_service_on_the_same_folder_is_refused(config: Path) -> None:
    first = Service(load_cloud(config), config)
    assert "another service" in refusal(config)
    first.close()
    Service(load_cloud(config), config).close()


def test_a_secret_that_is_not_there_is_refused_at_the_start(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEAL_WEBHOOK_SECRET")
    assert "SEAL_WEBHOOK_SECRET" in refusal(config)


def test_a_file_that_is_no_database_is_refused_at_the_start(config: Path) -> None:
    folder = config.parent / "data"
    folder.mkdir()
    (folder / "cloud.sqlite").write_bytes(b"this is no database, whatever its name says" * 100)
    assert "restore it from a backup" in refusal(config)


def test_a_port_that_is_taken_is_one_sentence(config: Path) -> None:
    settings = load_cloud(config)
    service = Service(settings, config)
    with socket.create_server(("127.0.0.1", settings.web.port)), pytest.raises(UsageError, match=r"web\.port"):
        service.start()
    service.stop()


def test_a_service_on_an_up_to_date_database_creates_nothing(config: Path) -> None:
    settings = load_cloud(config)
    Service(settings, config).close()
    database = config.parent / "data" / "cloud.sqlite"
    before = database.read_bytes()
    Service(settings, config).close()
    assert database.read_bytes() == before


def test_a_node_that_left_the_file_is_not_believed_any_more(config: Path) -> None:
    Service(load_cloud(config), config).close()
    text = config.read_text(encoding="utf-8")
    config.write_text(text[: text.index("[[nodes]]")] + text[text.index("[[people]]") :], encoding="utf-8")
    service = Service(load_cloud(config), config)
    outcome = service.ingest.recorder.record([arrival()])[0]
    service.close()
    assert outcome is not None
    assert outcome.reason == "unknown_node"


def arrival() -> Any:
    from sealwatch.cloud.ingest.record import Arrival

    return Arrival(topic="seal/v1/s1/node-1/alarm", payload=wire.seal(KEY, an_alarm()))


class Log:
    """The log of a running program: lines as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        self._pipe, self._lines = process.stderr, queue.Queue[str]()
        self._seen: list[str] = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        for line in self._pipe:
            self._lines.put(line)

    def wait_for(self, part: str) -> str:
        """The first line from here on that holds `part`. Fails where none comes in time."""
        while True:
            try:
                self._seen.append(self._lines.get(timeout=60))
            except queue.Empty:
                pytest.fail(f"no line holds {part!r}; the log ends with {self._seen[-5:]}")
            if part in self._seen[-1]:
                return self._seen[-1]

    def all(self) -> list[str]:
        """Every line, once the program has ended."""
        self._thread.join()
        while not self._lines.empty():
            self._seen.append(self._lines.get())
        return self._seen


class TestProgram:
    """`sealwatch cloud` as a process of its own."""

    @pytest.fixture
    def running(self) -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
        started: list[subprocess.Popen[str]] = []

        def start(config: Path) -> subprocess.Popen[str]:
            root = Path(__file__).parents[2]
            command = [sys.executable, "-m", "sealwatch", "cloud", "serve", "--config", str(config)]
            environment = os.environ | {"PYTHONPATH": str(root)}
            started.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=root, env=environment))
            return started[-1]

        yield start
        for process in started:
            process.kill()
            process.communicate()

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_it_serves_until_it_is_told_to_stop_and_then_stops_cleanly(
        self, config: Path, number: int, running: Callable[[Path], subprocess.Popen[str]]
    ) -> None:
        process = running(config)
        assert process.stderr is not None
        for line in process.stderr:
            if json.loads(line)["event"].startswith("serving"):
                break
        port = load_cloud(config).web.port
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").json() == {"status": "ok"}
        process.send_signal(number)
        _, rest = process.communicate(timeout=WAIT_S)
        assert process.returncode == 0
        assert "Traceback" not in rest

    def test_a_database_server_that_goes_away_is_told_in_single_lines_and_waited_for(
        self, config: Path, running: Callable[[Path], subprocess.Popen[str]]
    ) -> None:
        with postgres_or_skip() as server, broker_of(config):
            config.write_text(f'database.url = "{server.url()}"\n{config.read_text("utf-8")}', encoding="utf-8")
            port = load_cloud(config).web.port
            assert main(["cloud", "migrate", "--config", str(config)]) == 0
            process = running(config)
            log = Log(process)
            log.wait_for("serving")
            server.kill_all()
            away = log.wait_for("the database does not answer")
            assert httpx.get(f"http://127.0.0.1:{port}/", timeout=WAIT_S).status_code < 600, "the pages still answer"
            server.start()
            log.wait_for("the database answers again")
            process.send_signal(signal.SIGTERM)
            process.wait(WAIT_S)
            assert process.returncode == 0
            said = log.all()
            assert not any("Traceback" in line for line in said), said
            assert away.count("\\n") == 0

    def test_a_configuration_that_cannot_be_used_is_one_sentence_and_exit_code_2(
        self, config: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        changed(config, "port =", "prot =")
        assert main(["cloud", "serve", "--config", str(config)]) == 2
        assert "did you mean 'port'" in capsys.readouterr().err

    def test_migrate_says_what_it_did_and_does_it_once(
        self, config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LC_ALL", "C")
        assert main(["cloud", "migrate", "--config", str(config)]) == 0
        assert f"none -> {migrate.newest_revision()}" in capsys.readouterr().out
        assert main(["cloud", "migrate", "--config", str(config)]) == 0
        assert "nothing to do" in capsys.readouterr().out

    def test_check_prints_a_table_or_json_and_fails_where_something_is_wrong(
        self, config: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with broker_of(config):
            assert main(["cloud", "check", "--config", str(config)]) == 0
        assert "webhook" in capsys.readouterr().out
        assert main(["cloud", "check", "--config", str(config), "--json"]) == 1
        findings = {f["part"]: f for f in json.loads(capsys.readouterr().out)}
        assert not findings["broker"]["ok"]
        assert findings["data"]["ok"]
        assert not (config.parent / "data").exists(), "a check leaves nothing behind"


def test_check_shows_the_name_of_a_missing_table_as_it_is_written(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = config.read_text(encoding="utf-8")
    config.write_text(text[: text.index("[[ladder]]")], encoding="utf-8")
    monkeypatch.setattr(check, "WAIT_S", 0.5)
    assert main(["cloud", "check", "--config", str(config)]) == 1
    assert "[[ladder]]" in capsys.readouterr().out, "square brackets are not markup"


def test_check_knows_accounts_and_nodes_that_came_by_a_token(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = config.read_text(encoding="utf-8")
    nodes = text.index("[[nodes]]")
    text = text[:nodes] + text[text.index("[[", nodes + 2) :]
    text = re.sub(r'public_url = ".*"', 'public_url = "https://seal.example.cn"', text)
    text = text.replace("[web]", '[web]\nlogin = "accounts"')
    config.write_text(text, encoding="utf-8")
    monkeypatch.setattr(check, "WAIT_S", 0.5)

    def wrong() -> set[str]:
        return {f.part for f in check.run(load_cloud(config), config, Language.EN) if not f.ok}

    assert wrong() == {"registry", "broker"}
    assert main(["cloud", "migrate", "--config", str(config)]) == 0
    database = open_database(sqlite_url(config.parent / "data" / "cloud.sqlite"))
    with database.write() as session:
        session.add(Site(site_id="s9", name_zh="九号井", name_en="Pit 9", declared_status="power_cut"))
        session.flush()
        session.add(Node(node_id="n9", site_id="s9", public_key="x"))
    database.close()
    assert wrong() == {"broker"}


def test_check_names_everything_that_is_wrong(config: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    text = config.read_text(encoding="utf-8").replace(str(hook.port), str(free_port()))
    text = text[: text.index("[[ladder]]")].replace("[web]", '[web]\nhost = "0.0.0.0"')
    text += '[smtp]\nhost = "127.0.0.1"\nsecurity = "none"\nsender = "a@b"\n' + f"port = {free_port()}\n"
    config.write_text(text, encoding="utf-8")
    monkeypatch.setattr(check, "WAIT_S", 0.5)
    settings: CloudSettings = load_cloud(config)
    findings = {f.part: f for f in check.run(settings, config, Language.EN)}
    wrong = {part for part, finding in findings.items() if not finding.ok}
    assert wrong == {"ladder", "broker", "webhook", "email", "web"}
    assert "王×" in findings["webhook"].sentence
    assert all(re.match(r"\S", f.sentence) for f in findings.values())
