"""A province's nodes against one service: heartbeats, samples, alarms and a reconnect storm, as simulated.

Broker, service and fleet share this machine's processors: the figures are of all three together.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from sealwatch.base.broker import free_port
from tests.support import Mosquitto, mosquitto_or_skip

NODES = int(os.environ.get("SEALWATCH_BENCH_NODES", "10000"))
SECONDS, STORM_S = 120, 60
START_S = 300.0


def serve(folder: Path, broker: Mosquitto, port: int) -> subprocess.Popen[bytes]:
    """The service with its own SQLite and embedded series, and every node in its registry."""
    config, registry = folder / "cloud.toml", folder / "registry.toml"
    command = [sys.executable, "-m", "sealwatch", "simulate", "fleet", "--nodes", str(NODES)]
    subprocess.run([*command, "--registry", str(registry)], check=True, stdout=subprocess.DEVNULL)
    head = f'data_dir = "cloud"\nmqtt.url = "{broker.url}"\nweb.port = {port}\n'
    config.write_text(head + registry.read_text(encoding="utf-8"), encoding="utf-8")
    with (folder / "service.log").open("wb") as log:
        command = [sys.executable, "-m", "sealwatch", "cloud", "serve", "--config", str(config)]
        service = subprocess.Popen(command, stdout=log, stderr=log)
    until_s = time.monotonic() + START_S
    while time.monotonic() < until_s and service.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code == 200:
                return service
        except httpx.TransportError:
            time.sleep(0.5)
    service.kill()
    raise SystemExit((folder / "service.log").read_text(encoding="utf-8")[-2000:])


def memory_mb(pid: int) -> float:
    """The most memory that the process ever had, in megabytes (VmHWM of proc(5))."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def cpu_s(pid: int) -> float:
    """User and system time of a process so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Print the section; 1 where an alarm was lost or came later than five seconds."""
    try:
        broker = mosquitto_or_skip()
    except pytest.skip.Exception as missing:
        print(missing, file=sys.stderr)
        return 1
    with broker, tempfile.TemporaryDirectory() as name:
        port = free_port()
        service = serve(Path(name), broker, port)
        before_s = cpu_s(service.pid)
        command = [
            sys.executable,
            "-m",
            "sealwatch",
            "simulate",
            "fleet",
            "--nodes",
            str(NODES),
            "--broker",
            broker.url,
        ]
        done = subprocess.run(
            [*command, "--for", str(SECONDS), "--storm-at", str(STORM_S), "--json"], stdout=subprocess.PIPE, text=True
        )
        report: dict[str, Any] = json.loads(done.stdout)
        used_mb, used_s = memory_mb(service.pid), cpu_s(service.pid) - before_s
        service.terminate()
        service.wait(30)
    print(
        f"## A fleet: {NODES:,} nodes against one service, Mosquitto, SQLite; {SECONDS} s with a storm at {STORM_S} s\n"
    )
    print("| | wanted | measured |\n|---|---|---|")
    print(f"| nodes connected in the end (links of some are away) | | {report['connected']:,} of {NODES:,} |")
    sent = ", ".join(f"{count:,} {channel}" for channel, count in report["sent"].items())
    print(f"| messages sent | | {sent} |")
    print(f"| alarms acknowledged / waiting in the end | all / 0 | {report['acknowledged']:,} / {report['waiting']} |")
    late_ms = report["latency_max_ms"]
    latencies = " / ".join(f"{report[f'latency_{k}_ms'] or 0:,.0f}" for k in ("p50", "p95", "max"))
    print(f"| alarm to its ack, link standing, ms: median / p95 / latest | ≤ 5,000 | {latencies} |")
    print(f"| reconnects | | {report['reconnects']:,} |")
    print(f"| memory of the service at its most, MB | ≤ 1,000 | {used_mb:,.0f} |")
    print(f"| CPU of the service, share of one core | | {used_s / SECONDS:.2f} |")
    return int(report["waiting"] != 0 or late_ms is None or late_ms > 5000)


if __name__ == "__main__":
    raise SystemExit(main())
