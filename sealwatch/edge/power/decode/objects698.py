"""What lies behind the object attributes of DL/T 698.45: names, units and scales (object lists of the standard)."""

from __future__ import annotations

from typing import Any, Final

_PHASES: Final = ("a", "b", "c")
_TARIFFS: Final = ("", "_sharp", "_peak", "_flat", "_valley")
# Energies (00x0 to 00x3) and highest demands (10x0 ...) by the digit x; its last digit names the phase.
_KINDS: Final = {
    0x0: ("combined_active", "active"),
    0x1: ("forward_active", "active"),
    0x2: ("reverse_active", "active"),
    0x3: ("combined_reactive_1", "reactive"),
    0x4: ("combined_reactive_2", "reactive"),
    0x5: ("quadrant_1_reactive", "reactive"),
    0x6: ("quadrant_2_reactive", "reactive"),
    0x7: ("quadrant_3_reactive", "reactive"),
    0x8: ("quadrant_4_reactive", "reactive"),
    0x9: ("forward_apparent", "apparent"),
    0xA: ("reverse_apparent", "apparent"),
}
_ENERGY_UNIT: Final = {"active": "kWh", "reactive": "kvarh", "apparent": "kVAh"}
_POWER_UNIT: Final = {"active": "kW", "reactive": "kvar", "apparent": "kVA"}
# Object -> name, unit, decimals, what its elements are: each phase, a total and each phase, or nothing of the kind.
_VARIABLES: Final[dict[int, tuple[str, str, int, str]]] = {
    0x2000: ("voltage", "V", 1, "phases"),
    0x2001: ("current", "A", 3, "phases"),
    0x2002: ("voltage_angle", "deg", 1, "phases"),
    0x2003: ("phase_angle", "deg", 1, "phases"),
    0x2004: ("active_power", "W", 1, "total"),
    0x2005: ("reactive_power", "var", 1, "total"),
    0x2006: ("apparent_power", "VA", 1, "total"),
    0x2007: ("active_power_1min", "W", 1, "total"),
    0x2008: ("reactive_power_1min", "var", 1, "total"),
    0x2009: ("apparent_power_1min", "VA", 1, "total"),
    0x200A: ("power_factor", "", 3, "total"),
    0x200B: ("voltage_distortion", "%", 2, "phases"),
    0x200C: ("current_distortion", "%", 2, "phases"),
    0x200F: ("frequency", "Hz", 2, ""),
    0x2010: ("temperature", "°C", 1, ""),
    0x2011: ("clock_battery_voltage", "V", 2, ""),
    0x2012: ("reading_battery_voltage", "V", 2, ""),
    0x2013: ("battery_use", "min", 0, ""),
    0x2014: ("status_word", "", 0, ""),
    0x2017: ("active_demand", "kW", 4, ""),
    0x2018: ("reactive_demand", "kvar", 4, ""),
    0x2019: ("apparent_demand", "kVA", 4, ""),
    0x2021: ("frozen_time", "", 0, ""),
    0x2022: ("record_number", "", 0, ""),
    0x201E: ("began", "", 0, ""),
    0x2020: ("ended", "", 0, ""),
    0x202A: ("meter_address", "", 0, ""),
    0x4000: ("date_time", "", 0, ""),
    0x4001: ("meter_address", "", 0, ""),
    0x4002: ("meter_number", "", 0, ""),
    0x4003: ("customer_number", "", 0, ""),
}

# Event objects of one table (class 7): attribute 7 holds how often and how long in all, attribute 4 the records kept.
_EVENTS: Final = {
    0x300D: "all_voltages_lost",
    0x300E: "auxiliary_supply_lost",
    0x300F: "voltage_order_reversed",
    0x3010: "current_order_reversed",
    0x3011: "power_loss",
    0x3012: "programmed",
    0x3013: "meter_cleared",
    0x3014: "demand_cleared",
    0x3015: "events_cleared",
    0x3016: "clock_set",
    0x301B: "cover_opened",
    0x301C: "terminal_cover_opened",
}


def named_values(oi: int, value: Any, *, attribute: int = 2, index: int = 0) -> list[dict[str, Any]]:
    """Values with names and units from an attribute as plain Python (number, text, list). `index`: the element that
    was asked for, counted from 1; 0 is all."""
    if oi in _EVENTS and attribute in (4, 7):
        return _event(_EVENTS[oi], value, attribute)
    name, unit, decimals, elements = _object(oi, attribute)
    if elements == "demand":
        return _demands(name, unit, decimals, value, index=index)
    many = isinstance(value, list) and bool(elements or oi == 0x2014)
    items = value if many else [value]
    first = index - 1 if index else 0
    named = []
    for k, item in enumerate(items):
        number = item / 10**decimals if isinstance(item, (int, float)) and decimals else item
        suffix = _suffix(elements, first + k) if index or len(items) > 1 else ""
        named.append({"name": name + suffix, "value": number, "unit": unit})
    return named


def _event(name: str, value: Any, attribute: int) -> list[dict[str, Any]]:
    if attribute == 4:
        return [{"name": f"{name}_records", "value": value, "unit": ""}]
    found: list[dict[str, Any]] = []
    for item in value if isinstance(value, list) else []:
        # Where it came from, and behind it how often and for how many seconds.
        if isinstance(item, list) and len(item) == 2 and isinstance(item[1], list) and len(item[1]) == 2:
            count, total_s = item[1]
            found.append({"name": f"{name}_count", "value": count, "unit": ""})
            found.append({"name": f"{name}_total", "value": total_s, "unit": "s"})
    return found


def _object(oi: int, attribute: int) -> tuple[str, str, int, str]:
    """Name, unit, decimals and elements of an object."""
    if oi in _VARIABLES:
        return _VARIABLES[oi]
    group, kind, phase = oi >> 8, oi >> 4 & 0xF, oi & 0xF
    if group in (0x00, 0x10) and kind in _KINDS and phase <= 3:
        name, quantity = _KINDS[kind]
        suffix = f"_{_PHASES[phase - 1]}" if phase else ""
        if group:
            return f"{name}_demand{suffix}", _POWER_UNIT[quantity], 4, "demand"
        # Attribute 2 has two decimals, attribute 4 (of high precision) has four.
        return f"{name}_energy{suffix}", _ENERGY_UNIT[quantity], 4 if attribute == 4 else 2, "tariffs"
    return f"object_{oi:04X}", "", 0, ""


def _suffix(elements: str, place: int) -> str:
    if elements == "tariffs":
        return _TARIFFS[place] if place < len(_TARIFFS) else f"_tariff_{place}"
    if elements == "total" and place == 0:
        return ""
    at = place - 1 if elements == "total" else place
    return f"_{_PHASES[at]}" if elements in ("phases", "total") and at < len(_PHASES) else f"_{place + 1}"


def _demands(name: str, unit: str, decimals: int, value: Any, *, index: int) -> list[dict[str, Any]]:
    """Highest demands, each with its moment: pairs of a number and a time."""
    pairs = value if isinstance(value, list) and value and isinstance(value[0], list) else [value]
    named: list[dict[str, Any]] = []
    for k, pair in enumerate(pairs):
        suffix = _suffix("tariffs", (index - 1 if index else 0) + k)
        number, moment = pair if isinstance(pair, list) and len(pair) == 2 else (pair, None)
        number = number / 10**decimals if isinstance(number, int) else number
        named.append({"name": name + suffix, "value": number, "unit": unit})
        named.append({"name": f"{name}{suffix}_time", "value": moment, "unit": ""})
    return named
