"""Cutting a clip out of segments by copying packets, from a key frame at or before its start to one after its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
from av.packet import Packet
from av.video.stream import VideoStream

from sealwatch.edge.recorder.media import MediaPacket, NotRecordableError, Template, template_of
from sealwatch.edge.recorder.segment import SegmentWriter
from sealwatch.evidence.digests import Digests

_TIME_BASE: Final = Fraction(1, 90_000)
HOLE_S: Final = 1.5  # between two packets; cameras at 1 picture a second exist


@dataclass(frozen=True, slots=True)
class Source:
    """A segment and when (monotonic) its first packet came."""

    path: Path
    started_s: float


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of the clip; a new one begins where the camera changed codec or size."""

    path: Path
    codec: str
    digests: Digests
    from_s: float
    to_s: float


@dataclass(frozen=True, slots=True)
class Cut:
    """What became of it. `gap_s` is the footage that is missing inside."""

    pieces: tuple[Piece, ...]
    gap_s: float

    @property
    def from_s(self) -> float:
        return self.pieces[0].from_s

    @property
    def to_s(self) -> float:
        return self.pieces[-1].to_s


def cut(sources: Sequence[Source], folder: Path, *, from_s: float, to_s: float, sm3: bool = False) -> Cut | None:
    """Write ``clip.mp4`` (``clip-2.mp4`` ...) into `folder`; None where there is no footage. Raises FootageError."""
    start_s = _start(sources, from_s)
    if start_s is None or start_s >= to_s:
        return None
    run = _Run(folder, sm3)
    try:
        for source in sources:
            if run.done:
                break
            _copy(source, run, start_s, to_s)
        return run.finish()
    except BaseException:
        run.abandon()
        raise


def _start(sources: Sequence[Source], from_s: float) -> float | None:
    """The last key frame at or before `from_s`, else the first there is after it."""
    best: float | None = None
    for source in sources:
        for packet, at_s in _packets(source):
            if not packet.is_keyframe:
                continue
            if best is None or at_s <= from_s:
                best = at_s
            if at_s > from_s:
                return best
    return best


def _packets(source: Source) -> Iterator[tuple[Packet[VideoStream], float]]:
    """Packets with their monotonic time. A file that does not play yields none."""
    try:
        with av.open(str(source.path), mode="r") as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.size and packet.dts is not None and packet.time_base is not None:
                    yield packet, source.started_s + float(packet.dts * packet.time_base)
    except (av.FFmpegError, OSError, IndexError):
        return  # the ring took it, or it was just begun


def _copy(source: Source, run: _Run, start_s: float, to_s: float) -> None:
    for packet, at_s in _packets(source):
        if at_s < start_s - 1e-6:
            continue
        if packet.is_keyframe and at_s >= to_s:
            run.done = True
            return
        run.write(packet, at_s)


class _Run:
    def __init__(self, folder: Path, sm3: bool) -> None:
        self._folder, self._sm3 = folder, sm3
        self._pieces: list[Piece] = []
        self._writer: SegmentWriter | None = None
        self._template: Template | None = None
        self._key: tuple[object, ...] = ()
        self._from_s = self._last_s = 0.0
        self.gap_s = 0.0
        self.done = False

    def write(self, packet: Packet[VideoStream], at_s: float) -> None:
        context = packet.stream.codec_context
        key = (context.name, context.width, context.height, context.extradata)
        if self._writer is None or key != self._key:
            if not packet.is_keyframe:
                return
            self._begin(packet, key, at_s)
        if self._writer is None:
            return
        hole_s = at_s - self._last_s
        if hole_s > HOLE_S:
            self.gap_s += hole_s
        # The segments' starts come from arrival times; within the clip, time only ever moves on.
        dts = round((at_s - self._from_s) / _TIME_BASE)
        lead = (packet.pts - packet.dts) * packet.time_base if packet.pts is not None and packet.dts is not None else 0
        self._writer.write(
            MediaPacket(
                data=bytes(packet),
                pts=dts + round(lead / _TIME_BASE),
                dts=dts,
                duration=round((packet.duration or 0) * packet.time_base / _TIME_BASE),
                time_base=_TIME_BASE,
                key=packet.is_keyframe,
                monotonic_s=at_s,
                wall_ms=0,
            )
        )
        self._last_s = max(self._last_s, at_s)

    def finish(self) -> Cut | None:
        self._end()
        return Cut(tuple(self._pieces), self.gap_s) if self._pieces else None

    def abandon(self) -> None:
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None

    def _begin(self, packet: Packet[VideoStream], key: tuple[object, ...], at_s: float) -> None:
        self._end()
        try:
            self._template = template_of(packet.stream, packet)
        except NotRecordableError:
            return  # it was recorded, so this does not happen; without it the piece is left out
        if self._pieces and at_s - self._last_s > HOLE_S:
            self.gap_s += at_s - self._last_s
        name = "clip.mp4" if not self._pieces else f"clip-{len(self._pieces) + 1}.mp4"
        self._writer = SegmentWriter(self._folder / name, self._template, sm3=self._sm3)
        self._key, self._from_s, self._last_s = key, at_s, at_s

    def _end(self) -> None:
        writer, template = self._writer, self._template
        if writer is None or template is None:
            return
        self._writer = None
        digests = writer.close()
        self._pieces.append(Piece(writer.path, template.codec, digests, self._from_s, self._from_s + writer.length_s))
