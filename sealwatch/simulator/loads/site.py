"""A site: loads behind one feeder and one meter, second by second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sealwatch.simulator.loads.electrical import Array, Draw, Rng, Stream

_PHASES = "abc"
_AHEAD_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeder:
    """The supply: no-load voltage of a phase and the resistance and reactance of the line to the site."""

    voltage_v: float = 229.0
    resistance_ohm: float = 0.08
    reactance_ohm: float = 0.05
    drift_v: float = 1.5


@dataclass(frozen=True, slots=True)
class Electrical:
    """What a meter could measure in consecutive seconds; rows x 3 phases each."""

    active_w: Array
    reactive_var: Array
    voltage_v: Array

    @property
    def total_w(self) -> Array:
        return np.asarray(self.active_w.sum(axis=1))


class Site:
    """Adds up loads; the line's voltage drop takes its share from what depends on the voltage."""

    def __init__(self, loads: Sequence[Stream], rng: Rng, feeder: Feeder | None = None) -> None:
        self._loads, self._rng, self._feeder = list(loads), rng, feeder or Feeder()
        self._drift_v = 0.0

    def take(self, seconds: int) -> Electrical:
        """The next `seconds`."""
        draws: list[Draw] = [load.take(seconds) for load in self._loads]
        active = np.sum([d.active_w for d in draws], axis=0) if draws else np.zeros((seconds, 3))
        reactive = np.sum([d.reactive_var for d in draws], axis=0) if draws else np.zeros((seconds, 3))
        feeder = self._feeder
        # A slow walk of the supply's voltage over minutes, drawn towards its mean.
        target_v = float(self._rng.normal(0, feeder.drift_v))
        drift = np.linspace(self._drift_v, 0.9 * self._drift_v + 0.1 * target_v, seconds)[:, None]
        self._drift_v = float(drift[-1, 0]) if seconds else self._drift_v
        open_v = feeder.voltage_v + drift + self._rng.normal(0, 0.15, (seconds, 3))
        drop_v = (active * feeder.resistance_ohm + reactive * feeder.reactance_ohm) / open_v
        return Electrical(active, reactive, np.maximum(open_v - drop_v, 0.6 * open_v))


class Player:
    """Shows a site to a live meter: call it with seconds since the start, get what the meter measures then.

    The energy register is the integral of the power that was shown, so that both always agree.
    """

    def __init__(self, site: Site, *, start_energy_wh: float = 0.0) -> None:
        self._site = site
        self._piece = site.take(_AHEAD_S)
        self._piece_start = 0
        self._second = 0
        self._forward_wh = start_energy_wh
        self._reverse_wh = 0.0

    def __call__(self, t_s: float) -> Mapping[str, float]:
        """Quantities with their units in the names, and ``forward_energy_wh``. Time that goes back stands still."""
        while self._second < int(t_s):
            wh = float(self._row().sum()) / 3600
            self._forward_wh += max(0.0, wh)
            self._reverse_wh += max(0.0, -wh)
            self._second += 1
            if self._second - self._piece_start >= _AHEAD_S:
                self._piece, self._piece_start = self._site.take(_AHEAD_S), self._second
        k = self._second - self._piece_start
        active, reactive, voltage = (
            a[k] for a in (self._piece.active_w, self._piece.reactive_var, self._piece.voltage_v)
        )
        apparent = np.hypot(active, reactive)
        current = apparent / voltage
        total, total_va = float(active.sum()), float(np.hypot(active.sum(), reactive.sum()))
        values = {
            "active_power_w": total,
            "reactive_power_var": float(reactive.sum()),
            "power_factor": total / total_va if total_va > 0 else 1.0,
            "forward_energy_wh": self._forward_wh,
            "reverse_energy_wh": self._reverse_wh,
            "frequency_hz": 50.0,
        }
        for i, name in enumerate(_PHASES):
            values[f"active_power_{name}_w"] = float(active[i])
            values[f"voltage_{name}_v"] = float(voltage[i])
            values[f"current_{name}_a"] = float(current[i])
            values[f"power_factor_{name}"] = float(active[i] / apparent[i]) if apparent[i] > 0 else 1.0
        return values

    def _row(self) -> Array:
        return np.asarray(self._piece.active_w[self._second - self._piece_start])
