"""Fleet health: nodes, parts, disks, clocks, certificates, links, data budget, and the service's own wheel."""

from __future__ import annotations

from typing import Final, Literal

from sealwatch.cloud.grafana.panels import TIMELINE, Board, Column, Panel
from sealwatch.cloud.grafana.queries import Aggregate, Measure, Records

_STATES: Final = "SELECT state, count(*) AS value FROM grafana.nodes GROUP BY state ORDER BY 1"
_NODES: Final = """
SELECT site_{lang} AS site, node_id, state, state_at, site_id FROM grafana.nodes ORDER BY state DESC, state_at
"""


def _line(
    key: str, metric: str, unit: str, aggregate: Aggregate = "max", by: Literal["source_id", "node_id"] = "source_id"
) -> Panel:
    measure = Measure(metric=metric, aggregate=aggregate, by=by, site=False)
    return Panel(key=key, kind="timeseries", width=8, height=8, questions=[measure], unit=unit)


BOARD: Final = Board(
    key="fleet",
    panels=(
        Panel(
            key="states",
            kind="stat",
            width=8,
            height=9,
            questions=[Records(sql=_STATES)],
            options={
                "graphMode": "none",
                "textMode": "value_and_name",
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": True},
            },
            columns={"state": Column(words="online")},
        ),
        Panel(
            key="nodes",
            kind="table",
            width=16,
            height=9,
            questions=[Records(sql=_NODES)],
            columns={
                "site": Column(),
                "node_id": Column(),
                "state": Column(words="online"),
                "state_at": Column(unit="dateTimeAsLocal"),
                "site_id": Column(link="site"),
            },
        ),
        Panel(
            key="online",
            kind="state-timeline",
            width=12,
            height=9,
            questions=[Measure(metric="node_online", aggregate="min", by="node_id", site=False)],
            words="online",
            options=TIMELINE,
        ),
        Panel(
            key="parts",
            kind="table",
            width=12,
            height=9,
            questions=[Measure(metric="part_ok", aggregate="last", site=False, whole=True)],
            columns={"source_id": Column(), "value": Column(words="ok")},
        ),
        _line("ingest_lag", "ingest_lag_ms", "ms", by="node_id"),
        _line("outbox", "outbox_depth_count", "short", by="node_id"),
        _line("workers", "worker_alive", "short", aggregate="min"),
        _line("disks", "disk_free_ratio", "percentunit", aggregate="min"),
        _line("clocks", "clock_offset_ms", "ms", by="node_id"),
        _line("certificates", "certificate_days_left", "d", aggregate="min"),
        _line("signal", "link_signal_dbm", "dBm", aggregate="min"),
        _line("round_trip", "link_round_trip_ms", "ms"),
        _line("data_budget", "uplink_bytes", "bytes"),
        _line("temperature", "cpu_temperature_c", "celsius"),
        _line("pictures", "picture_rate_hz", "hertz", aggregate="min"),
        _line("meters", "frequency_hz", "hertz", aggregate="last"),
    ),
)
