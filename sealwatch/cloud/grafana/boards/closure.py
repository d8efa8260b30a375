"""Patrol and closure: who was on site, what incidents turned out to be, how long they took, how many were false.

A patrol is a check-in of an inspector who answered an incident. Rounds that no incident asked for are recorded nowhere.
"""

from __future__ import annotations

from typing import Final

from sealwatch.cloud.grafana.panels import BARS, Board, Column, Panel
from sealwatch.cloud.grafana.queries import Measure, Records

_REASONS: Final = """
SELECT closure::text AS closure, count(*) AS value FROM grafana.incidents
WHERE closure IS NOT NULL AND $__timeFilter(closed_at) GROUP BY 1 ORDER BY 1
"""
_FALSE: Final = """
SELECT count(*) FILTER (WHERE closure = 0)::float / nullif(count(*), 0) AS value FROM grafana.incidents
WHERE closure IS NOT NULL AND $__timeFilter(closed_at)
"""
_DAILY: Final = """
SELECT date_trunc('day', opened_at) AS time, level AS metric, count(*) AS value FROM grafana.incidents
WHERE $__timeFilter(opened_at) GROUP BY 1, 2 ORDER BY 1
"""
_DURATION: Final = """
SELECT level, count(*) AS incidents,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM closed_at - opened_at)) AS median_s,
  max(extract(epoch FROM closed_at - opened_at)) AS longest_s
FROM grafana.incidents WHERE closed_at IS NOT NULL AND $__timeFilter(closed_at) GROUP BY level ORDER BY level
"""
_SITES: Final = """
SELECT site_{lang} AS site, site_id, count(*) AS incidents, count(*) FILTER (WHERE closure = 1) AS illegal,
  count(*) FILTER (WHERE closure = 0) AS false_alarms
FROM grafana.incidents WHERE $__timeFilter(opened_at) GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 50
"""
_OLD: Final = """
SELECT opened_at, level, site_{lang} AS site, state, incident_id FROM grafana.incidents
WHERE state <> 'closed' AND opened_at < now() - interval '24 hours' ORDER BY opened_at LIMIT 100
"""
_CHECK_INS: Final = """
SELECT taken_at, site_{lang} AS site, person, level, distance_m, accuracy_m, pictures, incident_id
FROM grafana.check_ins WHERE $__timeFilter(taken_at) ORDER BY taken_at DESC LIMIT 200
"""
_ARRIVALS: Final = """
SELECT level, count(*) AS incidents, percentile_cont(0.5) WITHIN GROUP (ORDER BY way_s) AS median_s,
  max(way_s) AS longest_s
FROM (
  SELECT incident_id, level, (min(taken_ms) - min(opened_at_ms)) / 1000.0 AS way_s
  FROM grafana.check_ins WHERE $__timeFilter(taken_at) GROUP BY incident_id, level
) first_arrivals GROUP BY level ORDER BY level
"""
_ON_SITE: Final = """
SELECT count(*) FILTER (WHERE EXISTS (SELECT FROM grafana.check_ins c WHERE c.incident_id = i.incident_id))::float
  / nullif(count(*), 0) AS value
FROM grafana.incidents i WHERE closure IS NOT NULL AND $__timeFilter(closed_at)
"""

BOARD: Final = Board(
    key="closure",
    time_from="now-90d",
    refresh="15m",
    panels=(
        Panel(
            key="reasons",
            kind="piechart",
            width=8,
            height=9,
            questions=[Records(sql=_REASONS)],
            columns={"closure": Column(words="closure")},
            options={
                "pieType": "donut",
                "displayLabels": ["name", "value"],
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": True},
                "legend": {"showLegend": True, "displayMode": "list", "placement": "right"},
            },
        ),
        Panel(
            key="false_share",
            kind="stat",
            width=4,
            height=9,
            questions=[Records(sql=_FALSE)],
            unit="percentunit",
            thresholds=((None, "green"), (0.05, "orange"), (0.2, "red")),
        ),
        Panel(
            key="durations",
            kind="table",
            width=12,
            height=9,
            questions=[Records(sql=_DURATION)],
            columns={
                "level": Column(words="level"),
                "incidents": Column(),
                "median_s": Column(unit="s"),
                "longest_s": Column(unit="s"),
            },
        ),
        Panel(
            key="daily",
            kind="timeseries",
            width=24,
            height=8,
            questions=[Records(sql=_DAILY, time_series=True)],
            custom={**BARS, "stacking": {"mode": "normal", "group": "A"}},
        ),
        Panel(
            key="sites",
            kind="table",
            width=12,
            height=10,
            questions=[Records(sql=_SITES)],
            columns={
                "site": Column(),
                "site_id": Column(link="site"),
                "incidents": Column(),
                "illegal": Column(),
                "false_alarms": Column(),
            },
        ),
        Panel(
            key="old",
            kind="table",
            width=12,
            height=10,
            questions=[Records(sql=_OLD)],
            columns={
                "opened_at": Column(unit="dateTimeAsLocal"),
                "level": Column(words="level"),
                "site": Column(),
                "state": Column(words="state"),
                "incident_id": Column(link="incident"),
            },
        ),
        Panel(
            key="on_site",
            kind="stat",
            width=4,
            height=10,
            questions=[Records(sql=_ON_SITE)],
            unit="percentunit",
            thresholds=((None, "red"), (0.5, "orange"), (0.9, "green")),
        ),
        Panel(
            key="arrivals",
            kind="table",
            width=8,
            height=10,
            questions=[Records(sql=_ARRIVALS)],
            columns={
                "level": Column(words="level"),
                "incidents": Column(),
                "median_s": Column(unit="s"),
                "longest_s": Column(unit="s"),
            },
        ),
        Panel(
            key="check_ins",
            kind="table",
            width=12,
            height=10,
            questions=[Records(sql=_CHECK_INS)],
            columns={
                "taken_at": Column(unit="dateTimeAsLocal"),
                "site": Column(),
                "person": Column(),
                "level": Column(words="level"),
                "distance_m": Column(unit="lengthm"),
                "accuracy_m": Column(unit="lengthm"),
                "pictures": Column(),
                "incident_id": Column(link="incident"),
            },
        ),
        Panel(
            key="transitions",
            kind="timeseries",
            width=24,
            height=8,
            questions=[
                Measure(metric=f"incident_{what}_count", aggregate="sum", by="", site=False, window="1d", legend=what)
                for what in ("opened", "acknowledged", "closed")
            ],
            custom=BARS,
        ),
    ),
)
