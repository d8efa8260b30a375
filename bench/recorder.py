"""What keeping footage costs: CPU per 4 Mbit/s camera, bytes written, beside `ffmpeg -c copy` in the same run.

    python -m bench.recorder [--seconds N] [--paced N]

The film is encoded for the measurement (H.264, constant 4 Mbit/s, 25 pictures a second, a key frame every 2 s). CPU is
that of the whole process; *demux* is what capture does anyway, *recorder* what keeping the footage adds to it.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.base.clock import SystemClock
from sealwatch.contract.codes import ClockQuality
from sealwatch.edge.ports import MemorySink
from sealwatch.edge.recorder import ring
from sealwatch.edge.recorder.footage import INDEX_FILE, Footage
from sealwatch.edge.recorder.gate import Mode
from sealwatch.edge.recorder.recorder import CameraRecorder, RecorderRules
from sealwatch.edge.recorder.sealing import Sealer
from sealwatch.edge.recorder.store import Store
from sealwatch.evidence.documents import ClockState

FPS, WIDTH, HEIGHT, RATE = 25, 1280, 720, 4_000_000
ROUNDS = 5


@dataclass(frozen=True)
class Cost:
    """What one run took for `film_s` seconds of film."""

    cpu_s: float
    film_s: float
    written_bytes: int = 0
    kept_bytes: int = 0
    index_bytes: int = 0

    @property
    def core(self) -> float:
        """Share of a core, in percent, at the camera's own speed."""
        return 100 * self.cpu_s / self.film_s


