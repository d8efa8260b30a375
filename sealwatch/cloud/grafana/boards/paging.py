"""Paging and duty: how fast people answer, who can't be reached, which channel fails."""

from __future__ import annotations

from typing import Final

from sealwatch.cloud.grafana.panels import BARS, Board, Column, Panel
from sealwatch.cloud.grafana.queries import Measure, Records

_BY_LEVEL: Final = """
SELECT level, count(*) AS incidents,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM acknowledged_at - opened_at)) AS median_s,
  percentile_cont(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM acknowledged_at - opened_at)) AS p90_s
FROM grafana.incidents WHERE acknowledged_at IS NOT NULL AND $__timeFilter(opened_at) GROUP BY level ORDER BY level
"""
_BY_PERSON: Final = """
SELECT person, person_level, count(*) AS pages, count(answered_at) AS answered,
  percentile_cont(0.5) WITHIN GROUP (ORDER BY answer_s) AS median_s
FROM grafana.pages WHERE submitted_at IS NOT NULL AND $__timeFilter(submitted_at)
GROUP BY person, person_level ORDER BY 5 DESC NULLS FIRST
"""
_UNREACHABLE: Final = """
SELECT person, person_level, count(*) AS pages, max(submitted_at) AS last_at FROM grafana.pages
WHERE submitted_at IS NOT NULL AND $__timeFilter(submitted_at)
GROUP BY person, person_level HAVING count(answered_at) = 0 ORDER BY 3 DESC
"""
_CHANNELS: Final = """
SELECT channel, count(*) FILTER (WHERE state = 'failed') AS failed, count(*) AS pages FROM grafana.pages
WHERE $__timeFilter(due_at) GROUP BY channel ORDER BY 2 DESC
"""
_FAILURES: Final = """
SELECT due_at, person, channel, attempts, outcome, incident_id FROM grafana.pages
WHERE state = 'failed' AND $__timeFilter(due_at) ORDER BY due_at DESC LIMIT 100
"""
_WAITING: Final = """
SELECT submitted_at, level, person, channel, incident_id, site_id FROM grafana.pages
WHERE state = 'submitted' AND incident_state IN ('detected', 'notified') ORDER BY submitted_at LIMIT 100
"""
_WHEN: Final = Column(unit="dateTimeAsLocal")


def _table(key: str, width: int, sql: str, **columns: Column) -> Panel:
    return Panel(key=key, kind="table", width=width, height=9, questions=[Records(sql=sql)], columns=columns)


BOARD: Final = Board(
    key="paging",
    time_from="now-30d",
    panels=(
        _table(
            "by_level",
            12,
            _BY_LEVEL,
            level=Column(words="level"),
            incidents=Column(),
            median_s=Column(unit="s"),
            p90_s=Column(unit="s"),
        ),
        _table(
            "waiting",
            12,
            _WAITING,
            submitted_at=_WHEN,
            level=Column(words="level"),
            person=Column(),
            channel=Column(),
            incident_id=Column(link="incident"),
            site_id=Column(link="site"),
        ),
        _table(
            "by_person",
            12,
            _BY_PERSON,
            person=Column(),
            person_level=Column(),
            pages=Column(),
            answered=Column(),
            median_s=Column(unit="s"),
        ),
        _table("unreachable", 12, _UNREACHABLE, person=Column(), person_level=Column(), pages=Column(), last_at=_WHEN),
        Panel(
            key="channels",
            kind="barchart",
            width=8,
            height=9,
            questions=[Records(sql=_CHANNELS)],
            columns={"channel": Column(), "failed": Column(), "pages": Column()},
        ),
        _table(
            "failures",
            16,
            _FAILURES,
            due_at=_WHEN,
            person=Column(),
            channel=Column(),
            attempts=Column(),
            outcome=Column(),
            incident_id=Column(link="incident"),
        ),
        Panel(
            key="attempts",
            kind="timeseries",
            width=12,
            height=8,
            questions=[
                Measure(metric="page_attempt_count", aggregate="sum", by="", site=False, window="1h", legend="pages"),
                Measure(metric="page_failed_count", aggregate="sum", by="", site=False, window="1h", legend="failed"),
            ],
            custom=BARS,
        ),
        Panel(
            key="answer_time",
            kind="timeseries",
            width=12,
            height=8,
            questions=[Measure(metric="page_answer_time_s", aggregate="max", site=False, window="1h")],
            unit="s",
            custom={"drawStyle": "points", "pointSize": 7},
        ),
    ),
)
