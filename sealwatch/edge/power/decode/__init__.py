"""Frames as JSON-ready facts for installers: one dictionary per frame found in some bytes.

Keys: ``status`` (ok | exception | foreign | bad_checksum | bad_end | bad_length | bad_header | incomplete | no_frame |
not_hex), ``protocol``, ``address``, ``control`` or ``function``, ``data_identifier``, ``values`` (``name``, ``value``,
``unit``).
"""

from __future__ import annotations

import re
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


_MARKS = re.compile(r"""0[xX]|\\x|[\s,;:\-\[\](){}'"]""")

# What serial tools put before the bytes: a time in brackets, and which way they went.
_LABEL = re.compile(
    r"^\s*(?:\[[^\]]*\]\s*)?(?:tx|rx|sent|send|received|recv|发送|接收|发|收)[\s:：<>→←◇◆-]+", re.IGNORECASE
)

_BYTE = re.compile(r"[0-9a-fA-F]{1,2}[hH]?")


def explain(protocol: str, raw: bytes, *, address: str = "") -> list[Fact]:
    """Every frame in `raw`. Frames of another address than `address` (when given) are ``foreign``."""
    facts = PROTOCOLS[protocol](raw) or [{"status": "no_frame", "bytes": len(raw)}]
    for fact in facts:
        if address and fact["status"] in ("ok", "exception") and not _meant(protocol, fact["address"], address):
            fact["status"] = "foreign"
    return [{"status": fact.pop("status"), "protocol": protocol, **fact} for fact in facts]


def from_hex(text: str) -> bytes:
    """Bytes from hex digits as tools print them: with blanks, commas, brackets, 0x, a trailing H, behind RX or TX.

    Half a byte at the end, where a capture was cut off, is left out. Raises UsageError.
    """
    words = _MARKS.sub(" ", _LABEL.sub("", text)).split()
    if all(_BYTE.fullmatch(word) for word in words):
        words = [word.rstrip("hH").zfill(2) for word in words]
    digits = "".join(words)
    try:
        return bytes.fromhex(digits[: len(digits) // 2 * 2])
    except ValueError:
        raise UsageError(f"'{text.strip()[:60]}' is not hex; give bytes such as 68 01 00 ... 16") from None


def _meant(protocol: str, written: str, address: str) -> bool:
    """Whether a frame with this address field is one of, or to, the meter `address`."""
    if protocol == "modbus-rtu":
        return written in ("0", address.lstrip("0") or "0")
    everybody = protocol == "dlt698.45" and set(written) == {"A"}
    return everybody or dlt645.is_for(written.zfill(12), address)
