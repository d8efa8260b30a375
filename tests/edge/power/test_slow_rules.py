"""Rules over minutes, hours and nights."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sealwatch.contract.codes import AlarmKind, DeclaredStatus, Level, Phase
from sealwatch.edge.power.analysis import Analyser, Verdict
from sealwatch.edge.power.appliances import Appliances, advance
from sealwatch.edge.power.edges import Array, Edge
from sealwatch.edge.power.minutes import Minute, Minutes
from sealwatch.edge.power.pulses import Pulse
from sealwatch.edge.power.rules import Transition, baseline, generator, habits, template
from sealwatch.edge.power.rules.baseline import LEARN_HOURS, BaselineState
from sealwatch.edge.power.rules.envelope import Permit
from sealwatch.edge.power.rules.generator import GeneratorState
from sealwatch.edge.power.rules.habits import NightState, ShareState
from sealwatch.edge.power.rules.template import TemplateState
from sealwatch.edge.power.sentences import power_sentences

MONDAY_S = 1_715_529_600.0  # 2024-05-13 00:00 in China


def anomalies(
    power_w: Array, declared: DeclaredStatus, permits: tuple[Permit, ...] = (), every_s: float = 10.0
) -> list[Verdict]:
    analyser = Analyser(declared, interval_s=every_s, permits=permits)
    times = MONDAY_S + np.arange(len(power_w), dtype=np.float64) * every_s
    return [
        v
        for v in analyser.feed(np.asarray(times, dtype=np.float64), power_w).verdicts
        if v.kind is AlarmKind.POWER_ANOMALY
    ]


def told(verdicts: list[Verdict]) -> list[tuple[Phase, str]]:
    return [(v.transition.phase, v.transition.reason) for v in verdicts]


@pytest.mark.parametrize(
    ("declared", "power_w", "reason"),
    [
        (DeclaredStatus.POWER_CUT, 600.0, "power_while_dead"),
        (DeclaredStatus.FLOODED, 5_500.0, "power_while_flooded"),
        (DeclaredStatus.GUARD_HUT_ONLY, 9_000.0, "above_declared_envelope"),
    ],
)
def test_power_beyond_the_declaration_is_told_and_ends(declared: DeclaredStatus, power_w: float, reason: str) -> None:
    power = np.full(1440, 100.0)
    power[360:720] = power_w
    verdicts = anomalies(power, declared)
    assert told(verdicts) == [(Phase.START, reason), (Phase.END, "back_to_normal")]
    assert verdicts[0].level is Level.ORANGE
    assert verdicts[0].transition.subject == verdicts[1].transition.subject == reason
    for verdict in verdicts:
        zh, en = power_sentences(
            verdict.kind,
            verdict.transition.phase,
            subject=verdict.transition.subject,
            started_ms=verdict.transition.started_s * 1000,
            at_ms=verdict.transition.at_s * 1000,
            numbers=verdict.transition.numbers,
            declared=declared,
        )
        assert zh != en
        assert "01:0" in zh or "00:5" in zh


def test_what_the_declaration_allows_is_quiet() -> None:
    assert anomalies(np.full(2000, 250.0), DeclaredStatus.POWER_CUT) == []
    assert anomalies(np.full(2000, 2_000.0), DeclaredStatus.FLOODED) == []
    assert anomalies(np.full(2000, 15_000.0), DeclaredStatus.DRAINAGE_ONLY) == []


def test_a_permit_allows_its_hours_and_kilowatts_and_nothing_else() -> None:
    permit = Permit(from_s=MONDAY_S, to_s=MONDAY_S + 86400, from_hour=8, to_hour=17, max_w=20_000.0, people=4)
    day = np.full(8640, 500.0)
    day[3000:5400] = 18_000.0  # 08:20-15:00
    assert anomalies(day, DeclaredStatus.PERMITTED_WORK, (permit,)) == []
    day[3600:3900] = 40_000.0
    assert (Phase.START, "above_permit") in told(anomalies(day, DeclaredStatus.PERMITTED_WORK, (permit,)))
    night = np.full(8640, 500.0)
    night[7200:8000] = 18_000.0  # 20:00
    assert told(anomalies(night, DeclaredStatus.PERMITTED_WORK, (permit,)))[0] == (Phase.START, "outside_permit_hours")


def test_a_permit_over_midnight_covers_both_sides() -> None:
    permit = Permit(from_s=MONDAY_S, to_s=MONDAY_S + 172800, from_hour=22, to_hour=4, max_w=1.0, people=1)
    hours = [h for h in range(48) if permit.covers(MONDAY_S + h * 3600)]
    assert hours == [0, 1, 2, 3, 22, 23, 24, 25, 26, 27, 46, 47]


def test_power_that_vanishes_where_it_always_was_is_told() -> None:
    power = np.full(2 * 1440, 300.0)
    power[2000:2200] = 0.0
    verdicts = anomalies(power, DeclaredStatus.DRAINAGE_ONLY, every_s=60.0)
    assert told(verdicts) == [(Phase.START, "power_gone"), (Phase.END, "back_to_normal")]


def learn(
    weeks: dict[int, float], hours: int, *, state: BaselineState | None = None, start: int = 0
) -> tuple[BaselineState, list[tuple[int, Phase, str]]]:
    """Hour by hour: `weeks` gives the mean of some hours of the day, 300 W otherwise."""
    state = state or BaselineState()
    heard = []
    for hour in range(start, start + hours):
        for minute in range(60):
            at_s = hour * 3600.0 + minute * 60
            mean_w = weeks.get(hour % 24, 300.0)
            state, found = baseline.advance(state, Minute(at_s, mean_w, mean_w, mean_w, 60))
            heard += [(hour, t.phase, t.reason) for t in found]
    return state, heard


def test_while_it_learns_nothing_is_judged_and_that_is_visible() -> None:
    state, heard = learn({3: 90_000.0}, 48)
    assert heard == []
    assert state.learning == pytest.approx(47 / LEARN_HOURS)


def test_after_a_week_more_than_ever_before_is_told_and_not_learnt() -> None:
    state, _ = learn({10: 15_000.0}, 200)
    _, usual = learn({10: 15_000.0}, 48, state=state, start=200)
    assert usual == []
    after, heard = learn({10: 15_000.0, 2: 40_000.0}, 48, state=state, start=200)
    assert [(p, r) for _, p, r in heard][:2] == [
        (Phase.START, "above_learned_maximum"),
        (Phase.END, "back_to_normal"),
    ]
    assert after.bound_w == pytest.approx(15_000.0, rel=0.02)


def test_a_site_that_keeps_its_hours_is_held_to_them_after_weeks_of_silence() -> None:
    state, heard = learn({10: 15_000.0}, 168 * 7)
    assert heard == []
    _, heard = learn({10: 15_000.0, 2: 14_000.0}, 24, state=state, start=168 * 7)
    assert (2 + 1, Phase.START, "above_learned_hour") in [(h % 24, p, r) for h, p, r in heard]


def test_slow_poisoning_reaches_its_limit_and_is_told() -> None:
    state, _ = learn({10: 10_000.0}, 168)
    load_w, raised_at_w, start = 10_000.0, math.inf, 168
    for _ in range(60):
        load_w *= 1.03
        state, heard = learn({10: load_w}, 168, state=state, start=start)
        start += 168
        if heard:
            raised_at_w = load_w
            break
    assert raised_at_w < 10_000.0 * 1.3 * 1.25 + 2_500.0 + 1_000.0


def test_machines_started_every_night_at_the_same_hour_are_a_habit() -> None:
    state, found = NightState(), []
    for day in range(6):
        for minute in range(0, 60, 15):
            edge = Edge(MONDAY_S + day * 86400 + 26 * 3600 + minute * 60, 300.0, 9_300.0, 12_000.0)
            state, told_now = habits.nights(state, [edge], edge.t_s)
            found += told_now
    assert [(t.phase, t.reason) for t in found] == [(Phase.START, "night_work_regular")]
    assert found[0].numbers["nights"] >= 4


def test_a_pump_that_starts_at_all_hours_is_no_habit() -> None:
    state, found = NightState(), []
    for k in range(10 * 12):
        edge = Edge(MONDAY_S + k * 7200.0, 300.0, 15_300.0, 30_000.0)
        state, told_now = habits.nights(state, [edge], edge.t_s)
        found += told_now
    assert found == []


def test_a_growing_share_of_hoist_like_energy_is_told() -> None:
    state, found = ShareState(), []
    for day, part in enumerate([0.097] * 10 + [0.13, 0.13, 0.09]):
        state, told_now = habits.share(state, MONDAY_S + day * 86400, 100_000.0, part * 100_000.0)
        found += told_now
    state, told_now = habits.share(state, MONDAY_S + 13 * 86400, 1.0, 0.0)
    assert [(t.phase, t.reason) for t in [*found, *told_now]] == [
        (Phase.START, "hoist_share_rising"),
        (Phase.END, "back_to_normal"),
    ]


def test_a_meter_read_every_quarter_hour_stands_for_the_minutes_between_its_readings() -> None:
    times = np.array([0.0, 900.0, 1800.0, 5400.0, 6300.0])
    power = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    whole = Minutes(900.0).feed(times, power)
    held = [2.0] * 15 + [3.0] * 15 + [4.0] * 15
    assert [m.mean_w for m in whole] == [1.0] * 15 + held
    # Nothing is known between 2,700 s and 5,400 s.
    assert [m.start_s for m in whole] == [60.0 * k for k in [*range(45), *range(90, 105)]]
    collector = Minutes(900.0)
    assert [m for k in range(5) for m in collector.feed(times[k : k + 1], power[k : k + 1])] == whole


def test_minutes_do_not_depend_on_how_samples_are_cut() -> None:
    times = np.arange(0, 3600, 7.0)
    power = np.random.default_rng(1).uniform(0, 1000, len(times))
    whole = Minutes().feed(times, power)
    collector, pieces = Minutes(), []
    for k in range(0, len(times), 5):
        pieces += collector.feed(times[k : k + 5], power[k : k + 5])
    assert pieces == whole
    assert len(whole) == 59
    assert sum(m.count for m in whole) == int((times < 59 * 60).sum())


def pulse(day: int, size_w: float, *, peak_w: float | None = None) -> Pulse:
    start_s = day * 86400.0
    return Pulse(start_s, start_s + 180, 200.0, size_w, peak_w or size_w, size_w, 0.0)


def test_a_kettle_is_learnt_in_three_days_and_a_winch_never() -> None:
    kettle = winch = Appliances()
    for day in range(20):
        kettle = advance(kettle, [pulse(day, 1800.0)])
        winch = advance(winch, [pulse(day, 1800.0, peak_w=4000.0)])
        assert kettle.knows(1800.0) == (day >= 2)
    assert kettle.knows(1850.0)
    assert not kettle.knows(2300.0)
    assert not winch.knows(1800.0)


def test_activity_in_the_picture_without_power_suspects_a_generator_until_it_is_quiet() -> None:
    state, found = GeneratorState(), []
    for minute in range(100):
        state, told_now = generator.advance(
            state, minute * 60.0, activity=10 <= minute < 40 and minute % 4 != 3, mean_w=200.0
        )
        found += told_now
    assert [(t.phase, t.reason) for t in found] == [
        (Phase.START, "activity_without_power"),
        (Phase.END, "power_or_quiet"),
    ]
    assert found[0].started_s == 600.0


def test_activity_beside_a_running_pump_suspects_nothing() -> None:
    state, found = GeneratorState(), []
    for minute in range(60):
        state, told_now = generator.advance(state, minute * 60.0, activity=True, mean_w=9000.0)
        found += told_now
    assert found == []


def test_a_day_shaped_like_production_is_alike_at_any_size_and_a_flat_day_is_not() -> None:
    production = [500.0] * 20 + [60_000.0, 80_000.0, 70_000.0, 20_000.0]
    small = [300.0] * 20 + [6_000.0, 8_000.0, 7_000.0, 2_000.0]
    pump = [300.0, 9000.0, 300.0] * 8
    assert template.alike(small, production)
    assert not template.alike(pump, production)
    assert template.similarity([300.0] * 24, production) == 0.0
    with pytest.raises(ValueError, match="24 hourly means"):
        template.similarity([1.0], production)


PRODUCTION = [500.0] * 20 + [60_000.0, 80_000.0, 70_000.0, 20_000.0]


def days(power_w: list[list[float]], *, first: TemplateState | None = None) -> tuple[TemplateState, list[Transition]]:
    """Whole days of hourly means, minute by minute, from a midnight of UTC+8 on; one more minute ends the last."""
    state, found = first or TemplateState(), []
    start_s = 1_700_000_000 // 86_400 * 86_400 - 8 * 3600.0
    minutes = [watts for day in power_w for hour in day for watts in [hour] * 60]
    for number, mean_w in enumerate([*minutes, 0.0]):
        state, now = template.advance(state, PRODUCTION, start_s + 60.0 * number, mean_w)
        found += now
    return state, found


def test_a_day_like_production_is_told_at_midnight_and_ends_with_a_day_unlike_it() -> None:
    small = [300.0] * 20 + [6_000.0, 8_000.0, 7_000.0, 2_000.0]
    quiet = [300.0] * 24
    _, found = days([quiet, small, small, quiet])
    assert [(t.phase, t.reason) for t in found] == [
        (Phase.START, "like_production"),
        (Phase.END, "unlike_production"),
    ]
    assert found[0].at_s - found[0].started_s == 86_400
    assert found[0].numbers["similarity"] > 0.95


def test_a_day_of_which_hours_are_missing_is_not_judged() -> None:
    state = TemplateState()
    found: list[Transition] = []
    for number in range(2 * 24 * 60):
        if number // 60 % 24 in (3, 4):
            continue
        mean_w = PRODUCTION[number // 60 % 24]
        state, now = template.advance(state, PRODUCTION, 57_600.0 + 60.0 * number, mean_w)
        found += now
    assert found == []


def test_the_analysis_hears_of_work_in_the_picture_and_of_days_of_production() -> None:
    start_s = 1_700_000_000 // 86_400 * 86_400 - 8 * 3600.0
    analyser = Analyser(
        DeclaredStatus.POWER_CUT, interval_s=60.0, production_w=PRODUCTION, activity=lambda at_s: at_s - start_s < 3600
    )
    times = np.arange(start_s, start_s + 26 * 3600, 60.0)
    power = np.array([0.1 * PRODUCTION[int((t - start_s) // 3600) % 24] for t in times])
    verdicts = [v for v in analyser.feed(times, power).verdicts if v.kind is AlarmKind.POWER_ANOMALY]
    reasons = {v.transition.reason: v for v in verdicts if v.transition.phase is Phase.START}
    assert {"activity_without_power", "like_production"} <= set(reasons)
    for reason in ("activity_without_power", "like_production"):
        found = reasons[reason].transition
        zh, en = power_sentences(
            AlarmKind.POWER_ANOMALY,
            found.phase,
            subject=found.subject,
            started_ms=found.started_s * 1000,
            at_ms=found.at_s * 1000,
            numbers=found.numbers,
            declared=DeclaredStatus.POWER_CUT,
        )
        assert "断电" in zh
        assert en
