"""On-delay and off-delay for a condition that is there or not: pure, shared by every camera fault."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sealwatch.contract.codes import Phase


@dataclass(frozen=True, slots=True)
class Delayed:
    """`since_*` is when the condition began, `seen_s` when it was last there; `standing` while its alarm stands."""

    standing: bool = False
    since_s: float | None = None
    since_ms: int = 0
    seen_s: float = float("-inf")


def step(
    state: Delayed, present: bool, *, on_delay_s: float, off_delay_s: float, now_s: float, now_ms: int
) -> tuple[Delayed, Phase | None]:
    """One judgement; the phase that the alarm enters now, if any."""
    if present:
        since_s = state.since_s if state.since_s is not None else now_s
        since_ms = state.since_ms if state.since_s is not None else now_ms
        state = replace(state, since_s=since_s, since_ms=since_ms, seen_s=now_s)
        if not state.standing and now_s - since_s >= on_delay_s - 1e-6:
            return replace(state, standing=True), Phase.START
        return state, None
    if state.standing:
        if now_s - state.seen_s >= off_delay_s - 1e-6:
            return Delayed(since_ms=state.since_ms), Phase.END
        return state, None
    return Delayed(), None
