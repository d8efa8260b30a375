"""Which packets go to disk: all of them, or only those around events (for cards that wear out)."""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

from sealwatch.edge.recorder.media import MediaPacket

Mode = Literal["continuous", "events"]
MAX_BUFFER_BYTES: Final = 48 * 1024 * 1024


class Gate:
    """Holds the last seconds in memory where only events are written."""

    def __init__(self, mode: Mode, *, pre_s: float, max_bytes: int = MAX_BUFFER_BYTES) -> None:
        self._mode, self._pre_s, self._max_bytes = mode, pre_s, max_bytes
        self._buffer: deque[MediaPacket] = deque()
        self._bytes = 0

    @property
    def buffered_s(self) -> float:
        """Seconds held in memory."""
        return self._buffer[-1].monotonic_s - self._buffer[0].monotonic_s if self._buffer else 0.0

    def take(self, packet: MediaPacket, *, wanted: bool) -> list[MediaPacket]:
        """Packets to write now, oldest first; the first one after a pause is a key frame."""
        if self._mode == "continuous":
            return [packet]
        if wanted:
            ready = [*self._buffer, packet]
            self.forget()
            return ready
        if not self._buffer and not packet.key:
            return []
        self._buffer.append(packet)
        self._bytes += len(packet.data)
        self._trim(packet.monotonic_s - self._pre_s)
        return []

    def forget(self) -> None:
        """The stream changed, or everything was handed out."""
        self._buffer.clear()
        self._bytes = 0

    def _trim(self, needed_from_s: float) -> None:
        """Drop whole groups of pictures from the front while the rest still reaches back far enough."""
        while True:
            following = next((i for i, p in enumerate(self._buffer) if i and p.key), None)
            if following is None:
                break
            if self._buffer[following].monotonic_s > needed_from_s and self._bytes <= self._max_bytes:
                break
            for _ in range(following):
                self._bytes -= len(self._buffer.popleft().data)
        if self._bytes > self._max_bytes:
            self.forget()  # one group of pictures larger than the buffer: the next key frame begins anew
