"""A node is updated over the air: made, signed, offered, fetched, installed by pip into a slot, proved, put back.

Everything is real but systemd, whose place a loop takes that starts the start script whenever it ends.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from sealwatch.base.broker import EmbeddedBroker
from sealwatch.cli import main
from sealwatch.cloud.service import Service
from sealwatch.cloud.updates import offers
from sealwatch.edge.update.files import load
from tests.release.support import outer_packages_wheel, own_wheel, pip_wheel
from tests.scenarios.test_downlink import County, until

START = Path(__file__).parents[2] / "deploy" / "systemd" / "sealwatch-start"
PIP = pip_wheel()

pytestmark = [
    pytest.mark.skipif(PIP is None, reason="no wheel of pip; on Debian: apt-get install python3-venv"),
    pytest.mark.timeout(180),
]


class Unit:
    """What systemd does with ``Restart=always``."""

    def __init__(self, folder: Path, config: Path) -> None:
        factory = folder / "installed"
        factory.mkdir()
        shutil.copy(START, factory)
        script = factory / "sealwatch"
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -m sealwatch "$@"\n')
        script.chmod(0o755)
        self._command = [str(part) for part in (factory / START.name, folder / "node" / "slots", "edge", "run")]
        self._command += ["--config", str(config)]
        self.starts, self._stop = 0, threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.starts += 1
            self._process = subprocess.Popen(self._command, cwd="/", env={**os.environ, "PYTHONPATH": ""})
            self._process.wait()
            self._stop.wait(0.1)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._process is not None:
            self._process.terminate()
        self._thread.join()


@pytest.fixture
def county(tmp_path: Path) -> Iterator[County]:
    with EmbeddedBroker() as broker:
        yield County(tmp_path, broker.url)


def made(folder: Path, version: str, key: Path, *, dies: bool = False) -> tuple[Path, Path]:
    """A signed release of this tree, by the commands, and its folder."""
    wheels = folder / version
    wheels.mkdir()
    changed = {"sealwatch/edge/agent.py": "raise SystemExit(3)\n"} if dies else {}
    own_wheel(wheels, version, changed=changed)
    outer_packages_wheel(wheels, sysconfig.get_path("purelib"))
    assert PIP is not None
    shutil.copy(PIP, wheels)
    text, sealed = folder / f"{version}.json", folder / f"{version}.release"
    assert main(["release", "make", "agent", str(wheels), "--out", str(text)]) == 0
    assert main(["release", "sign", str(text), "--key", str(key), "--out", str(sealed)]) == 0
    return sealed, wheels


def answers(service: Service) -> list[tuple[str, bool, str]]:
    """What the service shows: version, and what the node answered."""
    with service.database.read() as session:
        found = offers.standings(session)
        return [(one.version, one.reply.ok, one.reply.reason) for one in found if one.reply is not None]


def test_an_agent_that_works_replaces_the_installed_one_and_one_that_dies_does_not(
    county: County, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "release-key.pem"
    assert main(["release", "key", "--key", str(key)]) == 0
    pinned = capsys.readouterr().out.strip()
    service = county.serve()
    county.write_node(service)
    with county.node.open("a", encoding="utf-8") as file:
        file.write(f'[update]\nrelease_public_key = "{pinned}"\nurl = "http://127.0.0.1:{service.port}"\n')
    good, good_files = made(tmp_path, "0.2.0", key)
    dies, dies_files = made(tmp_path, "0.3.0", key, dies=True)
    assert main(["release", "verify", str(good), "--public-key", pinned, "--files", str(good_files)]) == 0
    offer = ["cloud", "update", "offer", "--config", str(county.cloud)]
    status = ["cloud", "update", "status", "--config", str(county.cloud)]
    data = tmp_path / "node"
    try:
        with Unit(tmp_path, county.node) as unit:
            assert main([*offer, str(good), "--files", str(good_files)]) == 0
            until(lambda: load(data).agent.outcome == "confirmed", 60)
            assert (data / "slots" / "agent" / "current").readlink() == Path("a")
            assert unit.starts == 1, "one service that goes on"
            until(lambda: answers(service) == [("0.2.0", True, "confirmed")], 20)
            assert main([*offer, str(dies), "--files", str(dies_files)]) == 0
            until(lambda: load(data).agent.outcome == "rolled_back", 60)
            assert load(data).agent.reason == "does_not_start"
            assert (data / "slots" / "agent" / "current").readlink() == Path("a")
            until(lambda: answers(service) == [("0.3.0", False, "rolled_back")], 20)
            capsys.readouterr()
            assert main(status) == 0
            assert "0.3.0" in capsys.readouterr().out
            assert main([*offer, str(dies), "--files", str(dies_files)]) == 1
            assert "node-1" in capsys.readouterr().err
        assert main(["edge", "update", "status", "--config", str(county.node)]) == 0
        assert "does_not_start" in capsys.readouterr().out
    finally:
        service.stop()
