"""Frames as JSON-ready facts for installers: one dictionary per frame found in some bytes.

Keys: ``status`` (ok | exception | foreign | bad_checksum | bad_end | bad_length | bad_header | incomplete | no_frame),
``protocol``, ``address``, ``control`` or ``function``, ``data_identifier``, ``values`` (``name``, ``value``, ``unit``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sealwatch.base.errors import UsageError
from sealwatch.edge.power.decode import dlt645, dlt698, modbus

Fact = dict[str, Any]
PROTOCOLS: dict[str, Callable[[bytes], list[Fact]]] = {
    "dlt645-2007": dlt645.explain,
    "dlt698.45": dlt698.explain,
    "modbus-rtu": modbus.explain,
}


def explain(protocol: str, raw: bytes, *, address: str = "") -> list[Fact]:
    """Every frame in `raw`. Frames of another address than `address` (when given) are ``foreign``."""
    facts = PROTOCOLS[protocol](raw) or [{"status": "no_frame"}]
    for fact in facts:
        if (
            address
            and fact["status"] in ("ok", "exception")
            and fact.get("address", "").lstrip("0") != address.lstrip("0")
        ):
            fact["status"] = "foreign"
    return [{"status": fact.pop("status"), "protocol": protocol, **fact} for fact in facts]


def from_hex(text: str) -> bytes:
    """Bytes from hex digits with or without blanks, commas and 0x. Raises UsageError."""
    digits = text.replace("0x", " ").replace("0X", " ").replace(",", " ").replace("-", " ").replace(":", " ")
    try:
        return bytes.fromhex("".join(digits.split()))
    except ValueError:
        raise UsageError(f"'{text.strip()[:60]}' is not hex; give bytes such as 68 01 00 ... 16") from None
