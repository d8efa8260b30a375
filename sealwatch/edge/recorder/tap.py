"""From the watcher's thread to the recorder's: a bounded queue that never makes the watcher wait."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from av.packet import Packet
from av.video.stream import VideoStream

from sealwatch.base.clock import Clock
from sealwatch.edge.recorder.media import MediaPacket, NotRecordableError, Template, template_of

QUEUE_BYTES: Final = 32 * 1024 * 1024  # about a minute of a 4 Mbit/s camera: what a card may stall


@dataclass(frozen=True, slots=True)
class Begin:
    """A new stream starts; everything before it belongs to another one."""

    template: Template


@dataclass(frozen=True, slots=True)
class End:
    """The connection is gone."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Packets were dropped, because the disk does not keep up. The stream goes on with a key frame."""

    packets: int


@dataclass(frozen=True, slots=True)
class Unusable:
    """This stream can't be recorded."""

    why: str


Event = Begin | MediaPacket | End | Lost | Unusable


class QueueTap:
    """The `PacketTap` that feeds a recorder."""

    def __init__(self, clock: Clock, *, queue_bytes: int = QUEUE_BYTES) -> None:
        self._clock, self._queue_bytes = clock, queue_bytes
        self._lock = threading.Lock()
        self._events: deque[Event] = deque()
        self._waiting_bytes = 0
        self._stream: VideoStream | None = None
        self._ready = False
        self._dropped = 0
        self._unstamped: Packet[VideoStream] | None = None

    @property
    def waiting_bytes(self) -> int:
        """How much the disk is behind."""
        return self._waiting_bytes

    def begin(self, stream: VideoStream) -> None:
        self._stream, self._ready, self._unstamped = stream, False, None

    def packet(self, packet: Packet[VideoStream]) -> None:
        if packet.size == 0 or self._stream is None:
            return  # the demuxer's end mark
        if packet.pts is None and packet.dts is None:
            # Over RTSP the first packet often has no time; it is the key frame all others need.
            self._unstamped = packet if packet.is_keyframe and not self._ready else None
            return
        first, self._unstamped = self._unstamped, None
        if first is not None and not packet.is_keyframe and not self._ready:
            earlier = (packet.dts if packet.dts is not None else packet.pts or 0) - (packet.duration or 0)
            first.pts = first.dts = earlier
            self.packet(first)
        if not self._ready and not self._start(packet):
            return
        if self._dropped and not packet.is_keyframe:
            self._dropped += 1
            return
        with self._lock:
            full = self._waiting_bytes + packet.size > self._queue_bytes
        if full:
            self._dropped += 1
            return
        if self._dropped:
            self._put(Lost(self._dropped))
            self._dropped = 0
        self._put(self._copy(packet))

    def end(self) -> None:
        self._stream, self._ready, self._unstamped = None, False, None
        self._put(End())

    def take(self) -> list[Event]:
        """Everything that waits, oldest first."""
        with self._lock:
            events = list(self._events)
            self._events.clear()
            self._waiting_bytes = 0
        return events

    def _start(self, packet: Packet[VideoStream]) -> bool:
        if not packet.is_keyframe or self._stream is None:
            return False  # a file must begin with a picture that needs no other
        try:
            self._put(Begin(template_of(self._stream, packet)))
        except NotRecordableError as error:
            self._stream = None
            self._put(Unusable(str(error)))
            return False
        self._ready = True
        return True

    def _copy(self, packet: Packet[VideoStream]) -> MediaPacket:
        pts = packet.pts if packet.pts is not None else packet.dts
        dts = packet.dts if packet.dts is not None else packet.pts
        return MediaPacket(
            data=bytes(packet),
            pts=pts or 0,
            dts=dts or 0,
            duration=packet.duration or 0,
            time_base=packet.time_base or Fraction(1, 90_000),
            key=packet.is_keyframe,
            monotonic_s=self._clock.monotonic_s(),
            wall_ms=self._clock.wall_ms(),
        )

    def _put(self, event: Event) -> None:
        with self._lock:
            self._events.append(event)
            if isinstance(event, MediaPacket):
                self._waiting_bytes += len(event.data)
