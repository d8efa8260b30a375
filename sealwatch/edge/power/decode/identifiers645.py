"""What lies behind the data identifiers of DL/T 645-2007: names, units and formats (annex A of the standard).

A field is a name, a unit and a form: ``3.4`` is a BCD number of 3 bytes with 4 decimals, ``s3.4`` one whose highest
bit is the sign, letters are a moment from its highest digits on (``YYMMDDhhmmss``), ``x4`` are four bytes as digits
and ``t32`` is text of 32 bytes. Fields repeat as often as a block holds them.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Field(NamedTuple):
    """One value in an answer; `form` as in the module's docstring."""

    name: str
    unit: str
    form: str


_PHASES: Final = ("a", "b", "c")
_TARIFFS: Final = ("total", "sharp", "peak", "flat", "valley")
# Group 02: second byte -> name, unit, form, whether a total comes first.
_INSTANT: Final[dict[int, tuple[str, str, str, bool]]] = {
    0x01: ("voltage", "V", "2.1", False),
    0x02: ("current", "A", "s3.3", False),
    0x03: ("active_power", "kW", "s3.4", True),
    0x04: ("reactive_power", "kvar", "s3.4", True),
    0x05: ("apparent_power", "kVA", "s3.4", True),
    0x06: ("power_factor", "", "s2.3", True),
    0x07: ("phase_angle", "deg", "2.1", False),
    0x08: ("voltage_distortion", "%", "2.2", False),
    0x09: ("current_distortion", "%", "2.2", False),
}
# Kinds of energy and of demand, in the order of the second byte: name, quantity, whether it may be negative.
_KINDS: Final = (
    ("combined_active", "active", True),
    ("forward_active", "active", False),
    ("reverse_active", "active", False),
    ("combined_reactive_1", "reactive", True),
    ("combined_reactive_2", "reactive", True),
    ("quadrant_1_reactive", "reactive", False),
    ("quadrant_2_reactive", "reactive", False),
    ("quadrant_3_reactive", "reactive", False),
    ("quadrant_4_reactive", "reactive", False),
    ("forward_apparent", "apparent", False),
    ("reverse_apparent", "apparent", False),
)
# Where the kinds of one phase begin: 15H is phase A's forward active energy.
_PHASE_KINDS: Final = {0x14: "a", 0x28: "b", 0x3C: "c"}
_ENERGY_UNIT: Final = {"active": "kWh", "reactive": "kvarh", "apparent": "kVAh"}
_POWER_UNIT: Final = {"active": "kW", "reactive": "kvar", "apparent": "kVA"}

_OPERATOR: Final = Field("operator", "", "x4")
_MOMENT: Final = Field("time", "", "YYMMDDhhmmss")
_BEGAN: Final = (Field("began", "", "YYMMDDhhmmss"), Field("ended", "", "YYMMDDhhmmss"))
_REGISTERS: Final = tuple(name for name, quantity, _ in _KINDS[1:9] if not name.startswith("combined"))


def _registers(prefix: str) -> tuple[Field, ...]:
    return tuple(
        Field(f"{prefix}_{name}_energy", "kvarh" if name.endswith("_reactive") else "kWh", "4.2") for name in _REGISTERS
    )


