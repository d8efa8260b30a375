"""Raw for thirty days, minutes for years: what the embedded store keeps, makes and forgets."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from sealwatch.cloud.telemetry import rollups
from sealwatch.cloud.telemetry.reading import DAY_MS, HOUR_MS, MINUTE_MS
from sealwatch.cloud.telemetry.setup import Retention
from sealwatch.cloud.telemetry.sqlite import SqliteTelemetry

HOUR = 1_700_006_400_000
METRIC = "active_power_w"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteTelemetry]:
    made = SqliteTelemetry(tmp_path / "t.sqlite")
    yield made
    made.close()


def put(store: SqliteTelemetry, points: list[tuple[int, float | None]], node_id: str = "n") -> None:
    store.write(
        site_id="s",
        node_id=node_id,
        source_id="m",
        at_ms=[at for at, _ in points],
        values={METRIC: [value for _, value in points]},
    )


def get(store: SqliteTelemetry, from_ms: int, to_ms: int, max_points: int = 600) -> list[tuple[int, float | None]]:
    series = store.read(site_id="s", metric=METRIC, from_ms=from_ms, to_ms=to_ms, max_points=max_points).get("m")
    return [] if series is None else list(zip(series.at_ms, series.values, strict=True))


def two_hours() -> list[tuple[int, float | None]]:
    return [(HOUR + i * 20_000, float(i % 50)) for i in range(360)]


def test_raw_points_go_after_thirty_days_and_their_minutes_stay_with_every_extreme(store: SqliteTelemetry) -> None:
    points = two_hours()
    points[100] = (points[100][0], 3200.0)
    put(store, points)
    report = store.maintain(now_ms=HOUR + 31 * DAY_MS)
    assert report.deleted_points == 360
    read = get(store, HOUR, HOUR + 2 * HOUR_MS - 1)
    assert max(v for _, v in read if v is not None) == 3200.0
    spike = next(at for at, v in read if v == 3200.0)
    assert abs(spike - points[100][0]) < MINUTE_MS
    assert len(read) == 240
    assert get(store, HOUR - DAY_MS, HOUR - 1) == []


def test_the_second_run_changes_nothing(store: SqliteTelemetry) -> None:
    put(store, two_hours())
    store.maintain(now_ms=HOUR + 31 * DAY_MS)
    before = get(store, HOUR, HOUR + 2 * HOUR_MS)
    again = store.maintain(now_ms=HOUR + 31 * DAY_MS)
    assert (again.deleted_points, again.late_hours) == (0, 0)
    assert get(store, HOUR, HOUR + 2 * HOUR_MS) == before


def test_points_that_come_late_are_in_the_next_roll_up(store: SqliteTelemetry) -> None:
    put(store, two_hours())
    store.maintain(now_ms=HOUR + DAY_MS)
    put(store, [(HOUR + 5_000, 999.0)])
    assert store.maintain(now_ms=HOUR + DAY_MS).late_hours == 1
    store.maintain(now_ms=HOUR + 40 * DAY_MS)
    assert (HOUR + MINUTE_MS // 2, 999.0) in get(store, HOUR, HOUR + HOUR_MS)


def test_a_point_for_an_hour_whose_raw_points_are_gone_is_added_to_what_is_known(store: SqliteTelemetry) -> None:
    put(store, two_hours())
    store.maintain(now_ms=HOUR + 31 * DAY_MS)
    put(store, [(HOUR + 5_000, 999.0), (HOUR + 10_000, None)])
    report = store.maintain(now_ms=HOUR + 31 * DAY_MS)
    assert (report.late_hours, report.deleted_points) == (1, 2)
    first_minute = get(store, HOUR, HOUR + 2 * HOUR_MS - 1)[:2]
    assert first_minute == [(HOUR, 0.0), (HOUR + 30_000, 999.0)]
    with store._reader() as reader:
        assert reader.execute("SELECT count, total FROM hours WHERE at_ms = ?", (HOUR,)).fetchone()[0] == 181


def test_silence_is_still_silence_after_rolling_up(store: SqliteTelemetry) -> None:
    put(store, [(at, None if at >= HOUR + HOUR_MS else value) for at, value in two_hours()])
    store.maintain(now_ms=HOUR + 31 * DAY_MS)
    read = get(store, HOUR, HOUR + 2 * HOUR_MS - 1)
    assert all((value is None) == (at >= HOUR + HOUR_MS) for at, value in read)


def test_a_run_cut_off_half_way_is_made_good_by_the_next(
    store: SqliteTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, two_hours())

    def cut(*_arguments: object) -> tuple[int, int, int]:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr(rollups, "_series", cut)
        with pytest.raises(sqlite3.OperationalError):
            store.maintain(now_ms=HOUR + DAY_MS)
    store.maintain(now_ms=HOUR + 31 * DAY_MS)
    assert len(get(store, HOUR, HOUR + 2 * HOUR_MS - 1)) == 240


def test_minutes_go_after_their_years_and_hours_stay(store: SqliteTelemetry) -> None:
    put(store, two_hours())
    report = store.maintain(now_ms=HOUR + 400 * DAY_MS, retention=Retention(minutes_days=365))
    assert report.deleted_rows == 120
    year = get(store, HOUR - 300 * DAY_MS, HOUR + 60 * DAY_MS, max_points=600)
    assert len(year) == 4  # two hours, in two windows of a little more than a day each
    assert {value for _, value in year} == {0.0, 49.0}


def test_a_long_span_joins_roll_ups_and_the_points_not_yet_rolled_up(store: SqliteTelemetry) -> None:
    put(store, two_hours())
    now_ms = HOUR + 31 * DAY_MS
    store.maintain(now_ms=now_ms)
    put(store, [(now_ms - 60_000, 5000.0)], node_id="replaced")
    month = get(store, HOUR, now_ms, max_points=300)
    assert 5000.0 in [value for _, value in month]
    assert 49.0 in [value for _, value in month]
    assert [at for at, _ in month] == sorted(at for at, _ in month)
