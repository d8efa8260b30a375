"""Winches and hoists, from the rope up.

Force on the rope: weight of load, vessel and hanging rope along the slope, friction, and the mass to accelerate.
Power at the motor's shaft: force times speed through the gear. The speed follows a trapezoid: acceleration, full
speed, retardation and a creep into the landing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sealwatch.simulator.loads.electrical import Array, Draw, Motor, Rng, idle, shares, single_phase, three_phase

GRAVITY = 9.81


class HoistKind(StrEnum):
    """How the empty side goes down."""

    BRAKED = "braked"  # single drum, lowered on the brake with the motor off
    POWERED = "powered"  # single drum or electric hoist, lowered by the running motor
    BALANCED = "balanced"  # two vessels on one rope system: each trip lifts one and lowers the other


@dataclass(frozen=True, slots=True, kw_only=True)
class Hoist:
    """One machine in one shaft. `slope_deg` 90 is a vertical shaft; `length_m` is measured along the rope."""

    motor: Motor
    kind: HoistKind
    length_m: float
    speed_m_s: float
    load_kg: float
    vessel_kg: float
    rope_kg_m: float = 1.0
    slope_deg: float = 90.0
    friction: float = 0.02
    gear_efficiency: float = 0.85
    acceleration_m_s2: float = 0.4
    load_spread: float = 0.12
    pause_top_s: float = 30.0
    pause_bottom_s: float = 30.0
    pause_spread: float = 0.15
    trip_spread: float = 0.01
    creeps: bool = True
    """Whether it slows down before the landing; a hand-switched winch just stops."""
    phase: int | None = None
    """The phase of a single-phase motor; None for three phases."""

    def speeds(self, speed_m_s: float, *, creep: bool = True) -> Array:
        """Speed in each second of one trip, m/s."""
        rise_s = max(1.0, speed_m_s / self.acceleration_m_s2)
        creep_m = min(0.03 * self.length_m, 3.0) if creep else 0.0
        cruise_s = max(0.0, (self.length_m - creep_m) / speed_m_s - rise_s)
        creep_speed = 0.3 * speed_m_s
        seconds = np.arange(round(2 * rise_s + cruise_s + creep_m / creep_speed) + 1) + 0.5
        up = np.clip(seconds / rise_s, 0, 1)
        down = np.clip((2 * rise_s + cruise_s - seconds) / rise_s, 0, 1)
        profile = speed_m_s * np.minimum(up, down)
        if creep:
            late = seconds > rise_s + cruise_s
            profile[late] = np.maximum(profile[late], creep_speed)
        return np.asarray(profile)

    def shaft_w(self, speeds: Array, load_kg: float, *, lifting: bool) -> Array:
        """Power at the motor's shaft in each second of a trip; negative where the load drives the motor."""
        slope = np.radians(self.slope_deg)
        along = np.sin(slope)
        rub = self.friction * np.cos(slope) + 0.01
        travelled = np.cumsum(speeds)
        rope_kg = self.rope_kg_m * np.clip(self.length_m - travelled if lifting else travelled, 0, self.length_m)
        vessel_kg = 0.0 if self.kind is HoistKind.BALANCED else self.vessel_kg
        if self.kind is HoistKind.BALANCED:
            rope_kg = rope_kg - self.rope_kg_m * np.clip(travelled, 0, self.length_m)
        hanging = load_kg + vessel_kg + rope_kg
        moving = load_kg + (2 if self.kind is HoistKind.BALANCED else 1) * self.vessel_kg + np.abs(rope_kg)
        sign = 1.0 if lifting else -1.0
        force = GRAVITY * (sign * hanging * along + moving * rub) + moving * 1.2 * np.gradient(speeds)
        power = force * speeds
        return np.asarray(np.where(power > 0, power / self.gear_efficiency, power * self.gear_efficiency))

    def trip(self, rng: Rng, *, lifting: bool = True) -> Draw:
        """What one trip draws."""
        load_kg = self.load_kg * float(np.exp(rng.normal(0, self.load_spread))) if lifting else 0.0
        speed = self.speed_m_s * float(1 + rng.normal(0, self.trip_spread))
        speeds = self.speeds(speed, creep=lifting and self.creeps)
        active, reactive = self.motor.switched_on(self.shaft_w(speeds, load_kg, lifting=lifting), rng)
        if self.phase is not None:
            return single_phase(active, self.phase, 0.85)
        return three_phase(active, reactive, shares(rng, 0.005))

    def cycles(self, rng: Rng, *, trips: int | None = None, ends_s: list[int] | None = None) -> Iterator[Draw]:
        """Trip after trip. A trip brings one load up; on a single drum the empty vessel has to go down after it.

        The second in which each lift ends, counted from the first piece, is appended to `ends_s`.
        """
        second, done = 0, 0
        while trips is None or done < trips:
            for piece, lift in self._one_trip(rng):
                second += len(piece)
                if lift and ends_s is not None:
                    ends_s.append(second)
                yield piece
            done += 1

    def _one_trip(self, rng: Rng) -> Iterator[tuple[Draw, bool]]:
        yield self.trip(rng), True
        yield idle(self._pause(rng, self.pause_top_s)), False
        if self.kind is HoistKind.POWERED:
            yield self.trip(rng, lifting=False), False
            yield idle(self._pause(rng, self.pause_bottom_s)), False
        elif self.kind is HoistKind.BRAKED:
            lowering_s = round(self.length_m / self.speed_m_s * 0.8)
            yield idle(lowering_s + self._pause(rng, self.pause_bottom_s)), False

    def _pause(self, rng: Rng, mean_s: float) -> int:
        return max(3, round(mean_s * float(np.exp(rng.normal(0, self.pause_spread)))))


