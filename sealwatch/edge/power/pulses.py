"""Pulses: the power went up and came back. Overlapping loads are taken apart by matching steps.

A pulse ends at the edge that undoes it: either the level returns to about where it was before (which holds however
the load changed meanwhile: creeping, two speeds, a lighter rope), or the edge is about as large as the one that began
it (which holds when another load came or went meanwhile).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sealwatch.edge.power.edges import Edge

LONGEST_S = 4 * 3600.0
"""A rise that has not come back by then is a level, not a pulse."""
_RETURNED_SHARE = 0.3
_MATCH_LOW, _MATCH_HIGH = 0.65, 1.5
_OPEN_LIMIT = 16


@dataclass(frozen=True, slots=True)
class Pulse:
    """Power above `base_w` from `start_s` to `end_s`; `peak_w` is the highest reading at the start above the base."""

    start_s: float
    end_s: float
    base_w: float
    size_w: float
    peak_w: float

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s

    @property
    def energy_wh(self) -> float:
        return self.size_w * self.duration_s / 3600.0


@dataclass(frozen=True, slots=True)
class PulseState:
    """Rises that have not come back yet, oldest first."""

    open: tuple[Edge, ...] = ()


def advance(state: PulseState, edges: Iterable[Edge]) -> tuple[PulseState, list[Pulse]]:
    """Pulses completed by `edges`."""
    pulses: list[Pulse] = []
    rises = state.open
    for edge in edges:
        if edge.gap:
            rises = ()
        elif edge.size_w > 0:
            rises = (*(r for r in rises if edge.t_s - r.t_s <= LONGEST_S), edge)[-_OPEN_LIMIT:]
        else:
            rises = _close(rises, edge, pulses)
    return PulseState(rises), pulses


def _close(rises: tuple[Edge, ...], fall: Edge, pulses: list[Pulse]) -> tuple[Edge, ...]:
    drop_w = -fall.size_w
    # The fall brings the level back below where some rises began: they and everything since is over.
    returned = [k for k, r in enumerate(rises) if fall.after_w <= r.before_w + _RETURNED_SHARE * r.size_w]
    matched = [k for k, r in enumerate(rises) if _MATCH_LOW <= drop_w / r.size_w <= _MATCH_HIGH]
    both = [k for k in matched if k in returned]
    if both:
        chosen = min(both, key=lambda k: abs(drop_w - rises[k].size_w))
    elif returned:
        chosen = min(returned, key=lambda k: abs(fall.after_w - rises[k].before_w))
    elif matched:
        chosen = min(matched, key=lambda k: abs(drop_w - rises[k].size_w))
    else:
        return rises
    rise = rises[chosen]
    pulses.append(Pulse(rise.t_s, fall.t_s, rise.before_w, max(rise.size_w, drop_w), rise.peak_w - rise.before_w))
    if chosen in returned:
        return tuple(r for k, r in enumerate(rises) if k < chosen and k not in returned)
    return tuple(r for k, r in enumerate(rises) if k != chosen)
