"""Edges, pulses, the step rule and the hoist-like rule on simulated and on drawn power."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealwatch.contract.codes import AlarmKind, DeclaredStatus, Level, Phase
from sealwatch.edge.power.analysis import Analyser, Verdict
from sealwatch.edge.power.edges import Array, Edge, EdgeFinder
from sealwatch.simulator.loads.scenarios import demo_load, hut_load, pump_and_hoist_load, pump_load


def curve(*parts: tuple[float, float], noise_w: float = 5.0, seed: int = 3) -> Array:
    """Power second by second from (seconds, watts) parts."""
    levels = np.concatenate([np.full(int(seconds), watts) for seconds, watts in parts])
    return np.asarray(levels + np.random.default_rng(seed).normal(0, noise_w, len(levels)))


def judge(power_w: Array, declared: DeclaredStatus = DeclaredStatus.POWER_CUT) -> list[Verdict]:
    return Analyser(declared).feed(np.arange(len(power_w), dtype=float), power_w).verdicts


def of_kind(verdicts: list[Verdict], kind: AlarmKind) -> list[Verdict]:
    return [v for v in verdicts if v.kind is kind]


def test_a_step_is_found_at_its_second_with_its_size() -> None:
    power = curve((100, 300), (100, 3300))
    (edge,) = EdgeFinder().feed(np.arange(200.0), power)
    assert edge.t_s == pytest.approx(100, abs=1)
    assert edge.size_w == pytest.approx(3000, abs=30)


def test_a_start_up_peak_does_not_change_the_size_of_a_step() -> None:
    power = curve((100, 300), (1, 20_000), (100, 3300))
    edges = EdgeFinder().feed(np.arange(len(power), dtype=float), power)
    assert [round(e.size_w, -2) for e in edges] == [3000]
    assert edges[0].peak_w > 15_000


def test_noise_of_a_large_pump_is_no_edge_and_a_small_winch_on_top_of_it_is() -> None:
    quiet = curve((300, 300), (1200, 30_000), noise_w=1.0)
    quiet[300:] += np.random.default_rng(1).normal(0, 250, 1200)
    alone = EdgeFinder().feed(np.arange(1500.0), quiet)
    assert [e for e in alone if abs(e.size_w) > 700] == alone[:1]
    quiet[900:960] += 3000
    assert [round(e.t_s, -1) for e in EdgeFinder().feed(np.arange(1500.0), quiet) if abs(e.size_w) > 700] == [
        300,
        900,
        960,
    ]


def test_power_that_came_during_a_gap_is_an_edge_that_says_so() -> None:
    times = np.concatenate((np.arange(100.0), np.arange(400.0, 500.0)))
    edges = EdgeFinder().feed(times, np.concatenate((np.full(100, 300.0), np.full(100, 9000.0))))
    assert edges == [Edge(400.0, 300.0, 9000.0, 9000.0, gap=True)]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 400), min_size=1, max_size=60))
def test_edges_do_not_depend_on_how_the_samples_are_cut(seed: int, cuts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    levels = [(float(rng.integers(3, 120)), float(rng.choice([0, 300, 3000, 9000, 40_000]))) for _ in range(12)]
    power = curve(*levels, noise_w=float(rng.choice([0, 5, 300])), seed=seed % 1000)
    times = np.arange(len(power), dtype=float)
    if len(power) > 300:
        times[250:] += 120  # a gap
    whole = EdgeFinder().feed(times, power)
    finder, found, at = EdgeFinder(), [], 0
    for cut in [*cuts, len(power)]:
        found += finder.feed(times[at : at + cut], power[at : at + cut])
        at += cut
    assert found == whole


def test_a_three_kilowatt_step_raises_after_its_on_delay_and_ends_after_its_off_delay() -> None:
    start, end = of_kind(judge(curve((120, 300), (300, 3300), (300, 300))), AlarmKind.POWER_STEP)
    assert (start.transition.phase, start.transition.reason, start.level) == (Phase.START, "step_held", Level.ORANGE)
    assert start.transition.at_s == pytest.approx(130, abs=2)
    assert start.transition.numbers["step_w"] == pytest.approx(3000, abs=50)
    assert (end.transition.phase, end.transition.reason) == (Phase.END, "step_gone")
    assert end.transition.at_s == pytest.approx(540, abs=2)


def test_a_step_shorter_than_its_on_delay_is_no_alarm() -> None:
    assert judge(curve((120, 300), (7, 9000), (300, 300))) == []


def test_a_step_where_pumps_are_declared_is_no_alarm_by_itself() -> None:
    assert judge(curve((120, 300), (3000, 15_000), (300, 300)), DeclaredStatus.DRAINAGE_ONLY) == []


def test_hoist_cycles_are_raised_at_the_end_of_the_second_trip_and_end_when_they_stop() -> None:
    trips = [(90, 9300), (30, 300)] * 5
    verdicts = of_kind(judge(curve((200, 300), *trips, (900, 300))), AlarmKind.HOIST_LIKE_CYCLE)
    start, update, end = (v.transition for v in verdicts)
    assert (start.phase, start.reason) == (Phase.START, "similar_pulses_repeat")
    assert start.started_s == pytest.approx(200, abs=2)
    assert start.at_s == pytest.approx(200 + 90 + 30 + 90, abs=2)
    assert start.numbers["trips"] == 2
    assert start.numbers["pulse_w"] == pytest.approx(9000, rel=0.02)
    assert start.numbers["spacing_s"] == pytest.approx(120, abs=2)
    assert update.numbers["trips"] == 4
    assert (end.phase, end.reason, end.numbers["trips"]) == (Phase.END, "no_pulse_for_three_periods", 5)
    assert end.at_s == pytest.approx(200 + 5 * 120 - 30 + 360, abs=5)


@pytest.mark.parametrize(
    ("declared", "level"),
    [
        (DeclaredStatus.POWER_CUT, Level.RED),
        (DeclaredStatus.FLOODED, Level.RED),
        (DeclaredStatus.DRAINAGE_ONLY, Level.ORANGE),
        (DeclaredStatus.GUARD_HUT_ONLY, Level.ORANGE),
        (DeclaredStatus.PERMITTED_WORK, Level.YELLOW),
    ],
)
def test_how_urgent_hoist_like_cycles_are_depends_on_the_declaration(declared: DeclaredStatus, level: Level) -> None:
    verdicts = judge(curve((100, 300), (60, 5000), (40, 300), (60, 5000), (100, 300)), declared)
    assert [v.level for v in of_kind(verdicts, AlarmKind.HOIST_LIKE_CYCLE)] == [level]


@pytest.mark.parametrize(
    "parts",
    [
        [(90, 9300)],  # one trip is no cycle
        [(10, 9300), (20, 300)] * 10,  # too short: a relay, a grinder
        [(90, 9300), (1200, 300)] * 3,  # too far apart
        [(40, 9300), (60, 300), (200, 9300)],  # unlike lengths
        [(60, 9300), (60, 300), (60, 3300)],  # unlike sizes
        [(150, 2100), (140, 300), (200, 2100), (180, 300), (160, 2100)],  # a kettle, again and again
        [(1800, 15_300), (3600, 300)] * 2,  # a pump
    ],
)
def test_what_does_not_repeat_alike_is_not_hoist_like(parts: list[tuple[float, float]]) -> None:
    verdicts = judge(curve((200, 300), *parts, (600, 300)))
    assert not of_kind(verdicts, AlarmKind.HOIST_LIKE_CYCLE)


def test_cycles_are_seen_while_a_pump_starts_and_stops_underneath() -> None:
    power = curve((100, 300), *[(80, 4300), (40, 300)] * 12, (200, 300))
    power[350:1100] += 22_000
    start = of_kind(judge(power), AlarmKind.HOIST_LIKE_CYCLE)[0].transition
    assert start.at_s == pytest.approx(300, abs=3)


def test_simulated_hoists_are_raised_within_two_trips_and_quiet_loads_are_not() -> None:
    for load, hoisting in ((demo_load(5), 60), (pump_and_hoist_load(5), 120)):
        power = np.array([load(float(s))["active_power_w"] for s in range(hoisting + 320)])
        start = of_kind(judge(power, DeclaredStatus.DRAINAGE_ONLY), AlarmKind.HOIST_LIKE_CYCLE)[0].transition
        assert start.at_s <= hoisting + 230
    for load in (hut_load(5), pump_load(5)):
        power = np.array([load(float(s))["active_power_w"] for s in range(4 * 3600)])
        assert judge(power, DeclaredStatus.DRAINAGE_ONLY) == []
