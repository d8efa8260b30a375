"""Hoist-like-cycle rule: pulses of similar size and length follow each other at a near-regular spacing.

Start-up transients do not tell a hoist from a pump; duration and repetition do. A trip lasts 20-240 s, the change of
tubs or cages between two trips is of the same order, and whatever else runs underneath does not matter. The rule
says "hoist-like", never "hoist".

Reasons: ``similar_pulses_repeat`` (start, at the end of the second complete trip), ``pulses_go_on`` (update),
``no_pulse_for_three_periods`` (end).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sealwatch.contract.codes import DeclaredStatus, Level, Phase
from sealwatch.edge.power.appliances import HOUSEHOLD_W, Appliances
from sealwatch.edge.power.edges import Edge
from sealwatch.edge.power.pulses import Pulse, hidden
from sealwatch.edge.power.rules import Transition
from sealwatch.edge.power.rules.train import KEEP, MAX_TRIP_S, MIN_TRIP_S, Train

MIN_PULSE_W = 800.0
"""The smallest winches (1.5 kW) at half their load."""
MIN_PAUSE_S = 5.0
SIZE_RATIO = 1.7
"""A loaded and a lightly loaded trip differ at most this much."""
SIZE_RATIO_BESIDE = 2.0
"""The same beside a larger machine, which may switch in the same seconds."""
LENGTH_RATIO = 1.35
"""Same shaft, same rope, same speed: the length of trips differs at most this much."""
SLOW_S = 3.0
"""A meter that is read less often than this shows no starts, and lengths only to its interval."""
TRIPS = 2
TRIPS_UNRHYTHMIC, TRIPS_OF_HEATER = 4, 8
_NEVER = 1_000_000_000
RESTS_OF_A_PUMP = 2.2
"""A motor that never changes its power and rests so many times as long as it works is rather a small pump."""
_CLEAR_READINGS = 3
"""Pulses of fewer readings are alike by chance more often."""
_SURE_START, _SURE_NOISE = 0.65, 4.0
"""A motor's start by this much above its running power, and above the scatter of what runs beside it, is no chance."""
_SAME_LEVEL = 0.5
"""Of a motor's power: by so much the machine beside it may have moved meanwhile."""
LARGE_W = 7500.0
"""From here on nothing but work starts every few minutes: floats and pressure switches of larger pumps are set for a
dozen starts an hour at most, because their windings must cool, and no household has such a load."""
_KETTLE_W = 2200.0
"""Beside a larger machine anything smaller may be a kettle that was switched on in the second of a surge."""
_TRAINS = 24


@dataclass(frozen=True, slots=True)
class HoistState:
    trains: tuple[Train, ...] = ()


def advance(
    state: HoistState,
    trips: Sequence[Pulse],
    horizon_s: float,
    appliances: Appliances,
    *,
    interval_s: float = 1.0,
    starts: Sequence[Edge] = (),
) -> tuple[HoistState, list[Transition], list[Transition]]:
    """Judge possible `trips` (in order of their end) and the time up to `horizon_s`.

    Alarms come first, then every train of pulses that is over, told or not.

    A fall may have been offered with several rises; the pairing that repeats is the machine's. One activity is one
    alarm: while a train is raised, others that run at the same time stay silent. `starts`: what rose beside a larger
    machine, in order, as of a trip whose end may not be seen. `interval_s`: how often the meter is read.
    """
    found: list[Transition] = []
    over: list[Transition] = []
    trains = list(state.trains)
    happened: list[tuple[float, Pulse | Edge]] = [(t.end_s, t) for t in trips]
    happened = sorted([*happened, *((s.t_s, s) for s in starts)], key=lambda item: item[0])
    for at_s, what in happened:
        trains = _expire(_take_unseen(trains, at_s, found, appliances), at_s, found, over)
        if isinstance(what, Pulse):
            _take_trip(trains, what, found, appliances, interval_s=interval_s)
        else:
            trains = [_await(t, what) for t in trains]
    trains = trains[-_TRAINS:] if not any(t.raised for t in trains[:-_TRAINS]) else trains
    trains = _expire(_take_unseen(trains, horizon_s, found, appliances), horizon_s, found, over)
    return HoistState(tuple(trains)), found, over


def _take_trip(
    trains: list[Train], trip: Pulse, found: list[Transition], appliances: Appliances, *, interval_s: float
) -> None:
    """Add a possible trip to the train that it fits best, or begin another."""
    if not (MIN_TRIP_S <= trip.duration_s <= MAX_TRIP_S and trip.size_w >= MIN_PULSE_W):
        return
    slow = interval_s > SLOW_S
    fitting = [t for t in trains if _fits(t, trip, slack_s=interval_s if slow else 0.0)]
    if fitting:
        train = min(fitting, key=lambda t: (not t.raised, _unlikeness(t, trip)))
        at, train = trains.index(train), _join(train, trip)
    elif any(t.raised and t.pulses[-1].end_s > trip.start_s for t in trains):
        return
    else:
        before = _trip_before(trip)
        train = Train((before, trip), 2, before.start_s) if before else Train((trip,), 1, trip.start_s)
        at = len(trains)
        trains.append(train)
    busy = any(t.raised for t in trains if t is not trains[at])
    trains[at] = _tell(train, found, wait=busy or train.count < _needed(train, appliances, interval_s=interval_s))


