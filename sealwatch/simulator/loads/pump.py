"""A drainage pump that keeps the water between two levels: water flows in, floats switch the motor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sealwatch.simulator.loads.electrical import Array, Draw, Motor, Rng, idle, shares, three_phase

_LONGEST_PIECE_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Pump:
    """`flow_m3_h` is what it lifts against the head, `sump_m3` the water between the two floats."""

    motor: Motor
    flow_m3_h: float
    inflow_m3_h: float
    sump_m3: float
    load: float = 0.88
    inflow_spread: float = 0.15

    def draw(self, rng: Rng, *, full: bool = False) -> Iterator[Draw]:
        """Fill, pump, fill, pump. `full` begins with a full sump, else it begins somewhere in between."""
        split = shares(rng)
        water_m3 = self.sump_m3 * (1.0 if full else float(rng.uniform(0.0, 1.0)))
        while True:
            inflow = self.inflow_m3_h * float(np.exp(rng.normal(0, self.inflow_spread)))
            for seconds in _portions(3600 * (self.sump_m3 - water_m3) / inflow):
                yield idle(seconds)
            net = max(self.flow_m3_h - inflow, 0.05 * self.flow_m3_h)
            starting = True
            for seconds in _portions(3600 * self.sump_m3 / net):
                yield self._pumping(rng, seconds, split, starting=starting)
                starting = False
            water_m3 = 0.0

    def _pumping(self, rng: Rng, seconds: int, split: Array, *, starting: bool) -> Draw:
        # Air and the water's level make the power breathe slowly; turbulence makes it ripple.
        breath = 0.01 * np.sin(2 * np.pi * np.arange(seconds) / rng.uniform(40, 90))
        shaft = self.motor.rated_w * self.load * (1 + breath)
        if starting:
            active, reactive = self.motor.switched_on(shaft, rng, 0.008)
        else:
            active, reactive = self.motor.running(shaft)
            active = active * (1 + rng.normal(0, 0.008, seconds))
        return three_phase(active, reactive, split)


def _portions(seconds: float) -> Iterator[int]:
    left = max(1, round(seconds))
    while left > 0:
        yield min(left, _LONGEST_PIECE_S)
        left -= _LONGEST_PIECE_S
