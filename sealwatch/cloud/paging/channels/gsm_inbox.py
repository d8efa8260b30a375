"""Text messages that came to the modem: SMS-DELIVER of 3GPP TS 23.040 (9.2.2.1), 7-bit alphabet or UCS-2. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_BASIC: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""The GSM 7-bit default alphabet (3GPP TS 23.038, 6.2.1), by code."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message from a number, and when its service centre had it (as it wrote it)."""

    number: str
    text: str
    stamp: str


def decode(hexadecimal: str) -> Delivered:
    """A PDU as AT+CMGL lists it. Raises ValueError for one that is no text message."""
    try:
        octets = bytes.fromhex(hexadecimal)
        at = 1 + octets[0]  # the service centre's part
        first, length = octets[at], octets[at + 1]
        if first & 0x03 != 0:
            raise ValueError("this is no message that came in")
        end = at + 3 + (length + 1) // 2
        number = _number(octets[at + 2], octets[at + 3 : end], length)
        scheme, stamp = octets[end + 1], octets[end + 2 : end + 9].hex()
        count, data = octets[end + 9], octets[end + 10 :]
        header = data[0] + 1 if first & 0x40 else 0
        return Delivered(number, _text(scheme, count, data, header), stamp)
    except IndexError:
        raise ValueError("the message is cut off") from None


def _number(kind: int, octets: bytes, length: int) -> str:
    if kind & 0x70 == 0x50:  # a name in the 7-bit alphabet
        return _septets(octets, length * 4 // 7, 0)
    swapped = "".join(f"{octet & 0xF:x}{octet >> 4:x}" for octet in octets)[:length]
    return ("+" if kind & 0x70 == 0x10 else "") + swapped


def _text(scheme: int, count: int, data: bytes, header: int) -> str:
    if scheme & 0x0C == 0x08:
        return data[header:count].decode("utf-16-be", "replace")
    if scheme & 0x0C == 0x00:
        skipped = -(-header * 8 // 7)  # septets that the header and its fill bits take
        return _septets(data, count, skipped)
    raise ValueError("its letters are none that people write")


def _septets(octets: bytes, count: int, skipped: int) -> str:
    bits = int.from_bytes(octets, "little")
    return "".join(_BASIC[bits >> (7 * place) & 0x7F] for place in range(skipped, count))
