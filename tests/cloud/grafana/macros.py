"""Grafana's own substitutions, as far as our queries use them: what Grafana does before a data source is asked."""

from __future__ import annotations

import re


def influxql(query: str, *, county: str, site: str, from_ms: int, to_ms: int, interval: str) -> str:
    """`$timeFilter`, `$__interval`, `$county`, `$site`."""
    return (
        query.replace("$timeFilter", f"time >= {from_ms}ms and time <= {to_ms}ms")
        .replace("$__interval", interval)
        .replace("$county", county)
        .replace("$site", site)
    )


def metricsql(query: str, *, county: str, site: str, from_ms: int, to_ms: int, interval: str) -> str:
    """`$__range`, `$__interval`, `$county`, `$site`."""
    return (
        query.replace("$__range", f"{(to_ms - from_ms) // 1000}s")
        .replace("$__interval", interval)
        .replace("$county", county)
        .replace("$site", site)
    )


def sql(query: str, *, site: str, from_ms: int, to_ms: int) -> str:
    """`$__timeFilter(column)`, `$site`."""
    between = rf"\1 BETWEEN to_timestamp({from_ms / 1000}) AND to_timestamp({to_ms / 1000})"
    return re.sub(r"\$__timeFilter\((\w+)\)", between, query).replace("$site", site)
