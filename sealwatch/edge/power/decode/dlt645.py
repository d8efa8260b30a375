"""DL/T 645-2007 frames in words. Names and formats of rarer identifiers come from the `dlt645` package."""

from __future__ import annotations

from typing import Any

from sealwatch.edge.power.decode.identifiers645 import Field, fields
from sealwatch.edge.power.dlt645 import END, FUNCTION, MORE_FOLLOWS, START, Broken, Frame, bcd, cut

_FUNCTIONS = {
    0x03: "security",
    0x08: "broadcast_time",
    0x11: "read",
    0x12: "read_more",
    0x13: "read_address",
    0x14: "write",
    0x15: "write_address",
    0x16: "freeze",
    0x17: "change_speed",
    0x18: "change_password",
    0x19: "clear_demand",
    0x1A: "clear_meter",
    0x1B: "clear_events",
    0x1C: "switch_or_seal",
}
# What a switching command does (first byte behind password and operator).
_SWITCH = {
    0x1A: "switch_off",
    0x1B: "permit_switch_on",
    0x1C: "switch_on",
    0x2A: "alarm_on",
    0x2B: "alarm_off",
    0x3A: "protect_supply",
    0x3B: "protect_supply_off",
}
_SECURITY = 0x03
_NO_SECOND_START: dict[str, Any] = {"status": "bad_header", "detail": "the second 68H is missing"}
# Records that go on behind the fields which are told: registers before the meter or its demands were cleared.
_LONG_RECORDS = ("3001", "3002")


def explain(raw: bytes) -> list[dict[str, Any]]:
    """Every frame and every broken frame in some bytes, in order."""
    facts: list[dict[str, Any]] = []
    at = told_to = 0
    while at < len(raw):
        begin, piece, taken = cut(raw, at)
        facts += _headless(raw, max(at, told_to), begin)
        if piece is None:
            if begin >= len(raw):
                break
            if begin >= told_to:
                later, whole, _ = _next_frame(raw, begin + 1)
                facts += _cut_off(raw[begin:later], alone=not facts and whole is None)
            at, told_to = begin + 1, max(told_to, begin + 1)
            continue
        at = begin + taken
        if isinstance(piece, Frame):
            facts.append(_frame(piece))
            told_to = at
        elif begin >= told_to:
            # A frame that lost its end reaches into the one behind it: what it says there is not its own.
            later, whole, _ = _next_frame(raw, begin + 1)
            swallowed = whole is not None and later < begin + len(piece.raw)
            facts.append(_broken(Broken("incomplete", raw[begin:later]) if swallowed else piece))
            told_to = min(later, begin + len(piece.raw))
    if not facts and START in raw:
        return [dict(_NO_SECOND_START)]
    return facts


def _headless(raw: bytes, begin: int, end: int) -> list[dict[str, Any]]:
    """Frames in a stretch without a good one whose second 68H is wrong: they end with 16H where their length says."""
    facts = []
    while (begin := raw.find(START, begin, end)) >= 0:
        stop = begin + 12 + raw[begin + 9] if begin + 9 < end else len(raw) + 1
        found = stop <= end and raw[stop - 1] == END
        facts += [_NO_SECOND_START | {"bytes": stop - begin}] if found else []
        begin = stop if found else begin + 1
    return facts


def _next_frame(raw: bytes, at: int) -> tuple[int, Frame | None, int]:
    """The next whole frame from `at` on, or the end of the bytes."""
    while at < len(raw):
        begin, piece, taken = cut(raw, at)
        if isinstance(piece, Frame):
            return begin, piece, taken
        at = begin + 1
    return len(raw), None, 0


def _cut_off(raw: bytes, *, alone: bool) -> list[dict[str, Any]]:
    """The beginning of a frame: told where its head is there, or where nothing else is to be told."""
    if alone or (len(raw) >= 8 and raw[7] == START):
        return [_broken(Broken("incomplete", raw))]
    return []


def _broken(piece: Broken) -> dict[str, Any]:
    head = {"address": piece.raw[6:0:-1].hex().upper()} if len(piece.raw) >= 8 else {}
    if len(piece.raw) >= 9:
        head["control"] = f"{piece.raw[8]:02X}"
    if piece.reason == "bad_checksum":
        head["detail"] = f"the checksum is {piece.raw[-2]:02X}, the bytes add up to {sum(piece.raw[:-2]) & 0xFF:02X}"
    return {"status": piece.reason, **head, "bytes": len(piece.raw)}


