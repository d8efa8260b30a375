"""Appliances that a site is known to use: kettles, plates and heaters, recognised by their constant power.

Only pulses that rise and fall at once by the same power, without a motor's start, are learnt, and only up to what a
household plug gives. A winch starts a motor or ramps up softly, so that no patience teaches the site to overlook it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sealwatch.edge.power.pulses import Pulse

HOUSEHOLD_W = 3300.0
"""The largest household appliance on one phase (16 A)."""
DAYS = 3
"""Seen on so many days, it belongs to the site."""
FORGET_DAYS = 60
_BIN = 0.05  # relative width of a class of sizes
_SAME_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Appliances:
    """Class of size -> the days on which it was seen."""

    days: tuple[tuple[int, tuple[int, ...]], ...] = ()

    def knows(self, power_w: float) -> bool:
        """Whether something of this power (within about 7 %) belongs to the site."""
        size = _class(power_w)
        seen = {day for key, days in self.days if abs(key - size) <= 1 for day in days}
        return len(seen) >= DAYS


def advance(state: Appliances, pulses: Sequence[Pulse], unix_offset_s: float = 0.0) -> Appliances:
    """Remember the appliances among finished pulses; days are counted in Unix time, which goes on over a restart."""
    table = dict(state.days)
    changed = False
    for pulse in pulses:
        if not is_appliance(pulse):
            continue
        key, day = _class(pulse.size_w), int((pulse.end_s + unix_offset_s) // 86400)
        days = table.get(key, ())
        if not days or days[-1] != day:
            table[key] = (*(d for d in days if day - d <= FORGET_DAYS), day)[-DAYS * 3 :]
            changed = True
    return Appliances(tuple(sorted(table.items()))) if changed else state


def is_appliance(pulse: Pulse) -> bool:
    """Whether a pulse looks like something that only heats."""
    same = abs(pulse.fall_w - pulse.size_w) <= _SAME_SHARE * pulse.size_w + 2 * pulse.noise_w
    return pulse.size_w <= HOUSEHOLD_W and same and not pulse.starts_a_motor and pulse.duration_s >= 20


def _class(power_w: float) -> int:
    return round(math.log(power_w) / _BIN)
