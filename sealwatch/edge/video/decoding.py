"""Which packets are decoded: all of them while something happens, key frames alone while nothing does.

While the scene is at rest, packets are kept from the last key frame on. A packet that is much larger than usual means
that the picture changed; then everything kept is decoded after all, so that the first second of an event is not lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from sealwatch.edge.video.ports import Demand

LONGEST_REST_S: Final = 4.2  # a stream with rarer key frames is always decoded in full
_MOST_KEPT: Final = 300
_GROUPS: Final = 8  # of pictures, from key frame to key frame, that are remembered
_GROUPS_LEAST: Final = 2
_SURPRISE: Final = 1.3  # times the largest size lately
_SURPRISE_LEAST_BYTES: Final = 120


_START_CODES: Final = (b"\x00\x00\x00\x01", b"\x00\x00\x01")
_H265_SETS: Final = (b"\x40\x01", b"\x42\x01", b"\x44\x01")  # VPS, SPS, PPS: their two header bytes (H.265, 7.3.1.2)
_H264_SETS: Final = (0x67, 0x27)  # SPS (H.264, 7.3.1)


def foreign_codec(codec: str, data: bytes) -> str:
    """The codec of a packet that plainly is not of `codec` (``h264``, ``hevc``), or nothing.

    A camera set to another codec in mid-stream sends its parameter sets first, and the decoder can only fail on them.
    """
    start = next((code for code in _START_CODES if data.startswith(code)), None)
    if start is None:
        return "mjpeg" if codec in ("h264", "hevc") and data.startswith(b"\xff\xd8\xff") else ""
    unit = data[len(start) : len(start) + 2]
    if codec == "h264" and unit in _H265_SETS:
        return "hevc"
    return "h264" if codec == "hevc" and unit[:1] and unit[0] in _H264_SETS else ""


class PacketSizes:
    """What the size of inter-coded packets says, without decoding any.

    Encoders spend by position after the key frame, so each position is compared with itself in the last groups.
    """

    def __init__(self) -> None:
        self._by_position: dict[int, deque[int]] = {}
        self._position = 0

    def key_frame(self) -> None:
        """A new group begins."""
        self._position = 0

    def surprising(self, size_bytes: int) -> bool:
        """Whether this packet holds more change than any at its position lately; it is remembered from then on."""
        self._position += 1
        lately = self._by_position.setdefault(self._position, deque(maxlen=_GROUPS))
        known = len(lately) >= _GROUPS_LEAST
        most = max(lately, default=0)
        lately.append(size_bytes)
        return known and size_bytes > _SURPRISE * most + _SURPRISE_LEAST_BYTES


class Decoder:
    """Turns packets into pictures; `demand` says whether every picture is wanted."""

    def __init__(self, codec: VideoCodecContext, demand: Demand) -> None:
        self._codec, self._demand = codec, demand
        self._kept: list[Packet[VideoStream]] = []
        self._asleep = False
        self._sizes = PacketSizes()
        self._key_s: float | None = None
        self._interval_s: float | None = None

    def decode(self, packet: Packet[VideoStream]) -> Iterator[VideoFrame]:
        """The pictures that are due with this packet. A broken one gives none: the next key frame mends it."""
        if packet.size == 0:  # the end; live packets may lack a time stamp and are still packets
            for kept in self._kept if self._asleep else ():
                yield from self._feed(kept)
            yield from self._feed(None)
            return
        surprising = False if packet.is_keyframe else self._sizes.surprising(packet.size)
        if packet.is_keyframe:
            self._note_key(packet)
            self._sizes.key_frame()
            self._kept = []
        self._keep(packet)
        if self._demand.idle and not surprising and len(self._kept) < _MOST_KEPT and self._may_rest():
            yield from self._rest(packet)
            return
        self._demand.idle = False
        if not self._asleep:
            yield from self._feed(packet)
            return
        self._asleep = False
        for kept in self._kept:
            yield from self._feed(kept)

    def _rest(self, packet: Packet[VideoStream]) -> Iterator[VideoFrame]:
        if not packet.is_keyframe:
            if not self._asleep:
                yield from self._feed(packet)  # rest begins with the next key frame
            return
        if not self._asleep:
            yield from self._feed(None)
        self._codec.flush_buffers()
        self._asleep = True
        yield from self._feed(packet)
        yield from self._feed(None)
        self._codec.flush_buffers()

    def _feed(self, packet: Packet[VideoStream] | None) -> Iterator[VideoFrame]:
        try:
            yield from self._codec.decode(packet)
        except av.FFmpegError:
            return  # damaged: the next key frame mends the picture

    def _keep(self, packet: Packet[VideoStream]) -> None:
        if len(self._kept) < _MOST_KEPT:
            self._kept.append(packet)

    def _note_key(self, packet: Packet[VideoStream]) -> None:
        at_s = float((packet.pts if packet.pts is not None else packet.dts or 0) * packet.time_base)
        if self._key_s is not None:
            self._interval_s = at_s - self._key_s
        self._key_s = at_s

    def _may_rest(self) -> bool:
        return self._interval_s is not None and 0.5 < self._interval_s <= LONGEST_REST_S
