"""Whether a stream goes on as it began: its own time as time does, its coding as before. Pure, told by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_BACK_S: Final = 1.0
_AHEAD_S: Final = 10.0  # ahead of the clock by more than any gap in the pictures explains


@dataclass(frozen=True, slots=True)
class Continuity:
    """The picture before (stream's and monotonic seconds; none yet: NaN), how often the stream's time jumped, and how
    the stream is coded and how often that changed."""

    pts_s: float = float("nan")
    monotonic_s: float = float("nan")
    jumps: int = 0
    codec: str = ""
    codec_changes: int = 0


def reconnected(state: Continuity) -> Continuity:
    """A new connection begins a time of its own, which is no jump."""
    return Continuity(jumps=state.jumps, codec=state.codec, codec_changes=state.codec_changes)


def picture(state: Continuity, *, pts_s: float, monotonic_s: float, codec: str = "") -> tuple[Continuity, str]:
    """The state after one picture, and ``time_jumped_back``, ``time_jumped_ahead``, ``codec_changed`` or nothing."""
    ahead_s = pts_s - state.pts_s - (monotonic_s - state.monotonic_s)
    reason = ""
    if pts_s < state.pts_s - _BACK_S:
        reason = "time_jumped_back"
    elif ahead_s > _AHEAD_S:
        reason = "time_jumped_ahead"
    jumps, changes = state.jumps + bool(reason), state.codec_changes
    if codec and state.codec and codec != state.codec:
        reason, changes = "codec_changed", changes + 1
    return Continuity(pts_s, monotonic_s, jumps, codec or state.codec, changes), reason
