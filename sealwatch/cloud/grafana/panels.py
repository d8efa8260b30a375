"""What a dashboard is made of: panels as plain values, turned into Grafana's model by its own SDK.

Only what Grafana 9.3 knows is used: panel types of core, schema version 37, `joinByField`, `organize`, `sortBy`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from sealwatch.base import text
from sealwatch.cloud.grafana.queries import Question, Records, Sources, targets
from sealwatch.contract.codes import Closure, DeclaredStatus, Level, VideoFault

SCHEMA_VERSION: Final = 37  # of Grafana 9.3; newer ones bring it up to date as they load it
MIXED: Final = model.DataSourceRef(type_val="datasource", uid="-- Mixed --")

Kind = Literal[
    "stat", "table", "timeseries", "state-timeline", "status-history", "geomap", "barchart", "bargauge", "piechart"
]
Words = Literal["level", "state", "declared", "camera_fault", "closure", "ok", "online", "page_state"]
BARS: Final[Mapping[str, Any]] = {"drawStyle": "bars", "fillOpacity": 60}
TIMELINE: Final[Mapping[str, Any]] = {
    "showValue": "auto",
    "mergeValues": True,
    "rowHeight": 0.8,
    "alignValue": "left",
    "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom"},
}
_COLOURS: Final = {"red": "dark-red", "orange": "orange", "yellow": "yellow", "blue": "blue"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What a named column shows: words for its values, a unit, a link."""

    words: Words | None = None
    unit: str = ""
    link: Literal["incident", "site", ""] = ""
    hidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel. Its title is `grafana.<board>.<key>` of the catalogue."""

    key: str
    kind: Kind
    width: int
    height: int
    questions: Sequence[Question]
    unit: str = ""
    words: Words | None = None  # for the values of the panel itself
    thresholds: Sequence[tuple[float | None, str]] = ()
    columns: Mapping[str, Column] = field(default_factory=dict)
    join: str = ""  # table: rows of all questions joined by this column
    sort: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    custom: Mapping[str, Any] = field(default_factory=dict)
    time_from: str = ""
    link: Literal["incident", "site", ""] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A dashboard: `key` names it in uids, files and the catalogue."""

    key: str
    panels: Sequence[Panel]
    time_from: str = "now-24h"
    refresh: str = "1m"
    pick_site: bool = False
    annotate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """For whom a dashboard is made."""

    sources: Sources
    language: str = "zh"
    service_url: str = "http://127.0.0.1:8000"


def board_uid(key: str, county: str) -> str:
    """At most 40 characters, the same at every installation, so that links hold."""
    return f"seal-{key}-{county}" if county else f"seal-{key}"


def _say(look: Look, key: str) -> str:
    return text.say(look.language, key)


