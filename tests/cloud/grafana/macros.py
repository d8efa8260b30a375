"""Grafana's own substitutions, as far as our queries use them: what Grafana does before a data source is asked."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What the dashboard's variables and its time picker say."""

    county: str
    site: str
    from_ms: int
    to_ms: int


def influxql(query: str, span: Span, *, interval: str) -> str:
    """`$timeFilter`, `$__interval`, `$county`, `$site`."""
    return _variables(query, span, interval).replace(
        "$timeFilter", f"time >= {span.from_ms}ms and time <= {span.to_ms}ms"
    )


def metricsql(query: str, span: Span, *, interval: str) -> str:
    """`$__range`, `$__interval`, `$county`, `$site`."""
    return _variables(query, span, interval).replace("$__range", f"{(span.to_ms - span.from_ms) // 1000}s")


def sql(query: str, span: Span) -> str:
    """`$__timeFilter(column)`, `$__timeFrom()`, `$__timeTo()`, `$site`."""
    query = query.replace("$__timeFrom()", f"to_timestamp({span.from_ms / 1000})")
    query = query.replace("$__timeTo()", f"to_timestamp({span.to_ms / 1000})")
    between = rf"\1 BETWEEN to_timestamp({span.from_ms / 1000}) AND to_timestamp({span.to_ms / 1000})"
    return re.sub(r"\$__timeFilter\((\w+)\)", between, query).replace("$site", span.site)


def _variables(query: str, span: Span, interval: str) -> str:
    return query.replace("$__interval", interval).replace("$county", span.county).replace("$site", span.site)
