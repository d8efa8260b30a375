"""Power lie detector: what is declared against what is measured, regular nights, and who stands out."""

from __future__ import annotations

from typing import Final

from sealwatch.cloud.grafana.panels import BARS, TIMELINE, Board, Column, Panel
from sealwatch.cloud.grafana.queries import Aggregate, Measure, Records
from sealwatch.cloud.telemetry.reading import Tier

_DECLARED: Final = "SELECT site_id, name_{lang} AS site, declared_status FROM grafana.sites ORDER BY site_id"
_ALARMS: Final = """
SELECT started_at, level, site_{lang} AS site, sentence_{lang} AS sentence, site_id FROM grafana.alarms
WHERE kind IN ('power_step', 'hoist_like_cycle', 'power_anomaly', 'meter_fault') AND $__timeFilter(started_at)
ORDER BY started_at DESC LIMIT 200
"""
# Rough marks that a small winch passes; a site's own baseline decides about alarms, never this colour.
_WATTS: Final = ((None, "green"), (1500, "yellow"), (3000, "orange"), (10000, "dark-red"))


def _whole(aggregate: Aggregate) -> Measure:
    return Measure(metric="active_power_w", aggregate=aggregate, by="site_id", site=False, whole=True, tier=Tier.HOURS)


BOARD: Final = Board(
    key="power",
    time_from="now-7d",
    refresh="5m",
    panels=(
        Panel(
            key="declared",
            kind="table",
            width=12,
            height=14,
            questions=[Records(sql=_DECLARED), _whole("max"), _whole("mean")],
            join="site_id",
            sort="value",
            columns={
                "site": Column(),
                "site_id": Column(link="site"),
                "declared_status": Column(words="declared"),
                "value": Column(unit="watt"),
                "value 2": Column(unit="watt"),
            },
        ),
        Panel(
            key="ranking",
            kind="bargauge",
            width=12,
            height=14,
            questions=[_whole("mean")],
            sort="value",
            unit="watt",
            thresholds=_WATTS,
            options={
                "displayMode": "gradient",
                "orientation": "horizontal",
                "showUnfilled": True,
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "/value/i", "values": True, "limit": 25},
            },
        ),
        Panel(
            key="nights",
            kind="status-history",
            width=24,
            height=12,
            questions=[
                Measure(
                    metric="active_power_w", aggregate="max", by="site_id", site=False, tier=Tier.HOURS, window="1h"
                )
            ],
            unit="watt",
            thresholds=_WATTS,
            options={**TIMELINE, "showValue": "never", "colWidth": 0.95},
        ),
        Panel(
            key="load_events",
            kind="timeseries",
            width=12,
            height=9,
            questions=[Measure(metric="load_event_count", aggregate="sum", by="site_id", site=False, window="1h")],
            custom=BARS,
        ),
        Panel(
            key="alarms",
            kind="table",
            width=12,
            height=9,
            questions=[Records(sql=_ALARMS)],
            columns={
                "started_at": Column(unit="dateTimeAsLocal"),
                "level": Column(words="level"),
                "site": Column(),
                "sentence": Column(),
                "site_id": Column(link="site"),
            },
        ),
    ),
)