def encode(path: Path, seconds: int) -> None:
    """A noisy scene that fills the rate it is given."""
    noise = np.random.default_rng(7)
    grain = noise.integers(0, 60, (4, HEIGHT, WIDTH, 3), dtype=np.uint8)
    with av.open(str(path), mode="w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        assert isinstance(stream, VideoStream)  # noqa: S101 - narrows what the library leaves open
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", RATE
        rate = RATE // 1000
        limits = f"keyint={2 * FPS}:scenecut=0:bframes=0:nal-hrd=cbr:vbv-maxrate={rate}:vbv-bufsize={rate}"
        stream.options = {"preset": "ultrafast", "x264-params": limits}
        for number in range(seconds * FPS):
            image = grain[number % 4].copy()
            image[:, (number * 7) % WIDTH] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def written() -> int:
    """Bytes this process has sent towards the disk, file system cache included."""
    for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    return 0


def play(
    film: Path, rounds: int, each: Callable[[object], None], *, paced: bool, begin: Callable[[object], None]
) -> None:
    """Demux `film` again and again; paced: at the speed of the camera."""
    for _ in range(rounds):
        with av.open(str(film)) as container:
            stream = container.streams.video[0]
            begin(stream)
            start_s = time.monotonic()
            for packet in container.demux(stream):
                if paced and packet.dts is not None and packet.time_base is not None:
                    offset = stream.start_time or 0
                    time.sleep(max(0.0, start_s + float((packet.dts - offset) * packet.time_base) - time.monotonic()))
                each(packet)


def demux_only(film: Path, film_s: float, rounds: int, *, paced: bool = False) -> Cost:
    before_s = time.process_time()
    play(film, rounds, lambda _packet: None, paced=paced, begin=lambda _stream: None)
    return Cost(time.process_time() - before_s, film_s * rounds)


def record(
    film: Path, film_s: float, rounds: int, folder: Path, *, paced: bool = False, mode: Mode = "continuous"
) -> Cost:
    """The same with the recorder on its own thread, as the agent runs it."""
    clock = SystemClock()
    folder.mkdir()
    store = Store(folder / INDEX_FILE, now_ms=clock.wall_ms())
    sealer = Sealer(
        store,
        Ed25519PrivateKey.generate(),
        site_id="bench",
        node_id="bench",
        boot_id="0" * 32,
        clock=clock,
        clock_state=lambda: ClockState(quality=ClockQuality.SYNCHRONISED),
    )
    footage = Footage(folder, store, sealer, clock)
    limits = ring.Limits(max_bytes=10**11, max_days=90)
    recorder = CameraRecorder(
        "camera", lambda: footage, MemorySink(), clock, RecorderRules(mode=mode, limits=limits, clips_bytes=10**9)
    )
    stop = threading.Event()
    thread = threading.Thread(target=recorder.run, args=(stop,))
    before_s, before_bytes = time.process_time(), written()
    thread.start()

    def take(packet: object) -> None:
        while recorder.tap.waiting_bytes > 16_000_000:
            time.sleep(0.05)  # unpaced, the film comes faster than any camera
        recorder.tap.packet(packet)  # type: ignore[arg-type]  # what the demuxer yields

    play(film, rounds, take, paced=paced, begin=recorder.tap.begin)  # type: ignore[arg-type]  # likewise
    stop.set()
    thread.join()
    cost = Cost(
        time.process_time() - before_s,
        film_s * rounds,
        written() - before_bytes,
        sum(f.stat().st_size for f in folder.glob("camera/*.mp4")),
        sum(f.stat().st_size for f in folder.glob(f"{INDEX_FILE}*")),
    )
    store.close()
    return cost


def ffmpeg(film: Path, film_s: float, rounds: int, folder: Path, *, paced: bool = False) -> Cost | None:
    """The plain tool doing the plain thing: fragmented MP4 of 60 s, packets copied, nothing hashed or signed."""
    program = shutil.which("ffmpeg")
    if program is None:
        return None
    folder.mkdir()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    speed = ["-re"] if paced else []
    command = [program, "-v", "error", *speed, "-stream_loop", str(rounds - 1), "-i", str(film), "-c", "copy", "-an"]
    options = "movflags=frag_keyframe+empty_moov+default_base_moof"
    segments = ["-f", "segment", "-segment_time", "60", "-segment_format_options", options, str(folder / "%03d.mp4")]
    subprocess.run([*command, *segments], check=True, stdin=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu_s, film_s * rounds, kept_bytes=sum(f.stat().st_size for f in folder.glob("*.mp4")))


def main() -> None:
    """Print the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="length of the film, s")
    parser.add_argument("--paced", type=int, default=1, help="rounds of the film at the camera's own speed; 0: none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sealwatch-bench-") as name:
        folder = Path(name)
        film = folder / "film.ts"
        encode(film, options.seconds)
        rate = film.stat().st_size * 8 / options.seconds / 1e6
        print(f"## Recorder: {WIDTH}x{HEIGHT} H.264, {FPS} pictures a second, {rate:.1f} Mbit/s in MPEG-TS\n")
        print("| run | demux alone, % of a core | recorder adds, % of a core | demux and recorder | `ffmpeg -c copy` |")
        print("|---|---|---|---|---|")
        runs = [("as fast as it goes", ROUNDS, False)] + (
            [("at the camera's speed", options.paced, True)] if options.paced else []
        )
        kept: Cost | None = None
        for label, rounds, paced in runs:
            alone = demux_only(film, options.seconds, rounds, paced=paced)
            cost = record(film, options.seconds, rounds, folder / f"record-{paced}", paced=paced)
            kept = kept or cost
            plain = ffmpeg(film, options.seconds, rounds, folder / f"ffmpeg-{paced}", paced=paced)
            beside = f"{plain.core:.2f}" if plain is not None else "not installed"
            cells = (
                label + f", {cost.film_s:.0f} s",
                f"{alone.core:.2f}",
                f"{cost.core - alone.core:.2f}",
                f"{cost.core:.2f}",
            )
            print(f"| {' | '.join((*cells, beside))} |")
        quiet = record(film, options.seconds, 1, folder / "events", mode="events")
        report_bytes(kept, quiet)


def report_bytes(kept: Cost | None, quiet: Cost) -> None:
    """Bytes, measured and carried forward to a day."""
    if kept is None:
        return
    day = 86_400 / kept.film_s / 1e9
    print(
        f"\nWritten in {kept.film_s:.0f} s of film: {kept.written_bytes / 1e6:.1f} MB, of which "
        f"{kept.kept_bytes / 1e6:.1f} MB are footage; index and chain occupy {kept.index_bytes / 1e3:.0f} kB. Carried "
        f'forward: {kept.written_bytes * day:.1f} GB a day and camera. With `mode = "events"` and no event, '
        f"{quiet.film_s:.0f} s of film wrote {quiet.written_bytes / 1e3:.0f} kB (the empty index) and no footage."
    )


if __name__ == "__main__":
    main()
