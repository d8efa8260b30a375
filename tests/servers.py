"""Real servers of the distribution for tests and benchmarks: InfluxDB behind nginx, VictoriaMetrics, PostgreSQL.

Each runs on a free loopback port with its data in a folder of its own, and can be killed and started again on it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import pytest

from sealwatch.base.broker import free_port

DEPLOY = Path(__file__).parents[1] / "deploy"


class Server:
    """A program with a folder. `start` waits until it answers, `kill` ends it as a power cut would."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._kept = tempfile.TemporaryDirectory(prefix=f"sealwatch-{name}-")
        self.folder = Path(self._kept.name)
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> Self:
        raise NotImplementedError

    def draw_ports(self) -> None:
        """Free ports, as far as anybody can know."""
        raise NotImplementedError

    def _launch(self, command: list[str], ready: Callable[[], bool], *, limit_s: float = 30) -> None:
        log = self.folder / f"{Path(command[0]).name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, cwd=self.folder)
        self._processes.append(process)
        deadline_s = time.monotonic() + limit_s
        while time.monotonic() < deadline_s and process.poll() is None:
            if ready():
                return
            time.sleep(0.03)
        self.kill()
        raise RuntimeError(f"{self._name} did not start: {log.read_text(errors='replace')[-2000:]}")

    def kill(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        self._processes.clear()

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def __enter__(self) -> Self:
        for _ in range(2):
            try:
                return self.start()
            except RuntimeError:  # somebody else may have taken a port between the draw and the start
                self.draw_ports()
        return self.start()

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()
        self._kept.cleanup()


def _answers(url: str) -> Callable[[], bool]:
    def ready() -> bool:
        try:
            return httpx.get(url, timeout=1).status_code < 400
        except httpx.TransportError:
            return False

    return ready


class Influx1(Server):
    """InfluxDB 1.6 with nginx before it, which turns `/api/v2/write?bucket=b` into `/write?db=b`."""

    def __init__(self, influxd: str, nginx: str) -> None:
        super().__init__("influxdb")
        self._influxd, self._nginx = influxd, nginx
        self.draw_ports()

    def draw_ports(self) -> None:
        self._inner_port, self._rpc_port, self.port = free_port(), free_port(), free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        config = self.folder / "influxdb.conf"
        config.write_text(
            "reporting-disabled = true\n"
            f'bind-address = "127.0.0.1:{self._rpc_port}"\n'
            f'[meta]\n  dir = "{self.folder}/meta"\n'
            f'[data]\n  dir = "{self.folder}/data"\n  wal-dir = "{self.folder}/wal"\n  query-log-enabled = false\n'
            f'[http]\n  bind-address = "127.0.0.1:{self._inner_port}"\n  log-enabled = false\n'
            '[monitor]\n  store-enabled = false\n[continuous_queries]\n  log-enabled = false\n  run-interval = "1s"\n'
        )
        self._launch([self._influxd, "-config", str(config)], _answers(f"http://127.0.0.1:{self._inner_port}/ping"))
        (self.folder / "nginx").mkdir(exist_ok=True)
        conf = self.folder / "nginx.conf"
        template = (DEPLOY / "influxdb" / "nginx-influxdb1.conf").read_text(encoding="utf-8")
        server = template.replace("listen 127.0.0.1:8087;", f"listen 127.0.0.1:{self.port};").replace(
            "server 127.0.0.1:8086;", f"server 127.0.0.1:{self._inner_port};"
        )
        paths = "".join(
            f"  {kind}_temp_path {self.folder}/nginx/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        conf.write_text(
            f"daemon off;\nmaster_process off;\npid {self.folder}/nginx.pid;\nerror_log {self.folder}/nginx.log;\n"
            f"events {{}}\nhttp {{\n  access_log off;\n{paths}{server}\n}}\n"
        )
        self._launch([self._nginx, "-e", f"{self.folder}/nginx.log", "-c", str(conf)], _answers(f"{self.url}/ping"))
        return self


class Victoria(Server):
    """VictoriaMetrics with the options that `deploy/` ships."""

    def __init__(self, program: str) -> None:
        super().__init__("victoria-metrics")
        self._program = program
        self.draw_ports()

    def draw_ports(self) -> None:
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        command = [
            self._program,
            f"-httpListenAddr=127.0.0.1:{self.port}",
            f"-storageDataPath={self.folder}/data",
            "-retentionPeriod=100y",
            "-dedup.minScrapeInterval=1ms",
            "-search.latencyOffset=0s",
            "-search.disableCache",
            "-memory.allowedBytes=512MB",
        ]
        self._launch(command, _answers(f"{self.url}/health"))
        return self

    def flush(self) -> None:
        """Make what was written visible to queries now, not within a second."""
        httpx.get(f"{self.url}/internal/force_flush", timeout=10).raise_for_status()


class Postgres(Server):
    """PostgreSQL over a loopback port, run by an ordinary user (it refuses to run as root)."""

    def __init__(self, binaries: Path, superuser: str = "sealwatch", *, synced: bool = False) -> None:
        """`synced`: commits reach the disk, as in production; tests do without."""
        super().__init__("postgresql")
        self._binaries, self._superuser, self._fsync = binaries, superuser, "on" if synced else "off"
        self.draw_ports()
        self._as: list[str] = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as = ["runuser", "-u", "postgres", "--"]

    def draw_ports(self) -> None:
        self.port = free_port()

    def url(self, database: str = "postgres", user: str = "sealwatch", password: str = "") -> str:
        secret = f":{password}" if password else ""
        return f"postgresql+psycopg://{user}{secret}@127.0.0.1:{self.port}/{database}"

    def start(self) -> Self:
        data = self.folder / "data"
        if not data.exists():
            made = subprocess.run(
                [*self._as, str(self._binaries / "initdb"), "-D", str(data), "-U", self._superuser, "-A", "trust",
                 "-E", "UTF8", "--locale=C", "--no-sync"],
                capture_output=True, text=True, cwd=self.folder,
            )  # fmt: skip
            if made.returncode:
                raise RuntimeError(f"initdb: {made.stderr}")
            # Roles that tests make must give their password, as in production.
            (data / "pg_hba.conf").write_text(
                f"host all {self._superuser} 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
            )
        command = [
            *self._as, str(self._binaries / "postgres"), "-D", str(data), "-p", str(self.port),
            "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.folder}",
            "-c", f"fsync={self._fsync}",
        ]  # fmt: skip
        ready = [str(self._binaries / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-q"]
        self._launch(command, lambda: subprocess.run(ready).returncode == 0)
        return self

    def kill_all(self) -> None:
        """SIGKILL to the server and every process of it: as a power cut, but for what the kernel holds."""
        master = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        for pid in (master, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        for process in self._processes:
            process.wait(timeout=15)
        self._processes.clear()

    def stop(self) -> None:
        """Fast shutdown: SIGINT through `runuser` reaches the server itself."""
        pid = self.folder / "data" / "postmaster.pid"
        if pid.exists():
            os.kill(int(pid.read_text().split()[0]), 2)
            for process in self._processes:
                process.wait(timeout=15)
        self._processes.clear()


class Nginx(Server):
    """The distribution's nginx with a configuration of the caller's, in the foreground."""

    def __init__(self, program: str, config: Path, port: int) -> None:
        super().__init__("nginx")
        self._program, self._config, self._port = program, config, port

    def draw_ports(self) -> None:
        """The port stands in the caller's file."""

    def start(self) -> Self:
        def ready() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self._port)) == 0

        log = str(self.folder / "error.log")
        self._launch([self._program, "-e", log, "-c", str(self._config), "-g", "daemon off;"], ready)
        return self


def nginx_or_skip(config: Path, port: int) -> Nginx:
    """nginx with this configuration, not started; skips where it is missing."""
    program = _program("nginx")
    if program is None:
        pytest.skip("nginx is not installed (apt-get install nginx-light)")
    return Nginx(program, config, port)


def _program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin")


def influx1_or_skip() -> Influx1:
    """Debian's InfluxDB behind nginx, not started; skips where either is missing."""
    influxd, nginx = _program("influxd"), _program("nginx")
    if influxd is None or nginx is None:
        pytest.skip("InfluxDB or nginx is not installed (apt-get install influxdb nginx-light)")
    return Influx1(influxd, nginx)


def victoria_or_skip() -> Victoria:
    """Debian's VictoriaMetrics, not started; skips where it is missing."""
    program = _program("victoria-metrics")
    if program is None:
        pytest.skip("VictoriaMetrics is not installed (apt-get install victoria-metrics)")
    return Victoria(program)


def postgres_or_skip(superuser: str = "sealwatch", *, synced: bool = False) -> Postgres:
    """The distribution's PostgreSQL, not started; skips where it is missing."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found or (os.geteuid() == 0 and shutil.which("runuser") is None):
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    return Postgres(found[-1], superuser, synced=synced)
