"""Whether a stream's own time goes on as time does: pure, told by name and by how far it jumped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_BACK_S: Final = 1.0
_AHEAD_S: Final = 10.0  # ahead of the clock by more than any gap in the pictures explains


@dataclass(frozen=True, slots=True)
class Continuity:
    """The picture before (stream's and monotonic seconds; none yet: NaN), and how often the stream's time jumped."""

    pts_s: float = float("nan")
    monotonic_s: float = float("nan")
    jumps: int = 0


def reconnected(state: Continuity) -> Continuity:
    """A new connection begins a time of its own, which is no jump."""
    return Continuity(jumps=state.jumps)


def picture(state: Continuity, *, pts_s: float, monotonic_s: float) -> tuple[Continuity, str]:
    """The state after one picture, and ``time_jumped_back``, ``time_jumped_ahead`` or nothing."""
    ahead_s = pts_s - state.pts_s - (monotonic_s - state.monotonic_s)
    reason = ""
    if pts_s < state.pts_s - _BACK_S:
        reason = "time_jumped_back"
    elif ahead_s > _AHEAD_S:
        reason = "time_jumped_ahead"
    return Continuity(pts_s, monotonic_s, state.jumps + bool(reason)), reason
