"""A camera made of an encoded file, a node to record it, and a clock that both live by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealwatch.base.clock import ManualClock
from sealwatch.contract.codes import ClockQuality, Level, Phase
from sealwatch.edge.ports import AlarmDraft, MemorySink
from sealwatch.edge.recorder import ring
from sealwatch.edge.recorder.clips import ClipRules
from sealwatch.edge.recorder.footage import INDEX_FILE, Footage
from sealwatch.edge.recorder.gate import Mode
from sealwatch.edge.recorder.recorder import CameraRecorder, RecorderRules
from sealwatch.edge.recorder.sealing import Sealer
from sealwatch.edge.recorder.series import PowerSeries
from sealwatch.edge.recorder.store import Store
from sealwatch.evidence.documents import ClockState

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CAMERA = "shaft-mouth"
FPS, GOP = 10, 20  # a key frame every two seconds
LIMITS = ring.Limits(max_bytes=10**9, max_days=90)


def encode(path: Path, *, seconds: float, codec: str = "libx264", size: tuple[int, int] = (160, 120)) -> Path:
    """A moving stripe, with a key frame every two seconds and no B-frames, as cameras send it."""
    width, height = size
    with av.open(str(path), mode="w") as container:
        stream = container.add_stream(codec, rate=FPS)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = GOP
        stream.codec_context.max_b_frames = 0
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": f"keyint={GOP}:scenecut=0"}
        for number in range(int(seconds * FPS)):
            image = np.zeros((height, width, 3), np.uint8)
            image[:, (number * 3) % width] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def pictures(path: Path) -> int:
    """How many pictures a file decodes to."""
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def packet_hashes(path: Path) -> list[str]:
    """SHA-256 of every coded picture without its framing, to compare what was sent with what was kept.

    MP4 stores H.264 with lengths where MPEG-TS has start codes, so both are compared as the pictures they decode to.
    """
    with av.open(str(path)) as container:
        return [hashlib.sha256(f.to_ndarray(format="gray").tobytes()).hexdigest() for f in container.decode(video=0)]


def alarm(
    phase: Phase, clock: ManualClock, *, alarm_id: str = "a1", kind: str = "person", source_id: str = CAMERA
) -> AlarmDraft:
    return AlarmDraft(
        alarm_id=alarm_id,
        kind=kind,
        phase=phase,
        level=Level.RED,
        source_id=source_id,
        started_at_ms=clock.wall_ms() - 1000,
        captured_at_ms=clock.wall_ms(),
        score=0.9,
        reason="person_seen",
        sentence_zh="井口有人",
        sentence_en="a person at the shaft",
        zone="井口",
        numbers={"present_s": 1.0},
        snapshot_jpeg=b"\xff\xd8 picture \xff\xd9" if phase is Phase.START else None,
    )


@dataclass
class Node:
    """One life of a recorder; `restart` begins the next one on the same folder."""

    folder: Path
    clock: ManualClock
    boot: int = 1
    mode: Mode = "continuous"
    segment_s: float = 10.0
    clip: ClipRules = field(default_factory=ClipRules)
    limits: ring.Limits = LIMITS
    clips_bytes: int = 10**9
    step: Callable[[str], None] = lambda _step: None
    quality: ClockQuality = ClockQuality.SYNCHRONISED
    sm3: bool = False

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.boot_id = f"{self.boot:032x}"
        self.store = Store(self.folder / INDEX_FILE, now_ms=self.clock.wall_ms())
        self.sealer = Sealer(
            self.store,
            KEY,
            site_id="210423000017",
            node_id="fushun-017-1",
            boot_id=self.boot_id,
            clock=self.clock,
            clock_state=lambda: ClockState(quality=self.quality, offset_ms=3.0),
        )
        self.free = 10**12
        self.footage = Footage(
            self.folder,
            self.store,
            self.sealer,
            self.clock,
            sm3=self.sm3,
            step=self.step,
            free_bytes=lambda _path: self.free,
        )
        self.sink = MemorySink()
        self.power = PowerSeries()
        rules = RecorderRules(
            mode=self.mode,
            segment_s=self.segment_s,
            clip=self.clip,
            limits=self.limits,
            clips_bytes=self.clips_bytes,
        )
        self.recorder = CameraRecorder(CAMERA, lambda: self.footage, self.sink, self.clock, rules, power=self.power)

    def feed(self, source: Path, *, at: dict[float, Callable[[], None]] | None = None) -> None:
        """Play a file into the tap in the clock's time; `at` does things when the stream reaches a second."""
        due = sorted((at or {}).items())
        base_s = self.clock.monotonic_s()
        with av.open(str(source)) as container:
            stream = container.streams.video[0]
            self.recorder.tap.begin(stream)
            first_s: float | None = None
            for packet in container.demux(stream):
                if packet.dts is not None and packet.time_base is not None:
                    at_s = float(packet.dts * packet.time_base)
                    first_s = at_s if first_s is None else first_s
                    self.clock.advance(max(0.0, base_s + at_s - first_s - self.clock.monotonic_s()))
                    while due and at_s - first_s >= due[0][0]:
                        due.pop(0)[1]()
                self.recorder.tap.packet(packet)
                self.recorder.pump()

    def hang_up(self) -> None:
        self.recorder.tap.end()
        self.recorder.pump()

    def idle(self, seconds: float, *, step_s: float = 1.0) -> None:
        """Let time pass without a picture."""
        for _ in range(int(seconds / step_s)):
            self.clock.advance(step_s)
            self.recorder.pump()

    def say(self, phase: Phase, **values: str) -> Callable[[], None]:
        return lambda: self.recorder.observe(alarm(phase, self.clock, **values))

    def restart(self, **changes: object) -> Node:
        """Begin anew, as after a kill: nothing of this life is closed but what the system would close."""
        self.store.close()
        values: dict[str, object] = {
            "folder": self.folder,
            "clock": self.clock,
            "boot": self.boot + 1,
            "mode": self.mode,
            "segment_s": self.segment_s,
            "clip": self.clip,
            "limits": self.limits,
        }
        return Node(**{**values, **changes})  # type: ignore[arg-type]  # the fields of this class

    def files(self) -> list[Path]:
        return sorted((self.folder / CAMERA).glob("*.mp4"))
