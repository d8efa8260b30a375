"""The programs of the demo and the files that configure them.

Every program can be killed and started again on the same ports and folders: what the kill tests rely on.
"""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

import httpx

from sealwatch.base.broker import EmbeddedBroker, free_port
from sealwatch.base.clock import CatchUpClock, SystemClock
from sealwatch.base.errors import CommandFailed
from sealwatch.demo.people import ReceivedPage, Telephones
from sealwatch.simulator.loads.scenarios import demo_load
from sealwatch.simulator.meter import SimulatedMeter

SITE_ID, NODE_ID, CAMERA_ID, METER_ID = "610000000001", "node-1", "shaft-cam", "main-meter"
METER_ADDRESS = "000000000161"
BEHIND_S, SPEED = 540.0, 10.0
"""The meter starts nine minutes in the past and catches up within the first minute (docs/decisions/0006)."""

_STOP_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """What can be chosen about a demo."""

    folder: Path
    source: str
    zone: tuple[tuple[float, float], ...] = ()
    broker_url: str = ""  # empty: the embedded broker
    web_port: int = 8000
    second_page_after_s: float = 45.0
    camera: bool = True
    meter: bool = True


class Stage:
    """Everything that runs in the demo. Use as a context manager; leaving it stops all of it."""

    def __init__(self, settings: DemoSettings, *, on_page: Callable[[ReceivedPage], None] = lambda _page: None) -> None:
        if settings.web_port:
            _want_free(settings.web_port)
        self.settings = settings
        self._webhook_secret = secrets.token_hex(16)
        self.telephones = Telephones(secret=self._webhook_secret, on_page=on_page)
        self.broker_url = settings.broker_url
        self.start_s = 0.0
        self.web_port = settings.web_port or free_port()
        self._servers = ExitStack()
        self._meter_port = free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        """Where the pages are."""
        return f"http://127.0.0.1:{self.web_port}"

    def __enter__(self) -> Self:
        try:
            self._enter()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    def _enter(self) -> None:
        folder = self.settings.folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._servers.enter_context(self.telephones)
        if not self.broker_url:
            self.broker_url = self._servers.enter_context(EmbeddedBroker()).url
        self._write_node()
        self._write_cloud(self._node_key())
        self.start_service()
        self.start_s = SystemClock().monotonic_s()
        if self.settings.meter:
            clock = CatchUpClock(SystemClock(), behind_s=BEHIND_S, speed=SPEED, start_s=self.start_s)
            meter = SimulatedMeter(demo_load(), clock=clock, port=self._meter_port, address=METER_ADDRESS)
            self._servers.enter_context(meter)
        self.start_agent()

    def start_service(self) -> None:
        """Start the cloud service and wait until its page answers. Raises CommandFailed."""
        self._spawn("service", ["-m", "sealwatch", "cloud", "serve", "--config", str(self._file("cloud.toml"))])
        deadline_s = time.monotonic() + 60
        while time.monotonic() < deadline_s:
            self._check_running("service")
            try:
                if httpx.get(f"{self.url}/healthz", timeout=2).status_code == httpx.codes.OK:
                    return
            except httpx.HTTPError:
                time.sleep(0.05)
        raise CommandFailed(f"the service did not answer within a minute; its log is {self._file('service.log')}")

    def start_agent(self) -> None:
        """Start the edge agent."""
        node = str(self._file("node.toml"))
        arguments = ["--start-s", repr(self.start_s), "--behind-s", repr(BEHIND_S), "--speed", repr(SPEED)]
        self._spawn("agent", ["-m", "sealwatch.demo.agent", "--config", node, *arguments])

    def kill(self, name: str) -> None:
        """End `service` or `agent` as a power cut would."""
        process = self._processes.pop(name, None)
        if process is not None:
            process.kill()
            process.wait()

    def end(self, name: str) -> None:
        """End `service` or `agent` politely."""
        process = self._processes.pop(name, None)
        if process is not None:
            process.send_signal(signal.SIGTERM)
            _wait(process)

    def check_running(self) -> None:
        """Raises CommandFailed with the end of its log where a program has ended by itself."""
        for name in self._processes:
            self._check_running(name)

    def resident_mb(self, name: str) -> float:
        """Resident memory of a program in MiB, from /proc (0 where it does not run)."""
        process = self._processes.get(name)
        status = Path(f"/proc/{process.pid}/status") if process else None
        if status is None or not status.exists():
            return 0.0
        line = next((row for row in status.read_text().splitlines() if row.startswith("VmRSS:")), "VmRSS: 0 kB")
        return int(line.split()[1]) / 1024

    def stop(self) -> None:
        """Stop everything, politely first."""
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            _wait(process)
        self._processes.clear()
        self._servers.close()

    def _file(self, name: str) -> Path:
        return self.settings.folder / name

    def _spawn(self, name: str, arguments: list[str]) -> None:
        with self._file(f"{name}.log").open("ab") as log:
            # A session of its own, so that Ctrl-C reaches this process alone, which then stops the others in order.
            self._processes[name] = subprocess.Popen(
                [sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _check_running(self, name: str) -> None:
        process = self._processes.get(name)
        if process is not None and process.poll() is not None:
            tail = self._file(f"{name}.log").read_text(errors="replace").strip().splitlines()[-3:]
            raise CommandFailed(f"the {name} ended by itself (exit code {process.returncode}): " + " / ".join(tail))

    def _node_key(self) -> str:
        command = [sys.executable, "-m", "sealwatch", "edge", "key", "--config", str(self._file("node.toml"))]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise CommandFailed(f"the node's key could not be made: {done.stderr.strip()}")
        return done.stdout.strip()

    def _write_node(self) -> None:
        source, username, password = _without_credentials(self.settings.source)
        if password:
            secret = self._file("camera-password")
            secret.touch(mode=0o600)
            secret.write_text(password, encoding="utf-8")
        zone = ", ".join(f"[{x}, {y}]" for x, y in self.settings.zone)
        camera = f"""
[[cameras]]
camera_id = "{CAMERA_ID}"
source = {_quoted(source)}
username = {_quoted(username)}
password = {_quoted(f"file:{self._file('camera-password').resolve()}" if password else "")}
repeat = true
"""
        if zone:
            camera += f'zones = [{{ name = "井口", polygon = [{zone}] }}]\n'
        meter = f"""
[[meters]]
meter_id = "{METER_ID}"
url = "tcp://127.0.0.1:{self._meter_port}"
address = "{METER_ADDRESS}"
"""
        self._file("node.toml").write_text(
            f"""site_id = "{SITE_ID}"
node_id = "{NODE_ID}"
data_dir = "node"
declared_status = "power_cut"
mqtt.url = "{self.broker_url}"
{camera if self.settings.camera else ""}{meter if self.settings.meter else ""}""",
            encoding="utf-8",
        )

    def _write_cloud(self, public_key: str) -> None:
        secret = self._file("webhook-secret")
        secret.touch(mode=0o600)
        secret.write_text(self._webhook_secret, encoding="utf-8")
        self._file("cloud.toml").write_text(
            f"""data_dir = "service"
ingest_group = ""  # the embedded broker ends when a member of a group goes with messages un-acked
mqtt.url = "{self.broker_url}"
[web]
port = {self.web_port}
public_url = "{self.url}"
[webhook]
secret = "file:{secret.resolve()}"
[smtp]
host = "127.0.0.1"
port = {self.telephones.smtp_port}
security = "none"
sender = "sealwatch@county.example"
[[sites]]
site_id = "{SITE_ID}"
name_zh = "示范沟一号井"
name_en = "Shifan Gully shaft 1"
township_zh = "示范镇"
township_en = "Shifan township"
declared_status = "power_cut"
[[nodes]]
node_id = "{NODE_ID}"
site_id = "{SITE_ID}"
public_key = "{public_key}"
[[people]]
person_id = "wang"
name = "王组长"
role = "村民组长"
level = 5
telephone = "+86 130 0000 0001"
webhook_url = "{self.telephones.webhook_url}"
[[people]]
person_id = "li"
name = "李科长"
role = "应急管理局"
level = 3
telephone = "+86 130 0000 0002"
email = "li@county.example"
[[ladder]]
after_s = 0.0
person_id = "wang"
channel = "webhook"
[[ladder]]
after_s = {self.settings.second_page_after_s}
person_id = "li"
channel = "email"
""",
            encoding="utf-8",
        )


def _want_free(port: int) -> None:
    """Raises CommandFailed where somebody listens already: the demo would tell that service's story as its own."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise CommandFailed(
                f"port {port} is taken by another program; end it, or choose another port: sealwatch demo --port 8001"
            ) from None


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _without_credentials(source: str) -> tuple[str, str, str]:
    """A camera's address without user and password, and the two, so that neither stands in a configuration file."""
    parts = urlsplit(source)
    if "://" not in source or parts.hostname is None:
        return (source if "://" in source or source.startswith("/dev/") else str(Path(source).resolve())), "", ""
    host = parts.hostname if parts.port is None else f"{parts.hostname}:{parts.port}"
    return parts._replace(netloc=host).geturl(), unquote(parts.username or ""), unquote(parts.password or "")


def _quoted(text: str) -> str:
    """A TOML basic string."""
    import json

    return json.dumps(text, ensure_ascii=False)
