"""Electrical quantities of a load over time, and the induction motor behind most of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Draw:
    """What a load draws in consecutive seconds: active (W) and reactive (var) power, n rows x 3 phases."""

    active_w: Array
    reactive_var: Array

    def __len__(self) -> int:
        return len(self.active_w)


def idle(seconds: int) -> Draw:
    """Nothing."""
    return Draw(np.zeros((seconds, 3)), np.zeros((seconds, 3)))


def single_phase(power_w: Array, phase: int, power_factor: float) -> Draw:
    """A load between one phase (0, 1, 2) and neutral."""
    active, reactive = np.zeros((len(power_w), 3)), np.zeros((len(power_w), 3))
    active[:, phase] = power_w
    reactive[:, phase] = power_w * np.tan(np.arccos(power_factor))
    return Draw(active, reactive)


def three_phase(active_w: Array, reactive_var: Array, shares: Array) -> Draw:
    """A load on all phases, split by `shares` (three numbers that sum to 1)."""
    return Draw(active_w[:, None] * shares, reactive_var[:, None] * shares)


def shares(rng: Rng, spread: float = 0.015) -> Array:
    """How a real motor splits its power over the phases: nearly even."""
    raw = 1.0 + rng.normal(0.0, spread, 3)
    return np.asarray(raw / raw.sum())


@dataclass(frozen=True, slots=True)
class Motor:
    """A three-phase induction motor started direct on line, or softly when `soft_start_s` > 0.

    Losses: a constant part (iron, friction) and a part that grows with the square of the load (copper), which gives
    the efficiencies of catalogue motors (about 0.78 at 1.5 kW, 0.95 at 160 kW, IEC 60034-30 class IE2) at rated load.
    Reactive power: a constant magnetising part and a leakage part. A standing motor draws the locked-rotor current
    (5.5-7 times rated at a power factor of 0.3-0.5), so that about twice the rated power flows until it runs.
    """

    rated_w: float
    locked_rotor_ratio: float = 6.0
    locked_rotor_power_factor: float = 0.4
    soft_start_s: float = 0.0

    @property
    def efficiency(self) -> float:
        """At rated load."""
        size = np.log10(max(self.rated_w, 500.0) / 1500.0) / np.log10(160.0 / 1.5)
        return float(np.clip(0.785 + 0.165 * size**0.6 if size > 0 else 0.785, 0.7, 0.955))

    @property
    def power_factor(self) -> float:
        """At rated load: 0.76 for the smallest to 0.88."""
        size = np.log10(max(self.rated_w, 1500.0) / 1500.0) / np.log10(160.0 / 1.5)
        return float(0.76 + 0.12 * min(1.0, size))

    def running(self, shaft_w: Array) -> tuple[Array, Array]:
        """Active and reactive power for a power at the shaft; a driven motor (negative) feeds back into the supply."""
        load = shaft_w / self.rated_w
        loss = self.rated_w * (1 / self.efficiency - 1)
        active = shaft_w + loss * (0.4 + 0.6 * load**2)
        rated_var = self.rated_w / self.efficiency * np.tan(np.arccos(self.power_factor))
        reactive = rated_var * (0.7 + 0.3 * load**2)
        return active, reactive

    def start_peak_w(self) -> float:
        """Active power while the rotor stands."""
        apparent = self.rated_w / self.efficiency / self.power_factor
        return apparent * self.locked_rotor_ratio * self.locked_rotor_power_factor

    def switched_on(self, shaft_w: Array, rng: Rng, ripple: float = 0.01) -> tuple[Array, Array]:
        """Power over a run, with the start in its first second(s) and the load's ripple (share of the power)."""
        active, reactive = self.running(shaft_w)
        active = active * (1.0 + rng.normal(0.0, ripple, len(active)))
        if not len(active):
            return active, reactive
        if self.soft_start_s > 0:
            ramp = np.clip((np.arange(len(active)) + 0.5) / self.soft_start_s, 0.15, 1.0)
            return active * ramp, reactive * np.maximum(ramp, 0.5)
        # The run-up of a small motor takes 0.2-0.8 s; a meter that averages a second sees its share of the peak.
        share = rng.uniform(0.2, 0.8)
        active[0] = share * self.start_peak_w() + (1 - share) * active[0]
        reactive[0] = reactive[0] * (1 + 4 * share)
        return active, reactive


class Stream:
    """Hands out the pieces of a generator in portions of any length."""

    def __init__(self, pieces: Iterator[Draw]) -> None:
        self._pieces = pieces
        self._left: Draw | None = None

    def take(self, seconds: int) -> Draw:
        """The next `seconds`; nothing is drawn once the generator has ended."""
        active: list[Array] = []
        reactive: list[Array] = []
        missing = seconds
        while missing > 0:
            piece = self._left if self._left is not None else next(self._pieces, None)
            self._left = None
            if piece is None:
                piece = idle(missing)
            if len(piece) > missing:
                self._left = Draw(piece.active_w[missing:], piece.reactive_var[missing:])
                piece = Draw(piece.active_w[:missing], piece.reactive_var[:missing])
            active.append(piece.active_w)
            reactive.append(piece.reactive_var)
            missing -= len(piece)
        if not active:
            return idle(0)
        return Draw(np.concatenate(active), np.concatenate(reactive))
