"""Other machines of a mine: fans, compressors, welders, hot plates, small pit pumps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sealwatch.simulator.loads.electrical import Draw, Motor, Rng, idle, shares, single_phase, three_phase

_PIECE_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Fan:
    """A local fan: flat for hours; the power drifts slowly with the air's resistance."""

    motor: Motor
    load: float = 0.8
    hours_on: tuple[float, float] = (2.0, 10.0)
    hours_off: tuple[float, float] = (2.0, 14.0)

    def draw(self, rng: Rng) -> Iterator[Draw]:
        """Off and on in turn, beginning off."""
        split = shares(rng)
        while True:
            yield from _quiet(rng.uniform(*self.hours_off) * 3600)
            left, first, load = round(rng.uniform(*self.hours_on) * 3600), True, self.load
            while left > 0:
                seconds = min(left, _PIECE_S)
                drifted = float(np.clip(load + rng.normal(0, 0.01), 0.5, 1.0))
                shaft = self.motor.rated_w * np.linspace(load, drifted, seconds)
                if first:
                    active, reactive = self.motor.switched_on(shaft, rng, 0.005)
                else:
                    active, reactive = self.motor.running(shaft)
                    active = active * (1 + rng.normal(0, 0.005, seconds))
                yield three_phase(active, reactive, split)
                first, load = False, drifted
                left -= seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressor:
    """A screw compressor with load/unload control: the pressure in the receiver switches the intake valve.

    Between `band_bar` below its upper pressure and that pressure it delivers `delivery_m3_min`; unloaded it turns
    idle at `unloaded_share` of its rated power and stops after `idle_stop_s` without work.
    """

    motor: Motor
    delivery_m3_min: float
    receiver_m3: float
    demand_share: float = 0.6
    demand_spread: float = 0.25
    band_bar: float = 0.8
    unloaded_share: float = 0.32
    idle_stop_s: float = 600.0

    def draw(self, rng: Rng) -> Iterator[Draw]:
        """Loaded and unloaded in turn, without end."""
        split = shares(rng)
        stored_m3 = self.receiver_m3 * self.band_bar
        first = True
        while True:
            demand = float(np.clip(self.demand_share * np.exp(rng.normal(0, self.demand_spread)), 0.05, 0.95))
            loaded_s = 60 * stored_m3 / (self.delivery_m3_min * (1 - demand))
            unloaded_s = 60 * stored_m3 / (self.delivery_m3_min * demand)
            for share, length in ((0.95, loaded_s), (self.unloaded_share, min(unloaded_s, self.idle_stop_s))):
                seconds = max(2, round(length))
                # The back pressure grows while the receiver fills.
                rise = np.linspace(0.97, 1.03, seconds) if share > 0.5 else np.ones(seconds)
                shaft = self.motor.rated_w * share * rise
                if first:
                    active, reactive = self.motor.switched_on(shaft, rng, 0.01)
                else:
                    active, reactive = self.motor.running(shaft)
                    active = active * (1 + rng.normal(0, 0.01, seconds))
                first = False
                yield three_phase(active, reactive, split)
            if unloaded_s > self.idle_stop_s:
                yield from _quiet(unloaded_s - self.idle_stop_s)
                first = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Welder:
    """Arc welding between two phases: arcs of seconds to a minute, pauses to change rods and to look."""

    power_w: float = 6000.0
    sessions_per_day: float = 1.0

    def draw(self, rng: Rng) -> Iterator[Draw]:
        while True:
            yield from _quiet(rng.exponential(86400 / self.sessions_per_day))
            for _ in range(int(rng.integers(5, 40))):
                arc_s = max(2, round(float(rng.lognormal(np.log(20), 0.7))))
                power = self.power_w * rng.uniform(0.8, 1.1) * (1 + rng.normal(0, 0.12, arc_s))
                active = np.zeros((arc_s, 3))
                active[:, 0] = active[:, 1] = power / 2
                yield Draw(active, active * 0.9)
                yield idle(max(2, round(float(rng.lognormal(np.log(25), 0.9)))))


@dataclass(frozen=True, slots=True, kw_only=True)
class HotPlate:
    """An electric plate with an energy regulator: full power on and off in turn while somebody cooks."""

    power_w: float = 1500.0
    period_s: float = 45.0
    meals_per_day: float = 1.0
    phase: int = 0

    def draw(self, rng: Rng) -> Iterator[Draw]:
        while True:
            yield from _quiet(rng.exponential(86400 / self.meals_per_day))
            left = float(rng.uniform(900, 2700))
            heat_s = round(rng.uniform(120, 300))
            yield single_phase(np.full(heat_s, self.power_w), self.phase, 1.0)
            duty = float(rng.uniform(0.3, 0.7))
            while left > 0:
                period = self.period_s * float(rng.normal(1, 0.08))
                yield idle(max(1, round(period * (1 - duty))))
                yield single_phase(np.full(max(1, round(period * duty)), self.power_w), self.phase, 1.0)
                left -= period


def pit_pump(rng: Rng, rated_w: float = 3000.0) -> tuple[Motor, float, float, float]:
    """A submersible pump in a small pit: motor, flow and inflow in m3/h, pit volume between the floats in m3."""
    flow = 15.0 * rated_w / 3000.0
    return Motor(rated_w), flow, flow * float(rng.uniform(0.05, 0.2)), float(rng.uniform(0.3, 1.2))


def _quiet(seconds: float) -> Iterator[Draw]:
    left = max(1, round(seconds))
    while left > 0:
        yield idle(min(left, _PIECE_S))
        left -= _PIECE_S