def sized_motor(hoist_w: float, *, soft_start_s: float = 0.0) -> Motor:
    """A motor with the usual reserve of about a sixth."""
    return Motor(hoist_w * 1.17, soft_start_s=soft_start_s)


def winch(rated_w: float, rng: Rng, *, kind: HoistKind = HoistKind.BALANCED, trip_s: float = 90.0) -> Hoist:
    """A plausible machine around a motor of `rated_w` whose lift takes about `trip_s`.

    The rope speed grows with the size (0.4 m/s for a 1.5 kW winch to 4 m/s for 160 kW); the load is what the motor
    can lift at that speed with the usual reserve.
    """
    speed = 0.4 * (rated_w / 1500.0) ** 0.5 * float(rng.uniform(0.85, 1.15))
    slope = float(rng.choice([90.0, 90.0, 25.0, 32.0]))
    gear = float(rng.uniform(0.75, 0.9))
    pull = rated_w * float(rng.uniform(0.65, 0.95)) * gear / speed
    along = np.sin(np.radians(slope)) + 0.03 * np.cos(np.radians(slope))
    mass = pull / GRAVITY / along
    vessel = mass * (0.0 if kind is HoistKind.BALANCED else float(rng.uniform(0.2, 0.35)))
    length = speed * trip_s
    rope = min(0.15 * mass / length, 4.0)
    return Hoist(
        motor=Motor(rated_w, locked_rotor_ratio=float(rng.uniform(5.5, 7))),
        kind=kind,
        length_m=length,
        speed_m_s=speed,
        load_kg=max(20.0, mass - vessel - rope * length / 2),
        vessel_kg=vessel or 0.3 * mass,
        rope_kg_m=rope,
        slope_deg=slope,
        friction=0.03,
        gear_efficiency=gear,
        creeps=bool(rng.uniform() < (0.4 if rated_w < 10_000 else 0.9)),
        phase=int(rng.integers(3)) if rated_w <= 2200 and rng.uniform() < 0.4 else None,
    )