def _frame(frame: Frame) -> dict[str, Any]:
    code = frame.control & FUNCTION
    fact: dict[str, Any] = {
        "status": "exception" if frame.refused else "ok",
        "address": frame.address,
        "control": f"{frame.control:02X}",
        "direction": "answer" if frame.is_answer else "request",
        "function": _FUNCTIONS.get(code, "unknown"),
    }
    if frame.refused:
        # The security function refuses with two bytes that are a number, not bits.
        errors = [f"security_error_{frame.data[::-1].hex()}"] if code == _SECURITY and frame.data else frame.errors
        return fact | {"data": frame.data.hex().upper(), "errors": errors}
    identifier = frame.identifier
    if identifier is None:
        return fact | _without_identifier(frame)
    fact |= {"data_identifier": identifier, "more_follows": bool(frame.control & MORE_FOLLOWS and frame.is_answer)}
    content = frame.data[4:]
    if code == 0x12 and content:
        # Pieces behind the first one: the last byte is their number, and where in the whole they begin is not told.
        return fact | {"sequence": content[-1], "data": content[:-1].hex().upper()}
    fact["data"] = content.hex().upper()
    if not frame.is_answer:
        return fact | _asked(code, content)
    return fact | _told(identifier, content)


def _asked(code: int, content: bytes) -> dict[str, Any]:
    """What a request carries behind its identifier: a write has password, operator and value."""
    if code == 0x14 and len(content) > 8:
        return {"operator": content[7:3:-1].hex().upper(), "written": content[8:].hex().upper()}
    return {}


def _told(identifier: str, content: bytes) -> dict[str, Any]:
    """Values of an answer, and a word where its length does not fit what the identifier stands for."""
    if not content:
        return {}
    if identifier.startswith("040005"):
        return {"values": _status_words(identifier, content)}
    known = fields(identifier)
    if not known:
        return {"values": _from_library(identifier, content)}
    values, used = _read(known, content)
    fact: dict[str, Any] = {"values": values}
    if used < len(content) and len(content) < size(known[0].form):
        fact["detail"] = f"{len(content)} bytes of data where {size(known[0].form)} are due"
    elif used < len(content) and identifier[2:6] not in _LONG_RECORDS:
        fact["detail"] = f"{len(content) - used} bytes of data are left over"
    return fact


def _without_identifier(frame: Frame) -> dict[str, Any]:
    """Addresses, times and commands that travel without a data identifier."""
    if not frame.data:
        return {}
    fact: dict[str, Any] = {"data": frame.data.hex().upper()}
    code, data, digits = frame.control & FUNCTION, frame.data, frame.data[::-1].hex().upper()
    if code in (0x13, 0x15) and len(data) == 6:
        fact["values"] = [{"name": "meter_address", "value": digits, "unit": ""}]
    elif code == 0x08 and len(data) == 6:
        fact["values"] = [{"name": "date_time", "value": moment(data, "YYMMDDhhmmss"), "unit": ""}]
    elif code == 0x16 and len(data) == 4:
        # Month, day, hour, minute; 99 stands for every one.
        fact["values"] = [{"name": "freeze_at", "value": f"{digits[:2]}-{digits[2:4]}T{digits[4:6]}:{digits[6:]}"}]
        fact["values"][0]["unit"] = ""
    elif code == 0x17 and len(data) == 1:
        speeds = {0x02: 600, 0x04: 1200, 0x08: 2400, 0x10: 4800, 0x20: 9600, 0x40: 19200}
        fact["values"] = [{"name": "speed", "value": speeds.get(data[0]), "unit": "bit/s"}]
    elif code == 0x1C and len(data) >= 9 and not frame.is_answer:
        command = {"name": "command", "value": _SWITCH.get(data[8], f"{data[8]:02X}"), "unit": ""}
        until = {"name": "valid_until", "value": moment(data[10:16], "YYMMDDhhmmss"), "unit": ""}
        fact |= {"operator": data[7:3:-1].hex().upper(), "values": [command, until] if len(data) >= 16 else [command]}
    return fact


