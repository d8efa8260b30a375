"""What systemd hears, from a socket of our own in its place."""

from __future__ import annotations

import logging
import secrets
import socket
from pathlib import Path

import pytest

from sealwatch.base.systemd import Notifier


def listener(address: str) -> socket.socket:
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.settimeout(5)
    heard.bind(address)
    return heard


@pytest.mark.parametrize("abstract", [False, True])
def test_each_word_is_one_datagram(tmp_path: Path, abstract: bool) -> None:
    name = secrets.token_hex(8) if abstract else str(tmp_path / "notify")
    with listener("\0" + name if abstract else name) as heard:
        notifier = Notifier({"NOTIFY_SOCKET": "@" + name if abstract else name})
        notifier.ready()
        notifier.alive("3 of 4 parts well")
        notifier.stopping()
        said = [heard.recv(4096) for _ in range(3)]
    assert said == [b"READY=1", b"WATCHDOG=1\nSTATUS=3 of 4 parts well", b"STOPPING=1"]


def test_outside_of_systemd_nothing_is_said_and_nothing_fails() -> None:
    Notifier({}).ready()


def test_a_socket_that_is_gone_costs_a_line_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    assert "READY=1" in caplog.text
