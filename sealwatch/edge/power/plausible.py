"""Whether what a meter says can be true: named doubts with numbers, for the installer and for the watcher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_PHASES = ("a", "b", "c")
POWER_TOLERANCE, POWER_FLOOR_W = 0.10, 100.0
ENERGY_TOLERANCE, ENERGY_FLOOR_WH = 0.05, 100.0
VOLTAGE_LOW_V, VOLTAGE_HIGH_V = 150.0, 290.0


@dataclass(frozen=True, slots=True)
class Doubt:
    """`reason`: power_does_not_match | phases_do_not_sum | reversed_current | phase_lost | voltage_out_of_range |
    energy_does_not_match | frozen_values."""

    reason: str
    expected: float
    found: float


def doubts(values: Mapping[str, float]) -> list[Doubt]:
    """Doubts about one set of readings taken together; quantities that are missing are not judged."""
    found: list[Doubt] = []
    total = values.get("active_power_w")
    phases = [values[f"active_power_{p}_w"] for p in _PHASES if f"active_power_{p}_w" in values]
    if total is not None and len(phases) == 3 and _apart(sum(phases), total):
        found.append(Doubt("phases_do_not_sum", sum(phases), total))
    expected = 0.0
    known = 0
    for p in _PHASES:
        u, i, pf = (values.get(n) for n in (f"voltage_{p}_v", f"current_{p}_a", f"power_factor_{p}"))
        if pf is None:
            pf = values.get("power_factor") if len(phases) < 2 else None
        if u is not None and i is not None and pf is not None:
            expected += u * abs(i) * abs(pf)
            known += 1
    if total is not None and known in (1, 3) and _apart(expected, abs(total)):
        found.append(Doubt("power_does_not_match", expected, total))
    if phases and any(w < -POWER_FLOOR_W for w in phases) and any(w > POWER_FLOOR_W for w in phases):
        found.append(Doubt("reversed_current", 0.0, min(phases)))
    volts = [values[f"voltage_{p}_v"] for p in _PHASES if f"voltage_{p}_v" in values]
    if len(volts) == 3 and min(volts) < 0.6 * max(volts):
        found.append(Doubt("phase_lost", max(volts), min(volts)))
    elif volts and not VOLTAGE_LOW_V <= min(volts) <= max(volts) <= VOLTAGE_HIGH_V:
        found.append(Doubt("voltage_out_of_range", 220.0, min(volts)))
    return found


def energy_doubt(register_wh: float, integrated_wh: float) -> Doubt | None:
    """The register's growth against the power integrated over the same time: a bypass inside the meter shows here."""
    if abs(register_wh - integrated_wh) <= ENERGY_FLOOR_WH + ENERGY_TOLERANCE * integrated_wh:
        return None
    return Doubt("energy_does_not_match", integrated_wh, register_wh)


def _apart(first: float, second: float) -> bool:
    return abs(first - second) > POWER_FLOOR_W + POWER_TOLERANCE * max(abs(first), abs(second))
