"""Missing footage: pure, with an on-delay, so that a reconnect is no alarm and a cut cable is one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

ON_DELAY_S: Final = 30.0
OFF_DELAY_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How far the footage of a camera reaches. `kept_*` is the last moment that is on disk."""

    kept_s: float
    kept_ms: int
    missing_since_ms: int | None = None
    reason: str = ""
    back_since_s: float | None = None


@dataclass(frozen=True, slots=True)
class GapBegan:
    """Footage has been missing for longer than the on-delay."""

    from_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class GapEnded:
    """Footage comes again, and has for longer than the off-delay."""

    from_ms: int
    to_ms: int
    reason: str


def kept(state: Coverage, *, now_s: float, now_ms: int) -> tuple[Coverage, GapEnded | None]:
    """A packet was taken to disk (or to the buffer, where only events are written)."""
    fresh = replace(state, kept_s=now_s, kept_ms=now_ms)
    if state.missing_since_ms is None:
        return fresh, None
    if state.back_since_s is None:
        return replace(fresh, back_since_s=now_s), None
    if now_s - state.back_since_s < OFF_DELAY_S:
        return fresh, None
    back_ms = now_ms - int((now_s - state.back_since_s) * 1000)
    ended = GapEnded(state.missing_since_ms, back_ms, state.reason)
    return replace(fresh, missing_since_ms=None, reason="", back_since_s=None), ended


def missing(state: Coverage, *, now_s: float, reason: str) -> tuple[Coverage, GapBegan | None]:
    """Nothing was kept until now; `reason` says why."""
    away_s = now_s - state.kept_s
    if state.missing_since_ms is not None:
        return (replace(state, back_since_s=None) if away_s > OFF_DELAY_S else state), None
    if away_s < ON_DELAY_S:
        return state, None
    began = GapBegan(state.kept_ms, reason)
    return replace(state, missing_since_ms=state.kept_ms, reason=reason, back_since_s=None), began