def level(declared: DeclaredStatus) -> Level:
    """How urgent hoist-like cycles are at a site of this status.

    Red where the site says that nothing can run (cut off, flooded): people may be going down right now, and the
    declaration is false. Orange where only pumps or a guard hut are declared: the same work, but a quick-cycling
    pump is not excluded. Yellow under a permit: hoisting may be part of it and the permit's envelope decides.
    """
    if declared in (DeclaredStatus.POWER_CUT, DeclaredStatus.FLOODED):
        return Level.RED
    return Level.YELLOW if declared is DeclaredStatus.PERMITTED_WORK else Level.ORANGE


def _fits(train: Train, pulse: Pulse, *, slack_s: float) -> bool:
    """Whether a pulse may be a train's next; lengths are known to `slack_s`, the interval of a meter that is read
    seldom."""
    last = train.pulses[-1]
    pause_s = pulse.start_s - last.end_s
    ratio = SIZE_RATIO_BESIDE if hidden(pulse.base_w, pulse.size_w, pulse.noise_w) else SIZE_RATIO
    return (
        MIN_PAUSE_S <= pause_s <= train.longest_pause_s
        and 1 / ratio <= pulse.size_w / train.size_w <= ratio
        and max(pulse.duration_s, train.length_s) - slack_s <= LENGTH_RATIO * min(pulse.duration_s, train.length_s)
    )


def _trip_before(trip: Pulse) -> Pulse | None:
    """The trip before one beside a larger machine, whose end drowned in that machine's scatter.

    The same motor started a while ago from about the same level: it has stopped in between, or it could not start
    again, and its trip took as long as this one. None where nothing of the kind is known.
    """
    if not trip.surges or not hidden(trip.base_w, trip.size_w, trip.noise_w):
        return None
    for start in reversed(trip.starts):
        pause_s = trip.start_s - start.t_s - trip.duration_s
        if _may_be_next(trip, start, pause_s):
            end_s = min(start.t_s + trip.duration_s, trip.start_s - MIN_PAUSE_S)
            return _unseen(start, end_s)
    return None


def _may_be_next(trip: Pulse, start: Edge, pause_s: float) -> bool:
    """Whether a start beside a larger machine is that of the same motor as a trip's, before or after it."""
    return (
        min(trip.size_w, start.size_w) > _KETTLE_W
        and MIN_PAUSE_S - (LENGTH_RATIO - 1) * trip.duration_s <= pause_s <= RESTS_OF_A_PUMP * trip.duration_s
        and 1 / SIZE_RATIO_BESIDE <= start.size_w / trip.size_w <= SIZE_RATIO_BESIDE
        and abs(start.before_w - trip.base_w) <= _SAME_LEVEL * trip.size_w
        and max(trip.peak_w - trip.size_w, start.peak_w - start.after_w)
        > max(_SURE_START * trip.size_w, _SURE_NOISE * max(trip.noise_w, start.noise_w))
    )


def _unseen(start: Edge, end_s: float) -> Pulse:
    """A trip whose start alone was seen; its fall is taken for as large as its rise."""
    return Pulse(
        start_s=start.t_s,
        end_s=end_s,
        base_w=start.before_w,
        size_w=start.size_w,
        peak_w=start.peak_w - start.before_w,
        fall_w=start.size_w,
        rise_s=start.width_s,
        noise_w=start.noise_w,
        rough_w=start.rough_w,
    )


def _await(train: Train, start: Edge) -> Train:
    """Remember a start that looks like the next trip of a train beside a larger machine."""
    last = train.pulses[-1]
    fits = hidden(last.base_w, last.size_w, last.noise_w) and last.surges and start.t_s >= last.end_s + MIN_PAUSE_S
    return replace(train, next=start) if fits and _may_be_next(last, start, start.t_s - last.end_s) else train


def _take_unseen(trains: list[Train], now_s: float, found: list[Transition], appliances: Appliances) -> list[Train]:
    """Trips whose end should have been seen by now: beside a larger machine it drowns, and the start was clear."""
    due = sorted((t for t in trains if t.next is not None and t.next_due_s <= now_s), key=lambda t: t.next_due_s)
    for train in due:
        if train.next is None:
            continue
        joined = _join(train, _unseen(train.next, train.next_due_s))
        busy = any(t.raised and t is not train for t in trains)
        trains[trains.index(train)] = _tell(
            joined, found, wait=busy or joined.count < _needed(joined, appliances, interval_s=1.0)
        )
    return trains


