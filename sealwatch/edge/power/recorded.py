"""Recorded power from CSV: a header with ``t`` (Unix seconds or ISO 8601) and ``active_power_w``; others are left.

CommandFailed   the file holds no usable row
UsageError      the file can't be read or its header lacks a column
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import numpy as np

from sealwatch.base.errors import UsageError
from sealwatch.edge.power.edges import Array

_CHUNK_BYTES = 1 << 22
_LATEST_S = 4e9  # the year 2096: anything above is milliseconds


@dataclass
class Rows:
    """What became of the rows."""

    taken: int = 0
    unreadable: int = 0
    out_of_order: int = 0


def read_power(path: Path, rows: Rows) -> Iterator[tuple[Array, Array]]:
    """Chunks of times (Unix seconds) and active power (W), in order; counts go to `rows`. Raises UsageError."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            yield from _chunks(path, file, rows)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; name an existing CSV file") from None


def _chunks(path: Path, file: IO[str], rows: Rows) -> Iterator[tuple[Array, Array]]:
    header = file.readline()
    delimiter = ";" if header.count(";") > header.count(",") else ","
    names = [name.strip().strip('"').lower() for name in header.rstrip("\r\n").split(delimiter)]
    missing = {"t", "active_power_w"} - set(names)
    if missing:
        raise UsageError(
            f"{path}: the header lacks {' and '.join(sorted(missing))}; the first line must name the columns, "
            "such as: t,active_power_w"
        )
    columns = (names.index("t"), names.index("active_power_w"))
    last_s = -math.inf
    while lines := file.readlines(_CHUNK_BYTES):
        t_s, power_w = _parse(lines, columns, len(names), delimiter, rows)
        finite = np.isfinite(t_s) & np.isfinite(power_w)
        rows.unreadable += int((~finite).sum())
        t_s, power_w = t_s[finite], power_w[finite]
        latest = np.maximum.accumulate(np.concatenate(([last_s], t_s)))[:-1]
        onward = t_s > latest
        rows.out_of_order += int((~onward).sum())
        t_s, power_w = t_s[onward], power_w[onward]
        if len(t_s):
            last_s = float(t_s[-1])
            rows.taken += len(t_s)
            yield t_s, power_w


def _parse(lines: list[str], columns: tuple[int, int], width: int, delimiter: str, rows: Rows) -> tuple[Array, Array]:
    """Two columns of numbers; the fast way for plain numbers, row by row where something else stands."""
    try:
        cells = np.array(delimiter.join(lines).split(delimiter), dtype=np.float64).reshape(-1, width)
    except ValueError:
        return _parse_slowly(lines, columns, delimiter, rows)
    t_s = cells[:, columns[0]]
    return np.where(t_s > _LATEST_S, t_s / 1000.0, t_s), cells[:, columns[1]]


def _parse_slowly(lines: list[str], columns: tuple[int, int], delimiter: str, rows: Rows) -> tuple[Array, Array]:
    times, powers = [], []
    for cells in csv.reader(lines, delimiter=delimiter):
        if not cells:
            continue
        try:
            times.append(seconds(cells[columns[0]]))
            powers.append(float(cells[columns[1]]))
        except (ValueError, IndexError, OverflowError):
            rows.unreadable += 1
            del times[len(powers) :]
    return np.array(times, dtype=np.float64), np.array(powers, dtype=np.float64)


def seconds(text: str) -> float:
    """Unix seconds from seconds, milliseconds or ISO 8601 (UTC where no zone is given). Raises ValueError."""
    text = text.strip()
    try:
        value = float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return value / 1000.0 if value > _LATEST_S else value
