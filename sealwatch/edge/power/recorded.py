"""Recorded power from CSV: a header with ``t`` (Unix seconds or ISO 8601) and ``active_power_w``; others are left.

`columns` tells what else the columns may be called, and where the three phases stand; without a total they are added
up, and powers in kW are turned to W.

CommandFailed   the file holds no usable row
UsageError      the file can't be read or its header lacks a column
"""

from __future__ import annotations

import codecs
import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from sealwatch.base.errors import UsageError
from sealwatch.edge.power.columns import Columns, find_columns
from sealwatch.edge.power.edges import Array
from sealwatch.edge.power.order import ascending

_CHUNK_BYTES = 1 << 22
_LATEST_S = 4e9  # the year 2096: anything above is milliseconds
_HEAD_BYTES = 1 << 16
_GROUPED = re.compile(r"^[-+]?\d{1,3}(,\d{3})+(\.\d*)?$")
_SLASHES = re.compile(r"^(\d{4})[/.年](\d{1,2})[/.月](\d{1,2})日?(.*)$")


@dataclass
class Rows:
    """What became of the rows, and the first that could not be read."""

    taken: int = 0
    unreadable: int = 0
    out_of_order: int = 0
    example: str = ""


class Chunk(NamedTuple):
    """Rows in order of time: Unix seconds, total active power and that of the three phases (n x 3, NaN: not known)."""

    t_s: Array
    power_w: Array
    phases_w: Array


def read_power(path: Path, rows: Rows) -> Iterator[Chunk]:
    """Chunks of times and active powers, in order; counts go to `rows`. Raises UsageError."""
    try:
        with path.open("rb") as file:
            encoding = _encoding(file.read(_HEAD_BYTES))
        with path.open(encoding=encoding, errors="replace", newline="") as text:
            yield from _chunks(path, text, rows)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; name an existing CSV file") from None


def _encoding(head: bytes) -> str:
    """UTF-8 or UTF-16 by its mark; else GB 18030, which Chinese spreadsheets write, where it is no UTF-8."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "gb18030"
    return "utf-8-sig"


def _header(file: IO[str]) -> str:
    """The first line that is neither empty nor a remark."""
    while (line := file.readline(_HEAD_BYTES)) and (not line.strip() or line.startswith("#")):
        pass
    return line


def _chunks(path: Path, file: IO[str], rows: Rows) -> Iterator[Chunk]:
    columns = find_columns(path, _header(file))
    last_s = -math.inf
    # The last row waits for those behind it: alone it can't be told whether its clock ran ahead.
    held: tuple[Array, Array] = (np.empty(0), np.empty((0, 4)))
    while True:
        lines = file.readlines(_CHUNK_BYTES)
        t_s, powers_w = held
        if lines:
            t_s, powers_w = _parse(lines, columns, rows)
            t_s, powers_w = np.concatenate((held[0], t_s)), np.concatenate((held[1], powers_w))
        order = ascending(t_s, last_s)
        rows.out_of_order += len(t_s) - len(order)
        t_s, powers_w = t_s[order], powers_w[order]
        if lines:
            held, t_s, powers_w = (t_s[-1:], powers_w[-1:]), t_s[:-1], powers_w[:-1]
        if len(t_s):
            last_s = float(t_s[-1])
            rows.taken += len(t_s)
            yield Chunk(t_s, powers_w[:, 0], powers_w[:, 1:])
        if not lines:
            return


def _parse(lines: list[str], columns: Columns, rows: Rows) -> tuple[Array, Array]:
    """Times and powers of the rows that hold both: the fast way for plain numbers, else row by row."""
    if columns.clock is not None:
        return _parse_slowly(lines, columns, rows)
    try:
        cells = np.array(columns.delimiter.join(lines).split(columns.delimiter), dtype=np.float64)
        cells = cells.reshape(len(lines), columns.width)
    except ValueError:
        return _parse_slowly(lines, columns, rows)
    t_s = _to_seconds(cells[:, columns.time])
    if (np.diff(t_s) <= 0).any():
        # Cells that slid from one ragged row into the next would look like this too.
        return _parse_slowly(lines, columns, rows)
    return _finite(t_s, columns.powers(cells), lines, rows)


def _parse_slowly(lines: list[str], columns: Columns, rows: Rows) -> tuple[Array, Array]:
    wanted = {*columns.phases, *(() if columns.total is None else (columns.total,))}
    kept = [line for line in lines if line.strip()]
    times = np.full(len(kept), np.nan)
    cells = np.full((len(kept), columns.width), np.nan)
    for k, line in enumerate(kept):
        try:
            row = next(csv.reader([line], delimiter=columns.delimiter))
            times[k] = seconds(columns.moment(row))
        except (ValueError, IndexError, OverflowError, csv.Error):
            continue
        for place in wanted:
            if place < len(row):
                cells[k, place] = _number(row[place], comma="." if columns.delimiter != "," else "")
    return _finite(times, columns.powers(cells), kept, rows)


def _number(cell: str, *, comma: str) -> float:
    """What a cell holds; NaN for what is no number. A comma groups digits (1,234.5), or, where it does not part cells,
    begins the decimals."""
    cell = cell.strip()
    if comma and cell.count(",") == 1 and "." not in cell:
        cell = cell.replace(",", comma)
    elif _GROUPED.match(cell):
        cell = cell.replace(",", "")
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _finite(t_s: Array, powers_w: Array, lines: list[str], rows: Rows) -> tuple[Array, Array]:
    good = np.isfinite(t_s) & np.isfinite(powers_w[:, 0])
    rows.unreadable += int((~good).sum())
    if not rows.example and not good.all():
        rows.example = lines[int(np.flatnonzero(~good)[0])].strip()[:80]
    return t_s[good], powers_w[good]


def _to_seconds(value: Array) -> Array:
    """Milliseconds become seconds; what is no moment of our time becomes NaN."""
    t_s = np.where(value > _LATEST_S, value / 1000.0, value)
    return np.where((t_s >= 0) & (t_s <= _LATEST_S), t_s, np.nan)


def seconds(text: str) -> float:
    """Unix seconds from seconds, milliseconds, ISO 8601 or ``2024/5/6 8:00`` (UTC where no zone is given); NaN outside
    1970 to 2096. Raises ValueError."""
    text = text.strip()
    try:
        value = float(text)
    except ValueError:
        return _moment(text)
    return float(_to_seconds(np.array([value]))[0])


def _moment(text: str) -> float:
    found = _SLASHES.match(text)
    if found:
        year, month, day, rest = found.groups()
        clock = [part.zfill(2) for part in rest.strip().split(":")] if rest.strip() else ["00"]
        text = f"{year}-{month.zfill(2)}-{day.zfill(2)}T{':'.join([*clock, '00'] if len(clock) == 1 else clock)}"
    moment = datetime.fromisoformat(text)
    t_s = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return t_s if 0 <= t_s <= _LATEST_S else math.nan
