"""What only servers have: long spans answered by windows and roll-ups, refusals, absence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sealwatch.base.broker import free_port
from sealwatch.base.clock import ManualClock
from sealwatch.cloud.telemetry.columns import Columns
from sealwatch.cloud.telemetry.influx import InfluxTelemetry
from sealwatch.cloud.telemetry.reading import DAY_MS, HOUR_MS, MINUTE_MS, Part, Query, Tier, plan
from sealwatch.cloud.telemetry.remote import PointsRefused, TelemetryUnavailable, refusal
from sealwatch.cloud.telemetry.victoria import VictoriaTelemetry
from tests.cloud.telemetry.conftest import BUCKET, T0, influx_store, victoria_store

METRIC = "active_power_w"
NOW = 1_700_006_400_000  # the beginning of an hour
Remote = InfluxTelemetry | VictoriaTelemetry
RemoteMaker = Callable[[int], Remote]


@pytest.fixture(params=["influxdb", "victoria"])
def make_remote(request: pytest.FixtureRequest) -> RemoteMaker:
    def make(now_ms: int) -> Remote:
        clock = ManualClock(wall_ms=now_ms)
        if request.param == "influxdb":
            return influx_store(request.getfixturevalue("influx_access"), clock)
        return victoria_store(request.getfixturevalue("victoria"), clock)

    return make


def block(points: list[tuple[int, float | None]], metric: str = METRIC) -> Columns:
    return Columns(
        site_id="s1",
        node_id="n1",
        source_id="m1",
        at_ms=[p[0] for p in points],
        values={metric: [p[1] for p in points]},
    )


def test_more_points_than_are_worth_fetching_come_as_extremes_of_windows(make_remote: RemoteMaker) -> None:
    store = make_remote(NOW)
    start = NOW - 30_000 * 1000
    points: list[tuple[int, float | None]] = [(start + i * 1000, 100.0) for i in range(30_000)]
    points[12_345] = (points[12_345][0], 3200.0)
    for i in range(20_000, 23_000):
        points[i] = (points[i][0], None)
    store.write_blocks([block(points)])
    assert store.exact(Query(site_id="s1", metric=METRIC, from_ms=start, to_ms=NOW), 20_000) is None
    series = store.read(site_id="s1", metric=METRIC, from_ms=start, to_ms=NOW - 1, max_points=300)["m1"]
    store.close()
    assert len(series.at_ms) <= 300
    assert list(series.at_ms) == sorted(series.at_ms)
    spikes = [at for at, value in zip(series.at_ms, series.values, strict=True) if value == 3200.0]
    assert len(spikes) == 1
    assert abs(spikes[0] - points[12_345][0]) <= 200_000
    gaps = [at for at, value in zip(series.at_ms, series.values, strict=True) if value is None]
    assert 13 <= len(gaps) <= 15
    assert all(start + 20_000_000 <= at < start + 23_000_000 for at in gaps)


def test_a_year_is_read_from_hours_and_the_newest_days_from_raw_points(make_remote: RemoteMaker) -> None:
    store = make_remote(NOW)
    hours = [NOW - 365 * DAY_MS + i * HOUR_MS for i in range(361 * 24)]
    rolled = Columns(
        site_id="s1",
        node_id="n1",
        source_id="m1",
        at_ms=hours,
        values={
            f"min_{METRIC}": [10.0] * len(hours),
            f"max_{METRIC}": [9000.0 if i == 4000 else 20.0 for i in range(len(hours))],
            f"mean_{METRIC}": [15.0] * len(hours),
        },
    )
    store.write_blocks([rolled], tier=Tier.HOURS)
    store.write_blocks([block([(NOW - 3600_000, 7777.0), (NOW - 1800_000, 1.0)])])
    series = store.read(site_id="s1", metric=METRIC, from_ms=NOW - 365 * DAY_MS, to_ms=NOW, max_points=600)["m1"]
    store.close()
    assert len(series.at_ms) <= 604
    assert list(series.at_ms) == sorted(series.at_ms)
    assert max(v for v in series.values if v is not None) == 9000.0
    assert 7777.0 in series.values
    assert min(v for v in series.values if v is not None) == 1.0


def test_roll_ups_made_here_hold_smallest_largest_and_mean_of_each_window(make_remote: RemoteMaker) -> None:
    store = make_remote(NOW)
    store.write_blocks([block([(NOW + i * 20_000, float(i)) for i in range(360)])])
    for tier, rows in ((Tier.MINUTES, 120), (Tier.HOURS, 2)):
        [made] = store.aggregates(METRIC, tier, NOW, NOW + 2 * HOUR_MS)
        assert (made.site_id, made.node_id, made.source_id) == ("s1", "n1", "m1")
        assert list(made.at_ms) == [NOW + i * tier.width_ms for i in range(rows)]
        count = tier.width_ms // 20_000
        assert list(made.values[f"min_{METRIC}"]) == [float(i * count) for i in range(rows)]
        assert list(made.values[f"max_{METRIC}"]) == [float(i * count + count - 1) for i in range(rows)]
        assert list(made.values[f"mean_{METRIC}"]) == pytest.approx([i * count + (count - 1) / 2 for i in range(rows)])
        store.write_blocks([made], tier=tier)
    assert METRIC in store.metrics()
    assert store.windows(
        Query(site_id="s1", metric=METRIC, from_ms=NOW, to_ms=NOW + 2 * HOUR_MS - 1), Tier.HOURS, HOUR_MS
    ) == {"m1": [(NOW, 0.0), (NOW + HOUR_MS // 2, 179.0), (NOW + HOUR_MS, 180.0), (NOW + HOUR_MS * 3 // 2, 359.0)]}
    store.close()


@pytest.mark.parametrize("kind", ["influxdb", "victoria"])
def test_a_server_that_is_away_is_said_as_such(kind: str) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    store = InfluxTelemetry(url, bucket=BUCKET) if kind == "influxdb" else VictoriaTelemetry(url)
    with pytest.raises(TelemetryUnavailable) as told:
        store.write_blocks([block([(T0, 1.0)])])
    assert told.value.reason == "unreachable"
    with pytest.raises(TelemetryUnavailable):
        store.read(site_id="s1", metric=METRIC, from_ms=T0, to_ms=T0 + 1)
    store.close()


def test_a_missing_bucket_is_a_set_up_to_mend_and_a_wrong_type_is_for_ever(
    influx_access: tuple[str, str, str],
) -> None:
    url, token, org = influx_access
    nowhere = InfluxTelemetry(url, bucket="sealwatch_nowhere", token=token, org=org)
    with pytest.raises(TelemetryUnavailable, match="telemetry init") as told:
        nowhere.write_blocks([block([(T0, 1.0)])])
    assert told.value.reason == "not_set_up"
    nowhere.close()
    store = influx_store(influx_access, ManualClock(wall_ms=T0))
    store._writer.send(BUCKET, ["samples,site_id=s1 typed=1.0 1"])
    with pytest.raises(PointsRefused) as refused:
        store._writer.send(BUCKET, ['samples,site_id=s1 typed="word" 2'])
    assert refused.value.reason in {"type_conflict", "refused"}
    store.close()


@pytest.mark.parametrize(
    ("status", "body", "kind", "reason"),
    [
        (400, '{"error":"partial write: points beyond retention policy dropped=1"}', PointsRefused, "beyond_retention"),
        (422, '{"message":"failure writing points: field type conflict"}', PointsRefused, "type_conflict"),
        (400, '{"error":"unable to parse"}', PointsRefused, "not_parsable"),
        (400, "partial write: max-values-per-tag limit exceeded", PointsRefused, "cardinality"),
        (413, "", PointsRefused, "too_large"),
        (401, '{"code":"unauthorized","message":"unauthorized access"}', TelemetryUnavailable, "not_permitted"),
        (404, '{"error":"database not found"}', TelemetryUnavailable, "not_set_up"),
        (429, "", TelemetryUnavailable, "overloaded"),
        (503, "[]", TelemetryUnavailable, "server_error"),
        (0, "", TelemetryUnavailable, "server_error"),
    ],
)
def test_each_answer_of_a_server_has_its_meaning(status: int, body: str, kind: type[Exception], reason: str) -> None:
    found = refusal(status, body, "http://store")
    assert type(found) is kind
    assert found.reason == reason


def _plan(from_ms: int, to_ms: int, max_points: int = 600) -> list[Part]:
    query = Query(site_id="s", metric=METRIC, from_ms=from_ms, to_ms=to_ms)
    return plan(query, max_points=max_points, raw_from_ms=NOW - 30 * DAY_MS, rolled_to_ms=NOW - 3 * DAY_MS)


def test_an_hour_of_last_week_is_read_raw_and_one_of_last_year_from_minutes() -> None:
    assert [(p.tier, p.reason) for p in _plan(NOW - 7 * DAY_MS, NOW - 7 * DAY_MS + HOUR_MS)] == [(Tier.RAW, "short")]
    [old] = _plan(NOW - 300 * DAY_MS, NOW - 300 * DAY_MS + HOUR_MS)
    assert (old.tier, old.width_ms, old.reason) == (Tier.MINUTES, MINUTE_MS, "rolled_up")


def test_a_month_meets_raw_points_where_a_window_ends() -> None:
    old, new = _plan(NOW - 30 * DAY_MS, NOW)
    assert (old.tier, new.tier) == (Tier.HOURS, Tier.RAW)
    assert old.to_ms + 1 == new.from_ms
    assert (new.from_ms - old.from_ms) % old.width_ms == 0
    assert new.from_ms <= NOW - 3 * DAY_MS
