"""What happened on the wire, in the vocabulary of the field: step, pulse, plateau, ramp, pulse train, square wave.

What a load is stays open: a train of pulses is ``hoist_like`` or ``unlike_a_hoist``, a square wave is compressor-like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sealwatch.edge.power.edges import Edge
from sealwatch.edge.power.pulses import Pulse
from sealwatch.edge.power.rules import Transition
from sealwatch.edge.power.rules.train import MAX_TRIP_S
from sealwatch.edge.power.square import Wave

RAMP_W = 1000.0
RAMP_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class Event:
    """One recognised event. `phase` is ``start`` for what begins, ``end`` for what is complete; `phases` are those of
    the supply on which it happened (``a``, ``abc``), empty where the meter does not tell."""

    t_s: float
    kind: str
    phase: str
    reason: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    phases: str = ""


def of_edges(last: Edge | None, edges: Sequence[Edge]) -> list[Event]:
    """Steps, and ramps: a level that moved between two steps without a step."""
    events = []
    for edge in edges:
        if last is not None and not edge.gap:
            moved_w = edge.before_w - last.after_w
            if abs(moved_w) >= max(RAMP_W, RAMP_SHARE * abs(last.after_w)):
                numbers = {"change_w": moved_w, "over_s": edge.t_s - last.t_s, "after_w": edge.before_w}
                events.append(Event(edge.t_s, "ramp", "end", "level_moved_without_a_step", numbers))
        numbers = {"size_w": edge.size_w, "before_w": edge.before_w, "after_w": edge.after_w}
        if edge.phases_w is not None:
            numbers |= {f"size_{name}_w": w for name, w in zip("abc", edge.phases_w, strict=True)}
        reason = "changed_in_a_gap" if edge.gap else "level_rose" if edge.size_w > 0 else "level_fell"
        events.append(Event(edge.t_s, "step", "start", reason, numbers, edge.phases))
        last = edge
    return events


def of_pulses(pulses: Sequence[Pulse]) -> list[Event]:
    """Pulses no longer than a trip, and plateaus."""
    events = []
    for pulse in pulses:
        plateau = pulse.duration_s > MAX_TRIP_S
        numbers = {
            "size_w": pulse.size_w,
            "duration_s": pulse.duration_s,
            "energy_wh": pulse.energy_wh,
            "base_w": pulse.base_w,
            "started_s": pulse.start_s,
        }
        start = "motor_start" if pulse.starts_a_motor else "no_motor_start"
        kind = "plateau" if plateau else "pulse"
        events.append(Event(pulse.end_s, kind, "end", start, numbers, pulse.phases))
    return events


def of_trains(over: Sequence[Transition]) -> list[Event]:
    """Trains of pulses that are over: how many, how far apart, how regular, how large, the energy of a trip."""
    return [
        Event(train.at_s, "pulse_train", "end", train.reason, {**train.numbers, "started_s": train.started_s})
        for train in over
    ]


def of_waves(waves: Sequence[Wave]) -> list[Event]:
    """Square waves that have shown themselves, or have ended."""
    return [
        Event(
            wave.at_s,
            "square_wave",
            "end" if wave.over else "start",
            "levels_alternate",
            {"size_w": wave.state.rise_w, "fall_w": wave.state.fall_w, "started_s": wave.state.since_s},
        )
        for wave in waves
    ]
