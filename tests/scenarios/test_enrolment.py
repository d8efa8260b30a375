"""From a bare machine to a node behind a real Mosquitto with TLS, as shipped, and everybody who is refused."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sealwatch.base.broker import free_port
from sealwatch.base.clock import ManualClock, SystemClock
from sealwatch.base.mqtt import Message, MqttSettings, Session
from sealwatch.cli import main
from sealwatch.cloud.config import load_cloud
from sealwatch.cloud.enrolment.authority import Authority
from sealwatch.cloud.service import Service
from sealwatch.contract import topics, wire
from sealwatch.contract.messages import Command, Reply
from sealwatch.contract.signing import public_key_text
from sealwatch.contract.topics import Channel
from sealwatch.edge import identity, optional
from sealwatch.edge.agent import Agent
from sealwatch.edge.config import data_dir, load_node
from sealwatch.edge.enrolment.papers import Papers
from sealwatch.edge.enrolment.renewal import Renewal
from sealwatch.evidence.cli import read_keys
from tests.support import Mosquitto, mosquitto_or_skip

pytestmark = pytest.mark.mosquitto
DEPLOY = Path(__file__).parents[2] / "deploy" / "mosquitto"
WAIT_S = 20.0


class County:
    """A service with its own authority, and the broker as shipped."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cloud, self.tls = folder, folder / "cloud.toml", folder / "tls"
        self.broker_port, self.web_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.web_port}"
        self.cloud.write_text(
            f'data_dir = "cloud"\nweb.port = {self.web_port}\n[mqtt]\n'
            f'url = "mqtts://127.0.0.1:{self.broker_port}"\nca_file = "{self.tls}/ca.pem"\n'
            f'certificate_file = "{self.tls}/sealwatch-cloud.pem"\nkey_file = "{self.tls}/sealwatch-cloud.key"\n'
            '[[sites]]\nsite_id = "s1"\nname_zh = "一号井"\nname_en = "Pit 1"\n',
            encoding="utf-8",
        )
        assert self.shell("migrate") == 0
        assert self.shell("certificate", "sealwatch-cloud", "--out", str(self.tls)) == 0
        assert self.shell("certificate", "broker", "--host", "127.0.0.1", "--out", str(self.tls)) == 0
        self.authority = Authority(folder / "cloud" / "ca", SystemClock().wall_ms())
        shutil.copy(DEPLOY / "acl", self.tls / "acl")
        shipped = (DEPLOY / "mosquitto.conf").read_text(encoding="utf-8")
        config = (
            shipped.replace("listener 8883", "listener {port} 127.0.0.1")
            .replace("/etc/mosquitto/sealwatch/", f"{self.tls}/")
            .replace("/var/lib/mosquitto/", "{folder}/")
        )
        self.broker: Mosquitto = mosquitto_or_skip(config)
        self.broker.port = self.broker_port

    def shell(self, command: str, *arguments: str) -> int:
        return main(["cloud", command, "--config", str(self.cloud), *arguments])

    def enrol(self, token: str, folder: str = "node-1") -> tuple[int, Path]:
        path = self.folder / folder / "node.toml"
        path.parent.mkdir(exist_ok=True)
        return main(["edge", "enrol", "--cloud", self.url, "--token", token, "--config", str(path)]), path

    def session(self, settings: MqttSettings, name: str, *filters: str, came: list[Message] | None = None) -> Session:
        session = Session(
            settings, client_id=name, subscriptions=filters, on_message=None if came is None else came.append
        )
        session.start()
        return session

    def reload_crl(self) -> None:
        shutil.copy(self.authority.crl_file, self.tls / "crl.pem")
        assert self.broker._process is not None
        os.kill(self.broker._process.pid, signal.SIGHUP)


@pytest.fixture
def county(tmp_path: Path) -> Iterator[tuple[County, Service]]:
    made = County(tmp_path)
    with made.broker:
        service = Service(load_cloud(made.cloud), made.cloud)
        service.start()
        yield made, service
        service.stop()


Running = tuple[County, Service]


def until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(WAIT_S / 0.05)):
        if condition():
            return
        pause.wait(0.05)
    raise AssertionError("it did not come")


