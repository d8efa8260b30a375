"""When a camera's silence is an alarm: pure, with on-delay and off-delay, so that a hiccup is none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from sealwatch.contract.codes import Phase

ON_DELAY_S: Final = 4.0
OFF_DELAY_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalState:
    """`quiet_since_*` is when the last picture came (or watching began); `back_since_s` when pictures came again."""

    quiet_since_s: float
    quiet_since_ms: int
    lost: bool = False
    started_ms: int = 0
    back_since_s: float | None = None


def picture(state: SignalState, *, now_s: float, now_ms: int) -> tuple[SignalState, tuple[Phase, ...]]:
    """A picture came."""
    back_s = state.back_since_s if state.back_since_s is not None else now_s
    fresh = replace(state, quiet_since_s=now_s, quiet_since_ms=now_ms, back_since_s=back_s)
    if state.lost and now_s - back_s >= OFF_DELAY_S:
        return replace(fresh, lost=False), (Phase.END,)
    return fresh, ()


def silence(state: SignalState, *, now_s: float) -> tuple[SignalState, tuple[Phase, ...]]:
    """No picture came until now."""
    away = replace(state, back_since_s=None)
    if not state.lost and now_s - state.quiet_since_s >= ON_DELAY_S:
        return replace(away, lost=True, started_ms=state.quiet_since_ms), (Phase.START,)
    return away, ()
