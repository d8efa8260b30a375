"""All rules on one stream of power: samples in, alarm transitions out. The same code live and on recorded data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sealwatch.contract.codes import AlarmKind, DeclaredStatus, Level
from sealwatch.edge.power import appliances, events, pulses, square
from sealwatch.edge.power.appliances import Appliances
from sealwatch.edge.power.edges import Array, Edge, EdgeFinder
from sealwatch.edge.power.events import Event
from sealwatch.edge.power.minutes import Minutes
from sealwatch.edge.power.pulses import Pulse, PulseState
from sealwatch.edge.power.rules import Transition, baseline, habits, hoist, step
from sealwatch.edge.power.rules import envelope as envelopes
from sealwatch.edge.power.rules.baseline import BaselineState
from sealwatch.edge.power.rules.envelope import Envelope, EnvelopeState, Permit
from sealwatch.edge.power.rules.habits import NightState, ShareState
from sealwatch.edge.power.rules.hoist import HoistState
from sealwatch.edge.power.rules.step import StepState
from sealwatch.edge.power.square import SquareState


@dataclass(frozen=True, slots=True)
class Verdict:
    """A transition of one kind of alarm and how urgent it is at this site."""

    kind: AlarmKind
    level: Level
    transition: Transition


@dataclass(frozen=True, slots=True)
class Findings:
    """What a chunk of samples brought."""

    edges: list[Edge]
    pulses: list[Pulse]
    events: list[Event]
    verdicts: list[Verdict]


class Analyser:
    """Holds the state of every rule for one meter; time is seconds on any axis that only goes up.

    Rules about hours and nights want Unix seconds: `unix_offset_s` is what has to be added to get them.
    """

    def __init__(
        self,
        declared: DeclaredStatus,
        *,
        interval_s: float = 1.0,
        permits: Sequence[Permit] = (),
        unix_offset_s: float = 0.0,
    ) -> None:
        self._declared, self._permits, self._offset_s = declared, permits, unix_offset_s
        self._finder = EdgeFinder(interval_s)
        self._longest_gap_s = max(60.0, 6 * interval_s)
        self._square = SquareState()
        self._pulses = PulseState()
        self._appliances = Appliances()
        self._hoist = HoistState()
        self._last_edge: Edge | None = None
        self._step = StepState()
        self._minutes = Minutes()
        self._envelopes: dict[str, EnvelopeState] = {}
        self._baseline = BaselineState()
        self._nights = NightState()
        self._share = ShareState()

    @property
    def learning(self) -> float:
        """How far the baseline has been learnt: 0 to 1."""
        return self._baseline.learning

    def feed(self, t_s: Array, power_w: Array) -> Findings:
        """Take samples in order; readings that are no finite numbers are left out."""
        good = np.isfinite(power_w) & np.isfinite(t_s)
        if not good.all():
            t_s, power_w = t_s[good], power_w[good]
        edges = self._finder.feed(t_s, power_w)
        horizon_s = self._finder.horizon_s
        self._square, own = square.advance(self._square, edges)
        self._pulses, done = pulses.advance(self._pulses, own)
        self._hoist, hoisting = hoist.advance(self._hoist, done.trips, horizon_s, self._appliances)
        self._appliances = appliances.advance(self._appliances, done.pulses)
        self._step, stepping = step.advance(self._step, edges, horizon_s)
        verdicts = [Verdict(AlarmKind.HOIST_LIKE_CYCLE, hoist.level(self._declared), t) for t in hoisting]
        step_level = step.level(self._declared)
        if step_level is not None:
            verdicts += [Verdict(AlarmKind.POWER_STEP, step_level, t) for t in stepping]
        verdicts += self._slow_rules(t_s, power_w, own, horizon_s, done.pulses)
        verdicts.sort(key=lambda v: v.transition.at_s)
        happened = [*events.of_edges(self._last_edge, own), *events.of_pulses(done.pulses)]
        self._last_edge = own[-1] if own else self._last_edge
        happened.sort(key=lambda e: e.t_s)
        return Findings(edges, done.pulses, happened, verdicts)

    def _slow_rules(
        self, t_s: Array, power_w: Array, edges: list[Edge], horizon_s: float, done: list[Pulse]
    ) -> list[Verdict]:
        """Rules about minutes, hours and nights."""
        offset_s = self._offset_s
        found: list[tuple[Level, Transition]] = []
        for minute in self._minutes.feed(t_s + offset_s, power_w):
            for envelope in self._envelopes_at(minute.start_s):
                state = self._envelopes.get(envelope.subject, EnvelopeState())
                self._envelopes[envelope.subject], told = envelopes.advance(state, envelope, minute)
                found += [(envelope.level, t) for t in told]
            self._baseline, told = baseline.advance(self._baseline, minute)
            found += [(Level.YELLOW, t) for t in told]
            self._share, told = habits.share(self._share, minute.start_s, minute.mean_w / 60, 0.0)
            found += [(Level.YELLOW, t) for t in told]
        hoisting = [p for p in done if any(t.raised and p.start_s >= t.started_s for t in self._hoist.trains)]
        for pulse in hoisting:
            if pulse.duration_s <= hoist.MAX_TRIP_S:
                self._share, told = habits.share(self._share, pulse.end_s + offset_s, 0.0, pulse.energy_wh)
                found += [(Level.YELLOW, t) for t in told]
        moved = [replace(e, t_s=e.t_s + offset_s) for e in edges] if offset_s else edges
        self._nights, told = habits.nights(self._nights, moved, horizon_s + offset_s)
        found += [(Level.ORANGE, t) for t in told]
        return [Verdict(AlarmKind.POWER_ANOMALY, level, _back(t, offset_s)) for level, t in found]

    def _envelopes_at(self, at_s: float) -> list[Envelope]:
        """The envelopes that hold at a moment (Unix seconds)."""
        held = [envelopes.of_permits(self._permits, at_s) or envelopes.of_declaration(self._declared)]
        if self._baseline.always_on:
            held.append(envelopes.GONE)
        return [envelope for envelope in held if envelope is not None]

    def energy_wh(self, t_s: Array, power_w: Array) -> float:
        """Energy between samples; gaps longer than a minute (or six intervals) are left out."""
        gaps_s = np.diff(t_s)
        return float(np.sum(power_w[:-1] * np.where(gaps_s <= self._longest_gap_s, gaps_s, 0.0)) / 3600.0)


def _back(transition: Transition, offset_s: float) -> Transition:
    """From Unix seconds to the axis of the samples."""
    if not offset_s:
        return transition
    return replace(transition, started_s=transition.started_s - offset_s, at_s=transition.at_s - offset_s)
