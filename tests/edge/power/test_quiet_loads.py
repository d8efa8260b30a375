"""Loads that repeat like a hoist and are none; and hoists that must not be taken for them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from sealwatch.contract.codes import AlarmKind, DeclaredStatus, Level, Phase
from sealwatch.edge.power.analysis import Analyser
from sealwatch.edge.power.edges import Array
from sealwatch.edge.power.rules import step
from sealwatch.simulator.loads.electrical import Draw, Motor, Rng, Stream
from sealwatch.simulator.loads.hut import Hut
from sealwatch.simulator.loads.machines import Compressor, HotPlate, Welder, pit_pump
from sealwatch.simulator.loads.measured import measure
from sealwatch.simulator.loads.pump import Pump
from sealwatch.simulator.loads.site import Site

START_S = 1_715_529_600.0


def machine(name: str, rng: Rng) -> Iterator[Draw]:
    if name == "welder":
        return Welder(sessions_per_day=2.0).draw(rng)
    if name == "hot plate":
        return HotPlate(meals_per_day=3.0).draw(rng)
    if name == "compressor":
        return Compressor(motor=Motor(55_000.0), delivery_m3_min=8.5, receiver_m3=4.0).draw(rng)
    motor, flow, inflow, pit = pit_pump(rng, 4000.0)
    return Pump(motor=motor, flow_m3_h=flow, inflow_m3_h=inflow, sump_m3=pit).draw(rng)


@pytest.mark.parametrize("name", ["welder", "hot plate", "compressor", "pit pump"])
def test_a_machine_that_repeats_is_no_hoist(name: str) -> None:
    found = 0
    for seed in (11, 12):
        rng = np.random.default_rng(seed)
        loads = [
            Stream(Hut(heater_w=0.0).draw(rng, start_s=START_S)),
            Stream(machine(name, rng)),
        ]
        analyser = Analyser(DeclaredStatus.DRAINAGE_ONLY)
        for t, p in measure(Site(loads, rng), 4 * 86400, rng, start_s=START_S):
            found += sum(
                v.kind is AlarmKind.HOIST_LIKE_CYCLE and v.transition.phase is Phase.START
                for v in analyser.feed(t, p).verdicts
            )
    assert found <= 1


def trips(size_w: float, *, trip_s: int, pause_s: int, base_w: float = 200.0, every_s: int = 1) -> Array:
    """Eight pulses without any start, each of the very same power: a meter that smooths, or a very even load."""
    cycle = np.concatenate((np.full(trip_s, base_w + size_w), np.full(pause_s, base_w)))
    power = np.concatenate((np.full(600, base_w), np.tile(cycle, 8), np.full(600, base_w)))
    noise = np.random.default_rng(3).normal(0, 4.0, len(power))
    return np.asarray((power + noise)[::every_s], dtype=np.float64)


@pytest.mark.parametrize(
    ("size_w", "most_trips", "every_s"),
    [(9000.0, 2, 1), (4000.0, 2, 1), (2600.0, 2, 1), (2200.0, 3, 1), (2000.0, 4, 1), (9000.0, 2, 10), (9000.0, 2, 30)],
)
def test_an_even_hoist_without_a_start_is_told_by_its_rhythm(size_w: float, most_trips: int, every_s: int) -> None:
    power = trips(size_w, trip_s=90, pause_s=30, every_s=every_s)
    analyser = Analyser(DeclaredStatus.POWER_CUT, interval_s=float(every_s))
    times = np.asarray(START_S + np.arange(len(power)) * every_s, dtype=np.float64)
    told = [
        v.transition
        for v in analyser.feed(times, power).verdicts
        if v.kind is AlarmKind.HOIST_LIKE_CYCLE and v.transition.phase is Phase.START
    ]
    assert [t.numbers["trips"] for t in told] == [most_trips]


def test_at_a_guard_hut_appliances_are_no_step_and_a_motor_is() -> None:
    assert step.level(DeclaredStatus.GUARD_HUT_ONLY, 3800.0, 20.0) is None
    assert step.level(DeclaredStatus.GUARD_HUT_ONLY, 3000.0, 2500.0) is Level.YELLOW
    assert step.level(DeclaredStatus.GUARD_HUT_ONLY, 5500.0, 0.0) is Level.YELLOW
    assert step.level(DeclaredStatus.POWER_CUT, 3800.0, 20.0) is Level.ORANGE


def beside_a_larger_machine(lifts: list[tuple[int, float]], *, length_s: int, seed: int = 5) -> Array:
    """Power of a counterweighted 3 kW hoist beside 30 kW that scatter by 250 W: each lift begins at a second with a
    motor's start and loses power until the share of it that is given."""
    power = 30_000 + np.random.default_rng(seed).normal(0, 250, lifts[-1][0] + length_s + 400)
    for begin, left in lifts:
        power[begin : begin + length_s] += np.linspace(3200, 3200 * left, length_s)
        power[begin : begin + 2] += 5000
    return np.asarray(power)


def first_cycle_s(power: Array) -> float | None:
    times = np.arange(len(power), dtype=float)
    verdicts = Analyser(DeclaredStatus.DRAINAGE_ONLY).feed(times, power).verdicts
    hoisting = (v for v in verdicts if v.kind is AlarmKind.HOIST_LIKE_CYCLE and v.transition.phase is Phase.START)
    return next((v.transition.at_s for v in hoisting), None)


@pytest.mark.parametrize("ends", [(0.6, 0.02), (0.02, 0.6), (0.4, 0.4)], ids=["second hidden", "first hidden", "faded"])
def test_a_trip_whose_end_drowns_beside_a_larger_machine_is_known_by_its_start(ends: tuple[float, float]) -> None:
    power = beside_a_larger_machine([(600, ends[0]), (760, ends[1])], length_s=100)
    assert first_cycle_s(power) == pytest.approx(860, abs=12)


def test_starts_alone_are_no_cycle_where_the_end_would_be_seen_or_they_are_unlike() -> None:
    once = beside_a_larger_machine([(600, 0.6)], length_s=100)
    assert first_cycle_s(once) is None
    neither = beside_a_larger_machine([(600, 0.02), (760, 0.02)], length_s=100)
    assert first_cycle_s(neither) is None
    quiet = 9000 + np.random.default_rng(2).normal(0, 30, 1600)
    quiet[600:700] += 3200
    quiet[760:] += 3200  # switched on again, and it stays on
    quiet[[600, 601, 760, 761]] += 5000
    assert first_cycle_s(quiet) is None