# Events on each phase (count and minutes, three times) and on the whole meter (once): second byte of 03xx0000.
_PHASE_EVENTS: Final = {
    0x01: "voltage_lost",
    0x02: "voltage_low",
    0x03: "voltage_high",
    0x04: "phase_broken",
    0x0B: "current_lost",
    0x0C: "current_high",
    0x0D: "current_broken",
    0x0E: "power_reversed",
    0x0F: "overload",
}
_METER_EVENTS: Final = {
    0x05: "all_voltages_lost",
    0x06: "auxiliary_supply_lost",
    0x07: "voltage_order_reversed",
    0x08: "current_order_reversed",
    0x09: "voltage_unbalanced",
    0x0A: "current_unbalanced",
}
# 0330xx: what somebody did to the meter; 00 counts, 01 to 0A are the last ten records.
_DEEDS: Final[dict[int, tuple[str, tuple[Field, ...]]]] = {
    0x00: ("programmed", (_MOMENT, _OPERATOR, *(Field(f"identifier_{k}", "", "x4") for k in range(1, 11)))),
    0x01: ("meter_cleared", (_MOMENT, _OPERATOR)),
    0x02: ("demand_cleared", (_MOMENT, _OPERATOR)),
    0x03: ("events_cleared", (_MOMENT, _OPERATOR, Field("identifier", "", "x4"))),
    0x04: ("clock_set", (_OPERATOR, Field("before", "", "YYMMDDhhmmss"), Field("after", "", "YYMMDDhhmmss"))),
    0x0D: ("cover_opened", (*_BEGAN, *_registers("before"), *_registers("after"))),
    0x0E: ("terminal_cover_opened", (*_BEGAN, *_registers("before"), *_registers("after"))),
}
_SWITCHED: Final = (_MOMENT, _OPERATOR, *_registers("at"))
_SINGLE: Final[dict[str, tuple[Field, ...]]] = {
    "00900100": (Field("remaining_energy", "kWh", "4.2"),),
    "00900101": (Field("overdrawn_energy", "kWh", "4.2"),),
    "00900200": (Field("remaining_money", "CNY", "4.2"),),
    "00900201": (Field("overdrawn_money", "CNY", "4.2"),),
    "02800001": (Field("neutral_current", "A", "s3.3"),),
    "02800002": (Field("frequency", "Hz", "2.2"),),
    "02800003": (Field("active_power_1min", "kW", "s3.4"),),
    "02800004": (Field("active_demand", "kW", "s3.4"),),
    "02800005": (Field("reactive_demand", "kvar", "s3.4"),),
    "02800006": (Field("apparent_demand", "kVA", "s3.4"),),
    "02800007": (Field("temperature", "°C", "s2.1"),),
    "02800008": (Field("clock_battery_voltage", "V", "2.2"),),
    "02800009": (Field("reading_battery_voltage", "V", "2.2"),),
    "0280000A": (Field("battery_use", "min", "4.0"),),
    "0280000B": (Field("step_price", "CNY/kWh", "4.4"),),
    "02800020": (Field("price", "CNY/kWh", "4.4"),),
    "02800021": (Field("tariff_price", "CNY/kWh", "4.4"),),
    "02800022": (Field("step_price", "CNY/kWh", "4.4"),),
    "03110000": (Field("power_loss_count", "", "3.0"),),
    "10000001": (Field("voltage_lost_count", "", "3.0"),),
    "10000002": (Field("voltage_lost_total", "min", "3.0"),),
    "10000101": (Field("voltage_lost_last_began", "", "YYMMDDhhmmss"),),
    "10000201": (Field("voltage_lost_last_ended", "", "YYMMDDhhmmss"),),
    "1D000001": (Field("switched_off_count", "", "3.0"),),
    "1E000001": (Field("switched_on_count", "", "3.0"),),
    "04000101": (Field("date", "", "YYMMDD_"),),
    "04000102": (Field("time", "", "hhmmss"),),
    "0400010C": (Field("date_time", "", "YYMMDD_hhmmss"),),
    "04000103": (Field("demand_period", "min", "1.0"),),
    "04000104": (Field("demand_step", "min", "1.0"),),
    "04000401": (Field("meter_address", "", "x6"),),
    "04000402": (Field("meter_number", "", "x6"),),
    "04000403": (Field("asset_number", "", "t32"),),
    "04000404": (Field("rated_voltage", "", "t6"),),
    "04000405": (Field("rated_current", "", "t6"),),
    "04000406": (Field("highest_current", "", "t6"),),
    "04000407": (Field("active_accuracy_class", "", "t4"),),
    "04000408": (Field("reactive_accuracy_class", "", "t4"),),
    "04000409": (Field("active_pulses", "imp/kWh", "3.0"),),
    "0400040A": (Field("reactive_pulses", "imp/kvarh", "3.0"),),
    "0400040B": (Field("meter_model", "", "t10"),),
    "0400040C": (Field("made_on", "", "t10"),),
    "0400040D": (Field("protocol_version", "", "t16"),),
    "04800001": (Field("software_version", "", "t32"),),
    "04800002": (Field("hardware_version", "", "t32"),),
    "04800003": (Field("maker_number", "", "t32"),),
}
# Groups that tell the events of one phase (second byte: 01 A, 02 B, 03 C).
_PHASE_RECORDS: Final = {
    0x10: "voltage_lost",
    0x11: "voltage_low",
    0x12: "voltage_high",
    0x13: "phase_broken",
    0x18: "current_lost",
    0x19: "current_high",
    0x1A: "current_broken",
    0x1B: "power_reversed",
    0x1C: "overload",
}
_FROZEN: Final = {
    0x01: "forward_active",
    0x02: "reverse_active",
    0x03: "combined_reactive_1",
    0x04: "combined_reactive_2",
    0x05: "quadrant_1_reactive",
    0x06: "quadrant_2_reactive",
    0x07: "quadrant_3_reactive",
    0x08: "quadrant_4_reactive",
}


