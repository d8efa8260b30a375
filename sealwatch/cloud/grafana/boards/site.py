"""One site: power with recognised load events, cameras, counts, seal, health; incidents as annotations."""

from __future__ import annotations

from typing import Final

from sealwatch.cloud.grafana.panels import BARS, TIMELINE, Board, Column, Panel
from sealwatch.cloud.grafana.queries import Aggregate, Measure, Records
from sealwatch.cloud.telemetry.reading import Tier

_INCIDENTS: Final = """
SELECT opened_at, level, sentence_{lang} AS sentence, state, closure, incident_id FROM grafana.incidents
WHERE site_id = '$site' ORDER BY opened_at DESC LIMIT 50
"""


def _lines(key: str, width: int, unit: str, *metrics: str, aggregate: Aggregate = "max") -> Panel:
    questions = [Measure(metric=metric, aggregate=aggregate) for metric in metrics]
    return Panel(key=key, kind="timeseries", width=width, height=8, questions=questions, unit=unit)


BOARD: Final = Board(
    key="site",
    pick_site=True,
    annotate=True,
    panels=(
        Panel(
            key="power",
            kind="timeseries",
            width=16,
            height=10,
            questions=[
                Measure(metric="active_power_w", aggregate="max"),
                Measure(metric="load_step_w", aggregate="max", legend="load event"),
            ],
            unit="watt",
            custom={"fillOpacity": 10, "lineWidth": 1, "spanNulls": False, "showPoints": "auto"},
        ),
        Panel(
            key="load_events",
            kind="timeseries",
            width=8,
            height=10,
            questions=[Measure(metric="load_event_count", aggregate="sum", by="", window="1h", legend="events")],
            custom=BARS,
        ),
        Panel(
            key="phases",
            kind="timeseries",
            width=12,
            height=8,
            questions=[
                Measure(metric=f"active_power_{phase}_w", aggregate="max", by="", legend=phase.upper())
                for phase in "abc"
            ],
            unit="watt",
        ),
        _lines("energy", 12, "watth", "forward_energy_wh"),
        Panel(
            key="cameras",
            kind="state-timeline",
            width=24,
            height=7,
            questions=[Measure(metric="camera_fault_code", aggregate="last")],
            words="camera_fault",
            options=TIMELINE,
        ),
        Panel(
            key="counts",
            kind="timeseries",
            width=12,
            height=8,
            questions=[
                Measure(metric="person_in_count", aggregate="sum", legend="in {by}"),
                Measure(metric="person_out_count", aggregate="sum", legend="out {by}"),
                Measure(metric="vehicle_in_count", aggregate="sum", legend="vehicle in {by}"),
                Measure(metric="vehicle_out_count", aggregate="sum", legend="vehicle out {by}"),
            ],
            custom=BARS,
        ),
        _lines("motion", 12, "percentunit", "motion_ratio_max"),
        _lines("storage_days", 12, "d", "storage_days", aggregate="min"),
        _lines("seal_change", 12, "percentunit", "seal_change_score"),
        Panel(
            key="health",
            kind="state-timeline",
            width=12,
            height=8,
            questions=[Measure(metric="part_ok", aggregate="min")],
            words="ok",
            options=TIMELINE,
        ),
        Panel(
            key="incidents",
            kind="table",
            width=12,
            height=8,
            questions=[Records(sql=_INCIDENTS)],
            columns={
                "opened_at": Column(unit="dateTimeAsLocal"),
                "level": Column(words="level"),
                "sentence": Column(),
                "state": Column(words="state"),
                "closure": Column(words="closure"),
                "incident_id": Column(link="incident"),
            },
        ),
        Panel(
            key="power_year",
            kind="timeseries",
            width=24,
            height=8,
            questions=[Measure(metric="active_power_w", aggregate="max", tier=Tier.DAYS, window="1d")],
            unit="watt",
            time_from="365d",
        ),
    ),
)
