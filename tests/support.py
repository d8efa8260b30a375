"""What several tests need: the distribution's Mosquitto, and the evaluation recordings where they exist."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from sealwatch.base.broker import free_port

_CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
max_queued_messages 100000
max_inflight_messages 1000
set_tcp_nodelay true
"""


class Mosquitto:
    """The distribution's broker on a free loopback port, with the queue limits that `deploy/` ships."""

    def __init__(self, program: str, *, port: int | None = None, config: str = _CONFIG) -> None:
        self.port = port or free_port()
        self._program, self._config = program, config
        self._folder = tempfile.TemporaryDirectory(prefix="sealwatch-mosquitto-")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> Self:
        folder = Path(self._folder.name)
        file, log = folder / "mosquitto.conf", folder / "mosquitto.log"
        # Started as root, Mosquitto would drop to a user that can't read a test's folders.
        file.write_text(self._config.format(port=self.port, folder=folder) + f"\nuser {getpass.getuser()}\n")
        with log.open("ab") as output:
            self._process = subprocess.Popen([self._program, "-c", str(file)], stdout=output, stderr=output)
        deadline_s = time.monotonic() + 10
        while time.monotonic() < deadline_s:
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.02)
        self.kill()
        raise RuntimeError(f"Mosquitto did not start: {log.read_text(errors='replace')}")

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=10)
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()
        self._folder.cleanup()


def mosquitto_or_skip(config: str = _CONFIG) -> Mosquitto:
    """The distribution's Mosquitto, not started yet; skips the test where it is not installed."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        pytest.skip("Mosquitto is not installed (apt-get install mosquitto)")
    return Mosquitto(program, config=config)


def shared_data_or_skip() -> Path:
    """The folder of evaluation recordings; skips the test where it is absent."""
    folder = Path(os.environ.get("SEALWATCH_SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("the evaluation recordings are not here (SEALWATCH_SHARED_DATA names their folder)")
    return folder
