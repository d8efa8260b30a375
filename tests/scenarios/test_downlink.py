"""The service speaks to a real agent: commands from the shell, what a site declares, all over a real broker."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sealwatch.base.broker import EmbeddedBroker, free_port
from sealwatch.cli import main
from sealwatch.cloud.config import load_cloud
from sealwatch.cloud.service import Service
from sealwatch.contract import signing
from sealwatch.edge import identity
from sealwatch.edge.agent import Agent
from sealwatch.edge.config import load_node

WAIT_S = 20.0


class County:
    """One service and one node with nothing but an uplink; each starts and stops as a test likes."""

    def __init__(self, folder: Path, url: str) -> None:
        self.cloud, self.node, self.url = folder / "cloud.toml", folder / "node.toml", url
        self.status = "power_cut"
        self._web_port = free_port()
        self.public_key = identity.load_or_create(folder / "node").public_key_text
        self.write_cloud()

    def write_cloud(self) -> None:
        self.cloud.write_text(
            f'data_dir = "cloud"\ningest_group = ""\nmqtt.url = "{self.url}"\nweb.port = {self._web_port}\n'
            f'[[sites]]\nsite_id = "s1"\nname_zh = "一号井"\nname_en = "Pit 1"\ndeclared_status = "{self.status}"\n'
            f'[[nodes]]\nnode_id = "node-1"\nsite_id = "s1"\npublic_key = "{self.public_key}"\n',
            encoding="utf-8",
        )

    def serve(self) -> Service:
        service = Service(load_cloud(self.cloud), self.cloud)
        service.start()
        return service

    def write_node(self, service: Service) -> None:
        pinned = signing.public_key_text(service.signing_key.public_key())
        self.node.write_text(
            f'site_id = "s1"\nnode_id = "node-1"\ndata_dir = "node"\nservice_public_key = "{pinned}"\n'
            f'mqtt.url = "{self.url}"\n',
            encoding="utf-8",
        )

    def agent(self, service: Service) -> Agent:
        self.write_node(service)
        return Agent(load_node(self.node), self.node)


@pytest.fixture
def county(tmp_path: Path) -> Iterator[County]:
    with EmbeddedBroker() as broker:
        yield County(tmp_path, broker.url)


def until(condition: Callable[[], bool], within_s: float = WAIT_S) -> None:
    pause = threading.Event()
    for _ in range(int(within_s / 0.05)):
        if condition():
            return
        pause.wait(0.05)
    raise AssertionError("it did not come")


def test_a_command_from_the_shell_is_answered_by_the_node(county: County, capsys: pytest.CaptureFixture[str]) -> None:
    service = county.serve()
    agent = county.agent(service)
    agent.start()
    try:
        assert service.ingest.wait_connected(WAIT_S)
        until(lambda: agent.declared.current().version > 0)
        call = ["cloud", "command", "--config", str(county.cloud), "node-1"]
        assert main([*call, "ping"]) == 0
        assert main([*call, "snapshot", "camera=cam-7"]) == 1
        assert "cam-7" in capsys.readouterr().out
        assert main([*call, "Ping"]) == 2
        assert main([*call, "ping", "loud"]) == 2
        assert "KEY=VALUE" in capsys.readouterr().err
        assert main(call) == 0
        shown = capsys.readouterr().out
        assert "ping" in shown
        assert "shell:" in shown
    finally:
        agent.stop()
        service.stop()


def test_a_status_declared_anew_reaches_the_node(county: County) -> None:
    service = county.serve()
    agent = county.agent(service)
    agent.start()
    try:
        until(lambda: agent.declared.current().version > 0)
        assert agent.declared.current().declared_status == "power_cut"
        service.stop()
        county.status = "drainage_only"
        county.write_cloud()
        service = county.serve()
        until(lambda: agent.declared.current().declared_status == "drainage_only")
    finally:
        agent.stop()
        service.stop()


def test_a_command_to_a_service_that_never_ran_is_one_sentence(
    county: County, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cloud", "command", "node-1", "ping", "--config", str(county.cloud)]) == 2
    assert "start the service first" in capsys.readouterr().err


def test_a_pushed_configuration_is_tried_and_kept_or_put_back_by_a_real_agent(
    county: County, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    service = county.serve()
    county.write_node(service)
    own, wanted = county.node.read_text(encoding="utf-8"), tmp_path / "wanted.toml"
    call = ["cloud", "configure", "--config", str(county.cloud), "node-1", str(wanted)]
    agent = subprocess.Popen([sys.executable, "-m", "sealwatch", "edge", "run", "--config", str(county.node)])
    try:
        wanted.write_text(own + "# wider zone\n", encoding="utf-8")
        assert main(call) == 0
        assert county.node.read_text(encoding="utf-8") == own + "# wider zone\n"
        wanted.write_text(own + 'mqtt.username = "n"\nmqtt.password = "env:NOT_SET_ANYWHERE"\n', encoding="utf-8")
        assert main(call) == 1
        assert "NOT_SET_ANYWHERE" in capsys.readouterr().out
        assert county.node.read_text(encoding="utf-8") == own + "# wider zone\n"
        assert agent.poll() is None, "one process all the while"
        wanted.write_text(own.replace("node-1", "node-2"), encoding="utf-8")
        assert main(call) == 1
        assert "node_id cannot be changed" in capsys.readouterr().out
        wanted.write_text("site_id = ", encoding="utf-8")
        assert main(call) == 2
    finally:
        agent.terminate()
        assert agent.wait(timeout=WAIT_S) == 0
        service.stop()


def test_a_node_is_disarmed_from_the_shell_by_two_known_persons(
    county: County, capsys: pytest.CaptureFixture[str]
) -> None:
    with county.cloud.open("a", encoding="utf-8") as file:
        for person in ("wang", "li"):
            file.write(f'[[people]]\nperson_id = "{person}"\nname = "{person}"\nlevel = 1\n')
    service = county.serve()
    agent = county.agent(service)
    agent.start()
    call = ["cloud", "command", "--config", str(county.cloud), "node-1"]
    try:
        until(lambda: agent.declared.current().version > 0)
        assert main([*call, "disarm", "reason=pump", "minutes=30", "first=wang", "second=nobody"]) == 2
        assert main([*call, "disarm", "reason=pump", "minutes=30", "first=wang", "second=wang"]) == 1
        assert main([*call, "disarm", "reason=pump", "minutes=30", "first=wang", "second=li"]) == 0
        until(lambda: agent.arming.disarmed is not None)
        assert main([*call, "arm"]) == 0
        until(lambda: agent.arming.disarmed is None)
        assert main([*call, "selftest"]) in {0, 1}
        capsys.readouterr()
    finally:
        agent.stop()
        service.stop()


def test_the_services_key_is_changed_while_a_node_believes_both(
    county: County, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    service = county.serve()
    county.write_node(service)
    key = ["cloud", "key", "--config", str(county.cloud)]
    assert main([*key, "--use-next"]) == 2
    assert main([*key, "--next"]) == 0
    following = capsys.readouterr().out.strip()
    own, wanted = county.node.read_text(encoding="utf-8"), tmp_path / "wanted.toml"
    [line] = [line for line in own.splitlines() if line.startswith("service_public_key")]
    configure = ["cloud", "configure", "--config", str(county.cloud), "node-1", str(wanted)]
    ping = ["cloud", "command", "--config", str(county.cloud), "node-1", "ping"]
    assert main([*key, "--use-next"]) == 1
    assert "node-1" in capsys.readouterr().err
    agent = subprocess.Popen([sys.executable, "-m", "sealwatch", "edge", "run", "--config", str(county.node)])
    try:
        wanted.write_text(own.replace(line, f'{line}\nnext_service_public_key = "{following}"'), encoding="utf-8")
        assert main(configure) == 0
        assert main([*key, "--use-next"]) == 0
        service.stop()
        service = county.serve()
        assert main(ping) == 0
        wanted.write_text(own.replace(line, f'service_public_key = "{following}"'), encoding="utf-8")
        assert main(configure) == 0
        assert main(ping) == 0
    finally:
        agent.terminate()
        assert agent.wait(timeout=WAIT_S) == 0
        service.stop()