def fields(identifier: str) -> tuple[Field, ...]:
    """What an answer with this identifier (eight hex digits) holds, in order; empty where it is not known here."""
    if identifier in _SINGLE:
        return _SINGLE[identifier]
    group, kind, which, past = bytes.fromhex(identifier)
    if group == 0x02 and past == 0 and kind in _INSTANT:
        return _instant(kind, which)
    if group in (0x00, 0x01):
        return _registered(kind, which, past, demand=group == 0x01)
    if group == 0x03:
        return _events(kind, which, past)
    if group == 0x05:
        return _frozen(kind, which, past)
    if group in _PHASE_RECORDS and kind in (1, 2, 3):
        return _phase_records(f"{_PHASE_RECORDS[group]}_{_PHASES[kind - 1]}", which, past)
    if group in (0x1D, 0x1E) and kind == 0 and which == 1 and 1 <= past <= 10:
        word = "off" if group == 0x1D else "on"
        return tuple(Field(f"switched_{word}_{field.name}", field.unit, field.form) for field in _SWITCHED)
    return ()


def _instant(kind: int, which: int) -> tuple[Field, ...]:
    name, unit, form, total = _INSTANT[kind]
    names = [name] * total + [f"{name}_{phase}" for phase in _PHASES]
    if which == 0xFF:
        return tuple(Field(each, unit, form) for each in names)
    place = which - (0 if total else 1)
    return (Field(names[place], unit, form),) if 0 <= place < len(names) else ()


def _registered(kind: int, which: int, past: int, *, demand: bool) -> tuple[Field, ...]:
    """Energy registers, or highest demands with their times; now, or at one of the last twelve settlements."""
    offset, phase = next(((k, f"_{p}") for k, p in _PHASE_KINDS.items() if k < kind <= k + 10), (0, ""))
    if kind - offset >= len(_KINDS) or past > 12:
        return ()
    kind_name, quantity, signed = _KINDS[kind - offset]
    name = f"{kind_name}_{'demand' if demand else 'energy'}{phase}"
    when = f"_settlement_{past}" if past else ""
    names = [f"{name}_{t}{when}" for t in _TARIFFS] if which == 0xFF else [f"{name}{_tariff(which)}{when}"]
    sign = "s" if signed else ""
    if not demand:
        return tuple(Field(each, _ENERGY_UNIT[quantity], f"{sign}4.2") for each in names)
    pairs = ((Field(n, _POWER_UNIT[quantity], f"{sign}3.4"), Field(f"{n}_time", "", "YYMMDDhhmm")) for n in names)
    return tuple(field for pair in pairs for field in pair)


def _tariff(which: int) -> str:
    if which == 0:
        return ""
    return f"_{_TARIFFS[which]}" if which < len(_TARIFFS) else f"_tariff_{which}"


def _events(kind: int, which: int, past: int) -> tuple[Field, ...]:
    if kind == 0x30 and which in _DEEDS:
        name, record = _DEEDS[which]
        if past == 0:
            return (Field(f"{name}_count", "", "3.0"),)
        return tuple(Field(f"{name}_{field.name}", field.unit, field.form) for field in record)
    if kind == 0x11 and which == 0 and 1 <= past <= 10:
        return tuple(Field(f"power_loss_{field.name}", "", field.form) for field in _BEGAN)
    if which or past:
        return ()
    if kind in _PHASE_EVENTS:
        name = _PHASE_EVENTS[kind]
        pairs = ((Field(f"{name}_{p}_count", "", "3.0"), Field(f"{name}_{p}_total", "min", "3.0")) for p in _PHASES)
        return tuple(field for pair in pairs for field in pair)
    if kind in _METER_EVENTS:
        name = _METER_EVENTS[kind]
        return Field(f"{name}_count", "", "3.0"), Field(f"{name}_total", "min", "3.0")
    return ()


def _phase_records(name: str, which: int, past: int) -> tuple[Field, ...]:
    """Groups 10 to 1C of newer meters: count, minutes, and the beginnings of the last ten events, one by one."""
    if which == 0 and past in (1, 2):
        return (Field(f"{name}_count", "", "3.0") if past == 1 else Field(f"{name}_total", "min", "3.0"),)
    if which == 1 and 1 <= past <= 10:
        return (Field(f"{name}_began", "", "YYMMDDhhmmss"),)
    return ()


def _frozen(kind: int, which: int, past: int) -> tuple[Field, ...]:
    """Frozen values: by timer, at a command, by the hour (04: totals only), by the day."""
    if kind > 0x07 or not past:
        return ()
    if which == 0x00:
        return (Field("frozen_time", "", "YYMMDDhhmm"),)
    if which in _FROZEN:
        name = f"frozen_{_FROZEN[which]}_energy"
        unit, sign = ("kvarh" if "reactive" in name else "kWh"), ("s" if "combined" in name else "")
        names = [name] if kind == 0x04 else [f"{name}_{tariff}" for tariff in _TARIFFS]
        return tuple(Field(each, unit, f"{sign}4.2") for each in names)
    if which == 0x10:
        powers = [f"frozen_{q}_power{p}" for q in ("active", "reactive") for p in ("", "_a", "_b", "_c")]
        return tuple(Field(name, "kvar" if "reactive" in name else "kW", "s3.4") for name in powers)
    return ()
