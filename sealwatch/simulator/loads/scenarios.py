"""Named loads for the command line, the demo and tests. Times in seconds from the start."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from sealwatch.base.errors import UsageError
from sealwatch.simulator.loads.electrical import Draw, Motor, Rng, Stream, idle
from sealwatch.simulator.loads.hoist import Hoist, HoistKind
from sealwatch.simulator.loads.hut import Hut
from sealwatch.simulator.loads.pump import Pump
from sealwatch.simulator.loads.site import Player, Site

# Midday of a mild day: the hut neither lights nor heats, so that a short show is not decided by a thermostat.
_MIDDAY_S = 1_715_227_200.0


def demo_hoist() -> Hoist:
    """A small two-vessel hoist of about 9 kW: 90 s lift and 30 s change, 30 trips an hour."""
    return Hoist(
        motor=Motor(11_000.0),
        kind=HoistKind.BALANCED,
        length_m=84.0,
        speed_m_s=1.0,
        load_kg=640.0,
        vessel_kg=220.0,
        rope_kg_m=0.6,
        pause_top_s=29.0,
        pause_spread=0.06,
    )


def _after(delay_s: int, pieces: Iterator[Draw]) -> Iterator[Draw]:
    yield idle(delay_s)
    yield from pieces


def _quiet_hut(rng: Rng) -> Iterator[Draw]:
    """Base and fridge only: nobody cooks for the show."""
    return Hut(kettle_w=0.0, cooker_w=0.0).draw(rng, start_s=_MIDDAY_S)


def demo_load(seed: int = 1, *, hut_s: int = 60) -> Player:
    """The guard hut alone for `hut_s`, then hoist cycles at 30 trips an hour on top of it."""
    rng = np.random.default_rng(seed)
    loads = [Stream(_quiet_hut(rng)), Stream(_after(hut_s, demo_hoist().cycles(rng)))]
    return Player(Site(loads, rng), start_energy_wh=1_234_560.0)


def hut_load(seed: int = 1) -> Player:
    """The guard hut as it is lived in."""
    rng = np.random.default_rng(seed)
    return Player(Site([Stream(Hut().draw(rng, start_s=_MIDDAY_S))], rng))


def _pump() -> Pump:
    return Pump(motor=Motor(15_000.0), flow_m3_h=50.0, inflow_m3_h=14.0, sump_m3=20.0)


def pump_load(seed: int = 1) -> Player:
    """Hut and a 15 kW drainage pump with level control: about half an hour in every two."""
    rng = np.random.default_rng(seed)
    return Player(Site([Stream(_quiet_hut(rng)), Stream(_pump().draw(rng, full=True))], rng))


def pump_and_hoist_load(seed: int = 1) -> Player:
    """The pump runs from the start; the hoist joins in after two minutes."""
    rng = np.random.default_rng(seed)
    loads = [
        Stream(_quiet_hut(rng)),
        Stream(_pump().draw(rng, full=True)),
        Stream(_after(120, demo_hoist().cycles(rng))),
    ]
    return Player(Site(loads, rng))


LOADS: dict[str, Callable[[int], Player]] = {
    "demo": demo_load,
    "hut": hut_load,
    "pump": pump_load,
    "pump-and-hoist": pump_and_hoist_load,
}


def named_load(name: str, seed: int = 1) -> Player:
    """A load by its name. Raises UsageError."""
    if name not in LOADS:
        raise UsageError(f"load '{name}' is not known; choose one of {', '.join(LOADS)}")
    return LOADS[name](seed)
