"""The whole agent on two RTSP cameras: CPU and memory of its process, idle and with people all the time.

    python -m bench.agent [--seconds N] [--warm-up N] [--data DIR] [--clip FILE] [--parts idle,people]

Two cameras of 640x360, 5 pictures a second, H.264 with a key frame every two seconds, come from the simulator's RTSP
server in processes of their own; footage is kept; a broker answers and no service does. Only the agent's own process is
counted (/proc: user and system time, VmRSS, VmHWM), from the end of the warm-up on.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from bench.vision_clips import pictures
from bench.vision_speed import write_film
from sealwatch.base.broker import EmbeddedBroker
from sealwatch.base.clock import SystemClock
from sealwatch.base.errors import CommandFailed, UsageError
from sealwatch.contract.topics import Channel
from sealwatch.demo import clip
from sealwatch.edge.ports import Image
from sealwatch.edge.uplink.entries import OUTBOX_FILE
from sealwatch.edge.uplink.outbox import Outbox
from sealwatch.simulator import vision
from sealwatch.simulator.camera import RtspCamera

SIZE = (640, 360)
FPS = 5
BARS = {"idle": 10.0, "people": 60.0}  # percent of a core
BAR_MB = 350.0
_TICK_HZ = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """What a process has used so far (CPU seconds), and what it holds (megabytes of 10^6 bytes)."""

    cpu_s: float
    resident_mb: float
    most_mb: float
    threads: int


def usage(pid: int) -> Usage:
    """Read from /proc. Raises CommandFailed where the process is gone."""
    try:
        # The name, in parentheses, may hold spaces; utime and stime are fields 14 and 15 (proc(5)).
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        rows = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        raise CommandFailed(f"the process {pid} has ended; look at what it said") from None
    status = dict(row.split(":", 1) for row in rows)
    return Usage(
        cpu_s=(int(fields[11]) + int(fields[12])) / _TICK_HZ,
        resident_mb=int(status["VmRSS"].split()[0]) * 1024 / 1e6,
        most_mb=int(status["VmHWM"].split()[0]) * 1024 / 1e6,
        threads=int(status["Threads"]),
    )


def film(part: str, data: Path, people: Path | None, folder: Path) -> Path | None:
    """The recording that both cameras send, or None where its source is not here."""
    path = folder / f"{part}.mp4"
    if part == "idle":
        source = data / "video" / "intel" / "one-by-one-person-detection.mp4"
        if not source.is_file():
            return None
        quiet = pictures(source, 0.0, 5.6)
        write_film(path, SIZE, _fitted(picture for _, picture in vision.to_and_fro(quiet, seconds=120, fps=FPS)))
        return path
    if people is None or not people.is_file():
        return None
    write_film(path, SIZE, _fitted(pictures(people, 0.0, 120.0)))
    return path


def _fitted(shown: Iterator[Image] | Sequence[Image]) -> Iterator[Image]:
    return (np.asarray(cv2.resize(picture, SIZE), np.uint8) for picture in shown)


def node_toml(urls: Sequence[str], broker: str) -> str:
    """A node as it comes from the installer, with footage."""
    cameras = "".join(f'[[cameras]]\ncamera_id = "cam-{n}"\nsource = "{url}"\n' for n, url in enumerate(urls, 1))
    head = f'site_id = "bench"\nnode_id = "bench"\ndata_dir = "data"\n[mqtt]\nurl = "{broker}"\n'
    return f"{head}[recorder]\nmax_gb = 1.0\nclips_gb = 0.1\nkeep_free_gb = 0.0\n{cameras}"


def measure(recording: Path, folder: Path, *, warm_up_s: float, seconds: float) -> tuple[Usage, Usage, str]:
    """Usage at the end of the warm-up and `seconds` later, and all that the agent said."""
    log = folder / "agent.log"
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(EmbeddedBroker())
        cameras = [stack.enter_context(RtspCamera(recording, codec="copy")) for _ in range(2)]
        config = folder / "node.toml"
        config.write_text(node_toml([camera.url for camera in cameras], broker.url), encoding="utf-8")
        with log.open("wb") as said:
            command = [sys.executable, "-m", "sealwatch", "edge", "run", "--config", str(config)]
            agent = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            time.sleep(warm_up_s)
            before = usage(agent.pid)
            time.sleep(seconds)
            after = usage(agent.pid)
        finally:
            agent.terminate()
            agent.wait(timeout=20)
    return before, after, log.read_text(encoding="utf-8", errors="replace")


def told(folder: Path) -> int:
    """Alarm messages of the run: with people all the time there must be some, or nothing was watched."""
    outbox = Outbox(folder / "data" / OUTBOX_FILE, boot_id="0" * 32, clock=SystemClock())
    try:
        return sum(entry.channel is Channel.ALARM for entry in outbox.head(100_000))
    finally:
        outbox.close()


def main() -> int:
    """Print one Markdown section; 1 where a bar is missed or what was told does not fit what was shown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("SEALWATCH_SHARED_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default), help="folder of evaluation recordings")
    parser.add_argument("--clip", type=Path, default=clip.cached_clip(), help="recording with people all the time")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long is measured")
    parser.add_argument("--warm-up", type=float, default=45.0, help="how long the agent runs before, s")
    parser.add_argument("--parts", default=",".join(BARS))
    parser.add_argument("--log", action="store_true", help="show what the agent said, on standard error")
    options = parser.parse_args()
    parts = options.parts.split(",")
    if unknown := set(parts) - set(BARS):
        raise UsageError(f"part '{min(unknown)}' is not known; there are: {', '.join(BARS)}")
    print("## Agent: two cameras over RTSP, 640x360, 5 pictures a second, with footage\n")
    print(
        "| cameras show | CPU, % of a core | bar | resident, MB | most, MB | bar | threads, from / to | alarms sent |"
    )
    print("|---|---|---|---|---|---|---|---|")
    missed = False
    for part in parts:
        with tempfile.TemporaryDirectory(prefix="sealwatch-bench-") as name:
            recording = film(part, options.data, options.clip, Path(name))
            if recording is None:
                print(f"| {part} | left out: its recording is not here | | | | | | |")
                continue
            before, after, said = measure(recording, Path(name), warm_up_s=options.warm_up, seconds=options.seconds)
            alarms = told(Path(name))
        if options.log:
            print(said, file=sys.stderr)
        core = 100 * (after.cpu_s - before.cpu_s) / options.seconds
        missed |= core > BARS[part] or after.most_mb > BAR_MB or (part == "people") != (alarms > 0)
        cells = (part, f"{core:.1f}", f"<= {BARS[part]:.0f}", f"{after.resident_mb:.0f}", f"{after.most_mb:.0f}")
        print(f"| {' | '.join(cells)} | <= {BAR_MB:.0f} | {before.threads} / {after.threads} | {alarms} |", flush=True)
    return int(missed)


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except (UsageError, CommandFailed) as error:
        print(f"bench: {error}", file=sys.stderr)
        raise SystemExit(1) from None
