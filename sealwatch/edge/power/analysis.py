"""All rules on one stream of power: samples in, alarm transitions out. The same code live and on recorded data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sealwatch.contract.codes import AlarmKind, DeclaredStatus, Level, Phase
from sealwatch.edge.power import appliances, events, pulses, square
from sealwatch.edge.power.appliances import Appliances
from sealwatch.edge.power.edges import Array, Edge, EdgeFinder
from sealwatch.edge.power.events import Event
from sealwatch.edge.power.learnt import Learnt
from sealwatch.edge.power.minutes import Minute, Minutes
from sealwatch.edge.power.pulses import Pulse, PulseState
from sealwatch.edge.power.rules import Transition, baseline, generator, habits, hoist, step, template
from sealwatch.edge.power.rules import envelope as envelopes
from sealwatch.edge.power.rules.baseline import BaselineState
from sealwatch.edge.power.rules.envelope import Envelope, EnvelopeState, Permit
from sealwatch.edge.power.rules.generator import GeneratorState
from sealwatch.edge.power.rules.habits import NightState, ShareState
from sealwatch.edge.power.rules.hoist import HoistState
from sealwatch.edge.power.rules.step import StepState
from sealwatch.edge.power.rules.template import TemplateState
from sealwatch.edge.power.rules.train import MAX_TRIP_S
from sealwatch.edge.power.square import SquareState


@dataclass(frozen=True, slots=True)
class Verdict:
    """A transition of one kind of alarm and how urgent it is at this site."""

    kind: AlarmKind
    level: Level
    transition: Transition
    declared: DeclaredStatus
    """What the site declared at that moment; work under a permit counts as such while the permit covers it."""


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
        permits: Sequence[Permit] | None = None,
        unix_offset_s: float = 0.0,
        production_w: Sequence[float] = (),
        activity: Callable[[float], bool] | None = None,
    ) -> None:
        """`production_w`: the 24 hourly means of a day of production, where they are known. `activity`: whether the
        cameras saw work in the minute that begins at a moment (Unix seconds); None where nobody can tell."""
        self._production_w, self._activity = production_w, activity
        self._template, self._generator = TemplateState(), GeneratorState()
        self._offset_s = unix_offset_s
        self.declare(declared, permits)
        self._finder = EdgeFinder(interval_s)
        self._longest_gap_s = max(60.0, 6 * interval_s)
        self._square = SquareState()
        self._pulses = PulseState()
        self._appliances = Appliances()
        self._hoist = HoistState()
        self._last_edge: Edge | None = None
        self._step = StepState()
        self._interval_s = interval_s
        self._minutes = Minutes(interval_s)
        self._envelopes: dict[str, EnvelopeState] = {}
        self._standing: dict[tuple[AlarmKind, float], DeclaredStatus] = {}
        self._baseline = BaselineState()
        self._nights = NightState()
        self._share = ShareState()

    @property
    def learning(self) -> float:
        """How far the baseline has been learnt: 0 to 1."""
        return self._baseline.learning

    @property
    def hoist_trips(self) -> list[tuple[float, float]]:
        """Start and end of the trips that stand behind the alarm of now, at most the last 40; empty without one."""
        return [(p.start_s, p.end_s) for train in self._hoist.trains if train.raised for p in train.pulses]

    def declare(self, declared: DeclaredStatus, permits: Sequence[Permit] | None) -> None:
        """What the site declares from now on; `permits` None where nobody has said which there are. An envelope that
        no longer holds ends with its next minute."""
        self._declared, self._permits, self._permits_known = declared, tuple(permits or ()), permits is not None

    def set_unix_offset(self, unix_offset_s: float) -> None:
        """The wall clock was set: hours and days are counted anew from here, what was learnt stays."""
        self._offset_s = unix_offset_s
        self._minutes = Minutes(self._interval_s)
        self._baseline = replace(self._baseline, current=None, sum_w=0.0, minutes=0)
        self._nights = replace(self._nights, day=None, starts=())
        self._share = replace(self._share, day=None, total_wh=0.0, hoist_wh=0.0)

    def learnt(self) -> Learnt:
        """What has to survive a restart."""
        return Learnt(
            baseline=self._baseline,
            nights=self._nights,
            share=self._share,
            appliances=self._appliances,
            template=self._template,
        )

    def remember(self, learnt: Learnt) -> None:
        """Go on from what an earlier life learnt. Alarms that stood then were ended with it and are told anew."""
        self._baseline = replace(learnt.baseline, since_s=None, subject="")
        self._nights = replace(learnt.nights, since_s=None)
        self._share = replace(learnt.share, since_s=None)
        self._appliances = learnt.appliances
        self._template = replace(learnt.template, since_s=None)

    def status_at(self, unix_s: float) -> DeclaredStatus:
        """The declared status, or permitted work while a permit covers the moment."""
        covered = any(permit.covers(unix_s) for permit in self._permits)
        return DeclaredStatus.PERMITTED_WORK if covered else self._declared

    def feed(self, t_s: Array, power_w: Array, phases_w: Array | None = None) -> Findings:
        """Take samples in order; readings that are no finite numbers are left out. `phases_w`: n x 3, where known.

        The sign is left out: behind a transformer that was put in backwards (which takes a minute, and hides a winch
        from whoever looks for more power) use reads negative, and a hoist that brakes gives power back.
        """
        good = np.isfinite(power_w) & np.isfinite(t_s)
        if not good.all():
            t_s, power_w = t_s[good], power_w[good]
            phases_w = phases_w[good] if phases_w is not None else None
        power_w = np.abs(power_w)
        edges = self._finder.feed(t_s, power_w, np.abs(phases_w) if phases_w is not None else None)
        horizon_s = self._finder.horizon_s
        self._square, own, waves = square.advance(self._square, edges, horizon_s)
        self._pulses, done = pulses.advance(self._pulses, own)
        self._hoist, hoisting, trains = hoist.advance(
            self._hoist, done.trips, horizon_s, self._appliances, interval_s=self._interval_s, starts=done.starts
        )
        self._appliances = appliances.advance(self._appliances, done.pulses, self._offset_s)
        self._step, stepping = step.advance(self._step, edges, horizon_s)
        verdicts = [self._verdict(AlarmKind.HOIST_LIKE_CYCLE, hoist.level, t) for t in hoisting]
        verdicts += [self._verdict(AlarmKind.POWER_STEP, step.level_of(t), t) for t in stepping]
        verdicts += self._slow_rules(t_s, power_w, own, horizon_s, done.pulses)
        told = sorted((v for v in verdicts if v is not None), key=lambda v: v.transition.at_s)
        happened = [*events.of_edges(self._last_edge, own), *events.of_pulses(done.pulses)]
        happened += [*events.of_trains(trains), *events.of_waves(waves)]
        self._last_edge = own[-1] if own else self._last_edge
        happened.sort(key=lambda e: e.t_s)
        return Findings(edges, done.pulses, happened, told)

    def _verdict(
        self, kind: AlarmKind, level_of: Callable[[DeclaredStatus], Level | None], transition: Transition
    ) -> Verdict | None:
        """Judged by what was declared when it started, so that it ends whatever is declared meanwhile; by what is
        declared now where that makes what goes on more urgent (a permit ran out)."""
        subject = (kind, transition.started_s)
        now = self.status_at(transition.at_s + self._offset_s)
        declared = self._standing.get(subject, now)
        level, level_now = level_of(declared), level_of(now)
        if transition.phase is Phase.UPDATE and level and level_now and level_now.urgency < level.urgency:
            declared, level = now, level_now
        if transition.phase is Phase.END:
            self._standing.pop(subject, None)
        else:
            self._standing[subject] = declared
        if level is None:
            return None
        return Verdict(kind, level, transition, declared)

    def _slow_rules(
        self, t_s: Array, power_w: Array, edges: list[Edge], horizon_s: float, done: list[Pulse]
    ) -> list[Verdict]:
        """Rules about minutes, hours and nights."""
        offset_s = self._offset_s
        found: list[tuple[Level, Transition]] = []
        for minute in self._minutes.feed(t_s + offset_s, power_w):
            found += self._envelope_minute(minute)
            self._baseline, told = baseline.advance(self._baseline, minute)
            found += [(Level.YELLOW, t) for t in told]
            found += self._compared_minute(minute)
            self._share, told = habits.share(self._share, minute.start_s, minute.mean_w / 60, 0.0)
            found += [(Level.YELLOW, t) for t in told]
        hoisting = [p for p in done if any(t.raised and p.start_s >= t.started_s for t in self._hoist.trains)]
        for pulse in hoisting:
            if pulse.duration_s <= MAX_TRIP_S:
                self._share, told = habits.share(self._share, pulse.end_s + offset_s, 0.0, pulse.energy_wh)
                found += [(Level.YELLOW, t) for t in told]
        moved = [replace(e, t_s=e.t_s + offset_s) for e in edges] if offset_s else edges
        self._nights, told = habits.nights(self._nights, moved, horizon_s + offset_s)
        found += [(Level.ORANGE, t) for t in told]
        return [
            Verdict(AlarmKind.POWER_ANOMALY, level, _back(t, offset_s), self.status_at(t.at_s)) for level, t in found
        ]

    def _compared_minute(self, minute: Minute) -> list[tuple[Level, Transition]]:
        """Judge a minute against a day of production and against what the cameras saw."""
        found: list[tuple[Level, Transition]] = []
        if self._production_w:
            self._template, told = template.advance(self._template, self._production_w, minute.start_s, minute.mean_w)
            found += [(Level.ORANGE, t) for t in told]
        if self._activity is not None:
            self._generator, told = generator.advance(
                self._generator, minute.start_s, activity=self._activity(minute.start_s), mean_w=minute.mean_w
            )
            found += [(Level.ORANGE, t) for t in told]
        return found

    def _envelope_minute(self, minute: Minute) -> list[tuple[Level, Transition]]:
        """Judge a minute by the envelopes that hold; what stood by another one is over."""
        found: list[tuple[Level, Transition]] = []
        held = {envelope.subject: envelope for envelope in self._envelopes_at(minute.start_s)}
        for subject, state in list(self._envelopes.items()):
            if subject not in held:
                del self._envelopes[subject]
                if state.since_s is not None:
                    found.append((Level.ORANGE, envelopes.lifted(state, subject, minute)))
        for subject, envelope in held.items():
            state = self._envelopes.get(subject, EnvelopeState())
            self._envelopes[subject], told = envelopes.advance(state, envelope, minute)
            found += [(envelope.level, t) for t in told]
        return found

    def _envelopes_at(self, at_s: float) -> list[Envelope]:
        """The envelopes that hold at a moment (Unix seconds)."""
        usual_w = self._baseline.bound_w if self._baseline.learning >= 1.0 else None
        held = [envelopes.at(self._declared, self._permits if self._permits_known else None, at_s, usual_w)]
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
