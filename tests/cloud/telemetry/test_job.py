"""The hourly job against the real servers: whole hours, late points, and a run that is cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from sealwatch.base.clock import ManualClock
from sealwatch.cloud.telemetry import job
from sealwatch.cloud.telemetry.columns import Columns
from sealwatch.cloud.telemetry.influx import InfluxTelemetry
from sealwatch.cloud.telemetry.reading import DAY_MS, HOUR_MS, Query, Tier
from sealwatch.cloud.telemetry.remote import TelemetryUnavailable
from sealwatch.cloud.telemetry.spool import Spool, Waiting
from sealwatch.cloud.telemetry.victoria import VictoriaTelemetry
from tests.cloud.telemetry.conftest import influx_store, victoria_store

HOUR = 1_700_006_400_000
METRIC = "active_power_w"
SETTLED = 10 * 60_000


@pytest.fixture(params=["influxdb", "victoria"])
def remote(request: pytest.FixtureRequest) -> InfluxTelemetry | VictoriaTelemetry:
    clock = ManualClock(wall_ms=HOUR + 2 * HOUR_MS + SETTLED)
    if request.param == "influxdb":
        return influx_store(request.getfixturevalue("influx_access"), clock)
    return victoria_store(request.getfixturevalue("victoria"), clock)


def block(at_ms: int, value: float) -> Columns:
    return Columns(site_id="s", node_id="n", source_id="m", at_ms=[at_ms], values={METRIC: [value]})


def hours(remote: InfluxTelemetry | VictoriaTelemetry) -> list[tuple[int, float | None]]:
    query = Query(site_id="s", metric=METRIC, from_ms=HOUR, to_ms=HOUR + 3 * HOUR_MS - 1)
    return remote.windows(query, Tier.HOURS, HOUR_MS).get("m", [])


def test_a_late_point_is_in_the_roll_up_after_the_next_run(
    remote: InfluxTelemetry | VictoriaTelemetry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "metrics", lambda: [METRIC])  # the server is shared with other tests
    spool = Spool(tmp_path / "spool.sqlite")
    remote.write_blocks([block(HOUR + 1000, 5.0), block(HOUR + HOUR_MS + 1000, 7.0)])
    job.run(remote, spool, now_ms=HOUR + 2 * HOUR_MS + SETTLED)
    assert hours(remote) == [(HOUR, 5.0), (HOUR + HOUR_MS, 7.0)]
    late = block(HOUR + 2000, 50.0)
    remote.write_blocks([late])
    spool.release([Waiting(1, late, 0)])
    report = job.run(remote, spool, now_ms=HOUR + 2 * HOUR_MS + SETTLED)
    assert (report.hours, report.late_hours) == (1, 1)
    assert hours(remote)[:2] == [(HOUR, 5.0), (HOUR + HOUR_MS // 2, 50.0)]
    if remote.corrects:  # the day is made again with the late hour, whole
        day_ms = HOUR // DAY_MS * DAY_MS
        query = Query(site_id="s", metric=METRIC, from_ms=day_ms, to_ms=day_ms + DAY_MS - 1)
        assert remote.windows(query, Tier.DAYS, DAY_MS)["m"] == [(day_ms, 5.0), (day_ms + DAY_MS // 2, 50.0)]
    assert job.run(remote, spool, now_ms=HOUR + 2 * HOUR_MS + SETTLED).hours == 0
    spool.close()
    remote.close()


def test_beside_moves_repeated_hours_within_their_window_and_nothing_else() -> None:
    both = Columns(site_id="s", node_id="n", source_id="m", at_ms=[HOUR, HOUR + HOUR_MS], values={"v": [1.0, 2.0]})
    first = job.beside([both], {HOUR}, HOUR)[0]
    second = job.beside([both], {HOUR}, HOUR + 1000)[0]
    assert first.at_ms[1] == second.at_ms[1] == HOUR + HOUR_MS
    assert HOUR < first.at_ms[0] < HOUR + 60_000
    assert HOUR < second.at_ms[0] < HOUR + 60_000
    assert first.at_ms[0] != second.at_ms[0]
    assert first.values == both.values


class _Cut:
    """A server that goes away during the second stretch."""

    corrects = False

    def __init__(self) -> None:
        self.asked: list[tuple[Tier, int]] = []
        self.away = True

    def metrics(self) -> list[str]:
        return [METRIC]

    def aggregates(self, metric: str, tier: Tier, from_ms: int, to_ms: int) -> list[Columns]:
        if self.away and len(self.asked) == 2:
            raise TelemetryUnavailable("unreachable", "gone")
        self.asked.append((tier, from_ms))
        return []

    def write_blocks(self, blocks: object, *, tier: Tier = Tier.RAW) -> None:
        raise AssertionError("nothing to write")


def test_a_run_cut_off_half_way_is_finished_by_the_next(tmp_path: Path) -> None:
    spool, server = Spool(tmp_path / "spool.sqlite"), _Cut()
    with pytest.raises(TelemetryUnavailable):
        job.run(server, spool, now_ms=HOUR + SETTLED)
    server.away = False
    server.asked.clear()
    again = job.run(server, spool, now_ms=HOUR + SETTLED)
    spool.close()
    assert again.hours == 48  # the first day of three was done
    assert [at for tier, at in server.asked if tier is Tier.HOURS] == [HOUR - 48 * HOUR_MS, HOUR - 24 * HOUR_MS]


def test_neighbouring_hours_are_joined_a_day_at_most() -> None:
    assert list(job.stretches([])) == []
    assert list(job.stretches([0, HOUR_MS, 5 * HOUR_MS])) == [(0, HOUR_MS), (5 * HOUR_MS, 5 * HOUR_MS)]
    assert [last - first for first, last in job.stretches([i * HOUR_MS for i in range(30)])] == [
        23 * HOUR_MS,
        5 * HOUR_MS,
    ]
