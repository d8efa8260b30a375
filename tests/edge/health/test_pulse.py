"""The watchdog hears of life only while the agent turns: the decision, and the agent's own evidence."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sealwatch.contract.messages import PartHealth
from sealwatch.edge.health import pulse
from tests.edge.test_agent import Built, config_file

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("running_since_s", "turned_s", "unguarded", "verdict"),
    [
        (0.0, 99.5, [], "turning"),
        (80.0, None, [], "turning"),  # has only just begun
        (None, 10.0, [], "turning"),  # waits to be started again: somebody looks after it
        (95.0, 10.0, [], "turning"),  # was started again and has not turned yet
        (0.0, 69.0, [], "uplink_stands_still"),
        (0.0, None, [], "uplink_stands_still"),
        (0.0, 99.5, ["cam-1"], "part_unguarded"),
    ],
)
def test_the_verdict(running_since_s: float | None, turned_s: float | None, unguarded: list[str], verdict: str) -> None:
    said = pulse.judge(
        now_s=100.0, uplink_running_since_s=running_since_s, uplink_turned_s=turned_s, unguarded=unguarded
    )
    assert said == verdict


@pytest.mark.parametrize(
    ("kind", "reason", "lived_s", "again"),
    [
        ("recorder", "disk_corrupt", 600.0, True),
        ("recorder", "disk_corrupt", 599.0, False),
        ("recorder", "disk_full", 9999.0, False),
        ("outbox", "disk_corrupt", 9999.0, False),  # it mends itself
    ],
)
def test_only_a_trouble_that_a_new_life_mends_begins_one(kind: str, reason: str, lived_s: float, again: bool) -> None:
    part = PartHealth(part_id="recorder-cam-1", kind=kind, ok=False, reason=reason)
    assert pulse.restart_mends([part], lived_s=lived_s) == again


def test_an_agent_at_work_turns_and_one_whose_supervising_thread_died_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = Built(tmp_path, failing=True)  # a camera that keeps failing is no reason to start everything anew
    built.agent.start()
    try:
        assert built.cameras[0].raised.wait(15)
        assert built.agent.pulse() == "turning"
        watching = built.agent._watching
        dead = threading.Thread(target=lambda: None)
        dead.start()
        dead.join()
        monkeypatch.setattr(watching._wards[0], "thread", dead)
        assert built.agent.pulse() == "part_unguarded"
    finally:
        built.agent.stop()


def test_systemd_hears_of_start_life_and_end_from_the_real_command(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(30)
        node = subprocess.Popen(
            [sys.executable, "-m", "sealwatch", "edge", "run", "--config", str(config_file(tmp_path))],
            env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")},
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
        )
        try:
            assert heard.recv(4096) == b"READY=1"
            assert heard.recv(4096).startswith(b"WATCHDOG=1\nSTATUS=")
            node.send_signal(signal.SIGTERM)
            assert heard.recv(4096) == b"STOPPING=1"
            assert node.wait(15) == 0
        finally:
            node.kill()
            node.wait()
