"""How long and when an output may be on: pure decisions with named reasons.

ask    started | extended | refused: quiet_hours, permitted_work, pausing, used_up
end    time_over | asked_off

Nothing, a person's command included, keeps an output on for longer than `max_s` at a stretch, or brings it back before
`pause_s` have passed. Quiet hours and permitted work hold back what the node does by itself, and nobody's own wish.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from sealwatch.contract.messages import Permit

_HOUR_MS: Final = 3_600_000
_UTC8_MS: Final = 8 * _HOUR_MS

Origin = Literal["alarm", "person", "challenge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one output. `quiet_hours`: from and to, hours of day UTC+8, over midnight where from > to."""

    max_s: float
    pause_s: float
    quiet_hours: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class OutputState:
    """Monotonic seconds. `until_s` is None while off; `free_at_s`: from when it may come on again."""

    since_s: float = 0.0
    until_s: float | None = None
    free_at_s: float = float("-inf")

    @property
    def on(self) -> bool:
        return self.until_s is not None


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a request. `seconds`: for how long it is on from now, 0 where it is refused."""

    ok: bool
    reason: str
    seconds: float = 0.0


def ask(
    state: OutputState,
    limits: Limits,
    seconds: float,
    *,
    origin: Origin,
    now_s: float,
    now_ms: int,
    permitted_work: bool = False,
) -> tuple[OutputState, Decision]:
    """Somebody wants it on for `seconds`. While it is on, it is made longer and never shorter."""
    state, _ = tick(state, limits, now_s)
    if origin == "alarm" and permitted_work:
        return state, Decision(ok=False, reason="permitted_work")
    if origin == "alarm" and in_hours(limits.quiet_hours, now_ms):
        return state, Decision(ok=False, reason="quiet_hours")
    if state.until_s is None:
        if now_s < state.free_at_s:
            return state, Decision(ok=False, reason="pausing")
        until_s = now_s + min(seconds, limits.max_s)
        return OutputState(now_s, until_s, state.free_at_s), Decision(
            ok=True, reason="started", seconds=until_s - now_s
        )
    until_s = max(state.until_s, min(now_s + seconds, state.since_s + limits.max_s))
    if until_s == state.until_s and now_s + seconds > until_s:
        return state, Decision(ok=False, reason="used_up")
    return replace(state, until_s=until_s), Decision(ok=True, reason="extended", seconds=until_s - now_s)


def off(state: OutputState, limits: Limits, now_s: float) -> tuple[OutputState, str | None]:
    """Somebody wants it off: the reason why it ends, or None where it is off already."""
    if not state.on:
        return state, None
    return OutputState(free_at_s=now_s + limits.pause_s), "asked_off"


def tick(state: OutputState, limits: Limits, now_s: float) -> tuple[OutputState, str | None]:
    """Let time pass: the reason why it ends now, or None."""
    if state.until_s is None or now_s < state.until_s:
        return state, None
    return OutputState(free_at_s=state.until_s + limits.pause_s), "time_over"


def in_hours(hours: tuple[int, int] | None, now_ms: int) -> bool:
    """Whether the hour of day (UTC+8) lies in ``[from, to)``, over midnight where from > to."""
    if hours is None:
        return False
    hour = (now_ms + _UTC8_MS) % (24 * _HOUR_MS) / _HOUR_MS
    begin, end = hours
    return begin <= hour < end if begin <= end else hour >= begin or hour < end


def work_permitted(permits: tuple[Permit, ...], now_ms: int) -> bool:
    """Whether work that the site has announced is allowed at this moment."""
    return any(p.from_ms <= now_ms < p.to_ms and in_hours((p.from_hour, p.to_hour), now_ms) for p in permits)
