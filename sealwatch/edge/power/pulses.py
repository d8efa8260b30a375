"""Pulses: the power went up and came back. Overlapping loads are taken apart by matching steps.

A pulse ends at the edge that undoes it: either the level returns to about where it was before (which holds however
the load changed meanwhile: creeping, two speeds, a lighter rope), or the edge is about as large as the one that began
it (which holds when another load came or went meanwhile).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sealwatch.edge.power.edges import Edge

LONGEST_S = 4 * 3600.0
"""A rise that has not come back by then is a level, not a pulse."""
TRIP_S = 300.0
"""A rise is tried as the beginning of a trip for this long."""
TWO_TRIPS_S = 2 * TRIP_S
"""A motor's start is remembered for this long: its next one may tell that it has stopped."""
CREEP_S = 45.0
"""Falls this close together may be one machine slowing down into its landing."""
IDLE_W = 2500.0
"""Compressors that go on turning unloaded are of 7.5 kW and more; smaller ones stop, and a hut's heater draws less."""
_RETURNED_SHARE = 0.2
_MATCH_LOW, _MATCH_HIGH = 0.65, 1.5
_CREEP_LOW = 0.42  # a machine that slows down into its landing loses about half of its power or more
_FADED_LOW = 0.2  # counterweights: what is lifted at the end of a trip may be a fraction of what it began with
_BESIDE = 2.0
_HIDES = 0.03
_OPEN_LIMIT = 16


@dataclass(frozen=True, slots=True)
class Pulse:
    """Power above `base_w` from `start_s` to `end_s`. `peak_w` is the highest reading at the start above the base,
    `fall_w` the last fall, `rise_s` how long the rise took, `noise_w` how much the readings scattered before, `rough_w`
    how much they do within it. `starts`: motors that started beside a larger machine in the minutes before it.
    `phases`: those on which it rose (``abc``), where the meter tells them."""

    start_s: float
    end_s: float
    base_w: float
    size_w: float
    peak_w: float
    fall_w: float
    rise_s: float
    noise_w: float = 0.0
    rough_w: float = 0.0
    starts: tuple[Edge, ...] = ()
    phases: str = ""

    @property
    def starts_a_motor(self) -> bool:
        """Whether it began like a motor at rest: with its starting current, or softly. A load that was only switched
        (a heater) or loaded (a compressor that turns already) does neither."""
        return self.surges or self.rise_s >= 3.0

    @property
    def surges(self) -> bool:
        """Whether it began with a motor's starting current."""
        return self.peak_w - self.size_w > max(0.12 * self.size_w + 100.0, 3 * self.noise_w)

    @property
    def idles(self) -> bool:
        """Whether it stands on a base that a machine of this size would draw unloaded (25-40 % of the whole)."""
        return self.base_w >= IDLE_W and 0.25 <= self.base_w / self.size_w <= 0.85

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s

    @property
    def energy_wh(self) -> float:
        return self.size_w * self.duration_s / 3600.0