def is_for(pattern: str, address: str) -> bool:
    """Whether a frame with `pattern` in its address field means the meter `address`: AA stands for any two digits,
    999999999999 for every meter (DL/T 645-2007, 7.2.2)."""
    wanted = address.zfill(12).upper()
    if len(pattern) != len(wanted):
        return False
    return pattern == "9" * 12 or all(
        pattern[k : k + 2] in ("AA", wanted[k : k + 2]) for k in range(0, len(pattern), 2)
    )


def moment(data: bytes, form: str) -> str | None:
    """BCD digits, lowest byte first, as a moment, day or time of day in ISO 8601 without a zone; `form` names the
    digits from the highest on. None where no moment is written there."""
    digits = data[::-1].hex()
    wanted = form.replace("_", "ww")
    if len(digits) != len(wanted) or not digits.isdigit() or not int(digits):
        return None
    part = {unit: digits[wanted.index(unit * 2) :][:2] for unit in "YMDhms" if unit * 2 in wanted}
    day = f"20{part['Y']}-{part['M']}-{part['D']}" if "Y" in part else ""
    clock = ":".join(part[unit] for unit in "hms" if unit in part)
    return "T".join(filter(None, (day, clock)))


def size(form: str) -> int:
    """Bytes of a field of this form (see `identifiers645`)."""
    if form[0] in "xt":
        return int(form[1:])
    if form[0] in "Yh":
        return len(form.replace("_", "ww")) // 2
    return int(form.lstrip("s").partition(".")[0])


def _read(known: tuple[Field, ...], content: bytes) -> tuple[list[dict[str, Any]], int]:
    """Values of the fields that are there, one behind the other, and the bytes that they take."""
    values: list[dict[str, Any]] = []
    at = 0
    for field in known:
        part = content[at : at + size(field.form)]
        if len(part) < size(field.form):
            break
        values.append(_value(field, part))
        at += len(part)
    return values, at


def _value(field: Field, part: bytes) -> dict[str, Any]:
    fact: dict[str, Any] = {"name": field.name, "value": None, "unit": field.unit}
    if field.form[0] == "x":
        return fact | {"value": part[::-1].hex().upper()}
    if field.form[0] == "t":
        letters = part[::-1].strip(b"\x00 ")
        return fact | {"value": letters.decode("ascii") if letters.isascii() else part[::-1].hex().upper()}
    if field.form[0] in "Yh":
        return fact | {"value": moment(part, field.form)}
    decimals = int(field.form.partition(".")[2])
    try:
        value = bcd(part, decimals=decimals, signed=field.form[0] == "s")
    except ValueError as error:
        return fact | {"detail": str(error)}
    return fact | {"value": int(value) if value is not None and not decimals else value}


def _status_words(identifier: str, content: bytes) -> list[dict[str, Any]]:
    """Running states 1 to 7: two bytes each, as 16 bits with the highest first."""
    first = 1 if identifier.endswith("FF") else int(identifier[6:], 16)
    return [
        {
            "name": f"status_word_{first + k}",
            "value": f"{int.from_bytes(content[at : at + 2], 'little'):016b}",
            "unit": "",
        }
        for k, at in enumerate(range(0, len(content) - 1, 2))
    ]


def _from_library(identifier: str, content: bytes) -> list[dict[str, Any]]:
    from dlt645.model.data.define import DIMap  # 38 MB of tables: only for the installer's tool

    item = DIMap.get(int(identifier, 16))
    items = item if isinstance(item, list) else [item] if item is not None else []
    values: list[dict[str, Any]] = []
    at = 0
    for entry in items:
        form = str(entry.data_format).strip()
        digits = [c for c in form if c in "XNYMDhms"]
        size = (len(digits) + 1) // 2
        part = content[at : at + size]
        if not size or len(part) < size:
            break
        decimals = len(form.partition(".")[2]) if set(form) <= set("XN.") else 0
        value: Any = part[::-1].hex().upper()
        if form == "YYMMDDhhmmss":
            value = moment(part, form)
        elif set(form) <= set("XN.") and value.isdigit():
            value = int(value) / 10**decimals
        values.append({"name": str(entry.name), "value": value, "unit": str(entry.unit or "").strip()})
        at += size
    return values
