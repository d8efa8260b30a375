"""County overview: what is open, who has not answered, which sites are silent, who lies about power."""

from __future__ import annotations

from typing import Any, Final

from sealwatch.cloud.grafana.panels import Board, Column, Panel
from sealwatch.cloud.grafana.queries import Measure, Records
from sealwatch.cloud.telemetry.reading import Tier

_OPEN: Final = (
    "SELECT level, count(*) AS value FROM grafana.incidents WHERE state <> 'closed' GROUP BY level ORDER BY 1"
)
_UNANSWERED: Final = """
SELECT count(*) AS value FROM grafana.pages
WHERE state = 'submitted' AND incident_state IN ('detected', 'notified')
"""
_SILENT: Final = """
SELECT count(*) AS value FROM (
  SELECT site_id FROM grafana.nodes GROUP BY site_id HAVING bool_and(state <> 'online')
) silent
"""
# Two mines found in one month trigger a report: the county wants to see this figure.
_ILLEGAL: Final = """
SELECT count(DISTINCT site_id) AS value FROM grafana.incidents
WHERE closure = 1 AND closed_at >= date_trunc('month', now())
"""
# 4 red to 1 blue for an open incident, 0.5 for a site without signal, 0 for peace.
_MAP: Final = """
SELECT s.site_id, s.name_{lang} AS site, s.latitude_deg AS latitude, s.longitude_deg AS longitude,
  coalesce(
    (SELECT max(CASE i.level WHEN 'red' THEN 4 WHEN 'orange' THEN 3 WHEN 'yellow' THEN 2 ELSE 1 END)
     FROM grafana.incidents i WHERE i.site_id = s.site_id AND i.state <> 'closed'),
    (SELECT 0.5 FROM grafana.nodes n WHERE n.site_id = s.site_id HAVING bool_and(n.state <> 'online')),
    0) AS value
FROM grafana.sites s WHERE s.latitude_deg IS NOT NULL AND s.longitude_deg IS NOT NULL
"""
_LIST: Final = """
SELECT opened_at, level, site_{lang} AS site, sentence_{lang} AS sentence, state, incident_id, site_id
FROM grafana.incidents WHERE state <> 'closed' ORDER BY opened_at DESC LIMIT 100
"""
_DECLARED: Final = "SELECT site_id, name_{lang} AS site, declared_status FROM grafana.sites ORDER BY site_id"
_SILENT_LIST: Final = """
SELECT site_{lang} AS site, node_id, state, state_at, site_id FROM grafana.nodes
WHERE state <> 'online' ORDER BY state_at
"""
_ROWS: Final = {"calcs": ["lastNotNull"], "fields": "", "values": True}
_BIG: Final = {"colorMode": "background", "graphMode": "none", "textMode": "auto", "reduceOptions": _ROWS}
_SUM: Final = {"graphMode": "none", "textMode": "value_and_name", "reduceOptions": {"calcs": ["sum"], "fields": ""}}
_LEVELS: Final = ((None, "green"), (0.5, "purple"), (1, "blue"), (2, "yellow"), (3, "orange"), (4, "dark-red"))
_MAP_OPTIONS: Final[dict[str, Any]] = {
    "view": {"id": "fit", "allLayers": True, "lat": 0, "lon": 0, "zoom": 10},
    "controls": {"showZoom": True, "mouseWheelZoom": True, "showScale": True, "showAttribution": False},
    # No tile server is assumed: a county intranet names its own here, or keeps the plain ground.
    "basemap": {"type": "xyz", "name": "ground", "config": {"url": "", "attribution": ""}},
    "tooltip": {"mode": "details"},
    "layers": [
        {
            "type": "markers",
            "name": "sites",
            "tooltip": True,
            "location": {"mode": "coords", "latitude": "latitude", "longitude": "longitude"},
            "config": {
                "showLegend": False,
                "style": {
                    "color": {"field": "value", "fixed": "green"},
                    "size": {"fixed": 8, "min": 4, "max": 15},
                    "symbol": {"fixed": "img/icons/marker/circle.svg", "mode": "fixed"},
                    "opacity": 0.9,
                },
            },
        }
    ],
}


def _figure(key: str, sql: str, *steps: tuple[float | None, str]) -> Panel:
    return Panel(key=key, kind="stat", width=4, height=5, questions=[Records(sql=sql)], options=_BIG, thresholds=steps)


def _year(aggregate: str) -> Measure:
    return Measure(
        metric="active_power_w",
        aggregate="max" if aggregate == "max" else "mean",
        by="",
        site=False,
        tier=Tier.DAYS,
        window="1d",
        legend=aggregate,
    )


BOARD: Final = Board(
    key="overview",
    time_from="now/d",
    panels=(
        Panel(
            key="open_by_level",
            kind="stat",
            width=8,
            height=5,
            questions=[Records(sql=_OPEN)],
            options={**_BIG, "textMode": "value_and_name"},
            columns={"level": Column(words="level")},
            thresholds=((None, "green"), (1, "orange")),
        ),
        _figure("unanswered", _UNANSWERED, (None, "green"), (1, "red")),
        _figure("silent_sites", _SILENT, (None, "green"), (1, "orange")),
        _figure("illegal_this_month", _ILLEGAL, (None, "green"), (1, "orange"), (2, "dark-red")),
        Panel(
            key="people_today",
            kind="stat",
            width=4,
            height=5,
            questions=[
                Measure(metric=f"person_{way}_count", aggregate="sum", by="", site=False, legend=way)
                for way in ("in", "out")
            ],
            options=_SUM,
        ),
        Panel(
            key="map",
            kind="geomap",
            width=12,
            height=13,
            questions=[Records(sql=_MAP)],
            columns={"value": Column(words="level"), "site": Column(), "site_id": Column(link="site")},
            thresholds=_LEVELS,
            options=_MAP_OPTIONS,
        ),
        Panel(
            key="open_list",
            kind="table",
            width=12,
            height=13,
            questions=[Records(sql=_LIST)],
            columns={
                "opened_at": Column(unit="dateTimeAsLocal"),
                "level": Column(words="level"),
                "site": Column(),
                "sentence": Column(),
                "state": Column(words="state"),
                "incident_id": Column(link="incident"),
                "site_id": Column(link="site"),
            },
        ),
        Panel(
            key="declared_against_power",
            kind="table",
            width=12,
            height=10,
            questions=[
                Records(sql=_DECLARED),
                Measure(
                    metric="active_power_w", aggregate="max", by="site_id", site=False, whole=True, tier=Tier.MINUTES
                ),
            ],
            join="site_id",
            sort="value",
            columns={
                "site": Column(),
                "site_id": Column(link="site"),
                "declared_status": Column(words="declared"),
                "value": Column(unit="watt"),
            },
        ),
        Panel(
            key="silent_list",
            kind="table",
            width=12,
            height=10,
            questions=[Records(sql=_SILENT_LIST)],
            columns={
                "site": Column(),
                "node_id": Column(),
                "state": Column(words="online"),
                "state_at": Column(unit="dateTimeAsLocal"),
                "site_id": Column(link="site"),
            },
        ),
        Panel(
            key="power_year",
            kind="timeseries",
            width=24,
            height=8,
            questions=[_year("max"), _year("mean")],
            unit="watt",
            time_from="365d",
        ),
    ),
)
