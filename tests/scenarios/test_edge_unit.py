"""The shipped unit's own commands on a machine where, as under ProtectSystem=strict, its state alone can be written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sealwatch.base.broker import EmbeddedBroker
from sealwatch.cli import main
from tests.scenarios.test_downlink import WAIT_S, County, until

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "systemd" / "sealwatch-edge.service"
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]
# Everything read-only but the state directory, then the unit's commands. 97: the walls do not stand.
WALLS = """
mount --make-rprivate / && mount --bind "$STATE" "$STATE" || exit 97
for place in / "$(stat -c %m "$ETC")"; do mount -o remount,bind,ro "$place" || exit 97; done
if touch "$ETC/trial" 2>/dev/null || ! touch "$STATE/trial"; then exit 97; fi
"""


def walls_stand(folder: Path) -> bool:
    for name in ("state", "etc"):
        (folder / name).mkdir(parents=True)
    places = {"STATE": str(folder / "state"), "ETC": str(folder / "etc")}
    tried = subprocess.run([*NAMESPACE, "sh", "-c", WALLS], env={**os.environ, **places}, capture_output=True)
    return tried.returncode == 0


@pytest.fixture
def county(tmp_path: Path) -> Iterator[County]:
    if shutil.which("unshare") is None or not walls_stand(tmp_path / "walls"):
        pytest.skip("no user namespaces here, so the walls of the unit cannot be put up")
    with EmbeddedBroker() as broker:
        yield County(tmp_path, broker.url)


def test_a_pushed_configuration_is_kept_where_the_unit_lets_the_agent_write(
    county: County, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {name: tmp_path / name for name in ("etc", "state", "opt")}
    for place in places.values():
        place.mkdir()
    (places["opt"] / "bin").mkdir()
    shutil.copy(ROOT / "deploy" / "systemd" / "sealwatch-start", places["opt"] / "bin")
    program = places["opt"] / "bin" / "sealwatch"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m sealwatch "$@"\n')
    program.chmod(0o755)
    service = county.serve()
    county.write_node(service)
    own = county.node.read_text(encoding="utf-8").replace('"node"', f'"{tmp_path}/state"')
    (places["etc"] / "node.toml").write_text(own, encoding="utf-8")
    shutil.copytree(tmp_path / "node", places["state"], dirs_exist_ok=True)

    unit = UNIT.read_text(encoding="utf-8")
    assert "\nProtectSystem=strict\n" in unit
    assert "\nStateDirectory=sealwatch\n" in unit
    assert "ReadWritePaths" not in unit
    commands = [
        line.partition("=")[2].replace("$$", "$") for line in unit.splitlines() if re.match(r"ExecStart(Pre)?=", line)
    ]
    script = WALLS + "\n".join([*commands[:-1], f"exec {commands[-1]}"])
    for there, here in (("/etc/sealwatch", "etc"), ("/var/lib/sealwatch", "state"), ("/opt/sealwatch", "opt")):
        script = script.replace(there, str(places[here]))
    environment = {**os.environ, "STATE": str(places["state"]), "ETC": str(places["etc"])}
    agent = subprocess.Popen([*NAMESPACE, "sh", "-c", script], env=environment, cwd=ROOT)
    wanted, live = tmp_path / "wanted.toml", places["state"] / "node.toml"
    try:
        until(live.exists, 30)
        wanted.write_text(own + "# wider zone\n", encoding="utf-8")
        assert main(["cloud", "configure", "--config", str(county.cloud), "node-1", str(wanted)]) == 0
        capsys.readouterr()
        assert live.read_text(encoding="utf-8") == own + "# wider zone\n"
        assert (places["etc"] / "node.toml").read_text(encoding="utf-8") == own
        assert agent.poll() is None
    finally:
        agent.terminate()
        assert agent.wait(timeout=WAIT_S) == 0
        service.stop()


def test_the_unit_says_when_the_first_configuration_counts_no_more(tmp_path: Path) -> None:
    [line] = [line for line in UNIT.read_text(encoding="utf-8").splitlines() if line.startswith("ExecStartPre=")]
    command = line.partition("=")[2].replace("$$", "$")
    for there, here in (("/etc/sealwatch", "etc"), ("/var/lib/sealwatch", "state")):
        (tmp_path / here).mkdir()
        command = command.replace(there, str(tmp_path / here))

    def run() -> str:
        return subprocess.run(command, shell=True, capture_output=True, text=True, check=True).stdout  # noqa: S602

    assert run() == "", "a node that was enrolled has no first one"
    (tmp_path / "etc" / "node.toml").write_text("first")
    assert run() == ""
    assert (tmp_path / "state" / "node.toml").read_text() == "first"
    (tmp_path / "etc" / "node.toml").write_text("second")
    assert "is not used" in run()
    assert (tmp_path / "state" / "node.toml").read_text() == "first"
