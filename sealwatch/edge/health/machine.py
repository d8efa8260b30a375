"""Whether the machine under the agent will last: heat, power, memory, disk, data, certificate. Decisions without I/O.

Each judgement is a `PartHealth` of kind ``machine``; `health.faults` makes a standing item with advice of one that
lasts, and ends it when it is cured. What a machine does not measure (a virtual one has no temperature, an SD card tells
no wear) is left out and never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sealwatch.contract.messages import PartHealth

KIND: Final = "machine"
HOT_C: Final = 80.0
"""From here on a Raspberry Pi slows itself down (its firmware's soft limit; BCM2711 and BCM2712 datasheets)."""
COOL_AGAIN_C: Final = 75.0
UNDERVOLTED_FOR_S: Final = 600.0
"""A dip lasts milliseconds and comes back with every load: the item stands for this long after the last one."""
LEAST_MEMORY: Final = 0.05
WORN: Final = 9
"""JESD84-B51, EXT_CSD[268/269]: 0x09 means that 80 to 90 % of the device's life is used, 0x0B that it is over."""
CERTIFICATE_DAYS: Final = 30.0
PLAN_NEARLY_USED: Final = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What the machine says of itself; None where it does not measure it.

    `disk_life` is the worse of the two eMMC estimates (1: up to 10 % used ... 10: up to 100 %, 11: over);
    `disk_reserve` is JESD84-B51's PRE_EOL_INFO (1 normal, 2 warning, 3 urgent).
    """

    temperature_c: float | None = None
    undervolted: bool | None = None
    memory_free_bytes: int | None = None
    memory_bytes: int | None = None
    disk_life: int | None = None
    disk_reserve: int | None = None
    disk_free_ratio: float | None = None
    certificate_days: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What was written to the disk and moved over the network (see `health.ledger`), bytes."""

    written_today: int | None = None
    written_last_day: int | None = None
    sent_month: int | None = None
    received_month: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """What the node may use; None: no limit."""

    daily_write_bytes: float | None = None
    monthly_data_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class MachineState:
    """What a judgement remembers: whether it was hot, and when the voltage was last too low (monotonic seconds)."""

    hot: bool = False
    undervolted_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Verdict:
    """One aspect. `fine` is the reason while nothing is wrong."""

    name: str
    fine: str
    wrong: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)


def judge(
    state: MachineState, seen: Readings, used: Use, budgets: Budgets, now_s: float, now_ms: int
) -> tuple[MachineState, list[PartHealth]]:
    """What state the machine is in: one `PartHealth` for each aspect that it measures."""
    hot = seen.temperature_c is not None and seen.temperature_c >= (COOL_AGAIN_C if state.hot else HOT_C)
    dipped_s = now_s if seen.undervolted else state.undervolted_s
    after = MachineState(hot, dipped_s)
    verdicts = [
        _temperature(seen, hot=hot),
        _power(seen, dipped_s, now_s),
        _memory(seen),
        _disk(seen),
        _certificate(seen),
        _writes(used, budgets),
        _data(used, budgets),
    ]
    return after, [_part(verdict, now_ms) for verdict in verdicts if verdict is not None]


def _part(verdict: _Verdict, now_ms: int) -> PartHealth:
    return PartHealth(
        part_id=f"{KIND}-{verdict.name}",
        kind=KIND,
        ok=not verdict.wrong,
        reason=verdict.wrong or verdict.fine,
        evidence_at_ms=None if verdict.wrong else max(0, now_ms),
        numbers=dict(verdict.numbers),
    )


def _temperature(seen: Readings, *, hot: bool) -> _Verdict | None:
    if seen.temperature_c is None:
        return None
    numbers = {"cpu_temperature_c": round(seen.temperature_c, 1)}
    return _Verdict("temperature", "cool_enough", "too_hot" if hot else "", numbers)


def _power(seen: Readings, dipped_s: float | None, now_s: float) -> _Verdict | None:
    if seen.undervolted is None:
        return None
    dipped = dipped_s is not None and now_s - dipped_s < UNDERVOLTED_FOR_S
    return _Verdict("power", "voltage_holds", "undervoltage" if dipped else "")


def _memory(seen: Readings) -> _Verdict | None:
    if not seen.memory_bytes or seen.memory_free_bytes is None:
        return None
    short = seen.memory_free_bytes / seen.memory_bytes < LEAST_MEMORY
    numbers = {"free_mb": round(seen.memory_free_bytes / 1e6), "total_mb": round(seen.memory_bytes / 1e6)}
    return _Verdict("memory", "memory_left", "memory_short" if short else "", numbers)


def _disk(seen: Readings) -> _Verdict | None:
    numbers = {}
    if seen.disk_free_ratio is not None:
        numbers["disk_free_ratio"] = round(seen.disk_free_ratio, 4)
    if seen.disk_life is not None:
        numbers["used_at_most_percent"] = min(100.0, seen.disk_life * 10.0)
    if not numbers and seen.disk_reserve is None:
        return None
    worn = (seen.disk_life or 0) >= WORN or (seen.disk_reserve or 0) >= 2
    return _Verdict("disk", "disk_lasts", "disk_worn" if worn else "", numbers)


def _certificate(seen: Readings) -> _Verdict | None:
    if seen.certificate_days is None:
        return None
    wrong = "certificate_expires" if seen.certificate_days < CERTIFICATE_DAYS else ""
    if seen.certificate_days < 0:
        wrong = "certificate_expired"
    return _Verdict(
        "certificate", "certificate_valid", wrong, {"certificate_days_left": round(seen.certificate_days, 1)}
    )


def _writes(used: Use, budgets: Budgets) -> _Verdict | None:
    if used.written_today is None:
        return None
    numbers = {"today_gb": round(used.written_today / 1e9, 3)}
    if used.written_last_day is not None:
        numbers["last_day_gb"] = round(used.written_last_day / 1e9, 3)
    over = False
    if budgets.daily_write_bytes is not None:
        numbers["budget_gb"] = round(budgets.daily_write_bytes / 1e9, 3)
        over = max(used.written_today, used.written_last_day or 0) > budgets.daily_write_bytes
    return _Verdict("writes", "writes_counted", "writes_over_budget" if over else "", numbers)


def _data(used: Use, budgets: Budgets) -> _Verdict | None:
    if used.sent_month is None or used.received_month is None:
        return None
    numbers = {"uplink_bytes": float(used.sent_month), "downlink_bytes": float(used.received_month)}
    wrong = ""
    if budgets.monthly_data_bytes is not None:
        numbers["plan_mb"] = round(budgets.monthly_data_bytes / 1e6, 1)
        share = (used.sent_month + used.received_month) / budgets.monthly_data_bytes
        wrong = "data_plan_used" if share >= 1 else "data_plan_nearly_used" if share >= PLAN_NEARLY_USED else ""
    return _Verdict("data", "data_counted", wrong, numbers)
