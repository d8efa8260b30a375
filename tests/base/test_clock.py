"""The clocks, and the one that catches up."""

from __future__ import annotations

from sealwatch.base.backoff import full_jitter_s
from sealwatch.base.clock import CatchUpClock, ManualClock


def test_a_catch_up_clock_starts_behind_runs_fast_and_then_keeps_pace() -> None:
    inner = ManualClock()
    clock = CatchUpClock(inner, behind_s=90, speed=10)
    start_ms, start_s = clock.wall_ms(), clock.monotonic_s()
    assert inner.wall_ms() - start_ms == 90_000
    inner.advance(5)
    assert clock.wall_ms() - start_ms == 50_000
    assert clock.monotonic_s() - start_s == 50
    inner.advance(5)
    assert clock.wall_ms() == inner.wall_ms()
    inner.advance(60)
    assert clock.wall_ms() == inner.wall_ms()


def test_sleeping_on_a_catch_up_clock_lets_that_much_of_its_own_time_pass() -> None:
    inner = ManualClock()
    clock = CatchUpClock(inner, behind_s=90, speed=10)
    before_s = clock.monotonic_s()
    clock.sleep(20)
    assert clock.monotonic_s() - before_s == 20


def test_backoff_grows_to_its_cap_and_never_reaches_zero() -> None:
    assert [full_jitter_s(n, base_s=1, cap_s=8, uniform=lambda _low, high: high) for n in range(6)] == [
        1,
        2,
        4,
        8,
        8,
        8,
    ]
    assert full_jitter_s(3, uniform=lambda low, _high: low) > 0
    assert full_jitter_s(10_000, cap_s=60) <= 60
