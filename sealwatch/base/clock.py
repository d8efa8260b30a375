"""Two clocks: monotonic for every duration, wall for labels. Tests and the demo bring their own."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A source of time. Durations come from `monotonic_s` only; `wall_ms` may jump."""

    def monotonic_s(self) -> float:
        """Seconds that never go backwards, from an arbitrary origin."""
        ...

    def wall_ms(self) -> int:
        """Milliseconds since 1970-01-01T00:00:00Z, as far as the machine knows."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let `seconds` of this clock pass."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def monotonic_s(self) -> float:
        return time.monotonic()

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))


class ManualClock:
    """A clock that moves only when told to: the in-process twin for tests."""

    def __init__(self, *, wall_ms: int = 1_700_000_000_000, monotonic_s: float = 1000.0) -> None:
        self._wall_ms = float(wall_ms)
        self._monotonic_s = monotonic_s

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def wall_ms(self) -> int:
        return int(self._wall_ms)

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let both clocks run by `seconds`."""
        self._monotonic_s += seconds
        self._wall_ms += seconds * 1000.0

    def jump_wall(self, seconds: float) -> None:
        """Move the wall clock alone, as a late NTP answer does."""
        self._wall_ms += seconds * 1000.0


class CatchUpClock:
    """Starts `behind_s` seconds ago and runs `speed` times as fast until it has caught up with `inner`.

    The demo lives through the last minutes of a meter within its first minute, with the same code as in the field.
    `start_s` (of `inner.monotonic_s`) is when it starts: two processes of one machine that share it agree on the time.
    """

    def __init__(self, inner: Clock, *, behind_s: float, speed: float, start_s: float | None = None) -> None:
        if behind_s < 0 or speed <= 1:
            raise ValueError("behind_s must not be negative and speed must be above 1")
        self._inner, self._behind_s, self._speed = inner, behind_s, speed
        self._start_s = inner.monotonic_s() if start_s is None else start_s

    def _lag_s(self) -> float:
        elapsed_s = self._inner.monotonic_s() - self._start_s
        return min(self._behind_s, max(0.0, self._behind_s - elapsed_s * (self._speed - 1)))

    def monotonic_s(self) -> float:
        return self._inner.monotonic_s() - self._lag_s()

    def wall_ms(self) -> int:
        return self._inner.wall_ms() - int(self._lag_s() * 1000)

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds / self._speed if self._lag_s() > 0 else seconds)
