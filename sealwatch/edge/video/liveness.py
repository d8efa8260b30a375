"""Whether the stream is a recording played again: a living sensor never gives the same sequence of pictures twice.

Every picture leaves a checksum. When picture after picture equals one from a constant time ago, and they differ among
themselves, somebody feeds the recorder a loop. (One picture that stands still is the fault 0006, frozen.)
"""

from __future__ import annotations

import zlib
from collections import deque
from dataclasses import dataclass

from sealwatch.contract.codes import Phase
from sealwatch.edge.ports import Image
from sealwatch.edge.video import delays
from sealwatch.edge.video.delays import Delayed

_LOOKS = 8  # equal pictures in a row, at one lag
_DISTINCT = 6  # ... of which so many differ from each other
_SHORTEST_S = 2.0
_MEMORY_LOOKS = 9000  # half an hour at five a second
_OFF_DELAY_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A suspicion that the picture is not what is before the camera now starts or ends. `about` is its kind's name."""

    about: str
    phase: Phase
    reason: str
    since_ms: int
    numbers: dict[str, float]


class LoopWatch:
    """One stream's memory of checksums. `look` takes pictures in the order of their time."""

    def __init__(self) -> None:
        self._times: dict[int, list[float]] = {}
        self._order: deque[tuple[int, float]] = deque()
        self._last: int | None = None
        self._streak: deque[int] = deque(maxlen=_LOOKS)
        self._lag_s = 0.0
        self._state = Delayed()

    def look(self, grey: Image, *, fresh: bool, now_s: float, now_ms: int) -> Doubt | None:
        """Judge one picture; one that merely stands still (not `fresh`) proves nothing."""
        checksum = zlib.crc32(grey[::4].tobytes())
        if fresh and checksum != self._last:
            self._last = checksum
            self._match(checksum, now_s)
            self._remember(checksum, now_s)
        looped = len(self._streak) >= _LOOKS and len(set(self._streak)) >= _DISTINCT
        self._state, phase = delays.step(
            self._state, looped, on_delay_s=0.0, off_delay_s=_OFF_DELAY_S, now_s=now_s, now_ms=now_ms
        )
        if phase is None:
            return None
        return Doubt(
            about="loop",
            phase=phase,
            reason="sequence_repeats" if phase is Phase.START else "sequence_new_again",
            since_ms=self._state.since_ms,
            numbers={"period_s": round(self._lag_s, 2)},
        )

    def _match(self, checksum: int, now_s: float) -> None:
        lags = [now_s - before_s for before_s in self._times.get(checksum, ()) if now_s - before_s >= _SHORTEST_S]
        if not lags:
            self._streak.clear()
            return
        same = [lag_s for lag_s in lags if abs(lag_s - self._lag_s) < 0.06]
        if not same:
            self._streak.clear()
        self._lag_s = same[0] if same else lags[-1]
        self._streak.append(checksum)

    def _remember(self, checksum: int, now_s: float) -> None:
        self._times.setdefault(checksum, []).append(now_s)
        self._order.append((checksum, now_s))
        if len(self._order) > _MEMORY_LOOKS:
            oldest, before_s = self._order.popleft()
            self._times[oldest].remove(before_s)
            if not self._times[oldest]:
                del self._times[oldest]