@dataclass(frozen=True, slots=True)
class PulseState:
    """`open`: rises that have not come back yet; `rises` and `falls`: the last minutes, whatever became of them.
    `starts`: motors that started beside a larger machine."""

    open: tuple[Edge, ...] = ()
    rises: tuple[Edge, ...] = ()
    falls: tuple[Edge, ...] = ()
    starts: tuple[Edge, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """`pulses`: what the matching takes for real. `trips`: every pair of a rise and a fall that could be one trip of a
    machine, the real one among them; which is decided by repetition. `starts`: what rose beside a larger machine."""

    pulses: list[Pulse]
    trips: list[Pulse]
    starts: list[Edge]


def advance(state: PulseState, edges: Iterable[Edge]) -> tuple[PulseState, Found]:
    """Pulses completed by `edges`."""
    found = Found([], [], [])
    still, rises, falls, starts = state.open, state.rises, state.falls, state.starts
    for edge in edges:
        if edge.gap:
            still, rises, falls, starts = (), (), (), ()
        elif edge.size_w > 0:
            still = (*(r for r in still if edge.t_s - r.t_s <= LONGEST_S), edge)[-_OPEN_LIMIT:]
            rises = (*(r for r in rises if edge.t_s - r.t_s <= TRIP_S), edge)[-_OPEN_LIMIT:]
            if hidden(edge.before_w, edge.size_w, edge.noise_w):
                found.starts.append(edge)
                starts = (*(r for r in starts if edge.t_s - r.t_s <= TWO_TRIPS_S), edge)[-_OPEN_LIMIT:]
        else:
            falls = (*(f for f in falls if edge.t_s - f.t_s <= CREEP_S), edge)
            rises = tuple(r for r in rises if edge.t_s - r.t_s <= TRIP_S)
            found.trips.extend(_trips(rises, falls, starts))
            rises = tuple(r for r in rises if not _returned(r, edge))
            still = _close(still, edge, found.pulses)
    return PulseState(still, rises, falls, starts), found


def _trips(rises: tuple[Edge, ...], falls: tuple[Edge, ...], starts: tuple[Edge, ...]) -> list[Pulse]:
    """Every rise that the last fall, alone or with the falls just before it (creeping into a landing), undoes."""
    last = falls[-1]
    trips = []
    for rise in rises:
        drops = [last.before_w - last.after_w]
        for fall in falls[-2::-1]:
            if fall.t_s > rise.t_s:
                drops.append(drops[-1] - fall.size_w)
        low = _FADED_LOW if hidden(rise.before_w, rise.size_w, rise.noise_w) else _CREEP_LOW
        fits = any(low <= drop / rise.size_w <= _MATCH_HIGH for drop in drops)
        if fits or _returned(rise, last):
            trips.append(replace(_pulse(rise, last), starts=tuple(s for s in starts if s.t_s < rise.t_s)))
    return trips


def hidden(base_w: float, size_w: float, noise_w: float) -> bool:
    """Whether a machine of this size runs on top of a larger one whose scatter is great enough to hide its end."""
    return base_w > _BESIDE * size_w and noise_w > _HIDES * size_w


def _returned(rise: Edge, fall: Edge) -> bool:
    return abs(fall.after_w - rise.before_w) <= _RETURNED_SHARE * rise.size_w


def _pulse(rise: Edge, fall: Edge) -> Pulse:
    return Pulse(
        start_s=rise.t_s,
        end_s=fall.t_s,
        base_w=rise.before_w,
        size_w=rise.size_w,
        peak_w=rise.peak_w - rise.before_w,
        fall_w=-fall.size_w,
        rise_s=rise.width_s,
        noise_w=rise.noise_w,
        rough_w=(rise.rough_w + fall.rough_w) / 2,
        phases=rise.phases,
    )


def _close(rises: tuple[Edge, ...], fall: Edge, pulses: list[Pulse]) -> tuple[Edge, ...]:
    drop_w = -fall.size_w
    returned = {k for k, r in enumerate(rises) if _returned(r, fall)}
    matched = {k for k, r in enumerate(rises) if _MATCH_LOW <= drop_w / r.size_w <= _MATCH_HIGH}
    # What began above the level of now is over, whether or not we could tell by which edge.
    over = {k for k, r in enumerate(rises) if fall.after_w < r.before_w - _RETURNED_SHARE * r.size_w}
    candidates = (matched & returned) or returned or matched
    if not candidates:
        return tuple(r for k, r in enumerate(rises) if k not in over)
    # The largest of those that returned: smaller rises inside it were its own ups and downs.
    chosen = max(candidates, key=lambda k: rises[k].size_w) if returned else _closest(rises, candidates, drop_w)
    pulses.append(_pulse(rises[chosen], fall))
    inside = {k for k in range(chosen, len(rises)) if k > chosen and chosen in returned and k in returned | over}
    return tuple(r for k, r in enumerate(rises) if k not in over | inside | {chosen})


def _closest(rises: tuple[Edge, ...], candidates: set[int], drop_w: float) -> int:
    return min(candidates, key=lambda k: abs(drop_w - rises[k].size_w))
