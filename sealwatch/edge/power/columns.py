"""Which columns of a recording hold the time and the powers, by the many names that they go by."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from sealwatch.base.errors import UsageError
from sealwatch.edge.power.edges import Array

_TIMES: Final = (
    "t", "ts", "timestamp", "time", "datetime", "unix", "epoch", "unixtime", "times", "date",
    "时间", "采集时间", "数据时间", "日期时间", "时间戳", "日期",
)  # fmt: skip
"""Names of a time without blanks and underscores (``t_s`` is ``ts``); the first that is there is taken."""
_DATES: Final = ("date", "日期")
_CLOCKS: Final = ("time", "时间")
_TOTALS: Final = (
    "activepower", "totalactivepower", "activepowertotal", "power", "totalpower", "powertotal", "p", "ptotal", "pt",
    "ptot", "psum", "总有功功率", "有功功率", "瞬时总有功功率", "有功", "总功率", "功率",
)  # fmt: skip
_UNITS: Final = {"w": 1.0, "瓦": 1.0, "kw": 1000.0, "千瓦": 1000.0, "mw": 1e6, "兆瓦": 1e6}
_WITH_UNIT: Final = re.compile(r"^(.*?)[\s_.\-/]*[(\[]?\s*(kw|mw|w|千瓦|兆瓦|瓦)\s*[)\]]?$")
_POWER: Final = r"(?:activepower|power|p|有功功率|瞬时有功功率|功率)"
_PHASE: Final = re.compile(rf"^(?:{_POWER}(?:phase|ph)?l?([abc123])|(?:phase|ph)?l?([abc123])(?:相|phase)?{_POWER})$")


@dataclass(frozen=True)
class Columns:
    """Where the time and the powers stand among `width` cells, and the factors to W. `clock`: the time of day, where
    the day stands apart; `total` None: the phases' sum; `phases` empty: not recorded."""

    time: int
    clock: int | None
    total: int | None
    factor: float
    phases: tuple[int, ...]
    phase_factor: float
    width: int
    delimiter: str

    def powers(self, cells: Array) -> Array:
        """Total and phases (n x 4) from all cells of some rows (n x width)."""
        found = np.full((len(cells), 4), np.nan)
        if self.phases:
            found[:, 1:] = cells[:, list(self.phases)] * self.phase_factor
        found[:, 0] = found[:, 1:].sum(axis=1) if self.total is None else cells[:, self.total] * self.factor
        return found

    def moment(self, row: Sequence[str]) -> str:
        """The time of a row as it is written. Raises IndexError where the row is too short."""
        return row[self.time] if self.clock is None else f"{row[self.time].strip()} {row[self.clock].strip()}"


def find_columns(path: Path, header: str) -> Columns:
    """The columns that a header names. Raises UsageError where time or power are missing, or a power has no unit."""
    delimiter = max(",;\t", key=header.count)
    written = [name.strip().strip('"').strip() for name in header.rstrip("\r\n").split(delimiter)]
    names = [name.lower().translate(str.maketrans("（）［］", "()[]")) for name in written]
    bare = [re.sub(r"[\s_.\-]", "", name) for name in names]
    time = next((bare.index(name) for name in _TIMES if name in bare), None)
    date = next((bare.index(name) for name in _DATES if name in bare), None)
    clock = next((bare.index(name) for name in _CLOCKS if name in bare), None)
    apart = date is not None and clock is not None and time in (date, clock)
    powers = [_power(name) for name in names]
    total = next((k for wanted in _TOTALS for k, (base, _) in enumerate(powers) if base == wanted), None)
    phases, phase_factor = _phases(powers)
    if time is None or (total is None and not phases):
        without = next((w for w, b in zip(written, bare, strict=True) if b in _TOTALS or _PHASE.match(b)), None)
        if time is not None and without is not None:
            raise UsageError(f"{path}: the column '{without}' has no unit; call it {without}_w or {without}_kw")
        lacks = " and ".join(
            n for n, there in (("t", time is not None), ("active_power_w", total is not None or phases)) if not there
        )
        raise UsageError(
            f"{path}: the header lacks {lacks}; the first line must name the columns, such as: t,active_power_w"
        )
    return Columns(
        time=date if apart and date is not None else time,
        clock=clock if apart else None,
        total=total,
        factor=powers[total][1] if total is not None else 1.0,
        phases=phases,
        phase_factor=phase_factor,
        width=len(names),
        delimiter=delimiter,
    )


def _power(name: str) -> tuple[str, float]:
    """The name of a power without its unit, blanks and underscores, and the factor to W; ("", 0) for other columns."""
    found = _WITH_UNIT.match(name)
    if found is None:
        return "", 0.0
    return re.sub(r"[\s_.\-]", "", found[1]), _UNITS[found[2]]


def _phases(powers: Sequence[tuple[str, float]]) -> tuple[tuple[int, ...], float]:
    """The columns of the three phases in order, where all three are there in one unit."""
    at: dict[str, int] = {}
    for k, (base, _) in enumerate(powers):
        found = _PHASE.match(base)
        if found:
            at.setdefault((found[1] or found[2]).translate(str.maketrans("123", "abc")), k)
    factors = {powers[k][1] for k in at.values()}
    if set(at) != set("abc") or len(factors) != 1:
        return (), 1.0
    return (at["a"], at["b"], at["c"]), factors.pop()
