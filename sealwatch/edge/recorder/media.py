"""Packets as the recorder takes them: bytes and time stamps, never pictures.

A stream is described by a *template*: a NUT file in memory with the codec's parameters and one key frame. NUT stores
the parameters as the camera sent them, so that H.264 with start codes is still recognised as such when it is written
into MP4, and nothing of the recorder depends on a connection that may be gone.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from fractions import Fraction
from types import TracebackType
from typing import Protocol, Self

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream


class NotRecordableError(Exception):
    """A stream that can't be kept without re-encoding it; one sentence with the cause and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPacket:
    """One packet of the camera. `pts` and `dts` count in `time_base`; the clocks are those of its arrival."""

    data: bytes = field(repr=False)
    pts: int
    dts: int
    duration: int
    time_base: Fraction
    key: bool
    monotonic_s: float
    wall_ms: int

    @property
    def dts_s(self) -> float:
        return float(self.dts * self.time_base)


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """How to declare the stream in a new file."""

    codec: str
    width_px: int
    height_px: int
    nut: bytes = field(repr=False)

    def open(self) -> OpenTemplate:
        """The template as a stream that a muxer can copy from."""
        return OpenTemplate(self)


class OpenTemplate:
    """A template in use."""

    def __init__(self, template: Template) -> None:
        self._container: InputContainer = av.open(io.BytesIO(template.nut), mode="r", format="nut")
        self.stream: VideoStream = self._container.streams.video[0]

    def close(self) -> None:
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


class PacketTap(Protocol):
    """What the owner of a camera's connection calls, on its own thread; it must return at once."""

    def begin(self, stream: VideoStream) -> None:
        """A connection was opened and this is its stream."""
        ...

    def packet(self, packet: Packet[VideoStream]) -> None:
        """The next packet of that stream, before it is decoded."""
        ...

    def end(self) -> None:
        """The connection is gone."""
        ...


class MemoryTap:
    """The recorder's twin for tests of a source: keeps what it is given."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0
        self.packets: list[tuple[bytes, int | None, bool]] = []

    def begin(self, stream: VideoStream) -> None:  # noqa: ARG002 - the port hands it over
        self.begun += 1

    def packet(self, packet: Packet[VideoStream]) -> None:
        self.packets.append((bytes(packet), packet.pts, packet.is_keyframe))

    def end(self) -> None:
        self.ended += 1


def template_of(stream: VideoStream, key_packet: Packet[VideoStream]) -> Template:
    """The template of a live stream, made at its first key frame. Raises NotRecordableError."""
    codec = stream.codec_context.name
    if codec == "rawvideo":
        raise NotRecordableError(
            "the camera sends raw pictures, which are never stored; set it to H.264, H.265 or MJPEG"
        )
    file = io.BytesIO()
    try:
        with av.open(file, mode="w", format="nut") as nut:
            out = nut.add_stream_from_template(stream, opaque=True)
            copy = Packet(bytes(key_packet))
            copy.pts, copy.dts = key_packet.pts, key_packet.dts if key_packet.dts is not None else key_packet.pts
            copy.time_base = key_packet.time_base
            copy.is_keyframe = True
            copy.stream = out
            nut.mux_one(copy)
    except (av.FFmpegError, ValueError) as error:
        raise NotRecordableError(
            f"a stream of codec {codec} cannot be stored as it comes ({type(error).__name__}); set the camera to H.264"
        ) from None
    return Template(
        codec=codec, width_px=stream.codec_context.width, height_px=stream.codec_context.height, nut=file.getvalue()
    )