def mappings(words: Words, look: Look) -> list[dict[str, Any]]:
    """Value mappings: codes into words and colours."""

    def options(pairs: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
        shown = {
            code: {"text": said, "color": colour, "index": i} for i, (code, (said, colour)) in enumerate(pairs.items())
        }
        return [{"type": "value", "options": shown}]

    if words == "level":
        named = {level.value: (_say(look, f"level.{level}"), _COLOURS[level]) for level in Level}
        numbered = {str(4 - level.urgency): (_say(look, f"level.{level}"), _COLOURS[level]) for level in Level}
        return options(named | numbered | {"0": (_say(look, "grafana.word.none"), "green")})
    if words == "declared":
        return options({s.value: (_say(look, f"grafana.declared.{s}"), "text") for s in DeclaredStatus})
    if words == "camera_fault":
        faults = {str(int(f.value)): (_say(look, f"grafana.fault.{f.name.lower()}"), "red") for f in VideoFault}
        rest = {"0": (_say(look, "grafana.fault.none"), "green"), "10": (_say(look, "grafana.fault.other"), "red")}
        return options(rest | faults)
    if words == "closure":
        return options({str(int(c)): (_say(look, f"grafana.closure.{c.name.lower()}"), "text") for c in Closure})
    fixed: dict[str, dict[str, str]] = {
        "state": {
            "detected": "red",
            "reopened": "red",
            "notified": "orange",
            "shelved": "yellow",
            "acknowledged": "blue",
            "dispatched": "blue",
            "on_site": "blue",
            "verified": "blue",
            "handled": "purple",
            "closed": "green",
        },
        "page_state": {
            "due": "text",
            "sending": "text",
            "submitted": "orange",
            "failed": "red",
            "answered": "green",
            "cancelled": "text",
        },
        "ok": {"1": "green", "0": "red"},
        "online": {"online": "green", "offline": "red", "unknown": "orange", "1": "green", "0": "red"},
    }
    return options({code: (_say(look, f"grafana.{words}.{code}"), colour) for code, colour in fixed[words].items()})


def _link(target: str, look: Look, value: str) -> dict[str, Any]:
    if target == "incident":
        return {"title": _say(look, "grafana.link.incident"), "url": f"{look.service_url}/incidents/{value}",
                "targetBlank": True}  # fmt: skip
    uid = board_uid("site", look.sources.county)
    return {"title": _say(look, "grafana.link.site"), "url": f"/d/{uid}?var-site={value}&${{__url_time_range}}"}


def _overrides(panel: Panel, look: Look) -> list[dict[str, Any]]:
    found = []
    for name, column in panel.columns.items():
        properties: list[dict[str, Any]] = [
            {"id": "displayName", "value": _say(look, f"grafana.column.{name}")},
        ]
        if column.words:
            properties.append({"id": "mappings", "value": mappings(column.words, look)})
            properties.append({"id": "custom.displayMode", "value": "color-text"})
        if column.unit:
            properties.append({"id": "unit", "value": column.unit})
        if column.link:
            properties.append({"id": "links", "value": [_link(column.link, look, "${__value.raw}")]})
        if column.hidden:
            properties.append({"id": "custom.hidden", "value": True})
        found.append({"matcher": {"id": "byName", "options": name}, "properties": properties})
    return found


def _transformations(panel: Panel) -> list[model.DataTransformerConfig]:
    found = []
    if panel.join:
        found.append(
            model.DataTransformerConfig(id_val="joinByField", options={"byField": panel.join, "mode": "outer"})
        )
        # Each engine brings a time with its value; only the value is wanted.
        found.append(
            model.DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": dict.fromkeys(("Time", "time", "Time 1", "Time 2", "time 1", "time 2"), True),
                    "indexByName": {},
                    "renameByName": {"Value #B": "value", "value #B": "value", "Value": "value", "Value #C": "value 2",
                                     "value 1": "value", "Value 1": "value", "Value 2": "value 2"},
                },
            )
        )  # fmt: skip
    if panel.sort:
        options = {"fields": {}, "sort": [{"field": panel.sort, "desc": True}]}
        found.append(model.DataTransformerConfig(id_val="sortBy", options=options))
    return found


def build_panel(board: Board, panel: Panel, look: Look, number: int, place: model.GridPos) -> build.Panel:
    """A panel in Grafana's model."""
    defaults: dict[str, Any] = {"custom": dict(panel.custom)}
    if panel.unit:
        defaults["unit"] = panel.unit
    if panel.words:
        defaults["mappings"] = mappings(panel.words, look)
    if panel.thresholds:
        steps = [{"value": value, "color": colour} for value, colour in panel.thresholds]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
        defaults["color"] = {"mode": "thresholds"}
    if panel.link:
        defaults["links"] = [_link(panel.link, look, "${__field.labels.site_id}")]
    mixed = len({isinstance(question, Records) for question in panel.questions}) == 2
    first = targets(panel.questions, look.sources, look.language)
    made = (
        build.Panel()
        .type(panel.kind)
        .id(number)
        .title(_say(look, f"grafana.{board.key}.{panel.key}"))
        .datasource(MIXED if mixed else first[0].source)
        .grid_pos(place)
        .options(dict(panel.options))
        .field_config(_Plain({"defaults": defaults, "overrides": _overrides(panel, look)}))  # type: ignore[arg-type]  # anything with to_json
        .transformations(_transformations(panel))
    )
    for query in first:
        made.with_target(query)
    if panel.time_from:
        made.time_from(panel.time_from)
    return made


