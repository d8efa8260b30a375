"""Columns as InfluxDB line protocol: one measurement, one line a moment, one field a metric.

A gap can't be stored as such: an absent field is no point at all. It is written as the field ``<metric>_gap``, so that
a silent meter still breaks the line; a measurement of the same moment outranks it when read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from sealwatch.cloud.telemetry import columns
from sealwatch.cloud.telemetry.columns import Columns

RAW = "samples"
GAP = "_gap"
_SPECIAL = str.maketrans({",": r"\,", " ": r"\ ", "=": r"\="})


def tag(value: str) -> str:
    """A tag key or value, or a field name, as line protocol wants it. Raises ValueError for a line break."""
    if "\n" in value or "\r" in value or value.endswith("\\"):
        raise ValueError(f"{value!r} can't be a tag: it holds a line break or ends in a backslash")
    return value.translate(_SPECIAL)


def head(measurement: str, *, county: str, site_id: str, node_id: str, source_id: str) -> str:
    """Measurement and tags, in the order of their names; an empty tag is left out."""
    tags = {"county": county, "node_id": node_id, "site_id": site_id, "source_id": source_id}
    return measurement + "".join(f",{name}={tag(value)}" for name, value in tags.items() if value)


def encode(block: Columns, *, county: str = "", measurement: str = RAW) -> Iterator[str]:
    """One line for each moment, times in milliseconds. Raises ValueError where a column and its times differ."""
    columns.check(block.at_ms, block.values)
    start = head(measurement, county=county, site_id=block.site_id, node_id=block.node_id, source_id=block.source_id)
    names = [tag(name) for name in block.values]
    isfinite = math.isfinite
    for at_ms, *row in zip(block.at_ms, *block.values.values(), strict=True):
        fields = ",".join(
            [
                f"{name}={float(value)!r}" if value is not None and isfinite(value) else f"{name}{GAP}=1"
                for name, value in zip(names, row, strict=True)
            ]
        )
        if fields:
            yield f"{start} {fields} {at_ms}"
