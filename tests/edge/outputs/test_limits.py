"""Limits of outputs: examples, and what must hold whatever is asked for and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealwatch.contract.messages import Permit
from sealwatch.edge.outputs.limits import Limits, Origin, OutputState, ask, in_hours, off, tick, work_permitted

HOUR_MS = 3_600_000
MIDNIGHT_MS = 1_700_006_400_000 - 8 * HOUR_MS  # 2023-11-15T00:00 UTC+8
LIMITS = Limits(max_s=100, pause_s=60, quiet_hours=(22, 6))
NOON_MS = MIDNIGHT_MS + 12 * HOUR_MS


def wish(
    state: OutputState, seconds: float, now_s: float, *, origin: Origin = "alarm", now_ms: int = NOON_MS, **more: bool
) -> tuple[OutputState, str, float]:
    state, decision = ask(state, LIMITS, seconds, origin=origin, now_s=now_s, now_ms=now_ms, **more)
    return state, decision.reason, decision.seconds


def test_a_siren_sounds_is_made_longer_up_to_its_limit_and_then_pauses() -> None:
    state, reason, seconds = wish(OutputState(), 30, 0)
    assert (reason, seconds) == ("started", 30)
    state, reason, seconds = wish(state, 90, 5)
    assert (reason, seconds) == ("extended", 90)
    state, reason, seconds = wish(state, 90, 50)
    assert (reason, seconds) == ("extended", 50)
    state, reason, _ = wish(state, 90, 60)
    assert reason == "used_up"
    state, over = tick(state, LIMITS, 100)
    assert over == "time_over"
    _, reason, _ = wish(state, 30, 150)
    assert reason == "pausing"
    _, reason, _ = wish(state, 30, 160)
    assert reason == "started"


def test_a_shorter_wish_does_not_cut_a_longer_one() -> None:
    state, _, _ = wish(OutputState(), 80, 0)
    state, reason, seconds = wish(state, 5, 10)
    assert (reason, seconds) == ("extended", 70)


def test_at_quiet_hours_only_a_person_switches_it_on() -> None:
    late = MIDNIGHT_MS + 23 * HOUR_MS
    assert wish(OutputState(), 30, 0, now_ms=late)[1] == "quiet_hours"
    assert wish(OutputState(), 30, 0, now_ms=late, origin="person")[1] == "started"


def test_during_permitted_work_only_a_person_switches_it_on() -> None:
    assert wish(OutputState(), 30, 0, permitted_work=True)[1] == "permitted_work"
    assert wish(OutputState(), 30, 0, permitted_work=True, origin="person")[1] == "started"


def test_switched_off_by_hand_it_pauses_as_well_and_twice_off_is_no_event() -> None:
    state, _, _ = wish(OutputState(), 80, 0)
    state, reason = off(state, LIMITS, 10)
    assert reason == "asked_off"
    assert off(state, LIMITS, 11)[1] is None
    assert wish(state, 30, 69)[1] == "pausing"


@pytest.mark.parametrize(
    ("hours", "hour", "inside"),
    [
        (None, 3, False),
        ((22, 6), 21.9, False),
        ((22, 6), 22, True),
        ((22, 6), 5.9, True),
        ((22, 6), 6, False),
        ((8, 18), 8, True),
        ((8, 18), 18, False),
        ((0, 24), 23.9, True),
        ((5, 5), 5, False),
    ],
)
def test_hours_of_the_day(hours: tuple[int, int] | None, hour: float, inside: bool) -> None:
    assert in_hours(hours, MIDNIGHT_MS + int(hour * HOUR_MS)) is inside


def test_work_is_permitted_between_its_dates_and_at_its_hours() -> None:
    permit = Permit(permit_id="p", from_ms=MIDNIGHT_MS, to_ms=MIDNIGHT_MS + 48 * HOUR_MS, from_hour=8, to_hour=18)
    at = [MIDNIGHT_MS + h * HOUR_MS for h in (-14, 7, 8, 17, 18, 32, 56)]
    assert [work_permitted((permit,), ms) for ms in at] == [False, False, True, True, False, True, False]


events = st.lists(
    st.tuples(
        st.floats(0.01, 120),
        st.one_of(st.floats(1, 400), st.none()),
        st.sampled_from(["alarm", "person"]),
        st.integers(0, 24 * HOUR_MS),
    ),
    max_size=60,
)


@given(events, st.floats(1, 300), st.floats(0, 300))
def test_never_on_for_longer_than_its_limit_nor_back_before_its_pause(
    wishes: list[tuple[float, float | None, Origin, int]], max_s: float, pause_s: float
) -> None:
    limits, state, now_s = Limits(max_s=max_s, pause_s=pause_s, quiet_hours=(22, 6)), OutputState(), 0.0
    began_s: float | None = None
    ended_s = float("-inf")
    for gap_s, seconds, origin, day_ms in wishes:
        until_s = now_s + gap_s
        if state.until_s is not None and state.until_s <= until_s:
            ended_s, began_s = state.until_s, None
        now_s = until_s
        state, _ = tick(state, limits, now_s)
        if seconds is None:
            state, ended = off(state, limits, now_s)
            ended_s, began_s = (now_s, None) if ended else (ended_s, began_s)
        else:
            state, decision = ask(state, limits, seconds, origin=origin, now_s=now_s, now_ms=MIDNIGHT_MS + day_ms)
            assert decision.ok == (decision.seconds > 0)
            if decision.reason == "started":
                assert now_s >= ended_s + pause_s
                began_s = now_s
        assert state.on == (began_s is not None)
        if began_s is not None and state.until_s is not None:
            assert state.until_s <= began_s + max_s + 1e-6
