"""Square waves: a machine that stays on and switches between two levels, as a compressor between loaded and unloaded.

Once its two levels are known, its edges are taken out of the stream, also where another load's edge fell together with
one of them, so that a small winch is seen beside a compressor of ten times its size.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, replace

from sealwatch.edge.power.edges import MIN_EDGE_W, Edge

CYCLES = 4
"""So many rises and falls alike make a square wave."""
LONGEST_PHASE_S = 900.0
_ALIKE = 0.08
_REST_SHARE = 0.07
_IDLE_LOW, _IDLE_HIGH = 0.25, 1.2
_KEEP = 10


@dataclass(frozen=True, slots=True)
class SquareState:
    """`rises_w`, `falls_w`: sizes of the last edges that alternated, from `since_s` on; once `known`, what the
    wave looks like."""

    rises_w: tuple[float, ...] = ()
    falls_w: tuple[float, ...] = ()
    last_s: float = 0.0
    loaded: bool = False
    known: bool = False
    since_s: float = 0.0

    @property
    def rise_w(self) -> float:
        return statistics.median(self.rises_w)

    @property
    def fall_w(self) -> float:
        return statistics.median(self.falls_w)


@dataclass(frozen=True, slots=True)
class Wave:
    """A square wave that has become known at `at_s`, or whose last edge was then (`over`)."""

    at_s: float
    over: bool
    state: SquareState


def advance(state: SquareState, edges: Iterable[Edge], horizon_s: float) -> tuple[SquareState, list[Edge], list[Wave]]:
    """The edges (all up to `horizon_s`) that remain when the wave's own are taken out, with the wave taken off their
    levels; waves that began or ended."""
    left: list[Edge] = []
    waves: list[Wave] = []
    for edge in edges:
        before = state
        if edge.gap or edge.t_s - state.last_s > LONGEST_PHASE_S:
            state = SquareState(last_s=edge.t_s)
        if state.known:
            state, rest = _known(state, edge)
            left += rest
        else:
            state = _watch(state, edge)
            left.append(edge)
        if before.known and not state.known:
            waves.append(Wave(before.last_s, True, before))
        elif state.known and not before.known:
            waves.append(Wave(edge.t_s, False, state))
    if state.known and horizon_s - state.last_s > LONGEST_PHASE_S:
        waves.append(Wave(state.last_s, True, state))
        state = SquareState(last_s=state.last_s)
    return state, left, waves


def _watch(state: SquareState, edge: Edge) -> SquareState:
    """Collect edges that alternate and are alike; anything else begins anew."""
    up, size_w = edge.size_w > 0, abs(edge.size_w)
    if state.rises_w and size_w < 0.5 * state.rise_w:
        return state  # something small on top of it
    own, other = (state.rises_w, state.falls_w) if up else (state.falls_w, state.rises_w)
    idle_w = edge.before_w if up else edge.after_w
    alike = all(abs(size_w - w) <= _ALIKE * size_w for w in own[-CYCLES:])
    alternates = state.loaded != up
    # A motor that starts from rest is no square wave: it stood still below.
    starts = up and edge.peak_w - edge.before_w > 1.2 * size_w + 200
    if not (_IDLE_LOW <= idle_w / size_w <= _IDLE_HIGH) or starts:
        return SquareState(last_s=edge.t_s, loaded=up)
    since_s = state.since_s
    if not alike or not alternates:
        own, other = (), ()
    if not own and not other:
        since_s = edge.t_s
    own = (*own, size_w)[-_KEEP:]
    rises, falls = (own, other) if up else (other, own)
    known = len(rises) >= CYCLES and len(falls) >= CYCLES
    return SquareState(rises, falls, edge.t_s, up, known, since_s)


def _known(state: SquareState, edge: Edge) -> tuple[SquareState, list[Edge]]:
    offset_w = state.rise_w if state.loaded else 0.0
    own_w = -state.fall_w if state.loaded else state.rise_w
    rest_w = edge.size_w - own_w
    if abs(rest_w) > 0.45 * abs(own_w):
        shifted = replace(
            edge,
            before_w=edge.before_w - offset_w,
            after_w=edge.after_w - offset_w,
            peak_w=edge.peak_w - offset_w,
            rough_w=0.0,  # the wave's own scatter, not that of what is on top of it
        )
        if abs(edge.size_w) > 1.5 * abs(own_w):
            return SquareState(last_s=edge.t_s), [edge]  # it stopped, or something larger came: learn it anew
        return state, [shifted]
    loaded = not state.loaded
    small = abs(rest_w) <= max(MIN_EDGE_W, _REST_SHARE * abs(own_w))
    if small:
        size_w = abs(edge.size_w)
        state = (
            replace(state, rises_w=(*state.rises_w, size_w)[-_KEEP:])
            if loaded
            else replace(state, falls_w=(*state.falls_w, size_w)[-_KEEP:])
        )
    after_w = edge.after_w - (state.rise_w if loaded else 0.0)
    rest = Edge(edge.t_s, after_w - rest_w, after_w, max(after_w, after_w - rest_w), edge.width_s, edge.noise_w)
    return replace(state, last_s=edge.t_s, loaded=loaded), [] if small else [rest]
