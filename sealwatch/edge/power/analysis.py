"""All rules on one stream of power: samples in, alarm transitions out. The same code live and on recorded data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sealwatch.contract.codes import AlarmKind, DeclaredStatus, Level
from sealwatch.edge.power import appliances, events, pulses, square
from sealwatch.edge.power.appliances import Appliances
from sealwatch.edge.power.edges import Array, Edge, EdgeFinder
from sealwatch.edge.power.events import Event
from sealwatch.edge.power.pulses import Pulse, PulseState
from sealwatch.edge.power.rules import Transition, hoist, step
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
    """Holds the state of every rule for one meter; time is seconds on any axis that only goes up."""

    def __init__(self, declared: DeclaredStatus, *, interval_s: float = 1.0) -> None:
        self._declared = declared
        self._finder = EdgeFinder(interval_s)
        self._square = SquareState()
        self._pulses = PulseState()
        self._appliances = Appliances()
        self._hoist = HoistState()
        self._last_edge: Edge | None = None
        self._step = StepState()

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
        verdicts.sort(key=lambda v: v.transition.at_s)
        happened = [*events.of_edges(self._last_edge, own), *events.of_pulses(done.pulses)]
        self._last_edge = own[-1] if own else self._last_edge
        happened.sort(key=lambda e: e.t_s)
        return Findings(edges, done.pulses, happened, verdicts)

    @staticmethod
    def energy_wh(t_s: Array, power_w: Array) -> float:
        """Energy between samples; gaps longer than a minute are left out."""
        gaps_s = np.diff(t_s)
        return float(np.sum(power_w[:-1] * np.where(gaps_s <= 60.0, gaps_s, 0.0)) / 3600.0)
