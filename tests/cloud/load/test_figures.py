"""Alarm load: counts, floods, loud sources, chattering, what stands for days."""

from __future__ import annotations

import pytest

from sealwatch.cloud.load.figures import Source, Start, load, rate

MINUTE, HOUR, DAY = 60_000, 3_600_000, 24 * 3_600_000
CAMERA, METER = Source("s1", "cam-1", "person"), Source("s1", "meter-1", "power_step")


def test_a_quiet_span() -> None:
    quiet = rate([], from_ms=0, to_ms=DAY)
    assert (quiet.total, quiet.per_day, quiet.most_in_10_min, quiet.most_at_ms, quiet.flood_share) == (0, 0, 0, None, 0)


def test_counts_a_day_and_in_ten_minutes() -> None:
    one_each = rate([minute * MINUTE for minute in range(0, 60, 10)], from_ms=0, to_ms=HOUR)
    assert (one_each.total, one_each.per_day, one_each.per_10_min, one_each.most_in_10_min) == (6, 144, 1, 1)


@pytest.mark.parametrize(("count", "share"), [(10, 0.0), (11, 1 / 6)])
def test_more_than_ten_in_ten_minutes_is_a_flood(count: int, share: float) -> None:
    found = rate([25 * MINUTE + n for n in range(count)], from_ms=0, to_ms=HOUR)
    assert (found.flood_share, found.most_in_10_min, found.most_at_ms) == (share, count, 20 * MINUTE)


def test_a_span_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="span"):
        rate([], from_ms=5, to_ms=5)


def test_the_loudest_sources_first_with_their_share() -> None:
    starts = [Start(n * MINUTE, CAMERA) for n in range(9)] + [Start(n * MINUTE, METER) for n in range(3)]
    found = load(starts, [], from_ms=0, to_ms=HOUR, now_ms=HOUR)
    assert [(one.source, one.count, one.share) for one in found.offenders] == [(CAMERA, 9, 0.75), (METER, 3, 0.25)]
    assert len(load(starts, [], from_ms=0, to_ms=HOUR, now_ms=HOUR, most=1).offenders) == 1


@pytest.mark.parametrize(
    ("minutes", "chatters"),
    [([0, 1, 2, 3], False), ([0, 2, 4, 6, 8], True), ([0, 3, 6, 9, 12], False), ([0, 30, 31, 32, 33, 34], True)],
)
def test_five_starts_of_one_alarm_in_ten_minutes_chatter(minutes: list[int], chatters: bool) -> None:
    starts = [Start(minute * MINUTE, CAMERA) for minute in reversed(minutes)]
    found = load(starts, [], from_ms=0, to_ms=HOUR, now_ms=HOUR).chattering
    assert [one.most for one in found] == ([5] if chatters else [])


def test_two_sources_together_do_not_chatter() -> None:
    starts = [Start(n * MINUTE, CAMERA if n % 2 else METER) for n in range(8)]
    assert load(starts, [], from_ms=0, to_ms=HOUR, now_ms=HOUR).chattering == ()


def test_what_has_stood_for_more_than_a_day() -> None:
    starts = [Start(0, CAMERA), Start(1, METER, ended_ms=5), Start(DAY, METER)]
    found = load(starts, [], from_ms=DAY, to_ms=2 * DAY, now_ms=DAY + HOUR)
    assert found.stale == ((CAMERA, 0),)
    assert found.alarms.total == 1


def test_pages_are_counted_like_alarms() -> None:
    found = load([], [5, 6, 2 * HOUR], from_ms=0, to_ms=HOUR, now_ms=HOUR)
    assert (found.pages.total, found.alarms.total) == (2, 0)