def token_of(county: County, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    capsys.readouterr()
    assert county.shell("token", "node-1", "s1", *more) == 0
    return capsys.readouterr().out.strip()


def test_a_bare_machine_becomes_a_node_and_a_stolen_one_is_shut_out(
    county: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    made, _ = county
    token = token_of(made, capsys)
    code, path = made.enrol(token)
    assert code == 0
    settings = load_node(path)
    agent = Agent(settings, path)
    agent.start()
    until(lambda: agent.declared.current().version > 0)
    assert made.shell("command", "node-1", "ping") == 0
    health = {part.part_id: part for part in agent.health()}["certificate"]
    assert (health.reason, round(health.numbers["days_left"])) == ("valid", 365)

    capsys.readouterr()
    assert made.enrol(token, "thief")[0] == 1
    assert "used_token" in capsys.readouterr().err

    agent.stop()
    assert made.shell("revoke", "node-1") == 0
    made.reload_crl()
    stolen = made.session(settings.mqtt, "s1.node-1")
    assert not stolen.wait_connected(1.5), "the broker knows that it was revoked"
    stolen.stop()
    renewal = _renewal(path)
    assert renewal.step() < 3600
    assert renewal.health().reason == "unknown_node"


def _renewal(path: Path) -> Renewal:
    folder = path.parent / "data"
    papers = Papers(folder)
    origin = papers.origin()
    assert origin is not None
    late = ManualClock(wall_ms=SystemClock().wall_ms() + 300 * 86_400_000)
    key = identity.load_or_create(folder).key
    return Renewal(papers, origin, node_id="node-1", key=key, clock=late)


def test_an_expired_certificate_is_turned_away_and_a_renewed_one_let_in(
    county: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    made, _ = county
    _, path = made.enrol(token_of(made, capsys))
    settings, papers = load_node(path), Papers(path.parent / "data")
    key = serialization.load_pem_private_key(papers.key_file.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    year_ago_ms = SystemClock().wall_ms() - 366 * 86_400_000
    expired = made.authority.issue(key.public_key(), "node-1", now_ms=year_ago_ms)
    good = papers.certificate_file.read_bytes()
    papers.certificate_file.write_text(expired.pem)
    session = made.session(settings.mqtt, "s1.node-1")
    assert not session.wait_connected(1.5)
    renewal = _renewal(path)
    assert renewal.health().reason == "expired"
    assert renewal.step() == 3600
    assert papers.certificate_file.read_bytes() == good, "less than a day old: the same again"
    assert session.wait_connected(WAIT_S), "the running session takes up what was renewed"
    session.stop()


def test_an_enrolled_node_stays_on_its_own_topics_and_a_recorded_command_is_of_no_use(
    county: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    made, service = county
    _, path = made.enrol(token_of(made, capsys))
    settings = load_node(path)
    spy: list[Message] = []
    cloud = made.session(load_cloud(made.cloud).mqtt, "spy", topics.wildcard(Channel.REPLY), came=spy)
    assert cloud.wait_connected(WAIT_S)
    node = made.session(settings.mqtt, "other")
    assert node.wait_connected(WAIT_S)
    node.publish(topics.topic("s1", "node-2", Channel.REPLY), b"of another node")
    node.publish(topics.topic("s1", "node-1", Channel.COMMAND), b"to itself")
    node.publish(topics.topic("s1", "node-1", Channel.REPLY), b"own")
    until(lambda: [m.payload for m in spy] == [b"own"])
    agent = Agent(settings, path)
    agent.start()
    until(lambda: agent.declared.current().version > 0)  # what comes from the service comes: it is subscribed
    now_ms = SystemClock().wall_ms()
    command = Command(
        site_id="s1", node_id="node-1", command_id="c1", name="ping", issued_at_ms=now_ms, expires_at_ms=now_ms + 60_000
    )
    recorded = wire.seal(service.signing_key, command)
    for _ in range(2):
        before = len(spy)
        cloud.publish(topics.topic("s1", "node-1", Channel.COMMAND), recorded)
        until(lambda before=before: len(spy) > before)  # type: ignore[misc]  # mypy cannot infer a lambda with a bound default
    assert [wire.decode(Reply, m.payload).reason for m in spy[1:]] == ["alive", "replayed"]
    for session in (node, cloud):
        session.stop()
    agent.stop()


@pytest.mark.parametrize("bad", ["abc", "x" * 43 + "." + "A" * 22])
def test_a_token_that_is_none_or_of_another_county_is_one_sentence(
    county: Running, capsys: pytest.CaptureFixture[str], bad: str
) -> None:
    made, _ = county
    code, path = made.enrol(bad)
    assert code in {1, 2}
    assert not path.exists()
    assert "Traceback" not in capsys.readouterr().err


def test_a_node_gets_another_signing_key_from_the_service_and_both_stay_known(
    county: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    made, _ = county
    code, path = made.enrol(token_of(made, capsys))
    assert code == 0
    folder, clock = path.parent, ManualClock()
    data = data_dir(load_node(path), path)
    before = identity.load_or_create(data)
    restarted: list[bool] = []
    change = optional.key_change(data, load_node(path), before, clock, lambda: restarted.append(True))
    assert change is not None
    asked = Command(site_id="s1", node_id="node-1", command_id="c", name="change_key", issued_at_ms=1, expires_at_ms=2)
    assert change.command(asked).ok
    clock.advance(change.step())
    change.step()
    assert restarted == [True]
    after = identity.load_or_create(data)
    capsys.readouterr()
    assert made.shell("keys", "node-1") == 0
    known = folder / "registry-keys.txt"
    known.write_text(capsys.readouterr().out, encoding="ascii")
    assert [public_key_text(key) for key in read_keys(str(known))] == [before.public_key_text, after.public_key_text]
    agent = Agent(load_node(path), path)
    agent.start()
    until(lambda: agent.declared.current().version > 0)
    assert made.shell("command", "node-1", "ping") == 0
    agent.stop()
