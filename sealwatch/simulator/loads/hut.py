"""A guard hut: cameras and router all day, a fridge, light in the evening, a kettle, cooking, a heater in winter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sealwatch.simulator.loads.electrical import Array, Draw, Rng

_HOUR = 3600
_DAY = 24 * _HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Hut:
    """What stands in the hut. Phases 0-2 for each appliance; temperatures in degrees Celsius."""

    base_w: float = 160.0
    fridge_w: float = 115.0
    light_w: float = 60.0
    television_w: float = 90.0
    kettle_w: float = 1800.0
    cooker_w: float = 1300.0
    heater_w: float = 2000.0
    mean_temperature_c: float = 10.0
    season_swing_c: float = 14.0
    heated_below_c: float = 12.0
    phase: int = 0
    kettle_phase: int = 0
    heater_phase: int = 0

    def draw(self, rng: Rng, *, start_s: float = 0.0) -> Iterator[Draw]:
        """Hour after hour from `start_s` (Unix seconds; days begin at midnight of UTC+8)."""
        second = int(start_s)
        fridge_on, fridge_left = False, int(rng.uniform(100, 900))
        heat_on, heat_left = False, 0
        while True:
            length = _HOUR - second % _HOUR
            local = (second + 8 * _HOUR) % _DAY
            power = np.zeros((length, 3))
            power[:, self.phase] += self.base_w * (1 + rng.normal(0, 0.02, length))
            fridge, fridge_on, fridge_left = _thermostat(rng, length, fridge_on, fridge_left, (700, 1500))
            power[:, self.phase] += self.fridge_w * fridge
            hour = local // _HOUR
            if hour >= 18 or hour < 1:
                power[:, self.phase] += self.light_w + self.television_w * (1 + rng.normal(0, 0.1, length))
            self._cook(rng, hour, power)
            missing_c = self.heated_below_c - self._outside_c(second)
            if missing_c > 0:
                duty = min(0.85, 0.15 + missing_c / 40)
                on_s = 240 + 360 * duty
                heat, heat_on, heat_left = _thermostat(
                    rng, length, heat_on, heat_left, (on_s, on_s * (1 - duty) / duty)
                )
                power[:, self.heater_phase] += self.heater_w * heat
            reactive = power * 0.25
            yield Draw(power, reactive)
            second += length

    def _outside_c(self, second: float) -> float:
        day = 2 * np.pi * ((second / _DAY) % 365.25 - 15) / 365.25
        hour = 2 * np.pi * (((second + 8 * _HOUR) % _DAY) / _HOUR - 4) / 24
        return float(self.mean_temperature_c - self.season_swing_c * np.cos(day) - 5 * np.cos(hour))

    def _cook(self, rng: Rng, hour: int, power: Array) -> None:
        kettles = rng.poisson(0.5 if 6 <= hour < 23 else 0.02)
        for _ in range(kettles):
            _use(rng, power, self.kettle_phase, self.kettle_w, seconds=float(rng.uniform(120, 330)))
        if hour in (7, 11, 12, 17, 18) and rng.uniform() < 0.5:
            _use(rng, power, self.kettle_phase, self.cooker_w, seconds=float(rng.uniform(600, 1800)))


def _use(rng: Rng, power: Array, phase: int, watts: float, *, seconds: float) -> None:
    start = int(rng.integers(len(power)))
    used = slice(start, start + int(seconds))
    power[used, phase] += watts * float(rng.uniform(0.95, 1.03))


def _thermostat(rng: Rng, length: int, on: bool, left: int, periods_s: tuple[float, float]) -> tuple[Array, bool, int]:
    """On (1) and off (0) in turn; mean lengths `periods_s`; carries its state over to the next hour."""
    out = np.zeros(length)
    at = 0
    while at < length:
        if left <= 0:
            on = not on
            left = max(20, int(periods_s[0 if on else 1] * rng.normal(1.0, 0.12)))
        step = min(left, length - at)
        if on:
            out[at : at + step] = 1.0
        at += step
        left -= step
    return out, on, left
