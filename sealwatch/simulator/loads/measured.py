"""What a meter makes of a site: resolution, gaps and a clock that is not quite right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sealwatch.simulator.loads.electrical import Array, Rng
from sealwatch.simulator.loads.site import Site

_CHUNK_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Metering:
    """Imperfections. `resolution_w` is the last digit times the transformer ratio."""

    resolution_w: float = 0.1
    gain_error: float = 0.005
    gaps_per_day: float = 2.0
    gap_s: tuple[float, float] = (2.0, 300.0)
    clock_drift: float = 20e-6
    clock_jumps_per_day: float = 0.1
    clock_jump_s: float = 3.0
    sags_per_day: float = 1.0


def measure(
    site: Site, seconds: int, rng: Rng, metering: Metering | None = None, *, start_s: float = 0.0
) -> Iterator[tuple[Array, Array]]:
    """Hour by hour: times (Unix seconds as the node believes them) and total active power (W)."""
    meter = metering or Metering()
    gain = 1 + float(rng.normal(0, meter.gain_error / 2))
    offset_s, missing_until = 0.0, 0.0
    done = 0
    while done < seconds:
        length = min(_CHUNK_S, seconds - done)
        power = site.take(length).total_w * gain
        for _ in range(rng.poisson(meter.sags_per_day * length / 86400)):
            # A sag of the supply: for a second or two every load loses a part of its power.
            at = int(rng.integers(length))
            power[at : at + int(rng.integers(1, 3))] *= float(rng.uniform(0.4, 0.9))
        power = np.round(power / meter.resolution_w) * meter.resolution_w
        times = np.arange(done, done + length, dtype=float)
        keep = times >= missing_until
        for _ in range(rng.poisson(meter.gaps_per_day * length / 86400)):
            gap_at = done + float(rng.uniform(0, length))
            until = gap_at + float(np.exp(rng.uniform(*np.log(meter.gap_s))))
            keep &= (times < gap_at) | (times >= until)
            missing_until = max(missing_until, until)
        if rng.uniform() < meter.clock_jumps_per_day * length / 86400:
            offset_s = max(offset_s, float(rng.uniform(0, meter.clock_jump_s)) + offset_s)
        stamps = start_s + times * (1 + meter.clock_drift) + offset_s
        done += length
        yield stamps[keep], power[keep]
