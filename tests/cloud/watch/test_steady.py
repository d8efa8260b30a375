"""The clock that is never set back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sealwatch.cloud.watch.steady import Steady, advance, wake

HOUR_MS = 3_600_000


def test_the_first_start_believes_the_wall_clock() -> None:
    woken = wake(None, wall_ms=5, monotonic_s=1.0)
    assert (woken.steady.at_ms, woken.went_back) == (5, False)


def test_a_clock_set_back_between_two_lives_is_noticed() -> None:
    assert wake(HOUR_MS, wall_ms=HOUR_MS - 60_000, monotonic_s=1.0).went_back
    assert wake(HOUR_MS, wall_ms=HOUR_MS - 60_000, monotonic_s=1.0).steady.at_ms == HOUR_MS
    assert not wake(HOUR_MS, wall_ms=HOUR_MS - 1000, monotonic_s=1.0).went_back
    assert not wake(HOUR_MS, wall_ms=2 * HOUR_MS, monotonic_s=1.0).went_back


@given(st.lists(st.tuples(st.integers(-HOUR_MS, HOUR_MS), st.floats(0, 100)), max_size=30))
def test_it_never_goes_back_and_never_lags_behind_what_has_passed(moves: list[tuple[int, float]]) -> None:
    steady, wall_ms, monotonic_s = Steady(10 * HOUR_MS, 0.0), 10 * HOUR_MS, 0.0
    start = steady
    for jump_ms, passed_s in moves:
        wall_ms += jump_ms + round(passed_s * 1000)
        monotonic_s += passed_s
        after = advance(steady, wall_ms=wall_ms, monotonic_s=monotonic_s)
        assert after.at_ms >= steady.at_ms
        assert after.at_ms >= wall_ms
        assert after.at_ms >= start.at_ms + monotonic_s * 1000 - len(moves)
        steady = after