class _Plain:
    """A piece of JSON where the SDK wants a model: overrides and defaults of any panel type."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._data = data

    def to_json(self) -> dict[str, Any]:
        return self._data


def _site_variable(look: Look) -> build.QueryVariable:
    sql = f"SELECT name_{look.language} AS __text, site_id AS __value FROM grafana.sites ORDER BY 1"  # noqa: S608 - zh or en
    return (
        build.QueryVariable("site")
        .label(_say(look, "grafana.word.site"))
        .datasource(look.sources.records())
        .query(sql)
        .refresh(model.VariableRefresh.ON_DASHBOARD_LOAD)
    )


def _annotations(look: Look) -> list[dict[str, Any]]:
    """Incidents of the chosen site, and the windows in which work is announced there."""
    incidents = (
        "SELECT opened_at_ms AS time, coalesce(closed_at_ms, opened_at_ms) AS timeend, sentence_{lang} AS text, "
        "level AS tags FROM grafana.incidents WHERE site_id = '$site' AND $__timeFilter(opened_at) "
        "ORDER BY opened_at_ms"
    ).replace("{lang}", look.language)
    permits = (
        "SELECT from_ms AS time, to_ms AS timeend, purpose AS text, round(max_power_w) || ' W' AS tags "
        "FROM grafana.permits WHERE site_id = '$site' AND to_at >= $__timeFrom() AND from_at <= $__timeTo() "
        "ORDER BY from_ms"
    )
    return [
        _annotation(look, "grafana.word.incidents", "red", incidents),
        _annotation(look, "grafana.word.permits", "blue", permits),
    ]


def _annotation(look: Look, name: str, colour: str, sql: str) -> dict[str, Any]:
    return {
        "name": _say(look, name),
        "datasource": look.sources.records(),
        "enable": True,
        "hide": False,
        "iconColor": colour,
        "rawQuery": sql,
        "target": {"refId": "Anno", "rawSql": sql, "rawQuery": True, "format": "table", "editorMode": "code"},
    }


def render(board: Board, look: Look) -> dict[str, Any]:
    """The dashboard as the JSON that Grafana loads."""
    county = look.sources.county
    made = (
        build.Dashboard(_say(look, f"grafana.{board.key}.title"))
        .uid(board_uid(board.key, county))
        .tags(["sealwatch"])
        .timezone("browser")
        .time(board.time_from, "now")
        .refresh(board.refresh)
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .with_variable(build.ConstantVariable("county").value(county))
        .link(
            build.DashboardLink(_say(look, "grafana.link.boards"))
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags(["sealwatch"])
            .as_dropdown(True)
            .keep_time(True)
        )
    )
    if board.pick_site:
        made.with_variable(_site_variable(look))
    x = y = row_height = 0
    for number, panel in enumerate(board.panels, start=1):
        if x + panel.width > 24:
            x, y, row_height = 0, y + row_height, 0
        place = model.GridPos(x=x, y=y, w=panel.width, h=panel.height)
        made.with_panel(build_panel(board, panel, look, number, place))
        x, row_height = x + panel.width, max(row_height, panel.height)
    whole = made.build()
    whole.schema_version = SCHEMA_VERSION
    found: dict[str, Any] = json.loads(json.dumps(whole, cls=JSONEncoder))
    if board.annotate:  # the SDK knows no annotation over SQL
        found["annotations"] = {"list": json.loads(json.dumps(_annotations(look), cls=JSONEncoder))}
    found["templating"]["list"][0]["hide"] = 2  # a constant is nothing to choose
    found["version"] = 1
    return found