def _unlikeness(train: Train, pulse: Pulse) -> float:
    return abs(math.log(pulse.size_w / train.size_w)) + 2 * abs(math.log(pulse.duration_s / train.length_s))


def _join(train: Train, pulse: Pulse) -> Train:
    return replace(train, pulses=(*train.pulses, pulse)[-KEEP:], count=train.count + 1, next=None)


def _needed(train: Train, appliances: Appliances, *, interval_s: float) -> int:
    """How many trips it takes to be sure: two, as a rule.

    An arc is none. What stands on a base that a machine of its size would draw unloaded and shows no start is rather
    a compressor that turns already. A small motor whose power never changes and that rests longer than it works lifts
    nothing as long as that lasts: rather a pump in a pit. A small load without a motor's start (soft starters ramp,
    which counts as one; all three phases alike count, too) may heat: `_needed_of_switched`. A meter that is read too
    seldom to show a start pays with some trips more for what is as small as a household's, or a few readings long.
    """
    if train.flickers:
        return _NEVER
    slow = interval_s > SLOW_S
    if not train.starts and any(p.idles for p in train.pulses):
        return TRIPS_OF_HEATER if not slow and not train.steady and not train.switched_alike else _NEVER
    readings = train.length_s / interval_s
    if not train.starts and train.on_an_idling_machine:
        return TRIPS_UNRHYTHMIC if train.rhythmic and not slow else TRIPS_OF_HEATER
    if train.size_w > LARGE_W:
        return TRIPS if readings >= 2 else TRIPS_UNRHYTHMIC
    trips = TRIPS if readings >= _CLEAR_READINGS else TRIPS_UNRHYTHMIC
    if train.starts or train.on_three_phases:
        return _NEVER if train.steady and train.pause_s > RESTS_OF_A_PUMP * train.length_s else trips
    if slow and train.size_w > HOUSEHOLD_W:
        return trips
    if train.steady or train.switched_alike:
        return _needed_of_switched(train, appliances, slow=slow)
    if appliances.knows(train.size_w):
        return _NEVER if slow else TRIPS_OF_HEATER
    return TRIPS if train.rhythmic and not slow else TRIPS_UNRHYTHMIC


def _needed_of_switched(train: Train, appliances: Appliances, *, slow: bool) -> int:
    """The same power, switched on and off without a start: a heater or a plate; but a hoist, too, for a meter that
    smooths. Only the rhythm tells, and what the site is known to use."""
    if train.size_w > HOUSEHOLD_W:
        return TRIPS if train.rhythmic else TRIPS_UNRHYTHMIC
    if appliances.knows(train.size_w):
        return _NEVER
    if train.size_w > _KETTLE_W:
        return TRIPS if train.rhythmic and not slow else TRIPS_OF_HEATER
    return TRIPS_UNRHYTHMIC if train.to_the_second and not slow else _NEVER


def _tell(train: Train, found: list[Transition], *, wait: bool) -> Train:
    """Start at the second trip; then an update whenever the count has doubled."""
    if (wait and not train.raised) or (train.raised and train.count < 2 * train.told):
        return train
    phase = Phase.UPDATE if train.raised else Phase.START
    reason = "pulses_go_on" if train.raised else "similar_pulses_repeat"
    found.append(_transition(train, phase, reason, train.pulses[-1].end_s))
    return replace(train, raised=True, told=train.count)


def _expire(trains: list[Train], now_s: float, found: list[Transition], over: list[Transition]) -> list[Train]:
    """Trains that go on; those whose next pulse is overdue end, as alarms in `found` where they were told."""
    for train in sorted((t for t in trains if t.due_s <= now_s), key=lambda t: t.due_s):
        if train.raised:
            found.append(_transition(train, Phase.END, "no_pulse_for_three_periods", train.due_s))
        if train.raised or train.count >= TRIPS_UNRHYTHMIC:
            reason = "hoist_like" if train.raised else "unlike_a_hoist"
            over.append(_transition(train, Phase.END, reason, train.due_s))
    return [t for t in trains if t.due_s > now_s]


def _transition(train: Train, phase: Phase, reason: str, at_s: float) -> Transition:
    regular = 1.0 - min(1.0, 2.0 * train.irregularity)
    numbers = {
        "trips": float(train.count),
        "pulse_w": train.size_w,
        "spacing_s": train.spacing_s,
        "duration_s": train.length_s,
        "irregularity": train.irregularity,
        "energy_per_trip_wh": statistics.median(p.energy_wh for p in train.pulses),
        "base_w": train.pulses[-1].base_w,
        "last_end_s": train.pulses[-1].end_s - train.started_s,
    }
    score = min(1.0, 0.6 + 0.1 * min(2.0, train.count - TRIPS) + 0.2 * regular)
    return Transition(phase=phase, reason=reason, started_s=train.started_s, at_s=at_s, score=score, numbers=numbers)
